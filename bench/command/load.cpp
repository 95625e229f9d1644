// load and capacity: one open loop, or one closed one, against one peer. weir-bench latency starts them, of this program and
// of others (bench/README.md has the protocol).
#include "../latency/loaders.hpp"

#include "../harness/clock.hpp"
#include "between.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <exception>
#include <map>
#include <memory>
#include <string>

namespace bench {
namespace {

struct load_options {
  std::string peer;
  unsigned workers = 1;
  load_plan plan;
};

CLI::App* add_common(CLI::App& app, const char* name, const char* what, load_options& o) {
  CLI::App* sub = app.add_subcommand(name, what);
  sub->add_option("--peer", o.peer, "who is measured")->required();
  sub->add_option("--workers", o.workers, "its workers")->check(CLI::Range(1u, 1024u))->capture_default_str();
  sub->add_option("--service-us", o.plan.service_us, "each task's own work")
      ->check(between(0.0, 1e6))
      ->capture_default_str();
  sub->add_option("--seconds", o.plan.arrivals.seconds, "how long")->capture_default_str();
  sub->add_option("--generator-core", o.plan.where.generator, "where the generator runs; -1: anywhere")
      ->check(CLI::Range(-1, 1023))
      ->capture_default_str();
  return sub;
}

template <class Measure>
int told(const load_options& o, Measure measure) {
  const auto& all = loaders();
  const auto found = std::find_if(all.begin(), all.end(), [&o](const loader& l) { return l.peer == o.peer; });
  if (found == all.end()) {
    fmt::print(stderr, "weir-bench: no peer is named '{}' here that takes tasks from outside\n", o.peer);
    return 2;
  }
  static_cast<void>(ticks_per_us());
  try {
    fmt::print("{}\n", measure(*found).dump());
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
  return 0;
}

}  // namespace

void add_load(CLI::App& app, int& status) {
  const std::map<std::string, arrival_kind> kinds = {
      {"constant", arrival_kind::constant}, {"poisson", arrival_kind::poisson}, {"bursts", arrival_kind::bursts}};
  auto o = std::make_shared<load_options>();
  CLI::App* sub = add_common(app, "load", "Run one open loop and print what it measured as one line of JSON", *o);
  arrival_plan& a = o->plan.arrivals;
  sub->add_option("--rate", a.rate, "tasks a second")->capture_default_str();
  sub->add_option("--arrivals", a.kind, "constant, poisson or bursts")->transform(CLI::CheckedTransformer(kinds));
  sub->add_option("--burst", a.burst, "tasks of a burst")->capture_default_str();
  sub->add_option("--seed", a.seed, "of the arrivals")->capture_default_str();
  sub->callback([o, &status] {
    status = told(*o, [&o](const loader& l) { return nlohmann::json(l.load(o->workers, o->plan)); });
  });

  auto c = std::make_shared<load_options>();
  CLI::App* closed = add_common(app, "capacity", "Print how many tasks a second a peer gets done", *c);
  closed->callback([c, &status] {
    status = told(*c, [&c](const loader& l) {
      return nlohmann::json{{"tasks_per_s", l.capacity(c->workers, c->plan)}};
    });
  });
}

}  // namespace bench
