// P13 P14: no self-deadlock. A submit on a worker never blocks; a wait on a worker runs only what it waits for.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <mutex>
#include <thread>

namespace promise_waiting_test {
namespace {

using namespace test;
using weir::errc;

// ---- P13

TEST(SubmitOnAWorker, NeverBlocksAndNeverCountsInTheCapacityOfItsOwnRuntime) {
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.full = weir::on_full::block;
  weir::runtime rt(o);
  std::atomic<int> ran{0};
  rt.run([&] {
    for (int i = 0; i < 1000; ++i) EXPECT_TRUE(rt.submit([&] { ++ran; })) << i;
    EXPECT_EQ(ran, 0) << "the only worker is here: nothing may have run inside submit";
  });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 1000);
}

TEST(SubmitOnAWorker, NeverRunsAnotherTask) {
  weir::options o = with_workers(2);
  o.capacity = 4;
  weir::runtime rt(o);
  static thread_local int depth;
  std::atomic<int> nested{0}, ran{0};
  std::function<void(int)> tree = [&](int level) {
    if (++depth > 1) ++nested;
    ++ran;
    if (level > 0) {
      for (int i = 0; i < 3; ++i) EXPECT_TRUE(rt.submit([&tree, level] { tree(level - 1); }));
    }
    --depth;
  };
  ASSERT_TRUE(rt.submit([&] { tree(7); }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, (6561 - 1) / 2);
  EXPECT_EQ(nested, 0);
}

TEST(SubmitOnAWorker, ToAFullForeignRuntimeAnswersFullAtOnce) {
  weir::runtime home(with_workers(1));
  for (const auto policy : {weir::on_full::block, weir::on_full::reject}) {
    weir::options o = with_workers(1);
    o.capacity = 3;
    o.full = policy;
    std::atomic<std::size_t> ran{0};
    weir::runtime foreign(o);
    plug p(foreign);
    EXPECT_EQ(fill(foreign, ran), 3u);
    tally t;
    probe<64> f(t);
    home.run([&] {
      const weir::status s = foreign.submit(std::move(f));
      ASSERT_FALSE(s);
      EXPECT_EQ(s.error().code, errc::full);
      auto h = foreign.spawn(std::move(f));
      EXPECT_TRUE(h.ready());
    });
    EXPECT_TRUE(t.untouched());
  }
}

TEST(SubmitOnAWorker, ARingOfFullRuntimesDoesNotDeadlock) {
  constexpr int rounds = 3000;
  weir::options o = with_workers(1);
  o.capacity = 1;
  o.full = weir::on_full::block;
  weir::runtime a(o), b(o);
  std::atomic<int> accepted{0}, ran{0};
  const auto hammer = [&](weir::runtime& other) {
    for (int i = 0; i < rounds; ++i) {
      if (other.submit([&] { ++ran; })) ++accepted;
    }
  };
  auto from_a = a.spawn([&] { hammer(b); });
  auto from_b = b.spawn([&] { hammer(a); });
  EXPECT_TRUE(from_a.get());
  EXPECT_TRUE(from_b.get());
  ASSERT_TRUE(a.wait_idle());
  ASSERT_TRUE(b.wait_idle());
  EXPECT_EQ(ran, accepted);
}

TEST(SubmitOnAWorker, AnswersFullOverMaxOutstanding) {
  for (const unsigned workers : {1u, 2u}) {
    weir::options o = with_workers(workers);
    o.capacity = 50;
    o.max_outstanding = 500;
    weir::runtime rt(o);
    std::atomic<int> ran{0};
    plug p(rt, workers - 1);
    int accepted = 0;
    errc refusal{};
    rt.run([&] {
      for (int i = 0; i < 100'000; ++i) {
        const weir::status s = rt.submit([&] { ++ran; });
        if (!s) {
          refusal = s.error().code;
          break;
        }
        ++accepted;
      }
    });
    EXPECT_EQ(refusal, errc::full);
    EXPECT_LE(accepted, 500 + 64 * static_cast<int>(workers));
    EXPECT_GE(accepted, 500 - 2 * static_cast<int>(workers));
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, accepted);
    EXPECT_TRUE(rt.run([&] { return !!rt.submit([&] { ++ran; }); })) << "there is room again";
    ASSERT_TRUE(rt.wait_idle());
  }
}

// ---- P14: in place

TEST(WaitOnAWorker, GetRunsAnUnstartedTaskInPlace) {
  weir::runtime rt(with_workers(1));
  rt.run([&] {
    const auto here = std::this_thread::get_id();
    auto h = rt.spawn([] { return std::this_thread::get_id(); });
    EXPECT_FALSE(h.ready());
    EXPECT_EQ(h.get().value(), here);
  });
}

TEST(WaitOnAWorker, GetRunsATaskThatWasQueuedFromOutsideInPlaceToo) {
  weir::options o = with_workers(1);
  o.capacity = 8;
  o.full = weir::on_full::reject;
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(o);
  gate release;
  auto ready = std::make_shared<gate>();
  std::vector<weir::join_handle<std::thread::id>> handles;
  auto waiter = rt.spawn([&, ready] {
    ready->open();
    release.wait();
    for (auto& h : handles) EXPECT_EQ(h.get().value(), std::this_thread::get_id());
  });
  ready->wait();
  for (const auto prio : {weir::lane::low, weir::lane::normal, weir::lane::high}) {
    handles.push_back(rt.spawn([] { return std::this_thread::get_id(); }, {.prio = prio}));
  }
  release.open();
  EXPECT_TRUE(waiter.get());
  ASSERT_TRUE(rt.wait_idle());
  plug p(rt);
  EXPECT_EQ(fill(rt, ran), 8u) << "a claimed task gave its capacity back, and once";
}

TEST(WaitOnAWorker, NestsWithoutEndOnOneWorker) {
  weir::runtime rt(with_workers(1));
  std::function<int(int)> down = [&](int n) -> int {
    if (n == 0) return 0;
    return 1 + rt.spawn([&, n] { return down(n - 1); }).get().value();
  };
  const int depth = sanitized ? 100 : 1000;
  EXPECT_EQ(rt.run([&] { return down(depth); }), depth);
  EXPECT_EQ(rt.spawn([&] { return down(depth); }).get().value(), depth);
}

TEST(WaitOnAWorker, TreesOfNestedWaitsEndForAnyNumberOfWorkers) {
  for (const unsigned workers : {1u, 2u, 3u, 8u}) {
    weir::runtime rt(with_workers(workers));
    std::function<long(int)> fib = [&](int n) -> long {
      if (n < 2) return n;
      auto left = rt.spawn([&, n] { return fib(n - 1); });
      auto right = rt.spawn([&, n] { return fib(n - 2); });
      return left.get().value() + right.get().value();
    };
    EXPECT_EQ(rt.run([&] { return fib(16); }), 987) << workers << " workers";
  }
}

TEST(WaitOnAWorker, OutOfOrderGetsAreFine) {
  weir::runtime rt(with_workers(1));
  rt.run([&] {
    std::vector<weir::join_handle<int>> handles;
    for (int i = 0; i < 50; ++i) handles.push_back(rt.spawn([i] { return i; }));
    for (int i : {49, 0, 25, 1}) EXPECT_EQ(handles[static_cast<std::size_t>(i)].get().value(), i);
    for (int i = 48; i > 1; --i) {
      if (i == 25) continue;
      EXPECT_EQ(handles[static_cast<std::size_t>(i)].get().value(), i);
    }
  });
}

TEST(WaitOnAWorker, GetUntilGivesUpInTimeOnARunningTask) {
  weir::runtime rt(with_workers(2));
  gate release;
  auto started = std::make_shared<gate>();
  auto h = rt.spawn([&, started] {
    started->open();
    release.wait();
    return 3;
  });
  started->wait();
  rt.run([&] {
    const auto limit = weir::clock_type::now() + 5ms;
    auto r = h.get_until(limit);
    EXPECT_GE(weir::clock_type::now(), limit);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::timeout);
    EXPECT_TRUE(h.valid());
  });
  release.open();
  EXPECT_EQ(h.get().value(), 3);
}

