// Histograms of times: fixed memory, a bounded error, exact counts.
#include "latency/histogram.hpp"
#include "latency/load_reading.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace histogram_test {
namespace {

using bench::histogram;

TEST(Histogram, OfNothingHasNoValues) {
  const histogram h;
  EXPECT_EQ(h.count(), 0u);
  EXPECT_EQ(h.at(0.5), 0u);
  EXPECT_EQ(h.least(), 0u);
  EXPECT_EQ(h.greatest(), 0u);
  EXPECT_TRUE(std::isnan(h.mean()));
  EXPECT_EQ(h.beyond(0.5), 0u);
}

TEST(Histogram, BucketsHaveNoGapAndDoNotOverlap) {
  EXPECT_EQ(histogram::lowest_in(0), 0u);
  for (std::size_t b = 1; b < histogram::buckets; ++b)
    ASSERT_EQ(histogram::lowest_in(b), histogram::highest_in(b - 1) + 1) << "bucket " << b;
  EXPECT_EQ(histogram::highest_in(histogram::buckets - 1), histogram::limit);
  for (std::size_t b = 0; b < histogram::buckets; ++b) {
    ASSERT_EQ(histogram::bucket_of(histogram::lowest_in(b)), b);
    ASSERT_EQ(histogram::bucket_of(histogram::highest_in(b)), b);
  }
}

TEST(Histogram, IsAtMostTheStatedErrorAboveTheTruth) {
  for (std::uint64_t v : {0u, 1u, 127u})
    EXPECT_EQ(histogram::highest_in(histogram::bucket_of(v)), v) << "small ones are exact";
  std::mt19937_64 random(7);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint64_t v = random() >> (64 - 1 - random() % (histogram::top_bit - 1));
    const std::uint64_t said = histogram::highest_in(histogram::bucket_of(v));
    ASSERT_GE(said, v);
    ASSERT_LE(static_cast<double>(said - v), static_cast<double>(v) * histogram::relative_error) << v;
  }
}

TEST(Histogram, ReachesMinutesAndClipsWhatIsLonger) {
  histogram h;
  const std::uint64_t hour = 3'600'000'000'000, week = 168 * hour;
  EXPECT_GE(histogram::limit, hour);
  h.add(hour);
  EXPECT_NEAR(static_cast<double>(h.at(1)), static_cast<double>(hour), 0.01 * static_cast<double>(hour));
  h.add(week);
  EXPECT_EQ(h.count(), 2u);
  EXPECT_EQ(h.at(1), histogram::limit);
  EXPECT_EQ(h.greatest(), week);
}

TEST(Histogram, QuantilesAreThoseOfTheSortedValues) {
  std::mt19937_64 random(11);
  std::lognormal_distribution<double> draw(9, 2);
  std::vector<std::uint64_t> values;
  histogram h;
  for (int i = 0; i < 30'001; ++i) {
    values.push_back(static_cast<std::uint64_t>(draw(random)));
    h.add(values.back());
  }
  std::sort(values.begin(), values.end());
  for (const double q : {0.0, 0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0}) {
    const auto rank = static_cast<std::size_t>(std::max(1.0, std::ceil(q * 30'001 - 1e-9)));
    const std::uint64_t truth = values[rank - 1];
    EXPECT_GE(h.at(q), truth) << q;
    EXPECT_LE(static_cast<double>(h.at(q)), static_cast<double>(truth) * (1 + histogram::relative_error)) << q;
    EXPECT_EQ(h.beyond(q), q == 0 ? 30'001 : 30'001 - rank) << q;
  }
  EXPECT_EQ(h.at(1), values.back());
  EXPECT_EQ(h.least(), values.front());
}

TEST(Histogram, TenLieBeyondTheLastQuantileThatIsShownOfAHundredThousand) {
  histogram h;
  for (int i = 0; i < 100'000; ++i) h.add(5);
  EXPECT_EQ(h.beyond(0.9999), 10u);
  EXPECT_EQ(h.beyond(0.999), 100u);
  h.clear();
  for (int i = 0; i < 99'999; ++i) h.add(5);
  EXPECT_LT(h.beyond(0.9999), 10u);
}

TEST(Histogram, MergedIsAsIfOneHadSeenAll) {
  histogram all, left, right;
  std::mt19937_64 random(13);
  for (int i = 0; i < 10'000; ++i) {
    const std::uint64_t v = random() % 1'000'000'000;
    all.add(v);
    (i % 3 == 0 ? left : right).add(v);
  }
  left.merge(right);
  left.merge(histogram());
  EXPECT_EQ(left.count(), all.count());
  EXPECT_EQ(left.least(), all.least());
  EXPECT_EQ(left.greatest(), all.greatest());
  EXPECT_NEAR(left.mean(), all.mean(), 1e-6 * all.mean());
  for (std::size_t b = 0; b < histogram::buckets; ++b) ASSERT_EQ(left.in_bucket(b), all.in_bucket(b));
  histogram empty;
  empty.merge(histogram());
  EXPECT_EQ(empty.count(), 0u);
  EXPECT_EQ(empty.least(), 0u);
}

TEST(Histogram, SurvivesJson) {
  histogram h;
  for (std::uint64_t v : {3u, 3u, 70'000u, 4'000'000'000u}) h.add(v);
  const auto back = nlohmann::json::parse(nlohmann::json(h).dump()).get<histogram>();
  EXPECT_EQ(back.count(), 4u);
  EXPECT_EQ(back.least(), 3u);
  EXPECT_EQ(back.greatest(), 4'000'000'000u);
  EXPECT_EQ(back.at(0.5), 3u);
  EXPECT_EQ(nlohmann::json::parse(nlohmann::json(histogram()).dump()).get<histogram>().count(), 0u);
}

TEST(Histogram, OfAnotherProgramIsLookedAt) {
  nlohmann::json j = histogram();
  j["count"] = 1;
  EXPECT_THROW(j.get<histogram>(), std::runtime_error) << "does not add up";
  j["buckets"] = {{std::uint64_t{1} << 40, 1}};
  EXPECT_THROW(j.get<histogram>(), std::runtime_error) << "no such bucket";
  j["buckets"] = {{5, 1}};
  EXPECT_EQ(j.get<histogram>().count(), 1u);
  j["precision"] = 3;
  EXPECT_THROW(j.get<histogram>(), std::runtime_error) << "other buckets";
  j.erase("precision");
  EXPECT_THROW(j.get<histogram>(), nlohmann::json::exception);
}

}  // namespace
}  // namespace histogram_test
