#include "harness/compare.hpp"

#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

namespace compare_test {
namespace {

using namespace bench;

row row_of(const char* name, const char* peer, const std::vector<double>& walls) {
  row x;
  x.what = {.suite = "fork", .name = name, .size = 35, .task = "a run"};
  x.peer = peer;
  x.workers = 2;
  unsigned round = 0;
  for (const double w : walls) {
    reading r;
    r.wall_s = w;
    x.add(round++, r, 0);
  }
  return x;
}

// nine rounds around `middle` with so much noise
std::vector<double> around(double middle, double noise, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> draw(0, noise);
  std::vector<double> v(9);
  for (double& x : v) x = middle * (1 + draw(random));
  return v;
}

result run_of(std::vector<row> rows) {
  result r;
  r.rows = std::move(rows);
  r.rounds.resize(9);
  return r;
}

const difference& only(const comparison& c) {
  EXPECT_EQ(c.all.size(), 1u);
  return c.all.at(0);
}

TEST(Compare, FindsFivePercentInOnePercentOfNoise) {
  const result before = run_of({row_of("fib", "weir", around(1, 0.01, 1))});
  const result after = run_of({row_of("fib", "weir", around(1.05, 0.01, 2))});
  const comparison c = compare(before, after, {});
  EXPECT_EQ(only(c).said, verdict::slower);
  EXPECT_EQ(c.slower(), 1u);
  EXPECT_NEAR(only(c).ratio.mid, 1.05, 0.02);
  EXPECT_EQ(only(compare(after, before, {})).said, verdict::faster);
}

TEST(Compare, FindsNothingInTheSameSamples) {
  const result a = run_of({row_of("fib", "weir", around(1, 0.05, 1))});
  EXPECT_EQ(only(compare(a, a, {})).said, verdict::not_told_apart);
  EXPECT_DOUBLE_EQ(only(compare(a, a, {})).ratio.mid, 1);
}

TEST(Compare, CallsNothingFasterThatIsTheSameInManyRuns) {
  std::size_t called = 0;
  for (unsigned trial = 0; trial < 20; ++trial) {
    std::vector<row> a, b;
    for (unsigned i = 0; i < 20; ++i) {
      const std::string name = "case" + std::to_string(i);
      a.push_back(row_of(name.c_str(), "weir", around(1, 0.05, 1000 * trial + 2 * i)));
      b.push_back(row_of(name.c_str(), "weir", around(1, 0.05, 1000 * trial + 2 * i + 1)));
    }
    const comparison c = compare(run_of(a), run_of(b), {});
    called += c.slower() + c.faster() > 0;
  }
  EXPECT_LE(called, 2u);  // one in twenty is what was asked for
}

TEST(Compare, LeavesADifferenceBelowTheThresholdAlone) {
  const result before = run_of({row_of("fib", "weir", around(1, 0.001, 1))});
  const result after = run_of({row_of("fib", "weir", around(1.02, 0.001, 2))});
  EXPECT_EQ(only(compare(before, after, {})).said, verdict::not_told_apart);
  EXPECT_EQ(only(compare(before, after, {.threshold = 0.01})).said, verdict::slower);
}

TEST(Compare, GivesControlsNoVerdictAndWarnsWhenTheyMove) {
  const result before =
      run_of({row_of("fib", "weir", around(1, 0.01, 1)), row_of("fib", "oneTBB", around(1, 0.01, 3))});
  const result after =
      run_of({row_of("fib", "weir", around(1, 0.01, 2)), row_of("fib", "oneTBB", around(1.2, 0.01, 4))});
  const comparison c = compare(before, after, {});
  ASSERT_EQ(c.all.size(), 2u);
  EXPECT_TRUE(c.all[1].control);
  EXPECT_EQ(c.all[1].said, verdict::not_told_apart);
  EXPECT_EQ(c.slower(), 0u);
  ASSERT_FALSE(c.warnings.empty());
  EXPECT_NE(c.warnings.back().find("what nobody changed moved, too"), std::string::npos);
}

TEST(Compare, SaysWhatItCannotCompare) {
  result before = run_of({row_of("fib", "weir", around(1, 0.01, 1)), row_of("gone", "weir", around(1, 0.01, 1))});
  result after = run_of({row_of("fib", "weir", around(1, 0.01, 2)), row_of("new", "weir", around(1, 0.01, 2))});
  before.rows[0].what.size = 30;
  before.environment["processor"] = "another";
  const comparison c = compare(before, after, {});
  EXPECT_TRUE(c.all.empty());
  const std::vector<std::string> wanted = {
      "processor: 'another' before, '' after", "fork/fib weir 2: its size was 30, now it is 35",
      "fork/new weir 2 was not measured before", "fork/gone weir 2 is not measured any more"};
  EXPECT_EQ(c.warnings, wanted);
}

TEST(CompareBuilds, FindsFivePercentUnderNoiseThatBothShare) {
  // The rounds differ by a factor of three, the builds by 5 % in each.
  std::vector<double> old, now;
  std::mt19937 random(5);
  std::normal_distribution<double> draw(0, 0.01);
  for (int i = 0; i < 9; ++i) {
    const double round = 1 + 0.25 * i;
    old.push_back(round * (1 + draw(random)));
    now.push_back(round * 1.05 * (1 + draw(random)));
  }
  const result r =
      run_of({row_of("fib", "weir", now), row_of("fib", "weir@against", old), row_of("fib", "oneTBB", old)});
  EXPECT_EQ(only(compare_builds(r, {})).said, verdict::slower);
  // Unpaired nobody could tell.
  EXPECT_EQ(only(compare(run_of({row_of("fib", "weir", old)}), run_of({row_of("fib", "weir", now)}), {})).said,
            verdict::not_told_apart);
}

TEST(CompareBuilds, SaysWhenTooFewRoundsCouldTellAnythingApart) {
  std::vector<row> rows;
  for (int i = 0; i < 20; ++i) {
    const std::string name = "case" + std::to_string(i);
    rows.push_back(row_of(name.c_str(), "weir", around(2, 0.01, 1)));
    rows.push_back(row_of(name.c_str(), "weir@against", around(1, 0.01, 2)));
  }
  const comparison many = compare_builds(run_of(rows), {});
  EXPECT_EQ(many.slower(), 0u);
  ASSERT_EQ(many.warnings.size(), 1u);
  EXPECT_EQ(
      many.warnings[0],
      "9 rounds of 20 cases cannot tell anything apart, however large: measure fewer cases (--only), or 10 rounds");
  rows.resize(10);
  const comparison few = compare_builds(run_of(rows), {});
  EXPECT_EQ(few.slower(), 5u);
  EXPECT_TRUE(few.warnings.empty());
}

TEST(CompareBuilds, NeedsARunOfTwoBuilds) {
  EXPECT_TRUE(compare_builds(run_of({row_of("fib", "weir", around(1, 0.01, 1))}), {}).all.empty());
}

}  // namespace
}  // namespace compare_test
