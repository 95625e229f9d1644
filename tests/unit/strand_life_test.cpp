// What a strand outlives, and what outlives it: drain, abort, destructors, pause, fork. (P17 P24 P25 P27)
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <child.hpp>
#include <counting_resource.hpp>
#include <runtime_tools.hpp>
#include <stopper.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <thread>

namespace strand_life_test {
namespace {

using namespace test;
using weir::errc;

TEST(Strand, WhatItAcceptedRunsAlthoughTheRuntimeDrains) {
  for (const unsigned workers : {1u, 2u}) {
    auto rt = std::make_unique<weir::runtime>(rejecting(workers, 1000));
    weir::strand s(*rt);
    int ran = 0;
    gate go;
    ASSERT_TRUE(s.submit([&] { go.wait(); }));
    for (int i = 0; i < 500; ++i)
      ASSERT_TRUE(s.submit([&] {
        ++ran;
        if (ran <= 500) {
          EXPECT_TRUE(s.submit([&] { ++ran; })) << "what tasks submit is still accepted";
        }
      }));
    std::thread opener([&] {
      std::this_thread::sleep_for(5ms);
      go.open();
    });
    const weir::report r = rt->drain();
    opener.join();
    EXPECT_TRUE(r.complete);
    EXPECT_EQ(r.stopped, 0u);
    EXPECT_EQ(ran, 1000);
    EXPECT_EQ(s.submit([] {}).error().code, errc::stopped);
    rt.reset();
    EXPECT_EQ(s.submit([] {}).error().code, errc::stopped) << "the strand outlives its runtime";
    EXPECT_EQ(s.spawn([] {}).get().error().code, errc::stopped);
  }
}

TEST(Strand, AtADrainsLimitItsQueuedTasksCompleteThoughOneStillRuns) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  tally t;
  stopper hold(s);
  auto h = s.spawn(probe<8>(t));
  ASSERT_TRUE(s.submit(probe<8>(t)));
  const weir::report r = rt.drain(weir::clock_type::now() + 5ms);
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.still_running.size(), 1u);
  EXPECT_EQ(r.stopped, 2u);
  EXPECT_EQ(t.alive, 0);
  EXPECT_TRUE(h.ready());
  EXPECT_EQ(h.get().error().code, errc::stopped);
  hold.release();
  EXPECT_TRUE(rt.drain().complete);
  const auto m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.stopped);
}

TEST(Strand, AbortHandsOutWhatWaitsInIt) {
  for (const bool busy : {false, true}) {
    weir::runtime rt(with_workers(1));
    weir::limited few(rt, 2, 100);
    weir::strand s(few);
    std::optional<stopper> hold;
    std::optional<plug> all;
    if (busy) hold.emplace(s);
    else all.emplace(rt);
    int ran = 0, sunk = 0;
    weir::task_group g(s);
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(s.submit([&] { ++ran; }));
    auto h = s.spawn([&] { ++ran; });
    g.run([&] { ran += 100; });
    std::thread opener([&] {
      EXPECT_TRUE(eventually([&] { return h.ready(); }));
      hold.reset();
      all.reset();
    });
    const weir::report r = rt.abort([&](weir::task_fn&& f) {
      ++sunk;
      f();
    });
    opener.join();
    EXPECT_TRUE(r.complete);
    EXPECT_EQ(sunk, 6);
    EXPECT_EQ(ran, 6) << "the sink ran them; a group's child is not handed out";
    EXPECT_EQ(h.get().error().code, errc::stopped);
    EXPECT_EQ(g.wait().error().code, errc::stopped);
    const auto m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.stopped);
    EXPECT_EQ(m.stopped, 7u);
  }
}

// ---- life

TEST(Strand, ItsDestructorDoesNotWaitAndWhatItAcceptedStillRuns) {
  weir::runtime rt(with_workers(1));
  int ran = 0;
  {
    std::optional<plug> p(rt);
    {
      weir::strand s(rt);
      for (int i = 0; i < 100; ++i) ASSERT_TRUE(s.submit([&] { ++ran; }));
    }
    EXPECT_EQ(ran, 0);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 100);
}

TEST(Strand, MayBeDestroyedInItsOwnTask) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> ran{0};
  auto s = std::make_unique<weir::strand>(rt);
  weir::strand& there = *s;
  gate go;
  ASSERT_TRUE(there.submit([&] {
    go.wait();
    s.reset();
    ++ran;
  }));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(there.submit([&] { ++ran; }));
  go.open();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 11);
}

TEST(Strand, ARuntimeDestroyedInAStrandsTaskRunsTheRest) {
  gate over;
  std::atomic<int> ran{0};
  {
    auto rt = std::make_unique<weir::runtime>(with_workers(1));
    weir::runtime& there = *rt;
    weir::strand s(there);
    ASSERT_TRUE(s.submit([&ran, &over, held = std::move(rt), s]() mutable {
      for (int i = 0; i < 5; ++i) EXPECT_TRUE(s.submit([&] { ++ran; }));
      EXPECT_TRUE(s.submit([&] { over.open(); }));
      held.reset();
    }));
    over.wait();
  }
  EXPECT_EQ(ran, 5);
}

TEST(Strand, NothingOfItStaysBehindInMemory) {
  counting_resource memory;
  {
    weir::options o = with_workers(2);
    o.memory = &memory;
    weir::runtime rt(o);
    for (int i = 0; i < 100; ++i) {
      weir::strand s(rt);
      for (int k = 0; k < 20; ++k) ASSERT_TRUE(s.submit([text = std::string(100, 'x')] { EXPECT_EQ(text.size(), 100u); }));
    }
  }
  EXPECT_EQ(memory.bytes(), 0u);
}

TEST(Strand, PauseStopsItBetweenTwoTasks) {
  weir::runtime rt(with_workers(1));
  weir::strand s(rt);
  std::atomic<int> ran{0};
  {
    stopper hold(s);
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(s.submit([&] { ++ran; }));
    rt.pause();
  }
  let_it_misbehave();
  EXPECT_EQ(ran, 0);
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 50);
}

TEST(Strand, InTheChildOfAForkItAnswersStopped) {
  weir::runtime rt(with_workers(1));
  weir::strand s(rt);
  stopper hold(s);
  auto h = s.spawn([] {});
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(s.submit([] {}).error().code == errc::stopped, "submit answers stopped");
              check(s.spawn([] {}).get().error().code == errc::stopped, "spawn answers stopped");
              check(h.get().error().code == errc::stopped, "a handle of before answers stopped");
              weir::strand copy(s), other(rt);
              check(copy.submit([] {}).error().code == errc::stopped, "a copy answers stopped");
              check(other.submit([] {}).error().code == errc::stopped, "a new one answers stopped");
            }),
            "");
  hold.release();
  EXPECT_TRUE(h.get());
}

}  // namespace
}  // namespace strand_life_test