// ---- P14: nothing unrelated

// A mutex held over a wait: were anything else run in that wait, on that thread, it would meet the mutex.
TEST(WaitOnAWorker, RunsNothingUnrelatedWhileAMutexIsHeld) {
  static thread_local bool holding;
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    std::atomic<int> met{0}, ran{0};
    std::mutex mutex;
    const auto unrelated = [&] {
      if (holding) ++met;
      ++ran;
    };
    constexpr int rounds = 300;
    for (int i = 0; i < rounds; ++i) {
      ASSERT_TRUE(rt.submit([&] {
        if (holding) {
          ++met;
          return;
        }
        std::lock_guard lock(mutex);
        holding = true;
        auto child = rt.spawn([&] {
          burn(20us);
          return 1;
        });
        for (int k = 0; k < 3; ++k) EXPECT_TRUE(rt.submit(unrelated));
        EXPECT_EQ(child.get().value_or(0), 1);
        holding = false;
        ++ran;
      }));
      ASSERT_TRUE(rt.submit(unrelated));
    }
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(met, 0) << workers << " workers";
    EXPECT_EQ(ran, rounds * 5);
  }
}

TEST(WaitOnAWorker, AForkJoinRunsNothingUnrelatedWhileItWaits) {
  static thread_local bool holding;
  weir::runtime rt(with_workers(2));
  std::atomic<int> met{0}, ran{0};
  constexpr int rounds = 200;
  for (int i = 0; i < rounds; ++i) {
    ASSERT_TRUE(rt.submit([&] {
      if (holding) ++met;
      holding = true;
      weir::fork_join([&] { EXPECT_TRUE(rt.submit([&] { met += holding, ++ran; })); },
                      [&] {
                        burn(30us);
                        ++ran;
                      });
      holding = false;
    }));
    ASSERT_TRUE(rt.submit([&] { met += holding, ++ran; }));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(met, 0);
  EXPECT_EQ(ran, rounds * 3);
}

// ---- P14: spares

// The only worker waits for another runtime; what it waits for needs this runtime: a spare must take over.
TEST(Spares, TakeOverTheSlotOfAWorkerThatIsParkedInAWait) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  gate release;
  auto started = std::make_shared<gate>();
  auto far = other.spawn([&, started] {
    started->open();
    release.wait();
    return 5;
  });
  started->wait();
  auto waiting = std::make_shared<gate>();
  auto waiter = rt.spawn([&, waiting] {
    waiting->open();
    return far.get().value_or(0);
  });
  waiting->wait();
  ASSERT_TRUE(rt.submit([&] { release.open(); }));
  EXPECT_EQ(waiter.get().value_or(0), 5);
}

