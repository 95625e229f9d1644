// Known answers: from scipy 1.10's documentation, from counting by hand, and from what must hold for any input.
#include "harness/stats.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstddef>
#include <random>
#include <vector>

namespace stats_test {
namespace {

using bench::bootstrap_median;
using bench::bootstrap_ratio;
using bench::interval;
using bench::mann_whitney;
using std::vector;

TEST(Median, IsTheMiddleOrTheMeanOfTheTwoInTheMiddle) {
  EXPECT_EQ(bench::median({3, 1, 2}), 2);
  EXPECT_EQ(bench::median({4, 1, 2, 3}), 2.5);
  EXPECT_TRUE(std::isnan(bench::median({})));
}

TEST(Quantile, IsASampleByNearestRank) {
  const vector<double> v = {15, 20, 35, 40, 50};
  EXPECT_EQ(bench::quantile(v, 0.05), 15);
  EXPECT_EQ(bench::quantile(v, 0.3), 20);
  EXPECT_EQ(bench::quantile(v, 0.4), 20);
  EXPECT_EQ(bench::quantile(v, 0.5), 35);
  EXPECT_EQ(bench::quantile(v, 1), 50);
  EXPECT_EQ(bench::quantile(v, 0), 15);
  EXPECT_TRUE(std::isnan(bench::quantile({}, 0.5)));
}

TEST(MannWhitney, KnowsTheExampleOfScipy) {
  // scipy.stats.mannwhitneyu(males, females, method="exact"): U = 17, p = 0.1111…
  const vector<double> males = {19, 22, 16, 29, 24}, females = {20, 11, 17, 12};
  EXPECT_NEAR(mann_whitney(males, females), 1.0 / 9, 1e-12);
  EXPECT_NEAR(mann_whitney(females, males), 1.0 / 9, 1e-12);
}

TEST(MannWhitney, CountsTheTwoMostExtremeOrders) {
  // Apart altogether: two of C(10, 5) = 252 orders are as extreme.
  const vector<double> low = {1, 2, 3, 4, 5}, high = {6, 7, 8, 9, 10};
  EXPECT_NEAR(mann_whitney(low, high), 2.0 / 252, 1e-12);
  EXPECT_NEAR(mann_whitney(high, low), 2.0 / 252, 1e-12);
}

TEST(MannWhitney, SharesTheRanksOfTies) {
  // {1, 2} and {2, 3}: ranks 1, 2.5, 2.5, 4. Of the six pairs the sums are 3.5 3.5 5 5 6.5 6.5; ours is 3.5, and four of
  // six are as far from 5.
  EXPECT_NEAR(mann_whitney(vector<double>{1, 2}, vector<double>{2, 3}), 4.0 / 6, 1e-12);
  EXPECT_EQ(mann_whitney(vector<double>{7, 7, 7}, vector<double>{7, 7, 7}), 1);
}

TEST(MannWhitney, OfManySamplesIsNormal) {
  // By hand: n = m = 40, all of a below all of b. U = 0, mean 800, variance 40 · 40 · 81 / 12 = 10800,
  // z = 799.5 / √10800 = 7.69319, p = erfc(z / √2).
  vector<double> a, b;
  for (int i = 0; i < 40; ++i) a.push_back(i), b.push_back(100 + i);
  EXPECT_NEAR(mann_whitney(a, b) / std::erfc(799.5 / std::sqrt(10800.0) / std::sqrt(2.0)), 1, 1e-9);
  // Woven into each other they are one: U = 780 or 820.
  for (int i = 0; i < 40; ++i) a[static_cast<std::size_t>(i)] = 2 * i, b[static_cast<std::size_t>(i)] = 2 * i + 1;
  EXPECT_NEAR(mann_whitney(a, b), std::erfc(19.5 / std::sqrt(10800.0) / std::sqrt(2.0)), 1e-9);
}

TEST(MannWhitney, ExactAndNormalAgreeWhereTheyMeet) {
  std::mt19937 random(7);
  std::normal_distribution<double> normal(0, 1);
  vector<double> a(30), b(30);
  for (double& x : a) x = normal(random);
  for (double& x : b) x = normal(random) + 0.5;
  const double exact = mann_whitney(a, b);
  a.push_back(0.123456);  // past the limit of the exact count
  EXPECT_NEAR(mann_whitney(a, b), exact, 0.05);
}

TEST(MannWhitney, CallsOneInTwentyOfEqualSamplesDifferent) {
  std::mt19937 random(11);
  std::uniform_real_distribution<double> uniform(0, 1);
  int called = 0;
  constexpr int trials = 2000;
  for (int t = 0; t < trials; ++t) {
    vector<double> a(9), b(9);
    for (double& x : a) x = uniform(random);
    for (double& x : b) x = uniform(random);
    called += mann_whitney(a, b) < 0.05;
  }
  EXPECT_LT(called, trials * 6 / 100);
  EXPECT_GT(called, trials * 2 / 100);
}

TEST(Wilcoxon, KnowsTheExampleOfScipy) {
  // scipy.stats.wilcoxon([6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75]): statistic 24, p = 0.041259765625
  const vector<double> d = {6, 8, 14, 16, 23, 24, 28, 29, 41, -48, 49, 56, 60, -67, 75};
  EXPECT_NEAR(bench::wilcoxon(d), 0.041259765625, 1e-12);
}

TEST(Wilcoxon, CountsTheTwoMostExtremeSigns) {
  EXPECT_NEAR(bench::wilcoxon(vector<double>{1, 2, 3, 4, 5, 6}), 2.0 / 64, 1e-12);
  EXPECT_NEAR(bench::wilcoxon(vector<double>{-1, -2, -3, 0, -4, -5, -6}), 2.0 / 64, 1e-12);
  EXPECT_EQ(bench::wilcoxon(vector<double>{1, -1}), 1);
  EXPECT_EQ(bench::wilcoxon(vector<double>{0, 0}), 1);
  EXPECT_EQ(bench::wilcoxon({}), 1);
}

TEST(Holm, MultipliesTheSmallestByTheirNumberAndNeverFalls) {
  // The textbook's: 0.01, 0.04, 0.03, 0.005 → 0.03, 0.06, 0.06, 0.02
  const vector<double> adjusted = bench::holm(vector<double>{0.01, 0.04, 0.03, 0.005});
  ASSERT_EQ(adjusted.size(), 4u);
  EXPECT_NEAR(adjusted[0], 0.03, 1e-12);
  EXPECT_NEAR(adjusted[1], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[2], 0.06, 1e-12);
  EXPECT_NEAR(adjusted[3], 0.02, 1e-12);
  EXPECT_EQ(bench::holm(vector<double>{0.7, 0.9})[0], 1);
  EXPECT_TRUE(bench::holm({}).empty());
}

TEST(Bootstrap, OfEqualSamplesIsAPoint) {
  const vector<double> same(9, 4.0);
  const interval m = bootstrap_median(same);
  EXPECT_EQ(m.mid, 4);
  EXPECT_EQ(m.low, 4);
  EXPECT_EQ(m.high, 4);
  const interval r = bootstrap_ratio(same, vector<double>(5, 2.0));
  EXPECT_EQ(r.mid, 2);
  EXPECT_EQ(r.low, 2);
  EXPECT_EQ(r.high, 2);
}

TEST(Bootstrap, HasTheKnownQuantilesOfThreeSamples) {
  // The median of three draws from {1, 2, 3} is 1 with probability 7/27, 2 with 13/27: the outer ones are far above 2.5 %.
  const interval m = bootstrap_median(vector<double>{1, 2, 3});
  EXPECT_EQ(m.mid, 2);
  EXPECT_EQ(m.low, 1);
  EXPECT_EQ(m.high, 3);
}

TEST(Bootstrap, HasTheKnownQuantilesOfNineSamples) {
  // The median of nine draws is at most the k-th of nine samples with probability P(Binomial(9, k/9) ≥ 5): for k = 1, 2, 3,
  // that is 0.0014, 0.0304, 0.1448. So the 2.5 % quantile is the second sample, the 97.5 % quantile the eighth.
  const interval m = bootstrap_median(vector<double>{10, 20, 30, 40, 50, 60, 70, 80, 90});
  EXPECT_EQ(m.mid, 50);
  EXPECT_EQ(m.low, 20);
  EXPECT_EQ(m.high, 80);
}

TEST(Bootstrap, IsTheSameForTheSameSamples) {
  const vector<double> v = {3, 1, 4, 1, 5, 9, 2, 6};
  const interval a = bootstrap_median(v), b = bootstrap_median(v);
  EXPECT_EQ(a.low, b.low);
  EXPECT_EQ(a.high, b.high);
}

TEST(Bootstrap, CoversTheTrueMedianInMostTrials) {
  std::mt19937 random(3);
  std::lognormal_distribution<double> skewed(0, 0.5);  // its median is 1
  int covered = 0;
  constexpr int trials = 300;
  for (int t = 0; t < trials; ++t) {
    vector<double> v(15);
    for (double& x : v) x = skewed(random);
    const interval m = bootstrap_median(v, static_cast<std::uint64_t>(t));
    covered += m.low <= 1 && 1 <= m.high;
  }
  EXPECT_GT(covered, trials * 88 / 100);
}

TEST(Bootstrap, OfNothingIsNotANumber) {
  EXPECT_TRUE(std::isnan(bootstrap_median({}).mid));
  EXPECT_TRUE(std::isnan(bootstrap_ratio({}, vector<double>{1}).low));
}

}  // namespace
}  // namespace stats_test
