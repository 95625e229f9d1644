// fork_join and invoke: values, errors, depth, and that no fork allocates.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <allocations.hpp>
#include <everywhere.hpp>
#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>

namespace fork_join_test {
namespace {

using namespace test;
using weir::fork_join;

TEST(ForkJoin, ReturnsBothValuesInOrder) {
  everywhere([] {
    const auto [a, b] = fork_join([] { return 1; }, [] { return std::string("two"); });
    EXPECT_EQ(a, 1);
    EXPECT_EQ(b, "two");
  });
}

TEST(ForkJoin, VoidIsMonostate) {
  everywhere([] {
    int n = 0;
    auto r = fork_join([&] { ++n; }, [] { return 5; });
    static_assert(std::is_same_v<decltype(r), std::pair<std::monostate, int>>);
    EXPECT_EQ(r.second, 5);
    EXPECT_EQ(n, 1);
    auto both = fork_join([] {}, [] {});
    static_assert(std::is_same_v<decltype(both), std::pair<std::monostate, std::monostate>>);
  });
}

TEST(ForkJoin, ResultsMayBeMoveOnlyAndOveraligned) {
  struct alignas(256) wide {
    int n;
    bool aligned() const { return reinterpret_cast<std::uintptr_t>(this) % 256 == 0; }
  };
  everywhere([] {
    auto [p, q] = fork_join([] { return std::make_unique<int>(1); }, [] { return std::make_unique<int>(2); });
    EXPECT_EQ(*p + *q, 3);
    auto [v, w] = fork_join([] { return wide{4}; }, [] { return wide{5}; });
    EXPECT_TRUE(v.aligned() && w.aligned());
    EXPECT_EQ(v.n + w.n, 9);
  });
}

TEST(ForkJoin, CallablesAreUsedInPlaceAndOnce) {
  everywhere([] {
    tally t;
    {
      probe<64> f(t), g(t);
      fork_join(f, std::move(g));
      EXPECT_EQ(t.calls, 2);
      EXPECT_EQ(t.copies + t.moves, 0);
    }
    EXPECT_EQ(t.alive, 0);
  });
}

TEST(ForkJoin, ResultsAreDestroyedExactlyOnce) {
  static std::atomic<int> alive;
  struct counted {
    counted() { ++alive; }
    counted(const counted&) { ++alive; }
    counted(counted&&) noexcept { ++alive; }
    ~counted() { --alive; }
  };
  alive = 0;
  everywhere([] {
    { auto r = fork_join([] { return counted(); }, [] { return counted(); }); }
    EXPECT_THROW(fork_join([]() -> counted { throw 1; }, [] { return counted(); }), int);
    EXPECT_THROW(fork_join([] { return counted(); }, []() -> counted { throw 1; }), int);
    EXPECT_EQ(alive, 0);
  });
}

TEST(ForkJoin, TheFirstsExceptionIsRethrownAfterTheSecondEndedIfItStarted) {
  everywhere([] {
    std::atomic<int> inside{0}, ran{0};
    EXPECT_THROW(fork_join(
                     [&] {
                       burn(20us);
                       throw std::out_of_range("first");
                     },
                     [&] {
                       ++inside;
                       burn(50us);
                       ++ran;
                       --inside;
                     }),
                 std::out_of_range);
    EXPECT_EQ(inside, 0);
    EXPECT_LE(ran, 1);
  });
}

TEST(ForkJoin, AnUnstartedSecondDoesNotStartAfterTheFirstThrew) {
  bool ran = false;
  EXPECT_THROW(fork_join([] { throw std::out_of_range("outside"); }, [&] { ran = true; }), std::out_of_range);
  EXPECT_FALSE(ran);
  weir::runtime rt(with_workers(1));
  EXPECT_THROW(rt.run([&] { fork_join([] { throw std::out_of_range("alone"); }, [&] { ran = true; }); }), std::out_of_range);
  EXPECT_FALSE(ran);
}

TEST(ForkJoin, TheSecondsExceptionIsRethrownAfterTheFirstEnded) {
  everywhere([] {
    int first = 0;
    EXPECT_THROW(fork_join([&] { ++first; }, [] { throw std::out_of_range("second"); }), std::out_of_range);
    EXPECT_EQ(first, 1);
  });
}

TEST(ForkJoin, OfTwoExceptionsTheFirstArgumentsWins) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 100; ++round) {
    rt.run([&] {
      std::atomic<bool> second_threw{false};
      try {
        fork_join(
            [&] {
              if (round % 2 == 0) eventually([&] { return second_threw.load(); }, 50ms);
              throw std::out_of_range("first");
            },
            [&] {
              second_threw = true;
              throw std::invalid_argument("second");
            });
        ADD_FAILURE() << "nothing thrown";
      } catch (const std::out_of_range&) {
      } catch (const std::invalid_argument&) {
        ADD_FAILURE() << "the second's exception won";
      }
    });
  }
}

