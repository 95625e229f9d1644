// task_group: limits, errors, cancel, and what outlives what. (P3 P14 P19 P20 P21)
#include <weir/runtime.hpp>
#include <weir/task_group.hpp>

#include <counting_resource.hpp>
#include <runtime_tools.hpp>
#include <watchdog.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace task_group_test {
namespace {

using namespace test;
using weir::errc;

TEST(TaskGroup, WaitsForAllItsChildren) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    weir::task_group g(rt);
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> ran{0};
      for (int i = 0; i < 100; ++i) g.run([&] { ++ran; });
      EXPECT_TRUE(g.wait());
      EXPECT_EQ(ran, 100);
    }
    EXPECT_TRUE(g.wait()) << "an empty group is done";
  }
}

TEST(TaskGroup, ChildrenMayAddChildren) {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt(with_workers(workers));
    for (const bool inside : {false, true}) {
      std::atomic<int> ran{0};
      const auto use = [&] {
        weir::task_group g(rt);
        std::function<void(int)> tree = [&](int level) {
          ++ran;
          if (level == 0) return;
          for (int i = 0; i < 3; ++i) g.run([&tree, level] { tree(level - 1); });
        };
        g.run([&] { tree(6); });
        EXPECT_TRUE(g.wait());
      };
      if (inside) rt.run(use);
      else use();
      EXPECT_EQ(ran, 1093);
    }
  }
}

TEST(TaskGroup, WaitOnAWorkerRunsTheChildrenInPlaceWhenNobodyElseCan) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  weir::runtime rt(o);
  rt.run([&] {
    const auto me = std::this_thread::get_id();
    weir::task_group g(rt);
    std::atomic<int> ran{0};
    for (int i = 0; i < 100; ++i) {
      g.run([&] {
        EXPECT_EQ(std::this_thread::get_id(), me);
        ++ran;
      });
    }
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 100);
  });
}

TEST(TaskGroup, ASleepingWaiterRunsAChildThatComesLaterWhenNobodyElseCan) {
  weir::options o = with_workers(2);
  o.max_spares = 0;
  weir::runtime rt(o);
  weir::task_group g(rt);
  gate begun, go;
  g.run([&] {
    begun.open();
    go.wait();
  });
  begun.wait();
  std::atomic<int> tid{0};
  auto waiter = rt.spawn([&] {
    tid = thread_id();
    return static_cast<bool>(g.wait());
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  g.run([&] { go.open(); });
  EXPECT_TRUE(waiter.get().value());
}

TEST(TaskGroup, AWaitFromOutsideRunsNothingItself) {
  weir::runtime rt(with_workers(2));
  const auto me = std::this_thread::get_id();
  weir::task_group g(rt);
  for (int i = 0; i < 100; ++i) g.run([&] { EXPECT_NE(std::this_thread::get_id(), me); });
  EXPECT_TRUE(g.wait());
}

// ---- limit (P19, P21)

TEST(TaskGroup, AtMostLimitRunAndRunNeverBlocks) {
  weir::runtime rt(with_workers(4));
  for (const unsigned limit : {1u, 2u, 3u}) {
    weir::task_group g(rt, {.limit = limit});
    std::atomic<unsigned> inside{0}, worst{0};
    std::atomic<int> ran{0};
    gate release;
    for (int i = 0; i < 200; ++i) {
      g.run([&] {
        const unsigned now = ++inside;
        for (unsigned w = worst; w < now && !worst.compare_exchange_weak(w, now);) {}
        release.wait();
        --inside;
        ++ran;
      });
    }
    EXPECT_TRUE(eventually([&] { return inside == limit; })) << "the limit is reached";
    let_it_misbehave(5ms);
    EXPECT_EQ(inside, limit);
    release.open();
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 200);
    EXPECT_EQ(worst, limit);
  }
}

TEST(TaskGroup, WithLimitOneTheChildrenRunInOrder) {
  weir::runtime rt(with_workers(4));
  std::vector<int> seen;
  weir::task_group g(rt, {.limit = 1});
  for (int i = 0; i < 1000; ++i) g.run([&seen, i] { seen.push_back(i); });
  EXPECT_TRUE(g.wait());
  ASSERT_EQ(seen.size(), 1000u);
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(TaskGroup, ALimitIsKeptWhenItsWaiterIsAWorkerToo) {
  weir::runtime rt(with_workers(4));
  rt.run([&] {
    weir::task_group g(rt, {.limit = 2});
    std::atomic<int> inside{0}, worst{0}, ran{0};
    for (int i = 0; i < 300; ++i) {
      g.run([&] {
        const int now = ++inside;
        for (int w = worst; w < now && !worst.compare_exchange_weak(w, now);) {}
        burn(10us);
        --inside;
        ++ran;
      });
    }
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 300);
    EXPECT_LE(worst, 2);
  });
}

TEST(TaskGroup, TheLimitMayChangeWhileRunning) {
  weir::runtime rt(with_workers(4));
  weir::task_group g(rt, {.limit = 1});
  std::atomic<int> inside{0}, ran{0};
  std::vector<std::unique_ptr<gate>> gates;
  std::atomic<std::size_t> next{0};
  for (int i = 0; i < 12; ++i) gates.push_back(std::make_unique<gate>());
  for (int i = 0; i < 12; ++i) {
    g.run([&] {
      const std::size_t mine = next++;
      ++inside;
      gates[mine]->wait();
      --inside;
      ++ran;
    });
  }
  EXPECT_TRUE(eventually([&] { return inside == 1; }));
  g.set_limit(3);
  EXPECT_TRUE(eventually([&] { return inside == 3; })) << "a higher limit starts more at once";
  let_it_misbehave(2ms);
  EXPECT_EQ(inside, 3);
  g.set_limit(1);
  gates[0]->open();
  gates[1]->open();
  EXPECT_TRUE(eventually([&] { return ran == 2; }));
  let_it_misbehave(2ms);
  EXPECT_EQ(inside, 1) << "a lower limit starts none until it is kept";
  EXPECT_EQ(next, 3u);
  g.set_limit(0);  // none
  EXPECT_TRUE(eventually([&] { return inside == 4; })) << "four workers, no limit";
  for (auto& x : gates) x->open();
  EXPECT_TRUE(g.wait());
  EXPECT_EQ(ran, 12);
}

TEST(TaskGroup, TryRunPastTheLimitIsFalseAndLeavesTheCallableUntouched) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt, {.limit = 1});
  gate release;
  std::atomic<int> ran{0};
  ASSERT_TRUE(g.try_run([&] {
    release.wait();
    ++ran;
  }));
  tally t;
  probe<64> f(t);
  EXPECT_FALSE(g.try_run(std::move(f)));
  EXPECT_TRUE(t.untouched());
  release.open();
  EXPECT_TRUE(g.wait());
  EXPECT_TRUE(g.try_run([&] { ++ran; })) << "there is room again";
  EXPECT_TRUE(g.wait());
  EXPECT_EQ(ran, 2);
  EXPECT_TRUE(g.errors().empty()) << "a try that fails is not an error of the group";
}

