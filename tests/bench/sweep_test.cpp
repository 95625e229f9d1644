// A sweep over loads, with programs that are made up.
#include "latency/sweep.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace sweep_test {
namespace {

using namespace bench;

// So many tasks that all took so long.
load_reading took(std::uint64_t us, std::uint64_t tasks = 2000, std::uint64_t lag_us = 0, double wall_s = 1) {
  load_reading r;
  r.tasks = static_cast<double>(tasks);
  r.wall_s = wall_s;
  for (std::uint64_t i = 0; i < tasks; ++i) {
    r.whole.add(us * 1000), r.waited.add(us * 500), r.ran.add(us * 500);
    r.cost.add(100), r.behind.add(lag_us * 1000), r.lag.add(lag_us * 1000);
  }
  return r;
}

std::string option(const std::vector<std::string>& command, const std::string& name) {
  const auto at = std::find(command.begin(), command.end(), name);
  return at == command.end() || at + 1 == command.end() ? "" : *(at + 1);
}

const load_progress silent = [](const std::string&, double) {};

sweep_settings three_loads() {
  sweep_settings s;
  s.loads = {10, 50, 90};
  s.rounds = 2;
  return s;
}

TEST(Sweep, AsksForLoadsOfTheMeasuredCapacity) {
  std::map<std::string, int> asked;
  const load_starter start = [&asked](const std::vector<std::string>& c) -> load_answer {
    EXPECT_EQ(c[0], "program");
    if (c[1] == "capacity") return {R"({"tasks_per_s": 2000})", "", false};
    ++asked[option(c, "--rate")];
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r = sweep({{"p", "1", "program"}}, three_loads(), start, silent);
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(asked, (std::map<std::string, int>{{"200", 2}, {"1000", 2}, {"1800", 2}}));
  ASSERT_EQ(r.lines.size(), 1u);
  EXPECT_EQ(r.lines[0].capacity, 2000);
  EXPECT_EQ(r.lines[0].capacity_after, 2000);
  for (const load_step& s : r.lines[0].steps) {
    EXPECT_EQ(s.rounds.size(), 2u);
    EXPECT_EQ(s.got.whole.count(), 4000u) << "rounds are merged";
    EXPECT_EQ(s.each.size(), 2u);
  }
}

TEST(Sweep, ACrashCostsThatPeersStepsAndNoOthers) {
  const load_starter start = [](const std::vector<std::string>& c) -> load_answer {
    if (c[1] == "capacity") return {R"({"tasks_per_s": 1000})", "", false};
    if (option(c, "--peer") == "bad" && option(c, "--rate") == "500") return {"", "died: Segmentation fault", false};
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r = sweep({{"good", "", "x"}, {"bad", "", "x"}}, three_loads(), start, silent);
  EXPECT_TRUE(r.complete);
  for (const load_step& s : r.lines[0].steps) EXPECT_TRUE(s.good());
  EXPECT_TRUE(r.lines[1].steps[0].good());
  EXPECT_FALSE(r.lines[1].steps[1].good());
  EXPECT_EQ(r.lines[1].steps[1].bad.at(0), "died: Segmentation fault");
  EXPECT_TRUE(r.lines[1].steps[2].good());
}

TEST(Sweep, WithoutACapacityAPeerHasATroubleAndTheRestGoOn) {
  const load_starter start = [](const std::vector<std::string>& c) -> load_answer {
    const std::string peer = option(c, "--peer");
    if (c[1] == "capacity" && peer == "silent") return {"", "", false};
    if (c[1] == "capacity" && peer == "stuck") return {R"({"tasks_per_s": 0})", "", false};
    if (c[1] == "capacity") return {R"({"tasks_per_s": 1000})", "", false};
    EXPECT_EQ(peer, "good");
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r =
      sweep({{"silent", "", "x"}, {"stuck", "", "x"}, {"good", "", "x"}}, three_loads(), start, silent);
  EXPECT_NE(r.lines[0].trouble, "");
  EXPECT_NE(r.lines[1].trouble, "");
  EXPECT_EQ(r.lines[2].trouble, "");
  EXPECT_EQ(r.lines[2].steps.size(), 3u);
}

TEST(Sweep, KeepsWhatWasMeasuredBeforeAnInterrupt) {
  int started = 0;
  const load_starter start = [&started](const std::vector<std::string>& c) -> load_answer {
    if (c[1] == "capacity") return {R"({"tasks_per_s": 1000})", "", false};
    if (++started == 3) return {"", "interrupted", true};
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r = sweep({{"p", "", "x"}}, three_loads(), start, silent);
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(started, 3) << "nothing is begun any more";
  std::size_t rounds = 0;
  for (const load_step& s : r.lines[0].steps) {
    rounds += s.rounds.size();
    EXPECT_TRUE(s.bad.empty());
  }
  EXPECT_EQ(rounds, 2u);
}

TEST(Sweep, VoidsARunWhoseGeneratorLagged) {
  const load_starter start = [](const std::vector<std::string>& c) -> load_answer {
    if (c[1] == "capacity") return {R"({"tasks_per_s": 1000})", "", false};
    return {nlohmann::json(took(10, 2000, option(c, "--rate") == "100" ? 30 : 5)).dump(), "", false};
  };
  const sweep_result r = sweep({{"p", "", "x"}}, three_loads(), start, silent);
  EXPECT_FALSE(r.lines[0].steps[0].good());
  EXPECT_NE(r.lines[0].steps[0].bad.at(1).find("void"), std::string::npos);
  EXPECT_TRUE(r.lines[0].steps[1].good());
}

TEST(Sweep, OfRatesNeedsNoCapacity) {
  sweep_settings s = three_loads();
  s.rates = {50, 5000};
  std::vector<std::string> verbs;
  const load_starter start = [&verbs](const std::vector<std::string>& c) -> load_answer {
    verbs.push_back(c[1]);
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r = sweep({{"p", "", "x"}}, s, start, silent);
  EXPECT_EQ(verbs, std::vector<std::string>(4, "load"));
  EXPECT_EQ(r.lines[0].steps.size(), 2u);
}

TEST(Sweep, WithTheSameRatesTheFirstPeersCapacityIsEverybodys) {
  sweep_settings s = three_loads();
  s.same_rates = true;
  const load_starter start = [](const std::vector<std::string>& c) -> load_answer {
    if (c[1] == "capacity")
      return {option(c, "--peer") == "first" ? R"({"tasks_per_s": 1000})" : R"({"tasks_per_s": 70})", "", false};
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  const sweep_result r = sweep({{"first", "", "x"}, {"second", "", "x"}}, s, start, silent);
  EXPECT_EQ(r.lines[1].steps[2].rate, 900);
}

TEST(Sweep, TellsHowLongItWillTakeAndThatShrinks) {
  std::vector<double> left;
  const load_starter start = [](const std::vector<std::string>& c) -> load_answer {
    if (c[1] == "capacity") return {R"({"tasks_per_s": 1000})", "", false};
    return {nlohmann::json(took(10)).dump(), "", false};
  };
  sweep({{"p", "", "x"}}, three_loads(), start, [&left](const std::string&, double s) { left.push_back(s); });
  ASSERT_EQ(left.size(), 8u);
  EXPECT_GE(left.front(), 6.0) << "six steps of a second";
  EXPECT_TRUE(std::is_sorted(left.rbegin(), left.rend()));
}

std::vector<load_step> steps_of(const std::vector<std::pair<double, std::uint64_t>>& rate_and_us) {
  std::vector<load_step> all;
  for (const auto& [rate, us] : rate_and_us) {
    load_step s;
    s.rate = rate;
    s.got = took(us, 2000, 0, 2000 / rate);
    s.rounds = {0};
    all.push_back(std::move(s));
  }
  return all;
}

// M/M/1 with a service of 1 ms: latency 1 / (1 - load), so throughput over latency is greatest at one half.
TEST(Knee, OfASingleServerIsAtOneHalf) {
  std::vector<std::pair<double, std::uint64_t>> queue;
  for (int percent = 10; percent <= 90; percent += 10)
    queue.emplace_back(10 * percent, static_cast<std::uint64_t>(1000.0 / (1 - percent / 100.0)));
  EXPECT_EQ(knee_of(steps_of(queue)), 4);
}

TEST(Knee, NeedsThreeSteps) {
  EXPECT_EQ(knee_of({}), -1);
  EXPECT_EQ(knee_of(steps_of({{100, 5}, {200, 5}})), -1);
  std::vector<load_step> bad(5);
  EXPECT_EQ(knee_of(bad), -1);
}

TEST(Knee, TheLastLoadWithinALimitHasNoneAboveItBefore) {
  const auto steps = steps_of({{100, 20}, {200, 30}, {300, 90}, {400, 25}});
  EXPECT_EQ(last_within(steps, 50), 1);
  EXPECT_EQ(last_within(steps, 100), 3);
  EXPECT_EQ(last_within(steps, 1), -1);
}

TEST(LoadStep, IsSaturatedWhenItTookLongerThanItsPlan) {
  load_step s;
  s.got = took(10, 100, 0, 1.01);
  EXPECT_FALSE(s.saturated(1)) << "no good round";
  s.rounds = {0};
  EXPECT_FALSE(s.saturated(1));
  EXPECT_TRUE(s.saturated(0.5));
}

TEST(LoadReading, ShowsQuantilesWithTenBeyond) {
  EXPECT_EQ(shown_quantiles(took(10, 19).whole), (std::vector<double>{}));
  EXPECT_EQ(shown_quantiles(took(10, 20).whole), (std::vector<double>{0.5}));
  EXPECT_EQ(shown_quantiles(took(10, 1000).whole), (std::vector<double>{0.5, 0.9, 0.99}));
  EXPECT_EQ(shown_quantiles(took(10, 99'999).whole).back(), 0.999);
  EXPECT_EQ(shown_quantiles(took(10, 100'000).whole).back(), 0.9999);
  const reading r = as_reading(took(10, 1000), 1000);
  EXPECT_TRUE(r.metrics.contains("p99_us"));
  EXPECT_FALSE(r.metrics.contains("p999_us"));
}

TEST(LoadReading, SurvivesJsonAndIsLookedAt) {
  const load_reading r = took(10, 50, 3);
  nlohmann::json j = r;
  const auto back = nlohmann::json::parse(j.dump()).get<load_reading>();
  EXPECT_EQ(back.whole.count(), 50u);
  EXPECT_EQ(back.lag.at(0.5), r.lag.at(0.5));
  j["wall_s"] = -1;
  EXPECT_THROW(j.get<load_reading>(), std::runtime_error);
  j.erase("wall_s");
  EXPECT_THROW(j.get<load_reading>(), nlohmann::json::exception);
}

}  // namespace
}  // namespace sweep_test
