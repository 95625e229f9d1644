// Admission alone: a pool of credits and the leases that hold some of them in advance.
#include "credits.hpp"
#include "futex.hpp"

#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <type_traits>
#include <vector>

namespace credits_test {
namespace {

using namespace test;
using weir::detail::os_atomics;
using pool = weir::detail::credit_pool<os_atomics>;
using lease = weir::detail::credit_lease<os_atomics>;

constexpr auto none_started = [] { return std::uint64_t{0}; };

// One use by whichever way it goes.
template <class Lease>
bool use(Lease& l) {
  return l.try_use() || l.settle();
}

TEST(Credits, ArePartOfACapacityThatIsExact) {
  pool p(10);
  EXPECT_EQ(p.acquire(1, 4, none_started), 4u);
  EXPECT_EQ(p.acquire(1, 100, none_started), 6u);
  EXPECT_EQ(p.acquire(1, 1, none_started), 0u);
  EXPECT_EQ(p.free(none_started), 0u);
  EXPECT_EQ(p.acquire(1, 8, [] { return std::uint64_t{3}; }), 3u) << "what has started is free again";
}

TEST(Credits, AreRefusedByAnEmptyPoolAndAnEmptyLease) {
  pool p(2);
  EXPECT_EQ(p.acquire(3, 3, none_started), 0u) << "fewer than the least";
  EXPECT_EQ(p.free(none_started), 2u) << "and nothing was taken";
  lease l;
  EXPECT_FALSE(l.try_use());
  EXPECT_FALSE(l.settle());
  EXPECT_EQ(l.used(), 0u) << "undone";
  EXPECT_EQ(l.recall(), 0u);
}

TEST(Credits, ThatAreHandedBackAreCounted) {
  pool p(4);
  EXPECT_EQ(p.acquire(4, 4, none_started), 4u);
  const std::uint64_t before = p.returns();
  p.give_back(2);
  EXPECT_EQ(p.returns(), before + 1);
  EXPECT_EQ(p.free(none_started), 2u);
}

TEST(Credits, OfALeaseAreUsedUpOneByOne) {
  lease l;
  ASSERT_TRUE(l.grant(5, 1));
  for (int i = 0; i < 4; ++i) EXPECT_TRUE(use(l));
  EXPECT_FALSE(use(l));
  EXPECT_EQ(l.used(), 5u);
  EXPECT_EQ(l.used_settled(), 5u);
}

TEST(Credits, ThatAreNotUsedCanBeRecalledByAnybody) {
  lease l;
  ASSERT_TRUE(l.grant(8, 1));
  EXPECT_TRUE(use(l));
  EXPECT_EQ(l.recall(), 6u);
  EXPECT_EQ(l.recall(), 0u);
  EXPECT_FALSE(use(l));
  ASSERT_TRUE(l.grant(1, 1)) << "recalled is not shut";
  EXPECT_EQ(l.used(), 3u);
}

TEST(Credits, OfAShutLeaseAreVoid) {
  lease l;
  ASSERT_TRUE(l.grant(8, 1));
  pool p(8);
  ASSERT_EQ(p.acquire(8, 8, none_started), 8u);
  weir::detail::shut_all(p, [&](auto f) { f(l); });
  EXPECT_EQ(p.free(none_started), 7u);
  EXPECT_FALSE(use(l));
  EXPECT_FALSE(l.grant(1, 1));
  EXPECT_EQ(l.used(), 1u);
}

// A recall comes before each operation of a use: used or recalled, never both and never neither.
TEST(Credits, AreEitherUsedOrRecalledWhereverTheRecallComesIn) {
  for (const std::uint64_t granted : {std::uint64_t{1}, std::uint64_t{2}, std::uint64_t{5}}) {
    const int places = at_each_operation([granted](interruption& i) {
      weir::detail::credit_lease<interrupted_atomics> l;
      ASSERT_TRUE(l.grant(granted, 0));
      std::uint64_t recalled = 0;
      i.arm([&] { recalled = l.recall(); });
      const bool quick = l.try_use();
      i.disarm();
      const bool used = quick || l.settle();
      ASSERT_EQ(recalled + (used ? 1 : 0) + l.recall(), granted);
      ASSERT_EQ(l.used(), used ? 1u : 0u);
    });
    EXPECT_GE(places, 3);
  }
}

// Owners use what they get hold of, workers start what was accepted, one thread recalls all the time.
void owners_and_workers(unsigned owners, std::uint64_t capacity, std::uint64_t each) {
  pool p(capacity);
  std::vector<std::unique_ptr<lease>> leases;
  for (unsigned i = 0; i < owners; ++i) leases.push_back(std::make_unique<lease>());
  std::atomic<std::uint64_t> accepted{0}, started{0};
  std::atomic<unsigned> running{owners};
  const auto starts = [&] { return started.load(std::memory_order_acquire); };
  together(owners + 2, [&](unsigned me) {
    if (me < owners) {
      lease& l = *leases[me];
      for (std::uint64_t n = 0; n < each;) {
        bool got = use(l);
        if (!got) {
          const std::uint64_t credits = p.acquire(1, 1 + n % 8, starts);
          got = credits != 0 && l.grant(credits, 1);
        }
        if (got) {
          ++n;
          ++accepted;
        } else {
          std::this_thread::yield();
        }
      }
      p.give_back(l.recall());
      --running;
    } else if (me == owners) {  // a worker: accepted is counted late, so what it starts was really accepted
      while (running > 0 || started < accepted)
        if (started < accepted) started.fetch_add(1, std::memory_order_release);
        else std::this_thread::yield();
    } else {
      while (running > 0) {
        for (const auto& l : leases)
          if (const std::uint64_t n = l->recall(); n != 0) p.give_back(n);
        // Accepted first: the difference can only come out too small.
        const std::uint64_t a = accepted.load(), s = started.load();
        ASSERT_LE(a, s + capacity);
        std::this_thread::yield();
      }
    }
  });
  EXPECT_EQ(accepted, owners * each);
  std::uint64_t used = 0;
  for (const auto& l : leases) used += l->used();
  EXPECT_EQ(used, accepted);
  EXPECT_EQ(p.free(starts), capacity) << "at rest every credit is back";
}

// Each time the capacity is used up they wait for the worker to get a processor, which on a busy machine is milliseconds: so the
// number of those times is bounded, not that of the tasks.
TEST(Credits, BalanceBetweenOneOwnerAndOneWorker) { owners_and_workers(1, 16, slow ? 5000 : 32'000); }
TEST(Credits, BalanceInAStampedeOfOwners) {
  for (const std::uint64_t capacity : {std::uint64_t{1}, std::uint64_t{7}, std::uint64_t{100}})
    owners_and_workers(6, capacity, std::min<std::uint64_t>(slow ? 500 : 5000, 330 * capacity));
}

// What one thread cached and does not use reaches another that has none.
TEST(Credits, AreNotWithheldByAnIdleLease) {
  pool p(64);
  lease idle, hungry;
  ASSERT_TRUE(idle.grant(p.acquire(1, 64, none_started), 1));
  EXPECT_EQ(p.acquire(1, 1, none_started), 0u);
  p.give_back(idle.recall());
  ASSERT_TRUE(hungry.grant(p.acquire(1, 64, none_started), 1));
  for (int i = 0; i < 62; ++i) ASSERT_TRUE(use(hungry));
  EXPECT_FALSE(use(hungry)) << "63 and the one that the idle thread did use";
}

TEST(Credits, OfALeaseThatGoesAreForgottenNotReturned) {
  pool p(8);
  auto l = std::make_unique<lease>();
  ASSERT_TRUE(l->grant(p.acquire(1, 8, none_started), 1));
  l.reset();
  EXPECT_EQ(p.free(none_started), 0u) << "giving them back is its owner's business: recall first";
  static_assert(!std::is_copy_constructible_v<lease> && !std::is_copy_constructible_v<pool>);
}

}  // namespace
}  // namespace credits_test