// ---- refusals (P19)

TEST(TaskGroup, ARefusedChildIsDestroyedAndRecordedAsTheGroupsError) {
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.full = weir::on_full::reject;
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(o);
  tally t;
  weir::task_group g(rt, {.cancel_on_error = false});
  {
    plug p(rt);
    EXPECT_EQ(fill(rt, ran), 2u);
    g.run(probe<64>(t));
    EXPECT_EQ(t.alive, 0);
    probe<64> f(t);
    EXPECT_FALSE(g.try_run(std::move(f)));
    EXPECT_EQ(t.alive, 1);
    EXPECT_FALSE(f.moved_from());
  }
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::full);
  EXPECT_EQ(t.calls, 0);
}

TEST(TaskGroup, OnAStoppedRuntimeChildrenAreStopped) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  rt.drain();
  tally t;
  g.run(probe<8>(t));
  EXPECT_EQ(t.alive, 0);
  probe<8> f(t);
  EXPECT_FALSE(g.try_run(std::move(f)));
  EXPECT_FALSE(f.moved_from());
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::stopped);
  EXPECT_EQ(t.calls, 0);
}

TEST(TaskGroup, OutlivesItsRuntimeAndAnswersStopped) {
  auto rt = std::make_unique<weir::runtime>(with_workers(1));
  weir::task_group g(*rt);
  std::atomic<int> ran{0};
  g.run([&] { ++ran; });
  rt.reset();
  EXPECT_EQ(ran, 1) << "the destructor drains";
  EXPECT_TRUE(g.wait());
  g.run([&] { ++ran; });
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::stopped);
  EXPECT_EQ(ran, 1);
}

TEST(TaskGroup, ANullCallableIsAnInvalidChild) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt, {.cancel_on_error = false});
  g.run(std::function<void()>());
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::invalid);
  EXPECT_FALSE(g.try_run(static_cast<void (*)()>(nullptr)));
}

// ---- errors (P3)

TEST(TaskGroup, KeepsAllErrorsWhenAsked) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt, {.cancel_on_error = false, .keep_all_errors = true});
  for (int i = 0; i < 10; ++i) {
    g.run([i] {
      if (i % 2 == 0) throw std::out_of_range(std::to_string(i));
    });
  }
  EXPECT_FALSE(g.wait());
  std::multiset<std::string> texts;
  for (const weir::error& e : g.errors()) {
    EXPECT_EQ(e.code, errc::failed);
    ASSERT_TRUE(e.cause);
    try {
      std::rethrow_exception(e.cause);
    } catch (const std::out_of_range& x) {
      texts.insert(x.what());
    }
  }
  EXPECT_EQ(texts, (std::multiset<std::string>{"0", "2", "4", "6", "8"}));
}

