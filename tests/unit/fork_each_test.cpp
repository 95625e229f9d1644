// fork_each: that every call runs once, what an exception leaves undone, whose callable is used, and what it costs.
#include <weir/fork_each.hpp>
#include <weir/runtime.hpp>

#include <allocations.hpp>
#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

using namespace test;
using weir::fork_each;

// Around the number of calls that one job offers, and where halves are uneven.
constexpr std::size_t sizes[] = {0, 1, 2, 3, 7, 16, 17, 18, 31, 33, 100, 1000};

template <class Fact>
void everywhere(Fact fact) {
  {
    SCOPED_TRACE("outside");
    fact();
  }
  for (const unsigned workers : {1u, 2u, 5u}) {
    SCOPED_TRACE(std::to_string(workers) + " workers");
    weir::runtime rt(with_workers(workers));
    for (int round = 0; round < 20; ++round) rt.run(fact);
  }
}

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

TEST(ForkEach, OfTwoExceptionsTheLowestIndexWins) {
  weir::runtime rt(with_workers(2));
  for (const std::size_t n : {2u, 16u, 20u}) {
    for (int round = 0; round < 50; ++round) {
      rt.run([&] {
        std::atomic<bool> later_threw{false};
        try {
          fork_each(n, [&](std::size_t i) {
            if (i == 0) {
              if (round % 2 == 0) eventually([&] { return later_threw.load(); }, 50ms);
              throw std::out_of_range("first");
            }
            later_threw = true;
            throw std::invalid_argument("later");
          });
          ADD_FAILURE() << "nothing thrown";
        } catch (const std::out_of_range&) {
        } catch (const std::invalid_argument&) {
          ADD_FAILURE() << "a later exception won";
        }
      });
    }
  }
}

TEST(ForkEach, ACallableWithAStateIsUsedInPlace) {
  struct counter {
    std::size_t sum = 0;
    void operator()(std::size_t i) { sum += i; }
  };
  struct owner {
    std::unique_ptr<std::atomic<std::size_t>> sum = std::make_unique<std::atomic<std::size_t>>(0);
    void operator()(std::size_t i) const { *sum += i; }
  };
  everywhere([] {
    owner o;  // cannot be copied
    fork_each(100, o);
    EXPECT_EQ(*o.sum, 4950u);
  });
  const auto alone = [] {
    counter c;
    fork_each(10, c);
    EXPECT_EQ(c.sum, 45u);
    fork_each(100, c);
    EXPECT_EQ(c.sum, 45u + 4950u);
  };
  alone();
  weir::runtime rt(with_workers(1));
  rt.run(alone);
}

TEST(ForkEach, WhatItReturnsIsDropped) {
  everywhere([] {
    std::atomic<int> n{0};
    fork_each(20, [&n](std::size_t) { return ++n; });
    EXPECT_EQ(n, 20);
  });
}

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
std::size_t spine(std::size_t depth) {
  if (depth == 0) return 0;
  std::size_t below[2];
  fork_each(2, [&below, depth](std::size_t i) { below[i] = i == 0 ? spine(depth - 1) : 1; });
  return below[0] + below[1];
}

TEST(ForkEach, DeeperThanTheDequeIsFine) {
  weir::options o = with_workers(2);
  o.stack_size = std::size_t{256} << 20;
  weir::runtime rt(o);
  for (const std::size_t depth : {std::size_t{4095}, std::size_t{4096}, sanitized ? std::size_t{5000} : std::size_t{12'000}})
    for (int round = 0; round < 3; ++round) EXPECT_EQ(rt.run([=] { return spine(depth); }), depth);
}

}  // namespace
