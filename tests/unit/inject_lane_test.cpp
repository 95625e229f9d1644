// A lane alone: which job goes ahead of the queue, and that it overtakes none of its thread's.
#include "inject_lane.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace inject_lane_test {
namespace {

using weir::detail::job;
using lane = weir::detail::inject_lane;

struct InjectLane : testing::Test {
  lane l{true};
  lane::producer mine{l}, others{l};
  lane::consumer c{l};

  bool submit(std::uint64_t n) { return submit(mine, n); }
  bool submit(lane::producer& p, std::uint64_t n) { return l.submit(p, 2, n, ~n); }
  std::vector<std::uint64_t> take(std::size_t most) {
    job out[32];
    std::vector<std::uint64_t> got;
    for (std::size_t n = l.take(c, out, most), i = 0; i < n; ++i) {
      EXPECT_EQ(out[i].data[1], ~out[i].data[0]);
      got.push_back(out[i].data[0]);
    }
    return got;
  }
};
using numbers = std::vector<std::uint64_t>;

TEST_F(InjectLane, GoesThroughItsQueueUntilAWorkerSpins) {
  ASSERT_TRUE(submit(1));
  EXPECT_FALSE(l.express_waits());
  EXPECT_EQ(take(32), numbers{1});
  l.heat();
  ASSERT_TRUE(submit(2));
  EXPECT_TRUE(l.express_waits());
  EXPECT_FALSE(l.empty());
  EXPECT_EQ(l.size(), 1u);
  EXPECT_EQ(take(32), numbers{2});
  EXPECT_TRUE(l.empty());
  EXPECT_EQ(take(32), numbers{});
}

TEST_F(InjectLane, AJobOvertakesNothingOfItsOwnThreads) {
  for (std::uint64_t n = 0; n < 3; ++n) ASSERT_TRUE(submit(n));
  l.heat();
  ASSERT_TRUE(submit(3));
  EXPECT_FALSE(l.express_waits()) << "three of its thread's are still queued";
  EXPECT_FALSE(l.hot()) << "and nobody needs to try until a worker spins";
  EXPECT_EQ(take(32), (numbers{0, 1, 2, 3}));
}

TEST_F(InjectLane, ABulkIsAsGoodAsASubmitForThat) {
  const job bulk[2] = {{2, {0, ~std::uint64_t{0}}}, {2, {1, ~std::uint64_t{1}}}};
  l.heat();
  ASSERT_TRUE(l.enqueue(mine, bulk, 2));
  EXPECT_FALSE(l.express_waits());
  ASSERT_TRUE(submit(2));
  EXPECT_FALSE(l.express_waits());
  EXPECT_EQ(take(32), (numbers{0, 1, 2}));
}

TEST_F(InjectLane, AThreadThatHasNothingQueuedDoesNotMindWhatOthersHave) {
  ASSERT_TRUE(submit(others, 7));
  l.heat();
  ASSERT_TRUE(submit(1));
  EXPECT_TRUE(l.express_waits());
  EXPECT_EQ(take(32), (numbers{1, 7})) << "and neither waits for the other's sake";
}

TEST_F(InjectLane, AThreadsNextJobTakesTheOneInTheSlotAlongToTheQueue) {
  l.heat();
  ASSERT_TRUE(submit(0));
  EXPECT_TRUE(l.express_waits());
  for (std::uint64_t n = 1; n < 4; ++n) ASSERT_TRUE(submit(n));
  EXPECT_FALSE(l.express_waits());
  EXPECT_EQ(take(1), numbers{0});
  EXPECT_EQ(take(32), (numbers{1, 2, 3}));
}

TEST_F(InjectLane, ABulkDoesSoToo) {
  const job bulk[2] = {{2, {1, ~std::uint64_t{1}}}, {2, {2, ~std::uint64_t{2}}}};
  l.heat();
  ASSERT_TRUE(submit(0));
  ASSERT_TRUE(l.enqueue(mine, bulk, 2));
  EXPECT_FALSE(l.express_waits());
  EXPECT_EQ(take(32), (numbers{0, 1, 2}));
}

TEST_F(InjectLane, AnothersJobInTheSlotStaysThere) {
  l.heat();
  ASSERT_TRUE(submit(0));
  ASSERT_EQ(take(32), numbers{0});
  l.heat();
  ASSERT_TRUE(submit(others, 7));
  ASSERT_TRUE(submit(1));
  EXPECT_TRUE(l.express_waits());
  EXPECT_EQ(take(32), (numbers{7, 1}));
}

TEST_F(InjectLane, WhoSawTheQueueEmptyTakesTheJobWithoutAnotherLook) {
  using look = lane::look;
  EXPECT_EQ(l.poll(), look::nothing);
  l.heat();
  ASSERT_TRUE(submit(1));
  EXPECT_EQ(l.poll(), look::slot_only);
  ASSERT_TRUE(submit(others, 7));
  EXPECT_EQ(l.poll(), look::queued);
  job out[32];
  ASSERT_EQ(l.take(c, out, 32, true), 1u);
  EXPECT_EQ(out[0].data[0], 1u);
  EXPECT_EQ(take(32), numbers{7});
}

TEST_F(InjectLane, WhoTakesOneAtATimeLooksAtTheQueueNext) {
  for (std::uint64_t n = 1; n < 4; ++n) {
    l.heat();
    ASSERT_TRUE(submit(n));
    ASSERT_TRUE(submit(others, 10 + n));
  }
  // Two of the first thread's went along with the next into the queue.
  numbers all;
  for (numbers got; !(got = take(1)).empty();) all.push_back(got[0]);
  EXPECT_EQ(all.size(), 6u);
  l.heat();
  ASSERT_TRUE(submit(5));
  ASSERT_TRUE(submit(others, 15));
  ASSERT_TRUE(l.express_waits());
  EXPECT_EQ(take(1), numbers{5});
  l.heat();
  ASSERT_TRUE(submit(6));
  ASSERT_TRUE(l.express_waits());
  EXPECT_EQ(take(1), numbers{15}) << "which has waited while another came through the slot";
  EXPECT_EQ(take(1), numbers{6});
  EXPECT_EQ(take(1), numbers{});
}

TEST_F(InjectLane, SaysWhoHasFoundHisLastJobInTheSlot) {
  EXPECT_FALSE(l.lately(c));
  l.heat();
  ASSERT_TRUE(submit(1));
  EXPECT_EQ(take(32), numbers{1});
  EXPECT_TRUE(l.lately(c));
  EXPECT_EQ(take(32), numbers{});
  EXPECT_TRUE(l.lately(c)) << "an empty look changes nothing";
  l.found_elsewhere(c);
  EXPECT_FALSE(l.lately(c));
  ASSERT_TRUE(submit(2));
  EXPECT_EQ(take(32), numbers{2});
  ASSERT_TRUE(submit(3));
  ASSERT_TRUE(submit(4));
  EXPECT_EQ(take(32), (numbers{3, 4}));
  EXPECT_FALSE(l.lately(c)) << "the queue it was";
}

// With so many producers a look at the queue is no trifle.
TEST(InjectLaneOfMany, NotEachSubmitLooksWhetherTheQueueIsEmpty) {
  lane l{true};
  std::vector<std::unique_ptr<lane::producer>> many;
  for (int i = 0; i < 64; ++i) many.push_back(std::make_unique<lane::producer>(l));
  lane::consumer c(l);
  job j;
  ASSERT_TRUE(l.submit(*many[0], 2, 0, 0));
  ASSERT_EQ(l.take(c, &j, 1), 1u);
  l.heat();
  int queued = 0;
  while (!l.express_waits()) {
    ASSERT_LE(++queued, 5) << "one in 64 / 16 does, at least";
    ASSERT_TRUE(l.submit(*many[0], 2, 0, 0));
    if (!l.express_waits()) {
      ASSERT_EQ(l.take(c, &j, 1), 1u);
    }
  }
  EXPECT_EQ(queued, 5);
}

// What the lane needs of a queue, and no memory from the `left`th enqueue on.
struct poor_queue {
  using element = weir::detail::queued_job;
  struct producer {
    explicit producer(poor_queue&) {}
  };
  using consumer = producer;
  bool enqueue(producer&, const element& j) noexcept {
    if (left == 0) return false;
    --left;
    jobs.push_back(j);
    return true;
  }
  bool enqueue(producer&, const job*, std::size_t) noexcept { return false; }
  std::size_t take(consumer&, job* out, std::size_t) noexcept {
    if (jobs.empty()) return 0;
    *out = jobs.front();
    jobs.erase(jobs.begin());
    return 1;
  }
  bool empty() const noexcept { return jobs.empty(); }
  std::size_t size() const noexcept { return jobs.size(); }
  static inline std::size_t left = 0;
  std::vector<job> jobs;
};

TEST(InjectLaneWithoutMemory, KeepsAnEarlierJobWhereItIsOrInTheQueue) {
  using poor_lane = weir::detail::lane_adaptor<weir::detail::os_atomics, poor_queue>;
  for (const std::size_t enough_for : {0u, 1u}) {
    poor_lane l{true};
    poor_lane::producer p(l);
    poor_lane::consumer c(l);
    poor_queue::left = enough_for;
    l.heat();
    ASSERT_TRUE(l.submit(p, 2, 1, 0));
    EXPECT_FALSE(l.submit(p, 2, 2, 0));
    EXPECT_EQ(l.express_waits(), enough_for == 0);
    EXPECT_EQ(l.size(), 1u);
    poor_queue::left = 2;
    ASSERT_TRUE(l.submit(p, 2, 3, 0));
    job j[4];
    std::vector<std::uint64_t> seen;
    for (std::size_t n; (n = l.take(c, j, 1)) != 0;) seen.push_back(j[0].data[0]);
    EXPECT_EQ(seen, (std::vector<std::uint64_t>{1, 3}));
  }
}

TEST_F(InjectLane, AStreamMakesSubmittersForgetTheSlotAndSingleJobsRemindThem) {
  l.heat();
  for (std::uint64_t n = 0; n < 8; ++n) ASSERT_TRUE(submit(n));
  l.heat();
  EXPECT_EQ(take(32).size(), 8u);
  EXPECT_FALSE(l.hot());
  for (std::uint64_t n = 0; n < 2; ++n) {
    EXPECT_FALSE(l.hot());
    ASSERT_TRUE(submit(n));
    EXPECT_EQ(take(32), numbers{n});
  }
  EXPECT_TRUE(l.hot());
}

TEST_F(InjectLane, ASweepOfAThreadsOwnQueueLeavesTheSlotAlone) {
  ASSERT_TRUE(submit(1));
  l.heat();
  ASSERT_TRUE(submit(others, 7));
  job out[4];
  ASSERT_EQ(l.take_own(mine, out, 4), 1u);
  EXPECT_EQ(out[0].data[0], 1u);
  EXPECT_EQ(l.take_own(others, out, 4), 0u);
  EXPECT_TRUE(l.express_waits());
  EXPECT_EQ(l.take(out, 4), 1u) << "who has no token of his own finds it, too";
  EXPECT_EQ(out[0].data[0], 7u);
}

TEST(InjectLaneWithoutASlot, IsNeverHot) {
  lane l{false};
  lane::producer p(l);
  lane::consumer c(l);
  l.heat();
  job j;
  for (std::uint64_t n = 0; n < 10; ++n) {
    ASSERT_TRUE(l.submit(p, 2, n, 0));
    EXPECT_FALSE(l.express_waits());
    EXPECT_EQ(l.take(c, &j, 1), 1u);
  }
  EXPECT_FALSE(l.hot());
}

}  // namespace
}  // namespace inject_lane_test
