// The runner with a starter in the place of processes, and the starter of processes alone.
#include "harness/runner.hpp"

#include "harness/plan.hpp"
#include "harness/program.hpp"
#include "harness/verdicts.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <csignal>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

namespace runner_test {
namespace {

using namespace bench;

plan plan_of(std::initializer_list<const char*> peers) {
  plan p;
  for (const char* peer : peers)
    p.entrants.push_back({{.suite = "fork", .name = "fib", .size = 1, .task = "a run"}, peer, peer, 2, "/nowhere"});
  return p;
}

block_end takes(double wall_s) {
  block_end b;
  b.got.wall_s = wall_s;
  return b;
}
block_end fails(const char* why) {
  block_end b;
  b.failure = why;
  return b;
}

result measured(const plan& p, const run_settings& s, const block_starter& start) {
  result r;
  measure(p, s, start, {}, r);
  return r;
}

const row& row_of(const result& r, const std::string& peer) {
  for (const row& x : r.rows)
    if (x.peer == peer) return x;
  throw std::out_of_range(peer);
}

TEST(Runner, MeasuresEachOnceARoundInRandomOrder) {
  std::vector<std::string> order;
  const result r = measured(plan_of({"a", "b", "c", "d"}), {.rounds = 8, .limit_s = 100, .seed = 5},
                            [&](const entrant& e, const run_settings&) {
                              order.push_back(e.peer);
                              return takes(1);
                            });
  std::set<std::vector<std::string>> orders;
  for (std::size_t i = 0; i + 4 <= order.size(); i += 4) {
    const std::vector<std::string> one(order.begin() + static_cast<std::ptrdiff_t>(i),
                                       order.begin() + static_cast<std::ptrdiff_t>(i + 4));
    EXPECT_EQ(std::set<std::string>(one.begin(), one.end()).size(), 4u);
    orders.insert(one);
  }
  EXPECT_GT(orders.size(), 2u);
  ASSERT_EQ(r.rows.size(), 4u);
  for (const row& x : r.rows) EXPECT_EQ(x.rounds.size(), 8u);
  EXPECT_EQ(r.rounds.size(), 8u);
  EXPECT_TRUE(r.complete);
}

TEST(Runner, KeepsTheOthersWhenOneCrashesAndGivesItUp) {
  const result r =
      measured(plan_of({"weir", "bad"}), {.rounds = 6, .limit_s = 100}, [](const entrant& e, const run_settings&) {
        return e.peer == "bad" ? fails("died: Segmentation fault") : takes(1);
      });
  EXPECT_EQ(row_of(r, "weir").rounds.size(), 6u);
  EXPECT_TRUE(row_of(r, "bad").rounds.empty());
  EXPECT_EQ(row_of(r, "bad").failures.size(), 2u);
  EXPECT_EQ(row_of(r, "bad").failures[0].why, "died: Segmentation fault");
  EXPECT_NE(r.warnings[0].find("fork/fib bad 2 was given up"), std::string::npos) << r.warnings[0];
}

TEST(Runner, PairsWhatSurvivedASingleFailure) {
  std::map<std::string, int> calls;
  const result r =
      measured(plan_of({"weir", "flaky"}), {.rounds = 8, .limit_s = 100}, [&](const entrant& e, const run_settings&) {
        const int n = ++calls[e.peer];
        if (e.peer == "weir") return takes(1);
        return n == 2 ? fails("hung") : takes(2);
      });
  EXPECT_EQ(row_of(r, "flaky").failures.size() + row_of(r, "flaky").rounds.size(), 8u);
  ASSERT_EQ(r.ratios.size(), 1u);
  EXPECT_DOUBLE_EQ(r.ratios[0].value.mid, 0.5);
  EXPECT_EQ(r.ratios[0].said, verdict::faster);
}

TEST(Runner, BeginsNoRoundThatWouldPassTheLimit) {
  const result r =
      measured(plan_of({"weir"}), {.rounds = 1000, .limit_s = 0.2}, [](const entrant&, const run_settings&) {
        usleep(20'000);
        return takes(1);
      });
  EXPECT_GE(r.rounds.size(), 1u);
  EXPECT_LT(r.rounds.size(), 20u);
  EXPECT_TRUE(r.complete);
  EXPECT_TRUE(std::any_of(r.warnings.begin(), r.warnings.end(),
                          [](const std::string& w) { return w.find("of 1000 rounds") != std::string::npos; }));
}

TEST(Runner, KeepsWhatWasMeasuredBeforeAnInterrupt) {
  const interrupts watch;
  int calls = 0;
  const result r =
      measured(plan_of({"weir", "b"}), {.rounds = 100, .limit_s = 1000}, [&](const entrant&, const run_settings&) {
        if (++calls == 5) std::raise(SIGINT);
        return takes(1);
      });
  EXPECT_FALSE(r.complete);
  EXPECT_LE(calls, 5);
  std::size_t kept = 0;
  for (const row& x : r.rows) kept += x.rounds.size();
  EXPECT_GE(kept, 2u);  // a disturbed round may have been thrown away for another try
  EXPECT_NE(r.warnings.back().find("interrupted"), std::string::npos);
}

TEST(Runner, WarnsThatFewRoundsGiveNoVerdict) {
  const result r = measured(plan_of({"weir", "b"}), {.rounds = 3, .limit_s = 100},
                            [](const entrant& e, const run_settings&) { return takes(e.peer == "weir" ? 1 : 10); });
  ASSERT_EQ(r.ratios.size(), 1u);
  EXPECT_EQ(r.ratios[0].said, verdict::not_told_apart);
  EXPECT_NE(r.warnings.back().find("verdicts need 6 rounds"), std::string::npos);
}

TEST(LoopSeconds, FillAThirdOfTheLimitAndStayWithinReason) {
  EXPECT_DOUBLE_EQ(loop_seconds({.rounds = 10, .limit_s = 300}, 100), 0.1);
  EXPECT_DOUBLE_EQ(loop_seconds({.rounds = 1, .limit_s = 300}, 1), 0.5);
  EXPECT_DOUBLE_EQ(loop_seconds({.rounds = 100, .limit_s = 1}, 100), 0.02);
  EXPECT_DOUBLE_EQ(loop_seconds({.seconds = 0.7}, 100), 0.7);
}

TEST(Program, GivesWhatItSaysAndHowItEnds) {
  const program_end good = run_program({"/bin/sh", "-c", "echo out; echo err >&2"}, 10);
  EXPECT_EQ(good.out, "out\n");
  EXPECT_EQ(good.err, "err\n");
  EXPECT_EQ(good.failure, "");
  EXPECT_GT(good.peak_bytes, 1e5);
  EXPECT_EQ(run_program({"/bin/sh", "-c", "echo line; echo why >&2; exit 3"}, 10).failure, "why");
  EXPECT_EQ(run_program({"/bin/sh", "-c", "exit 3"}, 10).failure, "exit status 3");
  EXPECT_EQ(run_program({"/bin/sh", "-c", "kill -SEGV $$"}, 10).failure, "died: Segmentation fault");
  EXPECT_EQ(run_program({"/no/such/program"}, 10).failure, "No such file or directory");
}

TEST(Program, ThatHangsIsKilledWithItsChildren) {
  const program_end end = run_program({"/bin/sh", "-c", "sleep 1000 & echo $!; sleep 1000"}, 3);
  EXPECT_EQ(end.failure.rfind("hung", 0), 0u) << end.failure;
  const pid_t child = std::stoi(end.out);
  int i = 0;
  for (; i < 1000 && kill(child, 0) == 0; ++i) {  // as a zombie it may be there until init looks
    const program_end state =
        run_program({"/bin/sh", "-c", "grep -c '^State:.*Z' /proc/" + std::to_string(child) + "/status"}, 10);
    if (state.out != "0\n") break;
    usleep(10'000);
  }
  EXPECT_LT(i, 1000);
}

TEST(Program, MaySayMoreThanAPipeHolds) {
  EXPECT_EQ(run_program({"/bin/sh", "-c", "head -c 1000000 /dev/zero"}, 20).out.size(), 1'000'000u);
}

TEST(Block, OfAForeignProgramIsReadAsJson) {
  entrant e;
  e.what = {.suite = "fork", .name = "fib", .size = 5, .task = "a run"};
  e.peer = e.asked_for = "x";
  e.program = "/bin/echo";  // says its arguments
  EXPECT_NE(start_block(e, {}).failure.find("no reading"), std::string::npos);
}

TEST(Listing, TakesCasesThatAreKnownHere) {
  registry own(false, 4);
  const situation scaled{.suite = "fork", .name = "fib", .size = 35, .task = "a run"};
  own.add(scaled, "weir", 1, {});
  own.add(scaled, "weir", 4, {});
  plan p;
  read_listing(R"({"peer": "go", "version": "1.19", "case": "fork/fib"}
{"peer": "go", "version": "1.19", "case": "fork/unheard_of"}
{"peer": "one", "case": "fork/fib", "workers": 1}
)",
               "/a/program", own, "", p);
  std::vector<std::string> got;
  for (const entrant& e : p.entrants)
    got.push_back(e.peer + std::to_string(e.workers) + " " + std::to_string(e.what.size));
  EXPECT_EQ(got, (std::vector<std::string>{"go1 35", "go4 35", "one1 35"}));
  EXPECT_EQ(p.versions.at("go"), "1.19");
  EXPECT_ANY_THROW(read_listing("nonsense\n", "/a/program", own, "", p));
  EXPECT_ANY_THROW(read_listing("{\"peer\": \"x\"}\n", "/a/program", own, "", p));
}

TEST(Listing, OfAnotherBuildGivesItsWeirAlone) {
  registry own(false, 2);
  own.add({.suite = "fork", .name = "fib", .size = 35, .task = "a run"}, "weir", 2, {});
  plan p;
  read_listing(R"({"peer": "weir", "version": "0.0.9", "case": "fork/fib", "workers": 2}
{"peer": "weir", "version": "0.0.9", "case": "fork/fib", "workers": 64}
{"peer": "oneTBB", "version": "1", "case": "fork/fib", "workers": 2}
)",
               "/old", own, "@against", p);
  ASSERT_EQ(p.entrants.size(), 1u);
  EXPECT_EQ(p.entrants[0].peer, "weir@against");
  EXPECT_EQ(p.entrants[0].asked_for, "weir");
}

}  // namespace
}  // namespace runner_test
