// The inject queue alone: what weir relies on of the queue behind it, so that a version that breaks it is noticed.
#include "inject_queue.hpp"

#include <gate.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <malloc.h>
#include <memory>
#include <vector>

namespace inject_queue_test {
namespace {

using namespace test;
using weir::detail::inject_queue;
using weir::detail::job;

job numbered(std::uint64_t sender, std::uint64_t n) { return {static_cast<std::uintptr_t>(2), {sender, n}}; }

TEST(InjectQueue, IsFirstInFirstOutForEachProducer) {
  inject_queue q;
  inject_queue::producer p(q);
  inject_queue::consumer c(q);
  for (std::uint64_t i = 0; i < 1000; ++i) ASSERT_TRUE(q.enqueue(p, numbered(0, i)));
  EXPECT_EQ(q.size(), 1000u);
  job out[32];
  for (std::uint64_t next = 0; next < 1000;) {
    const std::size_t n = q.take(c, out, 32);
    ASSERT_GT(n, 0u);
    for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(out[i].data[1], next++);
  }
  EXPECT_TRUE(q.empty());
}

TEST(InjectQueue, WhenEmptyGivesNothing) {
  inject_queue q;
  inject_queue::producer p(q);
  inject_queue::consumer c(q);
  job out[4];
  EXPECT_TRUE(q.empty());
  EXPECT_EQ(q.take(c, out, 4), 0u);
  EXPECT_EQ(q.take(out, 4), 0u);
  EXPECT_EQ(q.take_own(p, out, 4), 0u);
  ASSERT_TRUE(q.enqueue(p, numbered(0, 1)));
  EXPECT_EQ(q.take(c, out, 4), 1u);
  EXPECT_EQ(q.take(c, out, 4), 0u);
  EXPECT_TRUE(q.empty());
}

TEST(InjectQueue, TakesABulkAsAWholeAndInOrder) {
  inject_queue q;
  inject_queue::producer p(q);
  std::vector<job> jobs;
  for (std::uint64_t i = 0; i < 500; ++i) jobs.push_back(numbered(0, i));
  ASSERT_TRUE(q.enqueue(p, jobs.data(), jobs.size()));
  EXPECT_EQ(q.size(), 500u);
  job out[512];
  EXPECT_EQ(q.take(out, 512), 500u);
  for (std::uint64_t i = 0; i < 500; ++i) EXPECT_EQ(out[i].data[1], i);
}

TEST(InjectQueue, GivesAProducerItsOwnJobsOnly) {
  inject_queue q;
  inject_queue::producer a(q), b(q);
  ASSERT_TRUE(q.enqueue(a, numbered(1, 0)));
  ASSERT_TRUE(q.enqueue(b, numbered(2, 0)));
  job out[4];
  ASSERT_EQ(q.take_own(b, out, 4), 1u);
  EXPECT_EQ(out[0].data[0], 2u);
  EXPECT_EQ(q.take_own(b, out, 4), 0u);
  EXPECT_EQ(q.size(), 1u);
}

// Exactly once each; and what one consumer takes of one producer comes in order.
void producers_and_consumers(unsigned producers, unsigned consumers, std::uint64_t each) {
  inject_queue q;
  std::vector<std::unique_ptr<inject_queue::producer>> from;
  for (unsigned i = 0; i < producers; ++i) from.push_back(std::make_unique<inject_queue::producer>(q));
  std::vector<std::vector<std::atomic<unsigned char>>> taken;
  for (unsigned i = 0; i < producers; ++i) taken.emplace_back(each);
  std::atomic<std::uint64_t> left{producers * each};
  std::atomic<bool> ordered{true};
  together(producers + consumers, [&](unsigned me) {
    if (me < producers) {
      for (std::uint64_t i = 0; i < each;) {
        if (i % 7 == 0 && i + 5 <= each) {
          job some[5];
          for (std::uint64_t k = 0; k < 5; ++k) some[k] = numbered(me, i + k);
          ASSERT_TRUE(q.enqueue(*from[me], some, 5));
          i += 5;
        } else {
          ASSERT_TRUE(q.enqueue(*from[me], numbered(me, i++)));
        }
      }
      return;
    }
    inject_queue::consumer c(q);
    std::vector<std::int64_t> last(producers, -1);
    job out[16];
    while (left > 0) {
      const std::size_t n = me % 2 == 0 ? q.take(c, out, 1 + me % 16) : q.take(out, 1 + me % 16);
      for (std::size_t i = 0; i < n; ++i) {
        const auto sender = out[i].data[0];
        const auto number = static_cast<std::int64_t>(out[i].data[1]);
        if (number <= last[sender]) ordered = false;
        last[sender] = number;
        ++taken[sender][static_cast<std::size_t>(number)];
      }
      if (n == 0) std::this_thread::yield();
      left -= n;
    }
  });
  std::size_t wrong = 0;
  for (const auto& of : taken)
    for (const auto& t : of) wrong += t != 1;
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(ordered);
  EXPECT_TRUE(q.empty());
}

TEST(InjectQueue, LosesNothingBetweenOneProducerAndOneConsumer) { producers_and_consumers(1, 1, slow ? 20'000 : 300'000); }
TEST(InjectQueue, LosesNothingInAStampede) { producers_and_consumers(6, 6, slow ? 3000 : 40'000); }

// A take may say "nothing" while a job is there and another consumer is in the middle of a call; empty() must not. Whoever says
// empty about a job that is in the queue would let a worker sleep over it.
TEST(InjectQueue, IsNeverCalledEmptyWhileAJobWaits) {
  inject_queue q;
  inject_queue::producer p(q);
  std::atomic<std::uint64_t> taken{0};
  std::atomic<bool> stop{false};
  const std::uint64_t jobs = slow ? 2000 : 20'000;
  together(4, [&](unsigned me) {
    if (me != 0) {
      inject_queue::consumer c(q);
      job j;
      while (!stop) {
        if ((me == 1 ? q.take(c, &j, 1) : q.take(&j, 1)) == 1) taken.store(j.data[1], std::memory_order_release);
        else std::this_thread::yield();
      }
      return;
    }
    for (std::uint64_t i = 1; i <= jobs; ++i) {
      ASSERT_TRUE(q.enqueue(p, numbered(0, i)));
      // Said empty: then a consumer has it, and will say so without any further help of ours.
      while (!q.empty() && taken.load(std::memory_order_acquire) != i) std::this_thread::yield();
      const bool came = eventually([&] { return taken.load(std::memory_order_acquire) == i; });
      if (!came) stop = true;
      ASSERT_TRUE(came) << "called empty over job " << i;
    }
    stop = true;
  });
}

// A consumer with a token turns to the next producer after its quota, though the first one never runs dry.
TEST(InjectQueue, ServesASubQueueThoughAnotherIsNeverEmpty) {
  inject_queue q;
  inject_queue::producer flood(q), quiet(q);
  inject_queue::consumer c(q);
  std::uint64_t sent = 0;
  const auto refill = [&] {
    while (q.size() < 200) ASSERT_TRUE(q.enqueue(flood, numbered(0, sent++)));
  };
  for (int round = 0; round < 50; ++round) {
    refill();
    ASSERT_TRUE(q.enqueue(quiet, numbered(1, 0)));
    int until_served = 0;
    for (bool served = false; !served; ++until_served) {
      ASSERT_LT(until_served, 200) << "starved";
      job j;
      ASSERT_EQ(q.take(c, &j, 1), 1u);
      served = j.data[0] == 1;
      refill();
    }
  }
}

// Jobs that are left in it are dropped unrun, and its blocks are freed.
TEST(InjectQueue, FreesItsBlocksWhenItIsDestroyed) {
  const auto fill_and_destroy = [] {
    inject_queue q;
    inject_queue::producer p(q);
    for (std::uint64_t i = 0; i < 20'000; ++i) ASSERT_TRUE(q.enqueue(p, numbered(0, i)));
  };
  fill_and_destroy();
  const std::size_t before = ::mallinfo2().uordblks;
  for (int i = 0; i < 20; ++i) fill_and_destroy();
  EXPECT_LT(::mallinfo2().uordblks, before + 256 * 1024) << "one of these queues is half a megabyte";
}

}  // namespace
}  // namespace inject_queue_test
