// What other libraries test of themselves, as facts about weir. The table in tests/README.md says whose idea each one is, and
// where the rest of them is tested.
#include <weir/weir.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace peers_test {
namespace {

using namespace test;
using weir::errc;

weir::errc code(const weir::status& s) { return s ? errc{} : s.error().code; }

// ---- errgroup

TEST(LikeErrgroup, EachWaitTellsTheFirstErrorOfItsOwnRound) {
  weir::runtime rt(with_workers(2));
  const std::vector<std::vector<int>> rounds{{}, {0}, {1}, {1, 0}, {1, 0, 2}};  // 0: no error
  for (const auto& errors : rounds) {
    weir::task_group g(rt);
    for (const int e : errors) {
      g.run([e] {
        if (e != 0) throw e;
      });
      const weir::status s = g.wait();
      EXPECT_EQ(static_cast<bool>(s), e == 0) << "a group is clean after each wait, unlike errgroup's";
      try {
        s.value();
      } catch (int thrown) {
        EXPECT_EQ(thrown, e);
      }
    }
    EXPECT_TRUE(g.wait());
  }
}

TEST(LikeErrgroup, AnErrorFiresTheTokenAndAGroupWithoutOneLeavesItAlone) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt);
  const std::stop_token before = g.token();
  g.run([] {});
  ASSERT_TRUE(g.wait());
  EXPECT_FALSE(before.stop_requested()) << "errgroup's context is cancelled by every Wait";
  g.run([] { throw std::runtime_error("doomed"); });
  EXPECT_FALSE(g.wait());
  EXPECT_TRUE(before.stop_requested());
  EXPECT_FALSE(g.token().stop_requested()) << "the next round has a token of its own";
}

TEST(LikeErrgroup, TryRunTakesExactlyTheLimitAndFollowsItWhenItChanges) {
  weir::runtime rt(with_workers(2));
  constexpr int n = 42;
  weir::task_group g(rt, {.limit = n});
  {
    gate go;
    const auto child = [&] { go.wait(); };
    for (int i = 0; i < n; ++i) EXPECT_TRUE(g.try_run(child)) << i;
    EXPECT_FALSE(g.try_run(child));
    go.open();
    ASSERT_TRUE(g.wait());
    EXPECT_TRUE(g.try_run(child));
    ASSERT_TRUE(g.wait());
  }
  g.set_limit(1);
  gate go;
  EXPECT_TRUE(g.try_run([&] { go.wait(); }));
  EXPECT_FALSE(g.try_run([] {}));
  go.open();
  ASSERT_TRUE(g.wait());
  g.set_limit(0);
  for (int i = 0; i < 1000; ++i) EXPECT_TRUE(g.try_run([] {})) << "0 is no limit; to errgroup it means nothing at all";
  ASSERT_TRUE(g.wait());
}

TEST(LikeErrgroup, ManyThreadsOfTryRunNeverPassTheLimitAndNeverQueue) {
  weir::runtime rt(with_workers(3));
  weir::task_group g(rt, {.limit = 2});
  std::atomic<int> inside{0}, most{0}, taken{0}, ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 2000; ++i)
        taken += g.try_run([&] {
          const int now = ++inside;
          for (int m = most; now > m && !most.compare_exchange_weak(m, now);) {}
          ++ran;
          --inside;
        });
    });
  for (auto& t : threads) t.join();
  ASSERT_TRUE(g.wait());
  EXPECT_EQ(ran, taken);
  EXPECT_LE(most, 2);
  EXPECT_GT(taken, 0);
}

// ---- ants

