// P28 P30: more and fewer workers, and a runtime that is opened again.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <set>
#include <thread>
#include <vector>

namespace promise_resize_test {
namespace {

using namespace test;
using weir::errc;

void status_is(const weir::status& s, errc e) {
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, e);
}

// How many workers can be inside a task at the same time.
unsigned at_once(weir::runtime& rt, unsigned expected) {
  std::atomic<unsigned> inside{0}, most{0};
  gate leave;
  for (unsigned i = 0; i < expected + 2; ++i)
    EXPECT_TRUE(rt.submit([&] {
      const unsigned n = ++inside;
      for (unsigned seen = most; seen < n && !most.compare_exchange_weak(seen, n);) {}
      leave.wait();
      --inside;
    }));
  EXPECT_TRUE(eventually([&] { return most == expected; }));
  leave.open();
  EXPECT_TRUE(rt.wait_idle());
  return most;
}

TEST(Resize, GrowsAtOnce) {
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(rt.resize(4));
  EXPECT_EQ(rt.workers(), 4u);
  EXPECT_EQ(at_once(rt, 4), 4u);
}

TEST(Resize, WhoSleptBeforeIsWokenByTheForksOfANewWorker) {
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(eventually([&] { return rt.metrics().parks != 0; }));
  ASSERT_TRUE(rt.resize(2));
  auto in_two_places = rt.spawn(
      [] {
        std::atomic<bool> elsewhere{false};
        bool met = false;
        weir::fork_join([&] { met = eventually([&] { return elsewhere.load(); }); }, [&] { elsewhere = true; });
        return met;
      },
      {.worker = 1});
  EXPECT_TRUE(in_two_places.get().value_or(false));
}

TEST(Resize, ShrinksAndGrowsAgain) {
  weir::runtime rt(with_workers(4));
  for (unsigned n : {1u, 3u, 2u, 6u, 1u, 70u, 2u}) {
    ASSERT_TRUE(rt.resize(n));
    EXPECT_EQ(rt.workers(), n);
    EXPECT_EQ(at_once(rt, n), n);
  }
}

TEST(Resize, AWorkerThatIsLetGoFinishesItsTaskAndWhatIsBoundToIt) {
  weir::runtime rt(with_workers(2));
  gate started, leave;
  std::atomic<int> here{0};
  auto running = rt.spawn(
      [&] {
        started.open();
        leave.wait();
        return weir::this_task::worker();
      },
      {.worker = 1});
  started.wait();
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(rt.submit([&] { here += weir::this_task::worker() == 1; }, {.worker = 1}));
  ASSERT_TRUE(rt.resize(1));
  status_is(rt.submit([] {}, {.worker = 1}), errc::invalid);
  EXPECT_TRUE(rt.run([] { return true; })) << "the other worker goes on";
  leave.open();
  EXPECT_EQ(running.get().value(), 1);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(here, 10);
}

TEST(Resize, WhatIsBoundToAWorkerThatWasLetGoWhilePausedRunsAfterResume) {
  weir::runtime rt(with_workers(2));
  rt.pause();
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }, {.worker = 1}));
  ASSERT_TRUE(rt.resize(1));
  EXPECT_EQ(ran, 0);
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 3);
}

TEST(Resize, LosesNothingUnderLoad) {
  weir::runtime rt(with_workers(3));
  std::atomic<bool> leave{false};
  std::atomic<std::uint64_t> sent{0}, ran{0};
  std::thread submitter([&] {
    while (!leave) {
      if (rt.submit([&] {
            auto [a, b] = weir::fork_join([] { return 1; }, [] { return 1; });
            ran += static_cast<std::uint64_t>(a + b) / 2;
          }))
        ++sent;
    }
  });
  for (unsigned i = 0; i < 60; ++i) {
    ASSERT_TRUE(rt.resize(1 + i * 7 % 5));
    std::this_thread::yield();
  }
  leave = true;
  submitter.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(sent, ran);
}

TEST(Resize, MayComeFromAnOwnWorker) {
  weir::runtime rt(with_workers(2));
  EXPECT_TRUE(rt.run([&] { return rt.resize(1).has_value() && rt.resize(3).has_value(); }));
  EXPECT_EQ(at_once(rt, 3), 3u);
}

