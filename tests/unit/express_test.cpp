// A submitter that waits for each of its tasks, and what becomes of the job that lies ahead of the queue: the runtime's promises
// hold for it as for any other.
#include <weir/runtime.hpp>

#include <core_of.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace express_test {
namespace {

using namespace test;

weir::detail::inject_lane& normal_lane(weir::runtime& rt) {
  return core_of(rt).lanes[static_cast<std::size_t>(weir::lane::normal)];
}

struct Express : testing::Test {
  weir::runtime rt{with_workers(1)};
  std::vector<int> seen;

  // Pauses, and then submits a task that lies in the slot.
  void put_one_into_the_slot(int n) {
    ASSERT_TRUE(rt.wait_idle());
    rt.pause();
    // Until then it may take what it does not start.
    ASSERT_TRUE(eventually([&] { return core_of(rt).idle.any_parked(); }));
    normal_lane(rt).heat();
    ASSERT_TRUE(rt.submit([this, n] { seen.push_back(n); }));
    ASSERT_TRUE(normal_lane(rt).express_waits());
  }
};

TEST_F(Express, ASubmitterThatWaitsForEachTaskSoonGoesAheadOfTheQueue) {
  std::atomic<int> ran{0};
  ASSERT_TRUE(eventually([&] {
    for (int i = 0; i < 100; ++i) {
      const int before = ran.load();
      EXPECT_TRUE(rt.submit([&] { ++ran; }));
      while (ran.load() == before) std::this_thread::yield();
    }
    return normal_lane(rt).hot();
  }));
}

TEST_F(Express, OrderIsKeptByOneWorkerWhenItsSubmitterWaitsNowAndThen) {
  std::atomic<int> ran{0};
  int sent = 0;
  for (int round = 0; round < 3000; ++round) {
    for (int k = round % 5; k >= 0; --k) {
      const auto task = [&, n = sent++] {
        seen.push_back(n);
        ran.fetch_add(1);
      };
      if (k == 2) rt.spawn(task).detach();
      else ASSERT_TRUE(rt.submit(task));
    }
    if (round % 3 != 0) {
      while (ran.load() != sent) std::this_thread::yield();
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(sent));
  for (int i = 0; i < sent; ++i) ASSERT_EQ(seen[static_cast<std::size_t>(i)], i);
}

TEST_F(Express, WhatLiesInTheSlotWaitsForTheEndOfAPauseAndGoesFirst) {
  put_one_into_the_slot(0);
  for (int i = 1; i < 4; ++i) ASSERT_TRUE(rt.submit([this, i] { seen.push_back(i); }));
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3}));
}

TEST_F(Express, WhatLiesInTheSlotIsHandedOutByAnAbort) {
  put_one_into_the_slot(7);
  int given = 0;
  const weir::report r = rt.abort([&](weir::task_fn f) {
    ++given;
    f();
  });
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(given, 1);
  EXPECT_EQ(seen, std::vector<int>{7});
}

// Nothing but the slot says that work waits.
TEST(ExpressElastic, WhatLiesInTheSlotBehindABusyWorkerBringsAnother) {
  weir::options o = with_workers(1);
  o.max_workers = 2;
  weir::runtime rt(o);
  plug busy(rt);
  std::atomic<bool> ran{false};
  normal_lane(rt).heat();
  ASSERT_TRUE(rt.submit([&] { ran = true; }));
  EXPECT_TRUE(eventually([&] { return ran.load(); }));
  busy.release();
}

TEST_F(Express, ADrainRunsWhatLiesInTheSlot) {
  put_one_into_the_slot(7);
  rt.resume();
  const weir::report r = rt.drain();
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(r.ran, 1u);
  EXPECT_EQ(seen, std::vector<int>{7});
}

// Which of two is the oldest nobody could tell.
TEST(ExpressPolicies, WhereTheOldestGoesThereIsNoSlot) {
  weir::options o = with_workers(1);
  o.full = weir::on_full::drop_oldest;
  weir::runtime rt(o);
  normal_lane(rt).heat();
  EXPECT_FALSE(normal_lane(rt).hot());
}

}  // namespace
}  // namespace express_test
