// weir-service: what a service asks of its runtime, each target as a line. In every round all scenarios run once, in
// random order, each in a fresh process; what is printed is the median over rounds.
#include "../harness/block.hpp"
#include "../harness/clock.hpp"
#include "../harness/host.hpp"
#include "../harness/stats.hpp"
#include "../harness/table.hpp"
#include "scenario.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using namespace bench;

struct settings {
  bool quick = false, list = false;
  unsigned rounds = 0;
  std::vector<std::string> only;
};

struct record {
  std::vector<std::vector<double>> values;  // [metric][round]
  std::string trouble;
  unsigned bad_rounds = 0;
};

std::vector<scenario> chosen(const settings& s) {
  std::vector<scenario> all;
  for (auto* group :
       {submit_scenarios, cost_scenarios, memory_scenarios, wake_scenarios, idle_scenarios, conserve_scenarios, fork_scenarios, timer_scenarios}) {
    std::vector<scenario> some = group();
    std::move(some.begin(), some.end(), std::back_inserter(all));
  }
  if (!s.only.empty())
    std::erase_if(all, [&s](const scenario& x) {
      return std::none_of(s.only.begin(), s.only.end(),
                          [&x](const std::string& part) { return x.name.find(part) != std::string::npos; });
    });
  return all;
}

void print_line(const metric& m, const std::vector<double>& values) {
  const interval x = bootstrap_median(values);
  std::string goal;
  if (m.goal.kind != bound::none) goal = (m.goal.kind == bound::at_most ? "<= " : ">= ") + number(m.goal.value);
  fmt::print("{:<54} {:>9} {:>20} {:<10} {:>8}  {}\n", m.name, number(x.mid),
             fmt::format("[{} {}]", number(x.low), number(x.high)), m.unit, goal, meets(x, m.goal));
}

int print(const std::vector<scenario>& all, const std::vector<record>& got) {
  int missed = 0, targets = 0;
  bool trouble = false;
  fmt::print("{:<54} {:>9} {:>20} {:<10} {:>8}\n", "", "median", "95 %", "", "target");
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t m = 0; m < all[i].metrics.size(); ++m) {
      print_line(all[i].metrics[m], got[i].values[m]);
      if (all[i].metrics[m].goal.kind == bound::none) continue;
      ++targets;
      missed += meets(bootstrap_median(got[i].values[m]), all[i].metrics[m].goal).rfind("PASS", 0) != 0;
    }
    if (got[i].trouble.empty()) continue;
    trouble = true;
    fmt::print("  {}: {} in {} rounds\n", all[i].name, got[i].trouble, got[i].bad_rounds);
  }
  fmt::print("\n{} of {} targets reached. A verdict with a question mark: the interval contains the target.\n",
             targets - missed, targets);
  return trouble ? 1 : 0;
}

int run(const settings& s) {
  const std::vector<scenario> all = chosen(s);
  if (all.empty()) {
    fmt::print(stderr, "weir-service: no scenario is named so; --list names them all\n");
    return 2;
  }
  if (s.list) {
    for (const scenario& x : all) fmt::print("{}\n", x.name);
    return 0;
  }
  const unsigned rounds = s.rounds != 0 ? s.rounds : s.quick ? 3 : 9;
  fmt::print("{}\n", machine(environment()));
  if (const std::string warning = not_idle(); !warning.empty()) fmt::print("warning: {}\n", warning);
  static_cast<void>(ticks_per_us());

  std::vector<record> got(all.size());
  std::vector<std::size_t> order(all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    order[i] = i;
    got[i].values.resize(all[i].metrics.size());
  }
  std::mt19937 random(std::random_device{}());
  const bool watched = isatty(STDERR_FILENO) == 1;  // progress is for people
  for (unsigned round = 0; round < rounds; ++round) {
    std::shuffle(order.begin(), order.end(), random);
    for (std::size_t done = 0; done < order.size(); ++done) {
      const scenario& x = all[order[done]];
      record& r = got[order[done]];
      if (watched) {
        fmt::print(stderr, "\rround {} of {}, {} of {}: {:<24}", round + 1, rounds, done + 1, order.size(), x.name);
        std::fflush(stderr);
      }
      const outcome o = in_child([&x, &s] { return x.block(s.quick); }, s.quick ? 60 : 180);
      if (!o.failure.empty() || o.values.size() != x.metrics.size()) {
        r.trouble = o.failure.empty() ? "returned too little" : o.failure;
        ++r.bad_rounds;
        continue;
      }
      for (std::size_t m = 0; m < o.values.size(); ++m) r.values[m].push_back(o.values[m]);
    }
  }
  if (watched) fmt::print(stderr, "\r{:70}\r", "");
  fmt::print("{} rounds, each scenario a fresh process, random order\n\n", rounds);
  return print(all, got);
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app{"What a service asks of weir: submission, memory, waking, idleness, work conservation."};
  app.add_flag("--quick", s.quick, "fewer samples and three rounds; about a minute");
  app.add_flag("--list", s.list, "name the scenarios and do nothing");
  app.add_option("--rounds", s.rounds, "how often each scenario runs (9; 3 with --quick)")
      ->check(CLI::Range(1u, 1000u));
  app.add_option("--only", s.only, "only scenarios whose name contains one of these");
  CLI11_PARSE(app, argc, argv);
  return run(s);
}