TEST(Resize, AnswersWhatItCannotDo) {
  weir::runtime rt(with_workers(1));
  status_is(rt.resize(0), errc::invalid);
  status_is(rt.resize(100'000), errc::invalid);
  EXPECT_EQ(rt.workers(), 1u);
  rt.drain();
  status_is(rt.resize(2), errc::stopped);
}

TEST(Resize, ABroadcastReachesTheWorkersThereAre) {
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(rt.resize(3));
  std::mutex m;
  std::multiset<int> seen;
  ASSERT_TRUE(rt.broadcast([&] {
    const std::lock_guard lock(m);
    seen.insert(weir::this_task::worker());
  }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, (std::multiset<int>{0, 1, 2}));
}

// ---- P30

TEST(Restart, OpensADrainedRuntimeAgainForOldReferencesAndThreads) {
  weir::runtime rt(with_workers(2));
  const weir::executor_ref e = rt;
  std::atomic<int> ran{0};
  for (int round = 1; round <= 3; ++round) {
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(e.submit([&] { ++ran; }));
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_EQ(ran, 100 * round);
    status_is(e.submit([] {}), errc::stopped);
    ASSERT_TRUE(rt.restart());
    EXPECT_EQ(rt.run([] { return 7; }), 7);
    EXPECT_EQ(at_once(rt, 2), 2u);
    ran = 100 * round;
  }
  const weir::snapshot s = rt.metrics();
  EXPECT_EQ(s.submitted, s.ok);
}

TEST(Restart, AfterAnAbortNothingOfItIsLeft) {
  weir::options o = with_workers(1);
  o.capacity = 10;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  std::atomic<int> ran{0};
  for (int round = 0; round < 3; ++round) {
    rt.pause();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(rt.submit([&] { ran += 1000; }));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(rt.submit([&] { ran += 1000; }, {.worker = 0}));
    ASSERT_TRUE(rt.submit([&] { ran += 1000; }, {.prio = weir::lane::high}));
    auto h = rt.spawn([&] { ran += 1000; });
    EXPECT_TRUE(rt.abort().complete);
    ASSERT_TRUE(rt.restart());
    for (int i = 0; i < 30; ++i)
      while (!rt.submit([&] { ++ran; })) std::this_thread::yield();
    EXPECT_FALSE(rt.run([] { return weir::this_task::token().stop_requested(); })) << "the stop of the abort is over";
    ASSERT_TRUE(rt.wait_idle());
  }
  EXPECT_EQ(ran, 90);
}

TEST(Restart, IsInvalidUnlessAShutdownHasReturned) {
  weir::runtime rt(with_workers(1));
  status_is(rt.restart(), errc::invalid);
  gate started, leave;
  ASSERT_TRUE(rt.submit([&] {
    started.open();
    leave.wait();
  }));
  started.wait();
  EXPECT_FALSE(rt.drain(weir::clock_type::now()).complete);
  status_is(rt.restart(), errc::invalid);
  leave.open();
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_TRUE(rt.restart());
  status_is(rt.restart(), errc::invalid);
}

std::atomic<weir::runtime*> drained_by_its_threads{nullptr};

TEST(Restart, ADrainByAThreadThatIsStartingIsHeard) {
  std::atomic<int> ran{0};
  weir::options o = with_workers(2);
  o.on_thread_start = [](int) {
    if (weir::runtime* const it = drained_by_its_threads) static_cast<void>(it->drain());
  };
  weir::runtime rt(o);
  ASSERT_TRUE(rt.drain().complete);
  for (int i = 0; i < 20; ++i) {
    drained_by_its_threads = &rt;
    ASSERT_TRUE(rt.restart());
    EXPECT_TRUE(eventually([&] { return !rt.submit([&] { ++ran; }); })) << "before or after it was open, it is closed now";
    drained_by_its_threads = nullptr;
    ASSERT_TRUE(rt.drain().complete);
    ASSERT_TRUE(rt.restart());
    EXPECT_TRUE(rt.submit([&] { ++ran; })) << "and only once";
    ASSERT_TRUE(rt.drain().complete);
  }
}

TEST(Restart, KeepsTheSizeAndStandInsComeAgain) {
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(rt.resize(2));
  // Both workers sleep in a wait until a task has run that only a stand-in can run.
  const auto needs_a_stand_in = [&] {
    weir::runtime other(with_workers(1));
    gate g;
    std::vector<weir::join_handle<void>> waiting;
    for (int i = 0; i < 2; ++i)
      waiting.push_back(rt.spawn([h = other.spawn([&] { g.wait(); })]() mutable { EXPECT_TRUE(h.get()); }));
    ASSERT_TRUE(rt.submit([&] { g.open(); }));
    for (auto& h : waiting) EXPECT_TRUE(h.get());
  };
  needs_a_stand_in();
  rt.drain();
  ASSERT_TRUE(rt.restart());
  EXPECT_EQ(rt.workers(), 2u);
  needs_a_stand_in();
  EXPECT_EQ(at_once(rt, 2), 2u);
}

}  // namespace
}  // namespace promise_resize_test
