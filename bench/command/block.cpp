// list and block: the protocol that weir-bench speaks with the processes that it starts, itself among them. Programs in
// other languages speak it, too (bench/README.md).
#include "../harness/clock.hpp"
#include "../harness/meter.hpp"
#include "../harness/registry.hpp"
#include "../latency/loaders.hpp"
#include "between.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <string>
#include <thread>

namespace bench {
namespace {

// One line a contestant; those who read it care for the first three keys and pass over what they do not know.
void list() {
  const registry all = everything(false, std::max(1u, std::thread::hardware_concurrency()));
  for (const contestant& c : all.all()) {
    const auto& known = peers();
    const auto p = std::find_if(known.begin(), known.end(), [&c](const peer_entry& e) { return e.name == c.peer; });
    const nlohmann::json line = {{"peer", c.peer},
                                 {"version", p->version},
                                 {"case", c.what.suite + "/" + c.what.name},
                                 {"workers", c.workers},
                                 {"size", c.what.size}};
    fmt::print("{}\n", line.dump());
  }
  for (const loader& l : loaders()) {
    const auto p = std::find_if(peers().begin(), peers().end(), [&l](const peer_entry& e) { return e.name == l.peer; });
    fmt::print("{}\n", nlohmann::json{{"peer", l.peer}, {"version", p->version}, {"case", "latency/load"}}.dump());
  }
}

struct wanted {
  std::string name, peer;
  ask what;
  double handicap = 0;  // percent
};

int run_block(const wanted& w) {
  const registry all = everything(w.what.quick, w.what.workers);
  const auto& cases = all.all();
  // Some cases derive their number from the machine's (four times as many, one less): any number will do for them.
  const auto find = [&](bool same_workers) {
    return std::find_if(cases.begin(), cases.end(), [&w, same_workers](const contestant& x) {
      return x.what.suite + "/" + x.what.name == w.name && x.peer == w.peer &&
             (!same_workers || x.workers == w.what.workers);
    });
  };
  auto c = find(true);
  if (c == cases.end()) c = find(false);
  if (c == cases.end()) {
    fmt::print(stderr, "weir-bench: {} is in no case named {}\n", w.peer, w.name);
    return 2;
  }
  ask a = w.what;
  if (a.size == 0) a.size = c->what.size;
  handicap = w.handicap / 100;
  static_cast<void>(ticks_per_us());  // takes 20 ms; not within a measurement
  try {
    fmt::print("{}\n", nlohmann::json(c->run(a)).dump());
  } catch (const std::exception& e) {
    fmt::print(stderr, "{}\n", e.what());
    return 1;
  }
  return 0;
}

}  // namespace

void add_list(CLI::App& app, int&) {
  app.add_subcommand("list", "What can be measured: one line of JSON for each peer in each case")->callback(list);
}

void add_block(CLI::App& app, int& status) {
  auto w = std::make_shared<wanted>();
  CLI::App* sub = app.add_subcommand("block", "Measure one block and print its reading as one line of JSON");
  sub->add_option("case", w->name, "SUITE/NAME")->required();
  sub->add_option("--peer", w->peer, "who is measured")->required();
  sub->add_option("--workers", w->what.workers, "its workers")->check(CLI::Range(1u, 1024u))->capture_default_str();
  sub->add_option("--size", w->what.size, "of one run (0: the case's own)")->capture_default_str();
  sub->add_option("--seconds", w->what.seconds, "how long a loop is measured, about")->capture_default_str();
  sub->add_flag("--quick", w->what.quick, "the sizes of a quick run");
  sub->add_option("--handicap", w->handicap, "percent by which it is made slower, on purpose")
      ->check(between(0.0, 10'000.0));
  sub->callback([w, &status] { status = run_block(*w); });
}

}  // namespace bench
