// fork_each: that every call runs once, what an exception leaves undone, whose callable is used, and what it costs.
#include <weir/fork_each.hpp>
#include <weir/runtime.hpp>

#include <allocations.hpp>
#include <everywhere.hpp>
#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace fork_each_test {
namespace {

using namespace test;
using weir::fork_each;

// Around the number of calls that one job offers, and where halves are uneven.
constexpr std::size_t sizes[] = {0, 1, 2, 3, 7, 16, 17, 18, 31, 33, 100, 1000};

TEST(ForkEach, CallsEachIndexOnce) {
  everywhere([] {
    for (const std::size_t n : sizes) {
      std::vector<std::atomic<int>> calls(n);
      fork_each(n, [&](std::size_t i) { ++calls[i]; });
      for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(calls[i], 1) << i << " of " << n;
    }
  });
}

TEST(ForkEach, IsInOrderWhereNobodyTakesAny) {
  const auto in_order = [] {
    for (const std::size_t n : sizes) {
      std::vector<std::size_t> order;
      const auto me = std::this_thread::get_id();
      fork_each(n, [&](std::size_t i) {
        EXPECT_EQ(std::this_thread::get_id(), me);
        order.push_back(i);
      });
      ASSERT_EQ(order.size(), n);
      for (std::size_t i = 0; i < n; ++i) EXPECT_EQ(order[i], i);
    }
  };
  in_order();
  weir::runtime rt(with_workers(1));
  rt.run(in_order);
}

// Each call waits for the next one, so only others can end them: as many workers as calls, and not one less.
TEST(ForkEach, OffersAllThatHasNotBegun) {
  for (const unsigned n : {2u, 5u, 16u}) {
    weir::runtime rt(with_workers(n));
    for (int round = 0; round < 10; ++round) {
      std::vector<std::atomic<bool>> begun(n);
      std::atomic<unsigned> met{0};
      rt.run([&] {
        fork_each(n, [&](std::size_t i) {
          begun[i] = true;
          if (i + 1 == n || eventually([&] { return begun[i + 1].load(); })) ++met;
        });
      });
      EXPECT_EQ(met, n);
    }
  }
}

TEST(ForkEach, OffersBothHalvesOfMany) {
  weir::runtime rt(with_workers(2));
  for (const std::size_t n : {17u, 100u}) {
    std::atomic<bool> upper{false}, met{false};
    rt.run([&] {
      fork_each(n, [&](std::size_t i) {
        if (i == n / 2) upper = true;
        if (i == 0) met = eventually([&] { return upper.load(); });
      });
    });
    EXPECT_TRUE(met) << n;
  }
}

TEST(ForkEach, RethrowsOnceAllThatStartedHasEnded) {
  everywhere([] {
    for (const std::size_t n : {2u, 5u, 16u, 40u}) {
      for (std::size_t bad = 0; bad < n; bad += 3) {
        std::atomic<int> inside{0};
        std::vector<std::atomic<int>> calls(n);
        EXPECT_THROW(fork_each(n,
                               [&](std::size_t i) {
                                 ++inside;
                                 ++calls[i];
                                 burn(1us);
                                 --inside;
                                 if (i == bad) throw std::out_of_range("bad");
                               }),
                     std::out_of_range);
        EXPECT_EQ(inside, 0);
        for (std::size_t i = 0; i <= bad; ++i) EXPECT_EQ(calls[i], 1) << "an earlier one is not held back";
        for (std::size_t i = bad + 1; i < n; ++i) EXPECT_LE(calls[i], 1);
      }
    }
  });
}

TEST(ForkEach, NothingLaterStartsAfterAThrowWhereNobodyTakesAny) {
  const auto fact = [] {
    for (const std::size_t n : {3u, 17u, 64u}) {
      std::size_t last = 0;
      EXPECT_THROW(fork_each(n,
                             [&](std::size_t i) {
                               last = i;
                               if (i == n / 2) throw std::out_of_range("middle");
                             }),
                   std::out_of_range);
      EXPECT_EQ(last, n / 2);
    }
  };
  fact();
  weir::runtime rt(with_workers(1));
  rt.run(fact);
}

// What is thrown by whom is decided by who has begun: call 0 goes on only when somebody else is in call 1.
class taken_rest {
 public:
  template <class First, class Second>
  void run(std::size_t n, First first, Second second) {
    begun_ = false;
    fork_each(n, [&, this](std::size_t i) {
      if (i == 0) {
        EXPECT_TRUE(eventually([this] { return begun_.load(); }));
        first();
      } else if (i == 1) {
        begun_ = true;
        second();
      }
    });
  }