TEST(ForkJoin, AnExceptionFromDeepDownUnwindsEveryLevel) {
  struct frame {
    std::atomic<int>& n;
    explicit frame(std::atomic<int>& c) : n(c) { ++n; }
    ~frame() { --n; }
  };
  everywhere([] {
    std::atomic<int> frames{0};
    std::function<int(int, int)> tree = [&](int level, int path) -> int {
      frame f(frames);
      if (level == 0) {
        if (path == 37) throw std::out_of_range("leaf 37");
        return 1;
      }
      auto [a, b] = fork_join([&] { return tree(level - 1, path * 2); }, [&] { return tree(level - 1, path * 2 + 1); });
      return a + b;
    };
    EXPECT_THROW(static_cast<void>(tree(6, 0)), std::out_of_range);
    EXPECT_EQ(frames, 0);
    EXPECT_EQ(fork_join([] { return 1; }, [] { return 2; }).second, 2) << "the worker's deque is whole";
  });
}

int fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = fork_join([=] { return fib(n - 1); }, [=] { return fib(n - 2); });
  return a + b;
}

TEST(ForkJoin, NestsToTheRightAnswer) {
  everywhere([] { EXPECT_EQ(fib(15), 610); });
}

// Forks in the first callable pile up in the deque, more of them than it holds.
long left_spine(int depth) {
  if (depth == 0) return 0;
  const auto [a, b] = fork_join([=] { return left_spine(depth - 1); }, [=] { return static_cast<long>(depth); });
  return a + b;
}
long right_spine(int depth) {
  if (depth == 0) return 0;
  const auto [a, b] = fork_join([=] { return static_cast<long>(depth); }, [=] { return right_spine(depth - 1); });
  return a + b;
}

TEST(ForkJoin, DeeperThanTheDequeIsFine) {
  for (const long depth : {4094L, 4095L, 4096L, 4097L, sanitized ? 5000L : 12'000L}) {
    for (const unsigned workers : {1u, 2u}) {
      weir::options o = with_workers(workers);
      o.stack_size = std::size_t{256} << 20;
      weir::runtime rt(o);
      for (int round = 0; round < 3; ++round) {
        EXPECT_EQ(rt.run([=] { return left_spine(static_cast<int>(depth)); }), depth * (depth + 1) / 2);
        EXPECT_EQ(rt.run([=] { return right_spine(static_cast<int>(depth)); }), depth * (depth + 1) / 2);
      }
      EXPECT_EQ(rt.run([] { return fib(10); }), 55) << "the deque is whole again";
    }
  }
}

TEST(ForkJoin, AnExceptionBeyondTheDequesDepthUnwinds) {
  weir::options o = with_workers(2);
  o.stack_size = std::size_t{256} << 20;
  weir::runtime rt(o);
  std::function<long(int)> spine = [&](int depth) -> long {
    if (depth == 0) throw std::out_of_range("bottom");
    const auto [a, b] = fork_join([&] { return spine(depth - 1); }, [=] { return static_cast<long>(depth); });
    return a + b;
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(static_cast<void>(rt.run([&] { return spine(5000); })), std::out_of_range);
    EXPECT_EQ(rt.run([] { return fib(10); }), 55);
  }
}

TEST(ForkJoin, OutsideARuntimeItIsSerialOnTheCaller) {
  const auto me = std::this_thread::get_id();
  std::vector<int> order;
  fork_join(
      [&] {
        EXPECT_EQ(std::this_thread::get_id(), me);
        fork_join([&] { order.push_back(1); }, [&] { order.push_back(2); });
      },
      [&] {
        EXPECT_EQ(std::this_thread::get_id(), me);
        order.push_back(3);
      });
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(ForkJoin, TheFirstRunsOnTheCallerTheSecondIsOfferedToOthers) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 20; ++round) {
    rt.run([] {
      const auto me = std::this_thread::get_id();
      std::atomic<bool> other{false};
      bool met = false;
      fork_join(
          [&] {
            EXPECT_EQ(std::this_thread::get_id(), me);
            met = eventually([&] { return other.load(); });
          },
          [&] { other = std::this_thread::get_id() != me; });
      EXPECT_TRUE(met) << "an idle worker did not take the fork";
    });
  }
}

