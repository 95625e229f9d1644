// The rule of overload alone, over times that are given: codel.hpp.
#include "codel.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <thread>
#include <vector>

namespace codel_test {
namespace {

using weir::detail::seam;
using rule = weir::detail::codel<seam>;

constexpr std::int64_t us = 1000, ms = 1000 * us, begin = 1'000'000 * ms, target = 5 * ms;

TEST(Codel, ShedsNothingBeforeAnIntervalIsOver) {
  rule r(target);
  for (std::int64_t t = 0; t < 100; ++t) EXPECT_FALSE(r.sheds(begin + (t - 50) * ms, begin + t * ms)) << t;
}

TEST(Codel, ShedsWhatHasWaitedTwiceTheTargetOnceAWholeIntervalWasAbove) {
  rule r(target);
  for (std::int64_t t = 0; t < 100; ++t) r.sheds(begin + (t - 6) * ms, begin + t * ms);
  EXPECT_FALSE(r.overloaded(begin + 99 * ms));
  const std::int64_t now = begin + 100 * ms;
  EXPECT_FALSE(r.sheds(now - 10 * ms, now)) << "twice the target, and not more";
  EXPECT_TRUE(r.overloaded(now));
  EXPECT_TRUE(r.sheds(now - 10 * ms - 1, now));
  EXPECT_FALSE(r.sheds(now - 6 * ms, now)) << "above the target, but within the factor";
}

TEST(Codel, OneShortWaitIsEnoughNotToBeOverloaded) {
  rule r(target);
  for (std::int64_t t = 0; t < 100; ++t) r.sheds(begin + (t - 50) * ms, begin + t * ms);
  r.sheds(begin + 94 * ms, begin + 99 * ms);
  EXPECT_FALSE(r.sheds(begin, begin + 100 * ms));
  EXPECT_FALSE(r.overloaded(begin + 100 * ms));
}

TEST(Codel, TheOverloadEndsWithTheIntervalThatHasAShortWait) {
  rule r(target);
  for (std::int64_t t = 0; t <= 100; ++t) r.sheds(begin + (t - 50) * ms, begin + t * ms);
  EXPECT_TRUE(r.overloaded(begin + 100 * ms));
  r.sheds(begin + 150 * ms, begin + 150 * ms);
  EXPECT_TRUE(r.sheds(begin + 130 * ms, begin + 160 * ms)) << "until the interval is over";
  EXPECT_FALSE(r.sheds(begin + 150 * ms, begin + 200 * ms));
}

// What is taken after a quiet time says nothing of the interval before.
TEST(Codel, AnOverloadOfYesterdayShedsNothingToday) {
  rule r(target);
  for (std::int64_t t = 0; t <= 150; ++t) r.sheds(begin + (t - 50) * ms, begin + t * ms);
  EXPECT_TRUE(r.overloaded(begin + 150 * ms));
  EXPECT_FALSE(r.overloaded(begin + 300 * ms)) << "nor does it say so";
  const std::int64_t tomorrow = begin + 86'400'000 * ms;
  EXPECT_FALSE(r.sheds(tomorrow - 60 * ms, tomorrow));
  EXPECT_FALSE(r.sheds(tomorrow - 60 * ms, tomorrow));
}

// One task at a time, each longer than the interval: those behind it have waited over its end.
TEST(Codel, TasksLongerThanTheIntervalShedThoseThatWaitBehindThem) {
  rule r(target);
  EXPECT_FALSE(r.sheds(begin - 300 * ms, begin));
  EXPECT_TRUE(r.sheds(begin - 300 * ms, begin + 500 * ms));
  EXPECT_TRUE(r.sheds(begin + 400 * ms, begin + 500 * ms));
  EXPECT_FALSE(r.sheds(begin + 499 * ms, begin + 500 * ms));
}

TEST(Codel, ALongerTargetHasALongerInterval) {
  rule r(1000 * ms);
  for (std::int64_t t = 0; t < 1000; t += 10) EXPECT_FALSE(r.sheds(begin + (t - 3000) * ms, begin + t * ms)) << t;
  EXPECT_TRUE(r.sheds(begin - 2000 * ms, begin + 1000 * ms));
}

TEST(Codel, BeginsAnewAfterAReset) {
  rule r(target);
  for (std::int64_t t = 0; t <= 100; ++t) r.sheds(begin + (t - 50) * ms, begin + t * ms);
  r.reset();
  EXPECT_FALSE(r.overloaded(begin + 101 * ms));
  EXPECT_FALSE(r.sheds(begin, begin + 101 * ms));
}

TEST(Codel, AClockThatWasReadOutOfOrderIsNoWait) {
  rule r(target);
  EXPECT_FALSE(r.sheds(begin + ms, begin));
  for (std::int64_t t = 1; t <= 100; ++t) EXPECT_FALSE(r.sheds(begin + (t - 50) * ms, begin + t * ms));
}

TEST(Codel, ManyThreadsSeeTheOverloadWhoeverClosesTheInterval) {
  rule r(target);
  r.sheds(begin - 50 * ms, begin);  // the interval is there: who begins it and is held up may say late that all is well
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      for (std::int64_t t = 0; t < 20'000; ++t) r.sheds(begin + t * ms / 100 - 50 * ms, begin + t * ms / 100);
    });
  for (auto& t : threads) t.join();
  EXPECT_TRUE(r.overloaded(begin + 200 * ms));
  EXPECT_TRUE(r.sheds(begin + 150 * ms, begin + 200 * ms));
}

}  // namespace
}  // namespace codel_test
