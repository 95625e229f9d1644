// The run queue alone: a batch of claimed jobs, oldest first for its owner, never hidden from others.
#include "futex.hpp"
#include "run_queue.hpp"

#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <type_traits>
#include <vector>

namespace run_queue_test {
namespace {

using namespace test;
using weir::detail::job;
using weir::detail::os_atomics;
using weir::detail::steal_outcome;
using queue = weir::detail::run_queue<os_atomics>;

// A job that shows when its three words come from different jobs.
job numbered(std::uint64_t n) { return {static_cast<std::uintptr_t>(n * 2), {n * 3, ~n}}; }
std::uint64_t number_of(const job& j) {
  const std::uint64_t n = j.tagged_ops / 2;
  EXPECT_TRUE(j.data[0] == n * 3 && j.data[1] == ~n) << "torn: " << n << ' ' << j.data[0] << ' ' << j.data[1];
  return n;
}

template <class Queue>
void refill(Queue& q, std::uint64_t first, std::size_t n) {
  std::vector<job> jobs;
  for (std::size_t i = 0; i < n; ++i) jobs.push_back(numbered(first + i));
  q.refill(jobs.data(), n);
}
// By whatever way is allowed.
template <class Queue>
bool take(Queue& q, job& out) {
  if (q.steal(out) == steal_outcome::stolen) return true;
  return os_atomics::asymmetric() && q.force(out) == steal_outcome::stolen;
}

TEST(RunQueue, GivesItsOwnerTheOldestFirst) {
  queue q;
  refill(q, 10, queue::capacity);
  job j{};
  for (std::uint64_t i = 0; i < queue::capacity; ++i) {
    ASSERT_TRUE(q.pop(j));
    EXPECT_EQ(number_of(j), 10 + i);
  }
  EXPECT_FALSE(q.pop(j));
}

TEST(RunQueue, WhenEmptyGivesNothing) {
  queue q;
  job j{};
  EXPECT_TRUE(q.owner_empty());
  EXPECT_FALSE(q.visible());
  EXPECT_FALSE(q.pop(j));
  EXPECT_EQ(q.steal(j), steal_outcome::empty);
  EXPECT_EQ(q.force(j), steal_outcome::empty);
}

TEST(RunQueue, GivesThievesTheYoungestFirst) {
  queue q;
  refill(q, 0, 4);
  job j{};
  EXPECT_EQ(q.steal(j), steal_outcome::empty) << "nothing is public yet";
  EXPECT_EQ(q.force(j), steal_outcome::stolen);
  EXPECT_EQ(number_of(j), 3u);
  EXPECT_EQ(q.steal(j), steal_outcome::stolen);
  EXPECT_EQ(number_of(j), 2u);
  ASSERT_TRUE(q.pop(j));
  EXPECT_EQ(number_of(j), 0u);
  ASSERT_TRUE(q.pop(j));
  EXPECT_EQ(number_of(j), 1u);
  EXPECT_FALSE(q.pop(j)) << "the rest was stolen";
  EXPECT_TRUE(q.owner_empty());
}

TEST(RunQueue, IsAsNewAfterThievesHaveEmptiedIt) {
  queue q;
  for (std::uint64_t round = 0; round < 200; ++round) {
    refill(q, round * 10, 5);
    job j{};
    int taken = 0;
    while (q.steal(j) == steal_outcome::stolen || q.force(j) == steal_outcome::stolen) ++taken;
    ASSERT_EQ(taken, 5);
    ASSERT_FALSE(q.pop(j));
    ASSERT_TRUE(q.owner_empty());
    ASSERT_FALSE(q.visible());
  }
}

// A thief comes by before each operation of an owner that empties a batch and refills.
TEST(RunQueue, GivesEachJobToOneSideWhereverAThiefComesIn) {
  for (std::size_t n = 1; n <= 4; ++n) {
    for (const bool forcing : {false, true}) {
      if (forcing && !os_atomics::asymmetric()) continue;
      at_each_operation([&](interruption& i) {
        weir::detail::run_queue<interrupted_atomics> q;
        std::vector<int> taken(20);
        const auto thief = [&] {
          job j{};
          if ((forcing ? q.force(j) : q.steal(j)) == steal_outcome::stolen) ++taken[number_of(j)];
        };
        refill(q, 0, n);
        if (os_atomics::asymmetric()) {  // something is public from the start
          job j{};
          if (q.force(j) == steal_outcome::stolen) ++taken[number_of(j)];
        }
        i.arm(thief);
        job j{};
        while (q.pop(j)) ++taken[number_of(j)];
        refill(q, 10, n);
        while (q.pop(j)) ++taken[number_of(j)];
        i.disarm();
        for (std::size_t k = 0; k < n; ++k) ASSERT_TRUE(taken[k] == 1 && taken[10 + k] == 1) << "job " << k << " of " << n;
      });
    }
  }
}

void owner_and_thieves(unsigned thieves, std::uint64_t batches) {
  queue q;
  std::vector<std::atomic<unsigned char>> taken(batches * queue::capacity);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> sent{0}, stolen{0};
  together(thieves + 1, [&](unsigned me) {
    job j{};
    if (me != 0) {
      while (!stop) {
        if (!take(q, j)) {
          std::this_thread::yield();
          continue;
        }
        ++taken[number_of(j)];
        ++stolen;
      }
      return;
    }
    for (std::uint64_t b = 0; b < batches; ++b) {
      const std::size_t n = 1 + (b * 7) % queue::capacity;
      refill(q, sent, n);
      sent += n;
      if (b % 8 == 0) std::this_thread::yield();
      while (q.pop(j)) ++taken[number_of(j)];
      ASSERT_TRUE(q.owner_empty());
    }
    stop = true;
  });
  std::size_t wrong = 0;
  for (std::uint64_t i = 0; i < sent; ++i) wrong += taken[i] != 1;
  EXPECT_EQ(wrong, 0u) << "of " << sent;
  if (!os_atomics::asymmetric()) {
    EXPECT_EQ(stolen, 0u) << "without membarrier a batch stays with its owner";
  }
}

TEST(RunQueue, SharesItsBatchesBetweenOwnerAndOneThiefOnceEach) { owner_and_thieves(1, slow ? 2000 : 20'000); }
TEST(RunQueue, SharesItsBatchesAmongAStampedeOfThievesOnceEach) { owner_and_thieves(7, slow ? 500 : 30'000); }

// The owner is stuck in its first task: the other jobs of the batch start all the same.
TEST(RunQueue, HidesNothingBehindAnOwnerThatIsStuck) {
  queue q;
  refill(q, 0, queue::capacity);
  job j{};
  ASSERT_TRUE(q.pop(j));
  if (!os_atomics::asymmetric()) {  // batches are of one job then, for nobody may force
    EXPECT_EQ(q.steal(j), steal_outcome::empty);
    return;
  }
  std::atomic<unsigned> left{queue::capacity - 1};
  together(3, [&](unsigned) {
    job mine{};
    while (left > 0)
      if (take(q, mine)) --left;
  });
  EXPECT_FALSE(q.pop(j));
}

TEST(RunQueue, RunsNothingWhenItIsDestroyed) {
  static_assert(std::is_trivially_destructible_v<weir::detail::job_slot<os_atomics>>);
  auto q = std::make_unique<queue>();
  refill(*q, 1, 8);  // no operations behind these: calling one would crash
  q.reset();
}

}  // namespace
}  // namespace run_queue_test
