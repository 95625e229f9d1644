// P11, told exactly: time is simulated and passes only when everybody sleeps, or by nanoseconds a step.
#include "exactly.hpp"

#include <weir/weir.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace {

namespace sim = weir::sim;
using namespace std::chrono_literals;
using weir::clock_type;
using weir::errc;

constexpr auto rlx = std::memory_order_relaxed;

weir::options watched() {
  weir::options o;
  o.workers = 1;
  o.codel_target = 5ms;
  return o;
}

constexpr auto spell = 1ms;
void work() { std::this_thread::sleep_for(2 * spell); }

// One worker, a task of 2 ms each millisecond, for two seconds.
TEST(SimulatedOverload, WhatIsRunHasWaitedTwiceTheTargetAtMostOnceTheFirstIntervalsAreOver) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      sim::atomic<int> ran{0}, late{0}, high{0};
      const auto begin = clock_type::now();
      bool said = false;
      for (int i = 0; i < 2000; ++i) {
        const auto queued = clock_type::now();
        static_cast<void>(rt.submit([&, queued] {
          ran.fetch_add(1, rlx);
          if (queued - begin > 300ms && clock_type::now() - queued > 10ms + soon) late.fetch_add(1, rlx);
          work();
        }));
        if (i % 100 == 0) static_cast<void>(rt.submit([&] { high.fetch_add(1, rlx); }, {.prio = weir::lane::high}));
        if (i == 1900) said = rt.metrics().overloaded;
        std::this_thread::sleep_for(spell);
      }
      sim::check(said, "it is told");
      rt.wait_idle();
      const weir::snapshot m = rt.metrics();
      sim::check(late.load(rlx) == 0, "nothing late runs");
      sim::check(high.load(rlx) == 20, "the high lane is exempt");
      sim::check(ran.load(rlx) > 950, "the worker is busy all the time");
      sim::check(m.shed == m.expired && m.shed > 900, "and half of it is shed");
      sim::check(m.submitted == m.ok + m.expired, "the books balance");
      std::this_thread::sleep_for(300ms);
      sim::check(!rt.metrics().overloaded, "it is over");
    }));
}

// Its waits go up to 70 ms, but the queue is empty before an interval has passed without a short one.
TEST(SimulatedOverload, ABurstThatEndsInTimeIsRunToTheLast) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      for (int burst = 0; burst < 10; ++burst) {
        for (int i = 0; i < 35; ++i) static_cast<void>(rt.submit(work));
        std::this_thread::sleep_for(500ms);
      }
      const weir::snapshot m = rt.metrics();
      sim::check(m.ok == 350 && m.shed == 0, "all have run");
    }));
}

// As long as the workers keep up, it does not matter how many tasks there are.
TEST(SimulatedOverload, ABusyRuntimeThatKeepsUpShedsNothing) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      for (int i = 0; i < 500; ++i) {
        static_cast<void>(rt.submit(work));
        std::this_thread::sleep_for(3 * spell);
      }
      rt.wait_idle();
      sim::check(rt.metrics().ok == 500, "all have run");
    }));
}

TEST(SimulatedOverload, TheLowLaneIsShedToo) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      for (int i = 0; i < 300; ++i) {
        static_cast<void>(rt.submit(work, {.prio = weir::lane::low}));
        std::this_thread::sleep_for(spell);
      }
      rt.wait_idle();
      const weir::snapshot m = rt.metrics();
      sim::check(m.shed > 50 && m.ok + m.shed == 300, "shed");
    }));
}

// Floods the runtime and calls during() in the middle of it.
void flooded(weir::runtime& rt, const std::function<void()>& during) {
  for (int i = 0; i < 600; ++i) {
    static_cast<void>(rt.submit(work));
    if (i == 300) during();
    std::this_thread::sleep_for(spell);
  }
}

// The wait between the attempts is none in the queue; what comes back then has waited since it was due.
TEST(SimulatedOverload, ARetryWaitsFromWhenItIsDue) {
  int shed = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [&] {
      weir::runtime rt(watched());
      const weir::retry_policy policy{.max_attempts = 2, .base = 900ms, .cap = 900ms};
      std::vector<weir::time_point> attempts;
      auto h = rt.spawn(
          [&] {
            attempts.push_back(clock_type::now());
            if (attempts.size() == 1) throw std::runtime_error("the cause");
            return 7;
          },
          {.retry = &policy});
      std::this_thread::sleep_for(50ms);
      flooded(rt, [] {});
      const auto r = h.get();
      if (r) return sim::check(attempts.size() == 2, "it has run again");
      ++shed;
      sim::check(attempts.size() == 1 && r.error().code == errc::expired && r.error().attempts == 1 && r.error().cause,
                 "with the error of its last attempt");
    }));
  EXPECT_LT(shed, 20);
}

// A child that waits for its place in the group has not been queued yet.
TEST(SimulatedOverload, AGroupsChildWaitsFromWhenItsLimitLetsItBegin) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::options o = watched();
      o.workers = 2;
      weir::runtime rt(o);
      weir::task_group g(rt, {.limit = 1});
      for (int i = 0; i < 100; ++i) g.run([] { std::this_thread::sleep_for(10 * spell); });
      sim::check(static_cast<bool>(g.wait()), "no child is shed, though the last has waited for a second");
    }));
}

// In a strand it has waited since it was submitted.
TEST(SimulatedOverload, AStrandsTasksWaitFromTheirSubmission) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::options o = watched();
      o.workers = 2;
      weir::runtime rt(o);
      weir::strand s(rt);
      for (int i = 0; i < 100; ++i) static_cast<void>(s.submit([] { std::this_thread::sleep_for(10 * spell); }));
      rt.wait_idle();
      const weir::snapshot m = rt.metrics();
      sim::check(m.shed >= 75 && m.ok + m.shed == 100, "the rest is shed after the second interval");
    }));
}

TEST(SimulatedOverload, TasksOfTasksTimersAndBoundTasksRunInIt) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      sim::atomic<int> ran{0};
      flooded(rt, [&] {
        static_cast<void>(rt.submit(
            [&] {
              for (int i = 0; i < 5; ++i)
                static_cast<void>(weir::here().submit([&] {
                  ran.fetch_add(1, rlx);
                  work();
                }));
              std::this_thread::sleep_for(30 * spell);
            },
            {.prio = weir::lane::high}));
        weir::after(rt, 1ms, [&] { ran.fetch_add(1, rlx); }).detach();
        static_cast<void>(rt.submit([&] { ran.fetch_add(1, rlx); }, {.worker = 0}));
      });
      rt.wait_idle();
      sim::check(rt.metrics().shed > 100, "there was an overload");
      sim::check(ran.load(rlx) == 7, "they are exempt");
    }));
}

// Tasks longer than the interval: the rule is asked once for each.
TEST(SimulatedOverload, LongTasksShedWhatWaitsBehindThem) {
  for (std::uint64_t seed = 1; seed <= 10; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      weir::runtime rt(watched());
      for (int i = 0; i < 50; ++i) static_cast<void>(rt.submit([] { std::this_thread::sleep_for(500ms); }));
      rt.wait_idle();
      const weir::snapshot m = rt.metrics();
      sim::check(m.ok <= 3 && m.shed >= 47, "all but the first ones");
    }));
}

}  // namespace