TEST(Spares, TakeOverForSeveralWaitsOnTopOfEachOther) {
  weir::runtime rt(with_workers(2)), other(with_workers(1));
  constexpr int n = 10;
  gate gates[n];
  auto started = std::make_shared<gate>();
  auto root = other.spawn([&, started] {
    started->open();
    gates[0].wait();
    return 0;
  });
  started->wait();
  std::vector<weir::join_handle<int>> chain;
  chain.push_back(std::move(root));
  std::atomic<int> waiting{0};
  for (std::size_t i = 1; i < n; ++i) {  // each waits for the one before it, which has started and so cannot be claimed
    chain.push_back(rt.spawn([&, before = std::move(chain[i - 1])]() mutable {
      ++waiting;
      return before.get().value_or(-100) + 1;
    }));
    ASSERT_TRUE(eventually([&] { return waiting == static_cast<int>(i); })) << "no spare for number " << i;
  }
  ASSERT_TRUE(rt.submit([&] { gates[0].open(); }));
  EXPECT_EQ(chain.back().get().value_or(0), n - 1);
}

TEST(Spares, TakeNothingNewOnceTheWaiterCanGoOn) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  for (int round = 0; round < 5; ++round) {
    gate release, resumed, finish;
    auto started = std::make_shared<gate>();
    auto far = other.spawn([&, started] {
      started->open();
      release.wait();
    });
    started->wait();
    std::atomic<bool> waiter_runs{false};
    std::atomic<int> ran{0}, beside{0};
    auto waiting = std::make_shared<gate>();
    auto waiter = rt.spawn([&, waiting] {
      waiting->open();
      EXPECT_TRUE(far.get());
      waiter_runs = true;
      resumed.open();
      finish.wait();
      waiter_runs = false;
    });
    waiting->wait();
    ASSERT_TRUE(rt.submit([&] { ++ran; }));  // makes a spare come
    ASSERT_TRUE(eventually([&] { return ran == 1; }));
    release.open();
    resumed.wait();
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(rt.submit([&] {
        if (waiter_runs) ++beside;
        ++ran;
      }));
    }
    let_it_misbehave();
    EXPECT_EQ(beside, 0) << "two tasks at once on one worker";
    finish.open();
    EXPECT_TRUE(waiter.get());
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, 101);
  }
}

TEST(Spares, AreNotNeededWhereTheWaiterCanRunTheTaskItself) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  weir::runtime rt(o);
  std::function<int(int)> down = [&](int n) -> int {
    return n == 0 ? 0 : 1 + rt.spawn([&, n] { return down(n - 1); }).get().value();
  };
  EXPECT_EQ(rt.run([&] { return down(50); }), 50);
}

