// P39: run() enters the runtime from outside and is inline on an own worker.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <thread>

namespace promise_run_test {
namespace {

using namespace test;
using weir::errc;

TEST(Run, ReturnsTheValueAndRethrowsTheException) {
  weir::runtime rt(with_workers(2));
  EXPECT_EQ(rt.run([] { return 5; }), 5);
  rt.run([] {});
  EXPECT_EQ(*rt.run([] { return std::make_unique<int>(6); }), 6);
  EXPECT_THROW(rt.run([] { throw std::out_of_range("mine"); }), std::out_of_range);
  EXPECT_THROW(static_cast<void>(rt.run([]() -> std::string { throw std::out_of_range("mine"); })), std::out_of_range);
}

TEST(Run, RunsOnAWorkerAndUsesTheCallersObjectInPlace) {
  weir::runtime rt(with_workers(2));
  const auto me = std::this_thread::get_id();
  tally t;
  probe<64> f(t);
  rt.run(f);
  rt.run(std::move(f));
  EXPECT_EQ(t.calls, 2);
  EXPECT_EQ(t.copies + t.moves, 0);
  EXPECT_NE(rt.run([] { return std::this_thread::get_id(); }), me);
  EXPECT_GE(rt.run([] { return weir::this_task::worker(); }), 0);
  EXPECT_EQ(weir::this_task::worker(), -1);
  EXPECT_TRUE(rt.run([&] { return weir::here() == weir::executor_ref(rt); }));
  EXPECT_TRUE(weir::here() == weir::executor_ref());
}

TEST(Run, IsInlineOnAnOwnWorker) {
  weir::runtime rt(with_workers(1));
  rt.run([&] {
    const auto me = std::this_thread::get_id();
    EXPECT_EQ(rt.run([] { return std::this_thread::get_id(); }), me);
    EXPECT_THROW(rt.run([] { throw std::out_of_range("inline"); }), std::out_of_range);
  });
}

TEST(Run, DoesNotCountInTheCapacityAndGoesAheadOfAllLanes) {
  std::vector<std::string> order;
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  plug p(rt);
  ASSERT_TRUE(rt.submit([&] { order.push_back("high"); }, {.prio = weir::lane::high}));
  ASSERT_TRUE(rt.submit([&] { order.push_back("normal"); }));
  ASSERT_FALSE(rt.submit([] {})) << "full";
  std::atomic<int> tid{0};
  std::thread entering([&] {
    tid = thread_id();
    rt.run([&] { order.push_back("run"); });
  });
  EXPECT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  p.release();
  entering.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(order, (std::vector<std::string>{"run", "high", "normal"}));
}

TEST(Run, WaitsWhilePaused) {
  weir::runtime rt(with_workers(2));
  rt.pause();
  std::atomic<bool> ran{false};
  std::thread entering([&] { rt.run([&] { ran = true; }); });
  let_it_misbehave();
  EXPECT_FALSE(ran);
  rt.resume();
  entering.join();
  EXPECT_TRUE(ran);
}

TEST(Run, ThrowsStoppedBeforeItStartsWhenDrainingOrStopped) {
  weir::runtime rt(with_workers(1));
  gate release;
  ASSERT_TRUE(rt.submit([&] { release.wait(); }));
  std::thread drainer([&] { rt.drain(); });
  EXPECT_TRUE(eventually([&] { return !rt.try_submit([] {}); }));
  std::atomic<int> ran{0};
  const auto refused = [&] {
    try {
      rt.run([&] { ++ran; });
    } catch (const std::system_error& e) {
      return e.code() == errc::stopped;
    }
    return false;
  };
  EXPECT_TRUE(refused()) << "draining";
  release.open();
  drainer.join();
  EXPECT_TRUE(refused()) << "stopped";
  EXPECT_EQ(ran, 0);
}

TEST(Run, ThatEnteredBeforeTheDrainIsRunOrRefusedNeverLeftAlone) {
  for (int round = 0; round < 100; ++round) {
    weir::runtime rt(with_workers(2));
    std::atomic<int> ran{0}, returned{0}, refused{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t) {
      threads.emplace_back([&] {
        try {
          for (;;) {
            rt.run([&] { ++ran; });
            ++returned;
          }
        } catch (const std::system_error&) {
          ++refused;
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(round * 10));
    round % 2 == 0 ? rt.drain() : rt.abort();
    for (auto& t : threads) t.join();
    EXPECT_EQ(ran, returned);
    EXPECT_EQ(refused, 3);
  }
}

TEST(Run, FromManyThreadsAtOnceEachGetsItsOwnAnswer) {
  weir::runtime rt(with_workers(2));
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 500; ++i) {
        if (rt.run([=] { return t * 1000 + i; }) != t * 1000 + i) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(Broadcast, RunsOnceOnEveryWorker) {
  weir::runtime rt(with_workers(4));
  std::mutex mutex;
  std::vector<int> seen;
  ASSERT_TRUE(rt.broadcast([&] {
    std::lock_guard lock(mutex);
    seen.push_back(weir::this_task::worker());
  }));
  ASSERT_TRUE(rt.wait_idle());
  std::sort(seen.begin(), seen.end());
  EXPECT_EQ(seen, (std::vector<int>{0, 1, 2, 3}));
}

TEST(BoundTasks, RunOnTheirWorkerOnly) {
  weir::runtime rt(with_workers(3));
  std::vector<weir::join_handle<int>> handles;
  for (int i = 0; i < 300; ++i) handles.push_back(rt.spawn([] { return weir::this_task::worker(); }, {.worker = i % 3}));
  for (int i = 0; i < 300; ++i) EXPECT_EQ(handles[static_cast<std::size_t>(i)].get().value_or(-1), i % 3);
}

TEST(WaitIdle, TrueWhenEverythingEndedFalseAtItsLimit) {
  weir::runtime rt(with_workers(1));
  EXPECT_TRUE(rt.wait_idle()) << "nothing was ever submitted";
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(rt.submit([&] { EXPECT_TRUE(rt.submit([&] { ++ran; })); }));
  }
  EXPECT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 100);
  plug p(rt);
  const auto limit = weir::clock_type::now() + 10ms;
  EXPECT_FALSE(rt.wait_idle(limit));
  EXPECT_GE(weir::clock_type::now(), limit);
  EXPECT_FALSE(rt.wait_idle(weir::clock_type::now() - 1s));
  p.release();
  EXPECT_TRUE(rt.wait_idle());
}

TEST(WaitIdle, ManyMayWaitAtOnce) {
  weir::runtime rt(with_workers(2));
  plug p(rt);
  std::atomic<int> back{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 5; ++i) {
    threads.emplace_back([&] {
      EXPECT_TRUE(rt.wait_idle());
      EXPECT_EQ(p.ended(), 2u);
      ++back;
    });
  }
  let_it_misbehave(5ms);
  EXPECT_EQ(back, 0);
  p.release();
  for (auto& t : threads) t.join();
}

TEST(Pause, NothingNewStartsUntilResume) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 20; ++round) {
    ran = 0;
    rt.pause();
    ASSERT_TRUE(eventually([&] { return rt.metrics().running == 0; }));
    for (int i = 0; i < 20; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    let_it_misbehave(1ms);
    EXPECT_EQ(ran, 0);
    rt.resume();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, 20);
  }
}

// Whatever the workers have at hand when the pause comes: a strand's and a limit's turn, mail, a batch, a call.
TEST(Pause, WhatComesAfterItDoesNotBeginBeforeResume) {
  std::atomic<int> late{0};
  weir::runtime rt(with_workers(2));
  weir::strand one(rt);
  weir::limited two(rt, 2, 1000);
  const auto submit_all = [&](const auto& f, int n) {
    for (int i = 0; i < n; ++i) {
      ASSERT_TRUE(one.submit(f));
      ASSERT_TRUE(two.submit(f));
      ASSERT_TRUE(rt.submit(f));
      ASSERT_TRUE(rt.submit(f, {.worker = i % 2}));
      ASSERT_TRUE(rt.submit(f, {.prio = weir::lane::high}));
    }
  };
  for (int round = 0; round < 100; ++round) {
    late = 0;
    submit_all([] {}, 5);
    rt.pause();
    submit_all([&] { ++late; }, 2);
    std::thread caller([&] { rt.run([&] { ++late; }); });
    let_it_misbehave(1ms);
    EXPECT_EQ(late, 0);
    rt.resume();
    caller.join();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(late, 11);
  }
}

}  // namespace
}  // namespace promise_run_test