// What lies under a long leaf reaches an idle worker, though the leaf's worker forks no more.
TEST(ForkJoin, OlderForksUnderALongLeafReachAnIdleWorker) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> taken{0};
    bool all = false;
    constexpr int nested = 8;
    std::function<void(int)> nest = [&](int level) {
      if (level == 0) {
        all = eventually([&] { return taken == nested; });
        return;
      }
      fork_join([&] { nest(level - 1); }, [&] { ++taken; });
    };
    rt.run([&] { nest(nested); });
    EXPECT_TRUE(all) << taken;
  }
}

TEST(ForkJoin, MayBeMixedWithSpawnAndGet) {
  weir::runtime rt(with_workers(2));
  std::function<int(int)> mixed = [&](int n) -> int {
    if (n < 2) return n;
    const auto [a, b] = fork_join([&] { return rt.spawn([&, n] { return mixed(n - 1); }).get().value(); },
                                  [&] { return mixed(n - 2); });
    return a + b;
  };
  for (int round = 0; round < 10; ++round) EXPECT_EQ(rt.run([&] { return mixed(13); }), 233);
}

TEST(ForkJoin, WorksInsideTasksOfAnyKind) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> sum{0};
  ASSERT_TRUE(rt.submit([&] { sum += fib(10); }));
  EXPECT_EQ(rt.spawn([] { return fib(11); }).get().value_or(0), 89);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(sum, 55);
}

// ---- invoke

TEST(Invoke, ReturnsATupleOfAllValuesForOneToSixCallables) {
  everywhere([] {
    const auto v = [](int n) { return [n] { return n; }; };
    EXPECT_EQ(weir::invoke(v(1)), std::tuple(1));
    EXPECT_EQ(weir::invoke(v(1), v(2)), std::tuple(1, 2));
    EXPECT_EQ(weir::invoke(v(1), v(2), v(3)), std::tuple(1, 2, 3));
    EXPECT_EQ(weir::invoke(v(1), v(2), v(3), v(4)), std::tuple(1, 2, 3, 4));
    EXPECT_EQ(weir::invoke(v(1), v(2), v(3), v(4), v(5)), std::tuple(1, 2, 3, 4, 5));
    EXPECT_EQ(weir::invoke(v(1), v(2), v(3), v(4), v(5), v(6)), std::tuple(1, 2, 3, 4, 5, 6));
  });
}

TEST(Invoke, MixesTypesVoidsAndMoveOnlyResults) {
  everywhere([] {
    int n = 0;
    auto [a, b, c] = weir::invoke([&] { ++n; }, [] { return std::make_unique<int>(2); }, [] { return std::string("three"); });
    static_assert(std::is_same_v<decltype(a), std::monostate>);
    EXPECT_EQ(n, 1);
    EXPECT_EQ(*b, 2);
    EXPECT_EQ(c, "three");
  });
}

TEST(Invoke, RethrowsTheExceptionOfAnyOfThem) {
  everywhere([] {
    for (int bad = 0; bad < 4; ++bad) {
      std::atomic<int> inside{0};
      const auto maybe = [&](int i) {
        return [&, i] {
          ++inside;
          if (i != bad) burn(5us);
          --inside;
          if (i == bad) throw std::out_of_range("bad");
          return i;
        };
      };
      EXPECT_THROW(weir::invoke(maybe(0), maybe(1), maybe(2), maybe(3)), std::out_of_range);
      EXPECT_EQ(inside, 0);
    }
  });
}

// ---- cost

TEST(ForkAllocations, NoForkAllocates) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::options o = with_workers(workers);
    o.max_spares = 0;  // a join that sleeps for long starts one, which is not the fork's doing
    weir::runtime rt(o);
    rt.run([] { return fib(12); });  // whatever is made once is made now
    std::size_t in_worker = 0;
    rt.run([&] {
      const allocation_count counted;
      EXPECT_EQ(fib(18), 2584);
      EXPECT_EQ(std::get<2>(weir::invoke([] { return 1; }, [] { return 2; }, [] { return 3; })), 3);
      in_worker = counted();
    });
    EXPECT_EQ(in_worker, 0u) << workers << " workers";
  }
  const allocation_count outside;
  EXPECT_EQ(fib(12), 144);
  EXPECT_EQ(outside(), 0u);
}

}  // namespace
}  // namespace fork_join_test