// Bound to the worker that waits: only that slot may run it. Without a spare that would never end.
TEST(Spares, AGetThatCannotEndAnswersStarvedAndTheHandleStaysValid) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  weir::runtime rt(o);
  weir::join_handle<int> bound;
  const errc answer = rt.run([&] {
    bound = rt.spawn([] { return 9; }, {.worker = 0});
    auto r = bound.get();
    return r ? errc{} : r.error().code;
  });
  EXPECT_EQ(answer, errc::starved);
  EXPECT_TRUE(bound.valid());
  EXPECT_EQ(bound.get().value_or(0), 9);
}

TEST(Spares, AWaitForATaskThatIsBoundToTheWaitersOwnWorkerEnds) {
  weir::runtime rt(with_workers(1));
  weir::join_handle<int> bound;
  const errc answer = rt.run([&] {
    bound = rt.spawn([] { return weir::this_task::worker(); }, {.worker = 0});
    auto r = bound.get();
    EXPECT_EQ(r.value_or(0), 0);
    return r ? errc{} : r.error().code;
  });
  EXPECT_TRUE(answer == errc{} || answer == errc::starved) << weir::to_string(answer);
  if (answer == errc::starved) {
    EXPECT_EQ(bound.get().value_or(-1), 0);
  }
}

TEST(Spares, ATaskThatWaitsForItselfIsOnlyATimeout) {
  weir::runtime rt(with_workers(1));
  weir::join_handle<void> self;
  gate assigned;
  std::atomic<int> code{0};
  self = rt.spawn([&] {
    assigned.wait();
    auto r = self.get_until(weir::clock_type::now() + 5ms);
    code = r ? 0 : static_cast<int>(r.error().code);
  });
  assigned.open();
  EXPECT_TRUE(eventually([&] { return code != 0; }));
  EXPECT_TRUE(code == static_cast<int>(errc::timeout) || code == static_cast<int>(errc::starved));
  ASSERT_TRUE(rt.wait_idle());
}

// a's only worker is inside a run() on b, whose only worker is inside a run() on a.
TEST(Spares, ARingOfRunsOverTwoRuntimesEnds) {
  weir::runtime a(with_workers(1)), b(with_workers(1));
  EXPECT_EQ(a.run([&] { return b.run([&] { return a.run([&] { return b.run([] { return 4; }); }); }); }), 4);
}

TEST(Spares, ManyWaitersOnTwoWorkersAllGoOn) {
  weir::runtime rt(with_workers(2)), other(with_workers(1));
  constexpr int n = 32;  // each needs a thread while it waits: fewer than max_spares
  gate release;
  auto started = std::make_shared<gate>();
  auto blocker = other.spawn([&, started] {
    started->open();
    release.wait();
  });
  started->wait();
  std::vector<weir::join_handle<int>> far, waiters;
  std::atomic<int> waiting{0};
  for (int i = 0; i < n; ++i) far.push_back(other.spawn([i] { return i; }, {.worker = 0}));
  for (int i = 0; i < n; ++i) {
    waiters.push_back(rt.spawn([&, i] {
      ++waiting;
      return far[static_cast<std::size_t>(i)].get().value_or(-1);
    }));
  }
  EXPECT_TRUE(eventually([&] { return waiting == n; })) << waiting;
  release.open();
  for (int i = 0; i < n; ++i) EXPECT_EQ(waiters[static_cast<std::size_t>(i)].get().value_or(-2), i);
  EXPECT_TRUE(blocker.get());
}

#if __has_include(<weir/task_group.hpp>)
TEST(WaitOnAWorker, AGroupOnOneWorkerWithoutSparesNeverStarves) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  o.capacity = 4;
  weir::runtime rt(o);
  std::function<int(int)> tree = [&](int level) -> int {
    if (level == 0) return 1;
    std::atomic<int> sum{0};
    weir::task_group g(rt);
    for (int i = 0; i < 4; ++i) g.run([&] { sum += tree(level - 1); });
    const weir::status s = g.wait();
    EXPECT_TRUE(s) << weir::to_string(s ? errc{} : s.error().code);
    return sum;
  };
  EXPECT_EQ(rt.run([&] { return tree(4); }), 256);
}

TEST(WaitOnAWorker, AGroupRunsNothingUnrelatedWhileItWaits) {
  static thread_local bool holding;
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt(with_workers(workers));
    std::atomic<int> met{0}, ran{0};
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(rt.submit([&] {
        if (holding) ++met;
        holding = true;
        weir::task_group g(rt);
        for (int k = 0; k < 4; ++k) g.run([&] { burn(5us), ++ran; });
        EXPECT_TRUE(g.wait());
        holding = false;
      }));
      ASSERT_TRUE(rt.submit([&] { met += holding, ++ran; }));
    }
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(met, 0);
    EXPECT_EQ(ran, 500);
  }
}
#endif

}  // namespace
}  // namespace promise_waiting_test
