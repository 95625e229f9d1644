// A lane alone: which job goes ahead of the queue, and that it overtakes none of its thread's.
#include "inject_lane.hpp"

#include <gtest/gtest.h>

#include <vector>

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
  l.heat();
  EXPECT_FALSE(l.poll(c));
  ASSERT_TRUE(submit(1));
  ASSERT_TRUE(submit(others, 7));
  EXPECT_EQ(take(32), numbers{1});
  EXPECT_TRUE(l.poll(c));
  l.heat();
  ASSERT_TRUE(submit(2));
  EXPECT_EQ(take(32), (numbers{2, 7})) << "once";
}

TEST_F(InjectLane, WhoTakesOneAtATimeEndsARunThroughTheSlotWhenSomethingIsQueued) {
  l.heat();
  ASSERT_TRUE(submit(1));
  ASSERT_TRUE(submit(others, 7));
  l.heat();
  EXPECT_EQ(take(1), numbers{1});
  EXPECT_FALSE(l.hot());
  ASSERT_TRUE(submit(2));
  EXPECT_EQ(take(1), numbers{7});
  EXPECT_EQ(take(1), numbers{2});
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
