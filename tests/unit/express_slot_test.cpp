// The place ahead of a lane's queue, alone: one job, whole, once.
#include "express_slot.hpp"
#include "futex.hpp"

#include <gtest/gtest.h>

namespace express_slot_test {
namespace {

using weir::detail::job;
using slot = weir::detail::express_slot<weir::detail::os_atomics>;

TEST(ExpressSlot, GivesAJobWholeAndOnce) {
  slot s;
  slot::turn mine = 0;
  job j{};
  EXPECT_FALSE(s.filled());
  EXPECT_FALSE(s.take(j));
  for (std::uint64_t i = 1; i < 1000; ++i) {
    ASSERT_TRUE(s.offer(mine, i * 2, i, ~i));
    EXPECT_TRUE(s.filled());
    ASSERT_TRUE(s.take(j));
    EXPECT_EQ(j.tagged_ops, i * 2);
    EXPECT_EQ(j.data[0], i);
    EXPECT_EQ(j.data[1], ~i);
    EXPECT_FALSE(s.take(j));
  }
}

TEST(ExpressSlot, ThatIsFullKeepsItsJobAndIsForgotten) {
  slot s;
  slot::turn mine = 0, other = 0;
  s.heat();
  ASSERT_TRUE(s.offer(mine, 2, 1, 1));
  EXPECT_TRUE(s.hot());
  EXPECT_FALSE(s.offer(other, 4, 2, 2));
  EXPECT_FALSE(s.hot());
  job j{};
  ASSERT_TRUE(s.take(j));
  EXPECT_EQ(j.tagged_ops, 2u);
}

TEST(ExpressSlot, GivesASubmitterHisOwnJobBackAndNoOther) {
  slot s;
  slot::turn mine = 0, other = 0;
  job j{};
  ASSERT_TRUE(s.offer(mine, 2, 1, 1));
  ASSERT_TRUE(s.take_back(mine, j));
  EXPECT_EQ(j.tagged_ops, 2u);
  EXPECT_FALSE(s.filled());
  EXPECT_FALSE(s.take(j)) << "while he has it";
  EXPECT_FALSE(s.offer(other, 4, 2, 2));
  s.put_back(mine);
  ASSERT_TRUE(s.take(j));
  EXPECT_FALSE(s.take_back(mine, j)) << "a worker has it";
  ASSERT_TRUE(s.offer(other, 4, 2, 2));
  EXPECT_FALSE(s.take_back(mine, j)) << "it is another's";
  ASSERT_TRUE(s.take_back(other, j));
  EXPECT_EQ(j.tagged_ops, 4u);
  s.let_go(other);
  EXPECT_FALSE(s.take_back(other, j));
  ASSERT_TRUE(s.offer(mine, 6, 3, 3));
}

TEST(ExpressSlot, IsTriedFromWhenAWorkerSaysSo) {
  slot s;
  EXPECT_FALSE(s.hot());
  s.heat();
  EXPECT_TRUE(s.hot());
  s.cool();
  EXPECT_FALSE(s.hot());
}

}  // namespace
}  // namespace express_slot_test