 private:
  std::atomic<bool> begun_{false};
};

TEST(ForkEach, AThrowOfTheCallerWaitsForWhoHasTakenTheRest) {
  weir::runtime rt(with_workers(2));
  for (const std::size_t n : {2u, 3u, 16u, 40u}) {
    std::atomic<bool> inside{false};
    const auto calls = [&] {
      taken_rest().run(
          n, [] { throw std::out_of_range("first"); },
          [&] {
            inside = true;
            std::this_thread::sleep_for(2ms);
            inside = false;
          });
    };
    for (int round = 0; round < 5; ++round) {
      EXPECT_THROW(rt.run(calls), std::out_of_range);
      EXPECT_FALSE(inside);
    }
  }
}

TEST(ForkEach, AThrowOfWhoHasTakenTheRestIsRethrown) {
  weir::runtime rt(with_workers(2));
  for (const std::size_t n : {2u, 3u, 16u, 40u})
    for (int round = 0; round < 5; ++round)
      EXPECT_THROW(rt.run([n] {
        taken_rest().run(
            n, [] {}, [] { throw std::invalid_argument("second"); });
      }),
                   std::invalid_argument);
}

TEST(ForkEach, OfTwoExceptionsTheLowestIndexWins) {
  weir::runtime rt(with_workers(2));
  for (const std::size_t n : {2u, 3u, 16u, 40u})
    for (int round = 0; round < 5; ++round)
      EXPECT_THROW(rt.run([n] {
        taken_rest().run(
            n, [] { throw std::out_of_range("first"); }, [] { throw std::invalid_argument("second"); });
      }),
                   std::out_of_range);
}

// ---- whose callable

TEST(ForkEach, WhatCannotBeCopiedIsCalledInPlace) {
  struct owner {
    std::unique_ptr<std::atomic<std::size_t>> sum = std::make_unique<std::atomic<std::size_t>>(0);
    void operator()(std::size_t i) const { *sum += i; }
  };
  struct counter {
    std::atomic<std::size_t> sum{0};  // trivially copyable, says gcc, and without a copy constructor
    void operator()(std::size_t i) { sum += i; }
    void operator()(std::size_t) const { ADD_FAILURE() << "the const one"; }
  };
  everywhere([] {
    for (const std::size_t n : {16u, 100u}) {
      owner o;
      fork_each(n, o);
      EXPECT_EQ(*o.sum, n * (n - 1) / 2);
      counter c;
      fork_each(n, std::ref(c));
      EXPECT_EQ(c.sum, n * (n - 1) / 2);
      c.sum = 0;
      fork_each(n, c);
      EXPECT_EQ(c.sum, n * (n - 1) / 2);
    }
  });
}

TEST(ForkEach, ALargeOneIsCalledInPlaceByThieves) {
  struct large {
    std::array<std::size_t, 16> weight{};
    std::atomic<std::size_t>* sum;
    const void* self;
    void operator()(std::size_t i) const {
      EXPECT_EQ(this, self);
      burn(1us);
      *sum += weight[i % 16];
    }
  };
  everywhere([] {
    std::atomic<std::size_t> sum{0};
    large f;
    f.weight.fill(3);
    f.sum = &sum;
    f.self = &f;
    fork_each(64, f);
    EXPECT_EQ(sum, 3u * 64);
  });
}

std::atomic<std::size_t> plain_calls;
void plain(std::size_t i) { plain_calls += i; }

TEST(ForkEach, AnythingThatIsCalledWithAnIndexWillDo) {
  everywhere([] {
    plain_calls = 0;
    fork_each(20, plain);
    fork_each(20, &plain);
    EXPECT_EQ(plain_calls, 380u);
    const auto constant = [](std::size_t i) { plain_calls += i; };
    fork_each(20, constant);
    fork_each(20, [](auto&& i) { plain_calls += i++; });  // the index is its own
    EXPECT_EQ(plain_calls, 760u);
    fork_each(20, std::function<void(std::size_t)>(plain));
    EXPECT_EQ(plain_calls, 950u);
  });
}

TEST(ForkEach, AStateIsKeptWhereOneCallsAll) {
  const auto alone = [] {
    for (const std::size_t n : {10u, 100u}) {
      std::size_t last = 0;
      fork_each(n, [&last, sum = std::size_t{0}](std::size_t i) mutable { last = sum += i; });
      EXPECT_EQ(last, n * (n - 1) / 2);
    }
  };
  alone();
  weir::runtime rt(with_workers(1));
  rt.run(alone);
}

// ---- cost and depth

TEST(ForkEach, AllocatesNothing) {
  const auto fact = [] {
    for (const std::size_t n : {2u, 16u, 1000u}) {
      std::size_t sum = 0;
      const allocation_count counted;
      fork_each(n, [&](std::size_t i) { sum += i; });
      EXPECT_EQ(counted(), 0u);
      EXPECT_EQ(sum, n * (n - 1) / 2);
    }
  };
  fact();
  weir::runtime rt(with_workers(1));
  rt.run(fact);
}

// A tree that is deeper than the deque holds jobs: from there on the calls run inline.
std::size_t spine(std::size_t depth, std::size_t children) {
  if (depth == 0) throw std::out_of_range("bottom");
  std::size_t sum = 0;
  try {
    fork_each(children, [&sum, depth, children](std::size_t i) {
      if (i == 0) sum = 1 + spine(depth - 1, children);
    });
  } catch (const std::out_of_range&) {
    if (depth != 1) throw;
  }
  return sum;
}

TEST(ForkEach, DeeperThanTheDequeIsFine) {
  weir::options o = with_workers(2);
  o.stack_size = std::size_t{256} << 20;
  weir::runtime rt(o);
  for (const std::size_t depth :
       {std::size_t{4095}, std::size_t{4096}, sanitized ? std::size_t{5000} : std::size_t{12'000}})
    for (const std::size_t children : {2u, 3u})
      for (int round = 0; round < 3; ++round) EXPECT_EQ(rt.run([=] { return spine(depth, children); }), depth - 1);
}

TEST(ForkEach, AnExceptionBeyondTheDequesDepthUnwinds) {
  weir::options o = with_workers(2);
  o.stack_size = std::size_t{256} << 20;
  weir::runtime rt(o);
  std::function<void(std::size_t)> down = [&](std::size_t depth) {
    if (depth == 0) throw std::out_of_range("bottom");
    fork_each(3, [&](std::size_t i) {
      if (i == 0) down(depth - 1);
    });
  };
  for (int round = 0; round < 3; ++round) {
    EXPECT_THROW(rt.run([&] { down(5000); }), std::out_of_range);
    EXPECT_EQ(rt.run([] { return spine(10, 2); }), 9u) << "the deque is whole";
  }
}

}  // namespace
}  // namespace fork_each_test
