// What timers do, told exactly: time is simulated and passes only when everybody sleeps, or by nanoseconds a step.
#include "exactly.hpp"

#include <weir/weir.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace {

namespace sim = weir::sim;
using namespace std::chrono_literals;
using weir::clock_type;

weir::options one_worker() {
  weir::options o;
  o.workers = 1;
  return o;
}

// When the runs of a series begin, counted from its making; each run takes `takes`, the first one `first`.
std::vector<weir::duration> starts(std::size_t n, weir::duration period, weir::duration first, weir::duration takes, weir::overlap how) {
  std::vector<weir::duration> at;
  weir::runtime rt(one_worker());
  sim::atomic<bool> enough{false};
  const auto begin = clock_type::now();
  auto t = weir::every(rt, period, [&] {
    at.push_back(clock_type::now() - begin);
    std::this_thread::sleep_for(at.size() == 1 ? first : takes);
    if (at.size() == n) enough.store(true, std::memory_order_relaxed);
  }, how);
  while (!enough.load(std::memory_order_relaxed)) std::this_thread::sleep_for(period);
  t.cancel();
  rt.wait_idle();
  return at;
}

void expect_starts(std::uint64_t seed, const std::vector<weir::duration>& expected, weir::duration first, weir::duration takes, weir::overlap how) {
  std::vector<weir::duration> at;
  EXPECT_TRUE(exactly(seed, [&] { at = starts(expected.size(), 10ms, first, takes, how); }));
  ASSERT_GE(at.size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_GE(at[i], expected[i]) << "run " << i << ", seed " << seed;
    EXPECT_LT(at[i], expected[i] + soon) << "run " << i << ", seed " << seed;
  }
}

TEST(SimulatedSeries, TheNthRunIsNPeriodsFromTheBeginning) {
  std::vector<weir::duration> expected;
  for (int i = 1; i <= 50; ++i) expected.push_back(i * 10ms);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) expect_starts(seed, expected, 9ms, 9ms, weir::overlap::skip);
}

TEST(SimulatedSeries, WhatOverlapsIsSkippedAndTheNextIsOnTime) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    expect_starts(seed, {10ms, 40ms, 70ms, 100ms}, 25ms, 25ms, weir::overlap::skip);
    expect_starts(seed, {10ms, 50ms, 60ms, 70ms}, 35ms, 1ms, weir::overlap::skip);
  }
}

TEST(SimulatedSeries, WhatOverlapsIsQueuedBackToBack) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    expect_starts(seed, {10ms, 45ms, 46ms, 47ms, 50ms, 60ms}, 35ms, 1ms, weir::overlap::queue);
}

TEST(SimulatedSeries, WhatOverlapsIsCoalescedIntoOne) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    expect_starts(seed, {10ms, 45ms, 50ms, 60ms}, 35ms, 1ms, weir::overlap::coalesce);
}

TEST(SimulatedTimers, StartMicrosecondsAfterTheirTime) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(one_worker());
      for (const auto d : {1ms, 7ms, 300ms, 5000ms}) {
        const auto begin = clock_type::now();
        weir::after(rt, d, [begin, d] {
          sim::check(clock_type::now() - begin >= d, "not early");
          sim::check(clock_type::now() - begin < d + soon, "on time");
        }).detach();
      }
      rt.wait_idle();
    }));
}

// Nobody looks at the clock in between: the time that passes costs nothing.
TEST(SimulatedTimers, AYearTakesNoMoreStepsThanASecond) {
  const auto steps_of = [](weir::duration d) {
    const sim::result r = exactly(1, [d] {
      weir::runtime rt(one_worker());
      auto later = weir::after(rt, 2 * d, [] {});
      weir::after(rt, d, [] {}).detach();
      while (rt.metrics().ok == 0) std::this_thread::sleep_for(d);
    });
    EXPECT_TRUE(r);
    EXPECT_GE(r.time, d);
    return r.steps;
  };
  const std::uint64_t second = steps_of(1s), year = steps_of(24h * 365);
  EXPECT_LT(year, second + 50);
}

TEST(SimulatedTasks, ExpireWhenTheirTimeComesThoughEveryWorkerIsBusy) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(one_worker());
      static_cast<void>(rt.submit([] { std::this_thread::sleep_for(1s); }));
      weir::task_options o;
      o.start_by = clock_type::now() + 20ms;
      const auto r = rt.spawn([] {}, o).get();
      const auto late = clock_type::now() - o.start_by;
      sim::check(!r && r.error().code == weir::errc::expired, "expired");
      sim::check(late >= 0ns && late < soon, "when its time came");
    }));
}

TEST(SimulatedTasks, AreAskedToStopWhenTheirDeadlineComes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(one_worker());
      weir::task_options o;
      o.deadline = clock_type::now() + 20ms;
      auto h = rt.spawn([](std::stop_token t) {
        while (!t.stop_requested()) std::this_thread::sleep_for(50us);
        const auto told = clock_type::now();
        std::this_thread::sleep_for(2 * soon);  // a waiter who wakes up after the end gets the result
        return told;
      }, o);
      const auto r = h.get();
      sim::check(!r && r.error().code == weir::errc::timeout, "the waiter is told");
      sim::check(clock_type::now() - o.deadline < soon, "when its time came");
      const auto stopped = h.get().value();
      sim::check(stopped >= o.deadline && stopped < o.deadline + soon, "and so is the task");
    }));
}

// Full jitter: the n-th wait is uniform over 0 … min(cap, base · 2^n).
TEST(SimulatedRetries, WaitAsLongAsThePolicySays) {
  const weir::retry_policy policy{.max_attempts = 6, .base = 10ms, .cap = 50ms};
  const weir::duration most[] = {10ms, 20ms, 40ms, 50ms, 50ms};
  std::vector<weir::duration> waits[5];
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    std::vector<weir::time_point> at;
    EXPECT_TRUE(exactly(seed, [&] {
      weir::runtime rt(one_worker());
      weir::task_options o;
      o.retry = &policy;
      const auto r = rt.spawn([&] {
        at.push_back(clock_type::now());
        throw std::runtime_error("no");
      }, o).get();
      sim::check(!r && r.error().attempts == 6, "six attempts");
    }));
    ASSERT_EQ(at.size(), 6u);
    for (std::size_t i = 0; i < 5; ++i) {
      waits[i].push_back(at[i + 1] - at[i]);
      EXPECT_LT(waits[i].back(), most[i] + soon);
    }
  }
  for (std::size_t i = 0; i < 5; ++i) {
    weir::duration sum{};
    std::size_t below_a_quarter = 0;
    for (const weir::duration d : waits[i]) sum += d, below_a_quarter += d < most[i] / 4 ? 1 : 0;
    EXPECT_GT(sum / 200, most[i] * 2 / 5) << "wait " << i;
    EXPECT_LT(sum / 200, most[i] * 3 / 5 + soon) << "wait " << i;
    EXPECT_GT(below_a_quarter, 20u) << "wait " << i;
  }
}

}  // namespace