TEST(LikeAnts, ANonBlockingPoolOfTenRefusesTheOneTooManyAndTakesItWhenOneIsDone) {
  weir::runtime rt(with_workers(10));
  weir::limited pool(rt, 10, 1);
  gate go, last_may_go;
  std::atomic<int> started{0}, ended{0};
  for (int i = 0; i < 9; ++i) {
    ASSERT_TRUE(pool.submit([&] {
      ++started;
      go.wait();
    }));
    ASSERT_TRUE(eventually([&] { return started == i + 1; })) << "each has a place at once";
  }
  ASSERT_TRUE(pool.submit([&] {
    ++started;
    last_may_go.wait();
    ++ended;
  }));
  ASSERT_TRUE(eventually([&] { return started == 10; }));
  ASSERT_TRUE(pool.submit([&] { ++ended; })) << "one may wait";
  EXPECT_EQ(code(pool.submit([] {})), errc::full);
  last_may_go.open();
  ASSERT_TRUE(eventually([&] { return ended == 2; }));
  EXPECT_TRUE(pool.submit([] {}));
  go.open();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(LikeAnts, WhileOneWaitsForRoomAnotherIsToldAndTheOneThatWaitsGetsIt) {
  weir::runtime rt(with_workers(1));
  weir::limited pool(rt, 1, 1, weir::on_full::block);
  gate go;
  ASSERT_TRUE(pool.submit([&] { go.wait(); }));
  while (!pool.try_submit([] {})) std::this_thread::yield();  // the first one may not have begun
  std::atomic<int> tid{0};
  std::thread waits([&] {
    tid = thread_id();
    EXPECT_TRUE(pool.submit([] {}));
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  EXPECT_EQ(code(pool.try_submit([] {})), errc::full);
  go.open();
  waits.join();
  EXPECT_TRUE(rt.wait_idle());
  EXPECT_TRUE(pool.submit([] {}));
}

TEST(LikeAnts, ReleaseWithALimitSaysWhetherAllHaveEndedAndARebootTakesTasksAgain) {
  weir::runtime rt(with_workers(2));
  weir::limited pool(rt, 2, 100);
  weir::strand line(rt);
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> ran{0};
    for (int i = 0; i < 20; ++i) {
      ASSERT_TRUE(pool.submit([&] { ++ran; }));
      ASSERT_TRUE(line.submit([&] { ++ran; }));
    }
    EXPECT_TRUE(rt.drain(weir::clock_type::now() + 10s).complete);
    EXPECT_EQ(ran, 40);
    EXPECT_EQ(code(pool.submit([] {})), errc::stopped);
    EXPECT_EQ(code(line.submit([] {})), errc::stopped);
    ASSERT_TRUE(rt.restart());  // strands and limits go on, too
  }
  gate begun, go;
  ASSERT_TRUE(line.submit([&] { begun.open(), go.wait(); }));
  begun.wait();
  EXPECT_FALSE(rt.drain(weir::clock_type::now() + 5ms).complete);
  go.open();
  EXPECT_TRUE(rt.drain().complete);
}

TEST(LikeAnts, APoolMayBeReleasedWhileItsTasksSubmit) {
  for (int round = 0; round < 20; ++round) {
    weir::runtime rt(with_workers(2));
    std::atomic<int> ran{0}, refused{0};
    std::function<void(int)> chain = [&](int left) {
      ++ran;
      if (left > 0 && !rt.submit([&, left] { chain(left - 1); })) ++refused;
    };
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(rt.submit([&] { chain(50); }));
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_EQ(ran, 4 * 51) << "what tasks submit while it drains still runs";
    EXPECT_EQ(refused, 0);
  }
}

// ---- folly

TEST(LikeFolly, AStrandsTasksAreDestroyedWithIt_AlsoWhenTheyHoldItThemselves) {
  auto token = std::make_shared<int>(0);
  {
    weir::runtime rt(with_workers(1));
    plug p(rt);
    std::optional<weir::strand> s(rt);
    ASSERT_TRUE(s->submit([keeps = *s, token] { ADD_FAILURE() << "it ran"; }));
    s.reset();
    std::thread opener([&] {
      EXPECT_TRUE(eventually([&] { return token.use_count() == 1; }));
      p.release();
    });
    rt.abort();
    opener.join();
  }
  EXPECT_EQ(token.use_count(), 1);
}

TEST(LikeFolly, TwoWaysIntoOneStrandAreOneOrder) {
  weir::runtime a(with_workers(2));
  weir::strand s(a);
  const weir::strand copy(s);
  int value = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 5000; ++i) {
        ASSERT_TRUE(s.submit([&] { ++value; }));
        ASSERT_TRUE(copy.submit([&] { ++value; }));
      }
    });
  for (auto& t : threads) t.join();
  ASSERT_TRUE(a.wait_idle());
  EXPECT_EQ(value, 20'000);
}

TEST(LikeFolly, ATaskThatWaitedTooLongExpiresAndTheNextOneRuns) {
  weir::runtime rt(with_workers(1));
  std::optional<plug> p(rt);
  auto late = rt.spawn([] { return 1; }, {.start_by = weir::clock_type::now() + 1ms});
  auto patient = rt.spawn([] { return 2; });
  std::this_thread::sleep_for(5ms);
  p.reset();
  EXPECT_EQ(late.get().error().code, errc::expired);
  EXPECT_EQ(patient.get().value(), 2);
}