TEST(TaskGroup, WithoutThatOptionKeepsTheFirst) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt, {.cancel_on_error = false});
  for (int i = 0; i < 5; ++i) g.run([i] { throw std::out_of_range(std::to_string(i)); });
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  try {
    s.value();
  } catch (const std::out_of_range& e) {
    EXPECT_STREQ(e.what(), "0") << "one worker: the first that was run";
  }
  EXPECT_LE(g.errors().size(), 1u);
}

TEST(TaskGroup, AnErrorIsToldByOneWaitOnly) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  g.run([] { throw std::out_of_range("once"); });
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(g.wait()) << "the group is clean, and empty";
  g.cancel();
  g.run([] {});
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(g.wait());
}

TEST(TaskGroup, ErrorsOfChildrenNeverGoToOnUnhandled) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  weir::runtime rt(o);
  {
    weir::task_group g(rt);
    for (int i = 0; i < 10; ++i) g.run([] { throw std::runtime_error("a child's"); });
    EXPECT_FALSE(g.wait());
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 0);
}

// ---- timed waits

TEST(TaskGroup, WaitUntilTimesOutAndMayBeAskedAgain) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  gate release;
  std::atomic<int> ran{0};
  g.run([&] {
    release.wait();
    ++ran;
  });
  for (int i = 0; i < 3; ++i) {
    const auto limit = weir::clock_type::now() + 3ms;
    const weir::status s = g.wait_until(limit);
    EXPECT_GE(weir::clock_type::now(), limit);
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::timeout);
  }
  EXPECT_FALSE(g.token().stop_requested()) << "a timeout is not a cancel";
  g.run([&] { ++ran; });
  release.open();
  EXPECT_TRUE(g.wait_until(weir::clock_type::now() + 10s));
  EXPECT_EQ(ran, 2);
}

TEST(TaskGroup, GroupsNest) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    std::atomic<int> ran{0};
    weir::task_group outer(rt);
    for (int i = 0; i < 10; ++i) {
      outer.run([&] {
        weir::task_group inner(rt, {.limit = 2, .parent = weir::this_task::token()});
        for (int k = 0; k < 10; ++k) inner.run([&] { ++ran; });
        EXPECT_TRUE(inner.wait());
      });
    }
    EXPECT_TRUE(outer.wait());
    EXPECT_EQ(ran, 100);
  }
}

TEST(TaskGroup, ManyThreadsMayRunIntoOneGroup) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt, {.limit = 3});
  std::atomic<int> ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 500; ++i) g.run([&] { ++ran; });
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_TRUE(g.wait());
  EXPECT_EQ(ran, 2000);
}

TEST(TaskGroup, HoldsMoreChildrenThanTheRuntimesCapacityOnAWorker) {
  weir::options o = with_workers(1);
  o.capacity = 4;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  rt.run([&] {
    weir::task_group g(rt);
    std::atomic<int> ran{0};
    for (int i = 0; i < 1000; ++i) g.run([&] { ++ran; });
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 1000);
  });
}

// ---- what a task runs in place leaves tickets behind, which only it could take while it runs

TEST(InPlace, ChildrenLeaveNoTicketsInMemoryForAsLongAsTheirParentRuns) {
  counting_resource memory;
  weir::options o = with_workers(1);
  o.memory = &memory;
  weir::runtime rt(o);
  rt.run([&] {
    std::size_t early = 0;
    for (int round = 0; round < 200; ++round) {
      weir::task_group g(weir::here());
      for (int i = 0; i < 500; ++i) g.run([] {});
      EXPECT_TRUE(g.wait());
      if (round == 20) early = memory.bytes();
    }
    EXPECT_LE(memory.bytes(), early * 2) << "after ten times as many";
  });
}

TEST(InPlace, WhatLiesBetweenTheirTicketsKeepsItsOrder) {
  weir::runtime rt(with_workers(1));
  std::vector<int> seen;
  int sent = 0;
  rt.run([&] {
    for (int round = 0; round < 40; ++round) {
      for (int i = 0; i < 10; ++i) ASSERT_TRUE(weir::here().submit([&seen, n = sent++] { seen.push_back(n); }));
      weir::task_group g(weir::here());
      for (int i = 0; i < 500; ++i) g.run([] {});
      EXPECT_TRUE(g.wait());
    }
    EXPECT_TRUE(seen.empty()) << "a wait runs nothing else";
  });
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(seen.size(), static_cast<std::size_t>(sent));
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
}

TEST(InPlace, EachRunsOnceBesideThieves) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    std::atomic<int> live{0}, children{0};
    rt.run([&] {
      for (int round = 0; round < 60; ++round) {
        for (int i = 0; i < 20; ++i) ASSERT_TRUE(weir::here().submit([&] { ++live; }));
        weir::task_group g(weir::here());
        for (int i = 0; i < 500; ++i) g.run([&] { ++children; });
        EXPECT_TRUE(g.wait());
        EXPECT_EQ(children, 500 * (round + 1));
      }
    });
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(live, 20 * 60);
  }
}

}  // namespace
}  // namespace task_group_test
