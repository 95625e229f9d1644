// When tasks arrive: computed beforehand, the same for the same seed.
#include "latency/arrivals.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <vector>

namespace arrivals_test {
namespace {

using bench::arrival_kind;
using bench::arrival_plan;
using bench::arrivals;

std::vector<std::uint64_t> of(arrival_kind kind, double rate, double seconds, unsigned burst = 32,
                              std::uint64_t seed = 1) {
  return arrivals({.kind = kind, .rate = rate, .seconds = seconds, .burst = burst, .seed = seed});
}

TEST(Arrivals, AtAConstantRateAreEvenlySpacedAndDoNotDrift) {
  const auto at = of(arrival_kind::constant, 3000, 10);
  ASSERT_EQ(at.size(), 30'000u);
  EXPECT_EQ(at.front(), 0u);
  for (std::size_t i = 0; i < at.size(); ++i)
    ASSERT_NEAR(static_cast<double>(at[i]), static_cast<double>(i) * 1e9 / 3000, 1.0);
}

TEST(Arrivals, OfPoissonHaveTheRateAndExponentialGaps) {
  const auto at = of(arrival_kind::poisson, 100'000, 2);
  EXPECT_NEAR(static_cast<double>(at.size()), 200'000, 6 * std::sqrt(200'000.0));
  EXPECT_TRUE(std::is_sorted(at.begin(), at.end()));
  EXPECT_LT(at.back(), 2'000'000'000u);
  // Of exponential gaps a share of 1/e is longer than the mean.
  std::size_t longer = 0;
  for (std::size_t i = 1; i < at.size(); ++i) longer += at[i] - at[i - 1] > 10'000;
  EXPECT_NEAR(static_cast<double>(longer) / static_cast<double>(at.size()), std::exp(-1), 0.01);
}

TEST(Arrivals, InBurstsComeTogetherAtTheSameRate) {
  const auto at = of(arrival_kind::bursts, 100'000, 4, 50);
  EXPECT_EQ(at.size() % 50, 0u);
  EXPECT_NEAR(static_cast<double>(at.size()), 400'000, 6 * 50 * std::sqrt(8'000.0));
  for (std::size_t i = 0; i < at.size(); i += 50) ASSERT_EQ(at[i], at[i + 49]);
}

TEST(Arrivals, AreDecidedByTheSeed) {
  EXPECT_EQ(of(arrival_kind::poisson, 1000, 1, 1, 5), of(arrival_kind::poisson, 1000, 1, 1, 5));
  EXPECT_NE(of(arrival_kind::poisson, 1000, 1, 1, 5), of(arrival_kind::poisson, 1000, 1, 1, 6));
}

// The first numbers of Vigna's reference for seed 1234567: programs in other languages draw the same.
TEST(Arrivals, DrawFromSplitMix64) {
  bench::splitmix r(1234567);
  EXPECT_EQ(r.next(), 6457827717110365317u);
  EXPECT_EQ(r.next(), 3203168211198807973u);
  EXPECT_EQ(r.next(), 9817491932198370423u);
}

TEST(Arrivals, ThatAreAbsurdAreRefusedWithTheReason) {
  const double nan = std::nan(""), inf = std::numeric_limits<double>::infinity();
  for (const double rate : {0.0, -1.0, nan, inf})
    EXPECT_THROW(of(arrival_kind::poisson, rate, 1), std::invalid_argument);
  for (const double s : {0.0, -1.0, nan, inf}) EXPECT_THROW(of(arrival_kind::poisson, 1000, s), std::invalid_argument);
  EXPECT_THROW(of(arrival_kind::bursts, 1000, 1, 0), std::invalid_argument);
  EXPECT_THROW(of(arrival_kind::constant, 1e9, 3600), std::invalid_argument) << "no memory for so many";
  EXPECT_THROW(of(arrival_kind::poisson, 1e-9, 1e-9), std::invalid_argument) << "nothing ever arrives";
  try {
    of(arrival_kind::constant, 0, 1);
    FAIL();
  } catch (const std::invalid_argument& e) { EXPECT_NE(std::string(e.what()).find("rate"), std::string::npos); }
}

}  // namespace
}  // namespace arrivals_test
