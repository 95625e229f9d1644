// What is cancelled in a queue leaves a ticket there: how many there may be, and what lets go of them. (P17 P31)
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>

#include <core_of.hpp>
#include <counting_resource.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <memory>
#include <thread>
#include <vector>

namespace stale_tickets_test {
namespace {

using namespace test;

std::int64_t stale_in(weir::runtime& rt) { return core_of(rt).stale_tickets.load(std::memory_order_relaxed); }

weir::options small(std::size_t capacity) {
  weir::options o = with_workers(1);
  o.capacity = capacity;
  return o;
}

TEST(StaleTickets, OfOneThreadAreAtMostTheCapacity) {
  constexpr std::int64_t capacity = 32;
  weir::runtime rt(small(capacity));
  plug p(rt);
  for (int i = 0; i < 1000; ++i) {
    rt.spawn([] {}).cancel();
    ASSERT_LE(stale_in(rt), capacity);
  }
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

// P17, whatever is cancelled when: some one by one, some all at once, between tasks that cannot be cancelled.
TEST(StaleTickets, AndWhatLivesAreAtMostTwiceTheCapacity) {
  for (const std::size_t capacity : {1u, 2u, 3u, 4u, 7u, 64u, 500u}) {
    weir::runtime rt(small(capacity));
    std::uint32_t random = 1;
    const auto below = [&random](std::size_t n) { return (random = random * 1664525 + 1013904223) >> 8 & 0xffff % n; };
    for (int round = 0; round < 20; ++round) {
      plug p(rt);
      std::size_t plain = 0;
      const auto check = [&] {
        const std::size_t live = rt.metrics().queued;
        ASSERT_LE(live, capacity);
        ASSERT_LE(live + static_cast<std::size_t>(stale_in(rt)), 2 * capacity) << "capacity " << capacity;
      };
      while (plain != capacity) {
        std::vector<weir::join_handle<void>> some;
        for (std::size_t n = below(capacity - plain) + 1; n != 0; --n) {
          some.push_back(rt.spawn([] {}));
          check();
        }
        for (auto& h : some) h.cancel();
        check();
        if (below(8) == 0)
          for (std::size_t n = below(capacity - plain) + 1; n != 0; --n, ++plain) {
            ASSERT_TRUE(rt.submit([] {}));
            check();
          }
      }
      p.release();
      ASSERT_TRUE(rt.wait_idle());
    }
  }
}

TEST(StaleTickets, BoundToAWorkerGoToo) {
  constexpr std::int64_t capacity = 32;
  weir::runtime rt(small(capacity));
  plug p(rt);
  std::vector<int> ran;
  ASSERT_TRUE(rt.submit([&] { ran.push_back(1); }, {.worker = 0}));
  for (int i = 0; i < 1000; ++i) {
    rt.spawn([] {}, {.worker = 0}).cancel();
    ASSERT_LE(stale_in(rt), capacity);
  }
  ASSERT_TRUE(rt.submit([&] { ran.push_back(2); }, {.worker = 0}));
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, (std::vector<int>{1, 2}));
  EXPECT_EQ(stale_in(rt), 0);
}

TEST(StaleTickets, OfTimersThatWereDueGoToo) {
  constexpr std::int64_t capacity = 32;
  weir::runtime rt(small(capacity));
  const auto queued = [&] { return core_of(rt).lanes[static_cast<std::size_t>(weir::lane::normal)].size(); };
  plug p(rt);
  for (int i = 0; i < 4 * capacity; ++i) {
    const std::size_t before = queued();
    weir::timer t = weir::after(rt, std::chrono::nanoseconds(0), [] {});
    ASSERT_TRUE(eventually([&] { return queued() != before; }));
    t.cancel();
    ASSERT_LE(stale_in(rt), capacity);
  }
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(StaleTickets, OfTimersInFrontOfAStrandGoToo) {
  counting_resource memory;
  weir::options o = small(32);
  o.memory = &memory;
  weir::runtime rt(o);
  const auto queued = [&] { return core_of(rt).lanes[static_cast<std::size_t>(weir::lane::normal)].size(); };
  plug p(rt);
  weir::strand s(rt);
  std::size_t most = 0;
  for (int i = 0; i < 200; ++i) {
    const std::size_t before = queued();
    weir::timer t = weir::after(s, std::chrono::nanoseconds(0), [x = std::array<char, 100'000>{}] { static_cast<void>(x); });  // a block of its own
    weir::timer behind = weir::after(rt, std::chrono::milliseconds(1), [] {});
    ASSERT_TRUE(eventually([&] { return queued() > before || queued() < before / 2; }));
    ASSERT_TRUE(t.cancel());
    behind.cancel();
    most = std::max(most, memory.bytes() / 100'000);
  }
  EXPECT_LT(most, 100u) << "64 and a few";
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(StaleTickets, OfACancelledGroupAreThoseThatHadAPlace) {
  weir::runtime rt(small(200));
  plug p(rt);
  weir::task_group g(rt, {.limit = 2});
  for (int i = 0; i < 100; ++i) g.run([] {});
  g.cancel();
  EXPECT_LE(stale_in(rt), 2);
  p.release();
  EXPECT_FALSE(g.wait());
}

// In turns, all of them alive: a thread cannot take out what another has queued.
TEST(StaleTickets, OfFourThreadsAreAtMostTwiceTheCapacityEach) {
  constexpr std::int64_t capacity = 32;
  constexpr int threads = 4;
  weir::runtime rt(small(capacity));
  plug p(rt);
  std::barrier turn(threads);
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&, t] {
      for (int now = 0; now < 3 * threads; ++now) {
        if (now % threads == t)
          for (int i = 0; i < 3 * capacity; ++i) {
            rt.spawn([] {}).cancel();
            EXPECT_LE(stale_in(rt), threads * 2 * capacity);
          }
        turn.arrive_and_wait();
      }
    });
  for (auto& t : all) t.join();
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(StaleTickets, WhatLivesBetweenThemKeepsItsOrder) {
  constexpr int live = 300;
  weir::runtime rt(small(live + 1));
  std::vector<int> ran;
  plug p(rt);
  for (int i = 0; i < live; ++i) {
    ASSERT_TRUE(rt.submit([&ran, i] { ran.push_back(i); }));
    for (int k = 0; k < 7; ++k) rt.spawn([] {}).cancel();  // so a dozen sweeps
    ASSERT_LE(stale_in(rt), live);
  }
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(ran.size(), static_cast<std::size_t>(live));
  for (int i = 0; i < live; ++i) ASSERT_EQ(ran[static_cast<std::size_t>(i)], i);
}

TEST(StaleTickets, GoWithTheLifeTheyWereOf) {
  weir::runtime rt(small(100));
  for (const bool by_abort : {false, true}) {
    rt.pause();
    for (int i = 0; i < 40; ++i) rt.spawn([] {}).cancel();
    EXPECT_EQ(stale_in(rt), 40);
    if (by_abort) rt.abort([](weir::task_fn&&) {});
    else EXPECT_TRUE(rt.drain().complete);
    EXPECT_EQ(stale_in(rt), 0);
    ASSERT_TRUE(rt.restart());
  }
}

}  // namespace
}  // namespace stale_tickets_test
