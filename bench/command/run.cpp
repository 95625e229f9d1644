// run: measures, prints tables, writes the result.
#include "../harness/clock.hpp"
#include "../harness/host.hpp"
#include "../harness/program.hpp"
#include "../harness/progress.hpp"
#include "../harness/runner.hpp"
#include "../harness/table.hpp"
#include "between.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace bench {
namespace {

struct run_options {
  wishes what;
  run_settings how;
  std::string out;
  bool rounds_given = false, limit_given = false, block_limit_given = false;
};

void say_round(progress& p, const round_check& c, bool repeat) {
  if (c.disturbed.empty()) return;
  p.note(fmt::format("round {} was disturbed: {}{}", c.round + 1, c.disturbed,
                     repeat        ? "; it is measured again"
                     : c.tries > 1 ? ", again"
                                   : ""));
}

int run(run_options& o, const std::vector<std::string>& command) {
  std::erase(o.what.suites, "all");
  o.how.quick = o.what.quick;
  if (!o.rounds_given) o.how.rounds = 9;
  if (!o.limit_given) o.how.limit_s = o.how.quick ? 48 : 1500;
  if (!o.block_limit_given) o.how.block_limit_s = o.how.quick ? 10 : 120;
  if (o.how.seed == 0) o.how.seed = std::random_device{}();

  result r;
  r.command = command;
  r.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  r.environment = environment();
  const interrupts watch;
  plan p;
  try {
    p = make_plan(o.what);
  } catch (const std::invalid_argument& e) {
    fmt::print(stderr, "weir-bench: {}\n", e.what());
    return 2;
  }
  for (const std::string& t : p.troubles) fmt::print(stderr, "weir-bench: {}\n", t);
  r.warnings = p.troubles;
  r.peers = p.versions;
  if (p.entrants.empty()) {
    fmt::print(stderr, "weir-bench: nothing to measure: no case fits\n");
    return 2;
  }
  if (const std::string warning = not_idle(); !warning.empty()) r.warnings.push_back(warning);
  if (!o.out.empty()) save(r, o.out);  // better now than after half an hour

  const double began = seconds_now();
  {
    progress line;
    run_events tell;
    tell.block = [&](const entrant& e, unsigned round, std::size_t block, double left_s) {
      line.show(fmt::format("round {} of {}, block {} of {}: {}/{} {} {}", round + 1, o.how.rounds, block + 1,
                            p.entrants.size(), e.what.suite, e.what.name, e.peer, e.workers),
                left_s);
    };
    tell.round = [&](const result& so_far, const round_check& c, bool repeat) {
      say_round(line, c, repeat);
      if (!o.out.empty() && !repeat) save(so_far, o.out);
    };
    measure(p, o.how, start_block, tell, r);
  }
  r.seconds = seconds_now() - began;
  fmt::print("{}", summary(r, look::terminal));
  if (!o.out.empty()) save(r, o.out);
  if (!r.complete) return 130;
  const bool failed = std::any_of(r.rows.begin(), r.rows.end(), [](const row& x) { return !x.failures.empty(); });
  return failed || !p.troubles.empty() ? 1 : 0;
}

}  // namespace

void add_run(CLI::App& app, int& status) {
  auto o = std::make_shared<run_options>();
  o->what.workers = std::max(1u, std::min(64u, cores()));
  CLI::App* sub = app.add_subcommand("run", "Measure, print tables, and keep the result for compare and report");
  sub->add_option("--suite", o->what.suites, "fork, submit, wake, … or all")->delimiter(',');
  sub->add_option("--peers", o->what.peers, "only these (weir-bench list names them)")->delimiter(',');
  sub->add_option("--only", o->what.only, "only cases whose SUITE/NAME contains one of these")->delimiter(',');
  CLI::Option* rounds =
      sub->add_option("--rounds", o->how.rounds, "how often each block runs (9)")->check(CLI::Range(1u, 1000u));
  sub->add_flag("--quick", o->what.quick,
                "small sizes, and only peers in C++ unless --peers names others; ends within a minute");
  sub->add_flag("--published-sizes", o->what.published,
                "the trees of the suite fork as large as others publish them: fib 39, skynet 10^8, nqueens 14, matmul 2048")
      ->excludes("--quick");
  CLI::Option* limit = sub->add_option("--limit", o->how.limit_s, "seconds; no block begins after it (1500; quick: 48)")
                           ->check(between(1.0, 1e6));
  sub->add_option("--seconds", o->how.seconds, "of a loop (what fits into the limit)")->check(between(0.001, 60.0));
  CLI::Option* block_limit = sub->add_option("--block-limit", o->how.block_limit_s,
                                             "seconds; a block that takes longer has hung (120; quick: 10)")
                                 ->check(between(0.1, 1e5));
  sub->add_option("--workers", o->what.workers, "of the parallel runs")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  sub->add_option("--program", o->what.programs, "one more program that speaks the protocol of bench/README.md");
  sub->add_option("--against", o->what.against, "another build of weir-bench: its weir takes part as weir@against");
  sub->add_option(
         "--handicap", o->how.handicap,
         "percent by which weir, but not weir@against, spins longer (fork, submit): does compare find it here?")
      ->check(between(0.0, 10'000.0));
  sub->add_option("--seed", o->how.seed, "of the order of blocks (0: another each time)");
  sub->add_option("-o,--output", o->out, "where the result is written, as JSON");
  sub->callback([o, rounds, limit, block_limit, &status] {
    o->rounds_given = rounds->count() > 0;
    o->limit_given = limit->count() > 0;
    o->block_limit_given = block_limit->count() > 0;
    status = run(*o, command_line());
  });
}

}  // namespace bench
