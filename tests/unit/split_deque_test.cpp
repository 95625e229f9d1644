// The split deque alone: what is private, what is public, and who gets a job that two want.
#include <weir/detail/split_deque.hpp>

#include "futex.hpp"

#include <gate.hpp>
#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <type_traits>

namespace split_deque_test {
namespace {

using namespace test;
using weir::detail::os_atomics;
using weir::detail::steal_outcome;

struct item {
  std::atomic<int> taken{0};
  std::atomic<bool> over{false};
};
template <class A, std::uint32_t Capacity>
using deque_of = weir::detail::split_deque<A, weir::detail::pointer_slot<A, item>, Capacity>;
using deque = deque_of<os_atomics, 64>;
// Where nobody can force, the bell rings for ever: each push exposes what it can.
bool always_rung() { return !os_atomics::asymmetric(); }
using interrupted_deque = deque_of<interrupted_atomics, 64>;

// What join_slow does: true when index h is the owner's.
template <class Deque>
bool take_back(Deque& d, std::uint32_t h) {
  return d.pop(h) || d.reclaim(h);
}

TEST(SplitDeque, GivesTheOwnerItsJobsBackNewestFirst) {
  deque d;
  item items[10];
  for (std::uint32_t h = 0; h < 10; ++h) EXPECT_EQ(d.push(h, &items[h]), always_rung()) << "nobody has rung";
  for (std::uint32_t h = 10; h-- > 0;) {
    EXPECT_EQ(d.at(h), &items[h]);
    EXPECT_TRUE(d.pop(h)) << "private, so no look at the thieves";
  }
  EXPECT_EQ(d.head(), 0u);
}

TEST(SplitDeque, WhenEmptyGivesNothing) {
  deque d;
  item* out = nullptr;
  EXPECT_EQ(d.steal(out), steal_outcome::empty);
  EXPECT_EQ(d.force(out), steal_outcome::empty);
  EXPECT_FALSE(d.expose());
  EXPECT_FALSE(d.visible());
  EXPECT_TRUE(d.public_empty());
  EXPECT_EQ(out, nullptr);
}

TEST(SplitDeque, ShowsPrivateJobsButLetsNobodyStealThem) {
  deque d;
  item items[3];
  for (std::uint32_t h = 0; h < 3; ++h) d.push(h, &items[h]);
  item* out = nullptr;
  EXPECT_TRUE(d.visible());
  EXPECT_TRUE(d.public_empty());
  EXPECT_EQ(d.steal(out), steal_outcome::empty);
}

TEST(SplitDeque, TellsTheNextPushThatTheBellRang) {
  deque d;
  item items[3];
  d.ring();
  EXPECT_TRUE(d.rung());
  EXPECT_TRUE(d.push(0, &items[0]));
  d.silence();
  EXPECT_EQ(d.push(1, &items[1]), always_rung());
}

TEST(SplitDeque, AnAnswerThatExposesNothingLeavesTheBellRung) {
  deque d;
  item items[2];
  item* out = nullptr;
  d.ring();
  EXPECT_TRUE(d.push(0, &items[0]));
  EXPECT_EQ(d.force(out), steal_outcome::stolen) << "between the push and the answer";
  EXPECT_FALSE(d.answer_bell());
  EXPECT_TRUE(d.rung()) << "somebody else may have rung, too, and sleep";
  EXPECT_TRUE(d.push(1, &items[1]));
  EXPECT_TRUE(d.answer_bell());
  EXPECT_EQ(d.rung(), always_rung());
}

TEST(SplitDeque, ExposesTheOlderHalf) {
  deque d;
  item items[5];
  for (std::uint32_t h = 0; h < 5; ++h) d.push(h, &items[h]);
  EXPECT_TRUE(d.expose());
  item* out = nullptr;
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(d.steal(out), steal_outcome::stolen);
    EXPECT_EQ(out, &items[i]) << "the oldest first";
  }
  EXPECT_EQ(d.steal(out), steal_outcome::empty);
  EXPECT_TRUE(take_back(d, 4));
  EXPECT_TRUE(take_back(d, 3));
  EXPECT_FALSE(take_back(d, 2)) << "it is with a thief";
}

TEST(SplitDeque, LetsAThiefForceTheOldestFromABusyOwner) {
  deque d;
  item items[5];
  for (std::uint32_t h = 0; h < 5; ++h) d.push(h, &items[h]);
  item* out = nullptr;
  EXPECT_EQ(d.force(out), steal_outcome::stolen);
  EXPECT_EQ(out, &items[0]);
  for (int i = 1; i < 4; ++i) {
    EXPECT_EQ(d.steal(out), steal_outcome::stolen) << "all of the rest became public";
    EXPECT_EQ(out, &items[i]);
  }
  EXPECT_TRUE(take_back(d, 4));
  EXPECT_FALSE(take_back(d, 3));
}

TEST(SplitDeque, SaysThatItIsFull) {
  deque d;
  const auto items = std::make_unique<item[]>(65);
  for (std::uint32_t h = 0; h < 64; ++h) EXPECT_EQ(d.push(h, &items[h]), always_rung());
  EXPECT_TRUE(d.push(64, &items[64])) << "the slack slot";
  EXPECT_TRUE(d.full(64));
  EXPECT_TRUE(take_back(d, 64));
  item* out = nullptr;
  for (int i = 0; i < 64; ++i) {
    EXPECT_TRUE(d.force(out) == steal_outcome::stolen || d.steal(out) == steal_outcome::stolen);
    EXPECT_EQ(out, &items[i]) << "never the one in the slack slot";
  }
  EXPECT_EQ(d.force(out), steal_outcome::empty);
}

TEST(SplitDeque, GivesAThiefNothingBelowItsLowestIndex) {
  deque d;
  item items[4];
  for (std::uint32_t h = 0; h < 4; ++h) d.push(h, &items[h]);
  d.expose();
  item* out = nullptr;
  EXPECT_EQ(d.steal(out, 1), steal_outcome::empty);
  EXPECT_FALSE(d.visible(1));
  EXPECT_EQ(d.steal(out, 0), steal_outcome::stolen);
}

TEST(SplitDeque, AsksStillBeforeAJobIsTaken) {
  deque d;
  item items[4];
  for (std::uint32_t h = 0; h < 4; ++h) d.push(h, &items[h]);
  item* out = nullptr;
  EXPECT_EQ(d.force(out, 0, [] { return false; }), steal_outcome::empty);
  d.expose();
  EXPECT_EQ(d.steal(out, 0, [] { return false; }), steal_outcome::empty);
  // What the owner does slowly after still() was asked makes the steal fail.
  EXPECT_EQ(d.steal(out, 0, [&] { return d.reclaim(3); }), steal_outcome::lost);
}

TEST(SplitDeque, GoesOnBelowAStolenJobOnceItIsClosed) {
  deque d;
  item items[8];
  for (int round = 0; round < 100; ++round) {
    d.push(0, &items[0]);
    d.expose();
    item* out = nullptr;
    ASSERT_EQ(d.steal(out), steal_outcome::stolen);
    ASSERT_FALSE(take_back(d, 0));
    d.open_above(0);
    for (std::uint32_t h = 1; h < 8; ++h) d.push(h, &items[h]);
    for (std::uint32_t h = 8; h-- > 1;) ASSERT_TRUE(take_back(d, h));
    d.close(0);
    ASSERT_FALSE(d.visible());
  }
}

// One owner takes its jobs back, one thief takes what it can, once before each operation of the owner.
TEST(SplitDeque, GivesTheLastJobToTheOwnerOrToTheThiefNeverToBoth) {
  for (const bool exposed : {false, true}) {
    for (const bool forcing : {false, true}) {
      if (forcing && !interrupted_atomics::asymmetric()) continue;  // nobody forces without membarrier
      for (std::uint32_t jobs = 1; jobs <= 4; ++jobs) {
        const int places = at_each_operation([&](interruption& i) {
          interrupted_deque d;
          item items[4];
          for (std::uint32_t h = 0; h < jobs; ++h) d.push(h, &items[h]);
          if (exposed) d.expose();
          i.arm([&] {
            item* out = nullptr;
            if ((forcing ? d.force(out) : d.steal(out)) == steal_outcome::stolen) ++out->taken;
          });
          for (std::uint32_t h = jobs; h-- > 0;) {
            if (take_back(d, h)) {
              ++items[h].taken;
            } else {
              d.open_above(h);
              d.close(h);
            }
          }
          i.disarm();
          for (std::uint32_t h = 0; h < jobs; ++h) ASSERT_EQ(items[h].taken, 1) << "job " << h << " of " << jobs;
        });
        EXPECT_GE(places, static_cast<int>(jobs) * 3);
      }
    }
  }
}

// The other way round: the owner takes everything back, or pushes and exposes, before each operation of the thief.
TEST(SplitDeque, GivesAThiefWhoWasOvertakenNothing) {
  for (const bool exposed : {false, true}) {
    for (const bool forcing : {false, true}) {
      if (forcing && !interrupted_atomics::asymmetric()) continue;
      for (const bool refills : {false, true}) {
        at_each_operation([&](interruption& i) {
          interrupted_deque d;
          item items[4], later[4];
          for (std::uint32_t h = 0; h < 3; ++h) d.push(h, &items[h]);
          if (exposed) d.expose();
          i.arm([&] {
            for (std::uint32_t h = 3; h-- > 0;) {
              if (take_back(d, h)) {
                ++items[h].taken;
              } else {
                d.open_above(h);
                d.close(h);
              }
            }
            if (!refills) return;
            for (std::uint32_t h = 0; h < 4; ++h) d.push(h, &later[h]);
            d.expose();
          });
          item* out = nullptr;
          if ((forcing ? d.force(out) : d.steal(out)) == steal_outcome::stolen) ++out->taken;
          if (!i.disarm()) return;
          const bool refilled = refills;
          for (std::uint32_t h = 4; refilled && h-- > 0;)
            if (take_back(d, h)) ++later[h].taken;
          for (int h = 0; h < 3; ++h) ASSERT_EQ(items[h].taken, 1) << "job " << h;
          for (int h = 0; refilled && h < 4; ++h) ASSERT_EQ(later[h].taken, 1) << "later job " << h;
        });
      }
    }
  }
}

// The owner nests to a random depth and takes everything back; thieves take what they can.
void owner_and_thieves(unsigned thieves, int rounds) {
  deque d;
  auto items = std::make_unique<item[]>(64);
  std::atomic<bool> stop{false};
  std::atomic<long> by_thieves{0};
  together(thieves + 1, [&](unsigned me) {
    std::uint64_t random = 0x9e3779b97f4a7c15u * (me + 1);
    const auto next = [&random] {
      random ^= random << 13;
      random ^= random >> 7;
      return random ^= random << 17;
    };
    if (me != 0) {
      while (!stop) {
        item* out = nullptr;
        steal_outcome o = d.steal(out);
        if (o == steal_outcome::empty && os_atomics::asymmetric() && next() % 16 == 0) o = d.force(out);
        if (o == steal_outcome::stolen) {
          ++out->taken;
          ++by_thieves;
          out->over.store(true, std::memory_order_release);
        } else {
          d.ring();
          if (next() % 64 == 0) std::this_thread::yield();
        }
      }
      return;
    }
    for (int r = 0; r < rounds; ++r) {
      const auto depth = static_cast<std::uint32_t>(1 + next() % 64);
      for (std::uint32_t h = 0; h < depth; ++h) {
        items[h].taken = 0;
        items[h].over = false;
        if (d.push(h, &items[h]) && !d.full(h)) {
          d.answer_bell();
        }
      }
      if (next() % 32 == 0) std::this_thread::yield();  // a long leaf: what is private must be forced
      for (std::uint32_t h = depth; h-- > 0;) {
        if (take_back(d, h)) {
          ++items[h].taken;
        } else {
          d.open_above(h);
          while (!items[h].over.load(std::memory_order_acquire)) std::this_thread::yield();
          d.close(h);
        }
        ASSERT_EQ(items[h].taken, 1) << "job " << h << ", round " << r;
      }
    }
    stop = true;
  });
  EXPECT_FALSE(d.visible());
}

TEST(SplitDeque, SharesItsJobsBetweenOwnerAndOneThiefOnceEach) { owner_and_thieves(1, slow ? 2000 : 20'000); }
TEST(SplitDeque, SharesItsJobsAmongAStampedeOfThievesOnceEach) { owner_and_thieves(7, slow ? 500 : 30'000); }

// An owner that never stops pushing and popping still answers the bell.
TEST(SplitDeque, AnswersAHungryThiefWhileTheOwnerGoesOn) {
  deque d;
  item items[4];
  std::atomic<int> stolen{0};
  together(2, [&](unsigned me) {
    if (me == 0) {
      while (stolen < 200) {
        for (std::uint32_t h = 0; h < 4; ++h) {
          items[h].over = false;
          if (d.push(h, &items[h])) {
            d.answer_bell();
          }
        }
        std::this_thread::yield();  // what is exposed and taken back at once is nobody's to steal
        for (std::uint32_t h = 4; h-- > 0;) {
          if (take_back(d, h)) continue;
          d.open_above(h);
          while (!items[h].over.load(std::memory_order_acquire)) std::this_thread::yield();
          d.close(h);
        }
      }
      return;
    }
    while (stolen < 200) {
      item* out = nullptr;
      if (d.steal(out) == steal_outcome::stolen) {
        out->over.store(true, std::memory_order_release);
        ++stolen;
      } else {
        d.ring();
        std::this_thread::yield();
      }
    }
  });
  EXPECT_GE(stolen, 200);
}

// An owner that sits in a long leaf hides nothing: thieves force out all it has.
TEST(SplitDeque, HidesNothingBehindAnOwnerThatDoesNotAnswer) {
  if (!os_atomics::asymmetric()) {  // then nobody may force, and what is private stays so
    deque d;
    item i;
    d.push(0, &i);
    item* out = nullptr;
    EXPECT_EQ(d.steal(out), steal_outcome::empty);
    return;
  }
  deque d;
  item items[64];
  for (std::uint32_t h = 0; h < 64; ++h) d.push(h, &items[h]);
  std::atomic<int> left{64};
  together(3, [&](unsigned) {
    while (left > 0) {
      item* out = nullptr;
      if (d.steal(out) != steal_outcome::stolen && d.force(out) != steal_outcome::stolen) continue;
      ++out->taken;
      --left;
    }
  });
  for (const item& i : items) EXPECT_EQ(i.taken, 1);
}

// It holds pointers and owns nothing: what is left in it when it goes is not touched.
TEST(SplitDeque, TouchesNothingOfItsJobsWhenItIsDestroyed) {
  static_assert(std::is_trivially_destructible_v<weir::detail::pointer_slot<os_atomics, item>>);
  auto d = std::make_unique<deque>();
  for (std::uint32_t h = 0; h < 8; ++h) d->push(h, reinterpret_cast<item*>(std::uintptr_t{64} * (h + 1)));
  d->expose();
  d.reset();
}

}  // namespace
}  // namespace split_deque_test