TEST(LikeFolly, TheHighLaneGoesFirstAndTheLowOneIsServedWithinTheBound) {
  weir::options o = with_workers(1);
  weir::runtime rt(o);
  unsigned started = 0, high = 0, first_low = 0, high_before_low = 0;
  rt.run([&] {
    for (int i = 0; i < 100; ++i) {
      ASSERT_TRUE(rt.submit(
          [&] {
            ++started;
            if (first_low == 0) first_low = started, high_before_low = high;
          },
          {.prio = weir::lane::low}));
      ASSERT_TRUE(rt.submit([&] { ++started, ++high; }, {.prio = weir::lane::high}));
    }
  });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(started, 200u);
  EXPECT_EQ(high_before_low, first_low - 1) << "only the high lane went before the low one";
  EXPECT_GT(high_before_low, 0u);
  EXPECT_LE(first_low, o.starvation_bound);
}

// ---- Tokio

TEST(LikeTokio, AChainThatSubmitsItselfForEverDoesNotHideAnybody) {
  weir::runtime rt(with_workers(1));
  std::function<void()> again = [&] { static_cast<void>(rt.submit(again)); };  // until the abort refuses it
  ASSERT_TRUE(rt.submit(again));
  EXPECT_EQ(rt.spawn([] { return 3; }).get().value(), 3);
  EXPECT_EQ(rt.run([] { return 4; }), 4);
  rt.abort();
  EXPECT_FALSE(rt.submit([] {}));
}

TEST(LikeTokio, PairsThatAnswerEachOtherForEverStarveNobody) {
  weir::runtime rt(with_workers(2));
  std::atomic<bool> running{true};
  std::atomic<int> alive{0};
  struct pair {
    weir::strand a, b;
  };
  std::vector<std::unique_ptr<pair>> pairs;
  std::function<void(pair*, bool)> ping = [&](pair* p, bool to_a) {
    if (!running) return void(--alive);
    EXPECT_TRUE((to_a ? p->a : p->b).submit([&, p, to_a] { ping(p, !to_a); }));
  };
  for (int i = 0; i < 100; ++i) {
    pairs.push_back(std::make_unique<pair>(pair{weir::strand(rt), weir::strand(rt)}));
    ++alive;
    ping(pairs.back().get(), true);
  }
  for (int i = 0; i < 50; ++i) EXPECT_EQ(rt.spawn([i] { return i; }).get().value(), i);
  running = false;
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(alive, 0);
}

TEST(LikeTokio, ADroppedTasksDestructorMayUseTheRuntime) {
  weir::runtime rt(with_workers(1));
  weir::strand s(rt);
  struct meddler {
    weir::runtime* rt;
    weir::strand* s;
    std::atomic<int>* destroyed;
    meddler(weir::runtime& r, weir::strand& l, std::atomic<int>& n) : rt(&r), s(&l), destroyed(&n) {}
    meddler(meddler&& o) noexcept : rt(o.rt), s(o.s), destroyed(std::exchange(o.destroyed, nullptr)) {}
    ~meddler() {
      if (destroyed == nullptr) return;
      EXPECT_FALSE(rt->submit([] {}));
      EXPECT_FALSE(s->submit([] {}));
      weir::strand other(*rt);
      EXPECT_FALSE(other.submit([] {}));
      static_cast<void>(rt->metrics());
      ++*destroyed;
    }
    void operator()() const {}
  };
  std::atomic<int> destroyed{0};
  plug p(rt);
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(rt.submit(meddler(rt, s, destroyed)));
    ASSERT_TRUE(s.submit(meddler(rt, s, destroyed)));
    s.spawn(meddler(rt, s, destroyed)).detach();
  }
  std::thread opener([&] {
    EXPECT_TRUE(eventually([&] { return destroyed == 9; }));
    p.release();
  });
  rt.abort();
  opener.join();
}

TEST(LikeTokio, TwoRuntimesTalkToEachOther) {
  gate done;
  weir::runtime a(with_workers(1)), b(with_workers(1));
  ASSERT_TRUE(b.submit([&] {
    EXPECT_TRUE(a.submit([&] {
      EXPECT_TRUE(b.submit([&] { done.open(); }));
    }));
  }));
  EXPECT_TRUE(done.wait_for(10s));
}

TEST(LikeTokio, AShutdownWaitsForATaskThatWaitsForAnother) {
  gate reached;
  std::atomic<bool> ended{false};
  {
    weir::runtime rt(with_workers(2));
    gate go;
    auto a = rt.spawn([&] { go.wait(); });
    ASSERT_TRUE(rt.submit([&, a = std::move(a)]() mutable {
      reached.open();
      EXPECT_TRUE(a.get());
      ended = true;
    }));
    reached.wait();
    ASSERT_TRUE(rt.submit([&] { go.open(); }));
    rt.drain();
    EXPECT_TRUE(ended);
  }
}

}  // namespace
}  // namespace peers_test
