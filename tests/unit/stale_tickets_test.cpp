// What is cancelled in a queue leaves a ticket there: how many there may be, and what lets go of them. (P17 P31)
#include <weir/runtime.hpp>

#include <core_of.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <barrier>
#include <memory>
#include <new>
#include <thread>
#include <vector>

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
    ASSERT_LE(stale_in(rt), capacity + 1);
  }
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

// In turns, all of them alive: a thread cannot take out what another has queued.
TEST(StaleTickets, OfFourThreadsAreAtMostTwiceTheCapacity) {
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
            EXPECT_LE(stale_in(rt), capacity + threads * capacity / 4 + threads);
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
    for (int k = 0; k < 7; ++k) rt.spawn([] {}).cancel();  // so some seven sweeps
    ASSERT_LE(stale_in(rt), live + 2);
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
