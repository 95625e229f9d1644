// The idle protocol alone: who searches, who sleeps, whom to wake. The queue here is a number.
#include "idle.hpp"
#include "parker.hpp"

#include <allocations.hpp>
#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace idle_test {
namespace {

using namespace test;
using weir::detail::os_atomics;
using idle_state = weir::detail::idle_state<os_atomics>;

// 0, or 2 where there is no membarrier and every publisher looks.
std::uint32_t floor_of_hint() { return os_atomics::asymmetric() ? 0 : 2; }

TEST(IdleProtocol, BeginsWithNobodyAsleepAndNothingToDoForPublishers) {
  idle_state s(4);
  EXPECT_EQ(s.hint(), floor_of_hint());
  EXPECT_FALSE(s.any_parked());
  EXPECT_FALSE(s.any_hungry());
  EXPECT_FALSE(s.searched());
  EXPECT_FALSE(s.should_wake());
}

TEST(IdleProtocol, HasNobodyToClaimWhenNobodySleeps) {
  idle_state s(130);
  EXPECT_EQ(s.claim(), -1);
  EXPECT_EQ(s.claim(true), -1);
  EXPECT_FALSE(s.claim_one(129));
  EXPECT_FALSE(s.cancel(0));
}

TEST(IdleProtocol, ASleeperIsSeenClaimedOnceAndSearchesFromThenOn) {
  idle_state s(4);
  s.enter_search();
  EXPECT_TRUE(s.searched());
  s.prepare(2, false);
  EXPECT_NE(s.hint(), floor_of_hint());
  EXPECT_FALSE(s.searched());
  EXPECT_TRUE(s.should_wake());
  EXPECT_EQ(s.claim(), 2);
  EXPECT_EQ(s.searchers(), 1u);
  EXPECT_FALSE(s.should_wake()) << "the woken one searches";
  EXPECT_EQ(s.claim(), -1);
  EXPECT_FALSE(s.cancel(2)) << "its wake-up belongs to the claimer";
}

TEST(IdleProtocol, ASleeperThatFindsWorkClaimsItself) {
  idle_state s(4);
  s.enter_search();
  s.prepare(0, false);
  EXPECT_TRUE(s.cancel(0));
  EXPECT_EQ(s.searchers(), 1u);
  EXPECT_FALSE(s.any_parked());
}

TEST(IdleProtocol, NapsAreNotDisturbedByForks) {
  idle_state s(4);
  for (const unsigned id : {0u, 1u}) {
    s.enter_search();
    s.prepare(id, id == 0);
  }
  EXPECT_EQ(s.claim(true), 1);
  EXPECT_EQ(s.claim(true), -1);
  EXPECT_FALSE(s.any_hungry());
  EXPECT_EQ(s.claim(), 0) << "tasks do";
}

TEST(IdleProtocol, TheLastSearcherOwesALookWhenSomebodySleeps) {
  idle_state s(4);
  for (int i = 0; i < 3; ++i) s.enter_search();
  s.prepare(0, false);
  EXPECT_FALSE(s.leave_with_work()) << "another one searches";
  EXPECT_TRUE(s.leave_with_work());
  EXPECT_EQ(s.claim(), 0);
  EXPECT_FALSE(s.leave_with_work()) << "nobody sleeps";
}

TEST(IdleProtocol, PublishingBecomesCheapAgainWhenNobodySleeps) {
  idle_state s(4);
  s.enter_search();
  s.prepare(0, false);
  EXPECT_FALSE(s.relax_hint()) << "somebody does";
  EXPECT_NE(s.hint(), floor_of_hint());
  EXPECT_EQ(s.claim(), 0);
  EXPECT_FALSE(s.relax_hint());
  EXPECT_EQ(s.hint(), floor_of_hint());
}

TEST(IdleProtocol, AWatcherTakesTheWakingOverFromPublishers) {
  idle_state s(4);
  s.enter_search();
  s.prepare(0, false);
  s.begin_watch();
  EXPECT_TRUE(s.watched());
  EXPECT_EQ(s.hint(), floor_of_hint() | idle_state::watched_hint);
  s.end_watch();
  EXPECT_FALSE(s.watched());
  EXPECT_EQ(s.hint(), floor_of_hint() | 1);
}

TEST(IdleProtocol, WhoGetsUpFromAWatchTakesBackWhatPublishersLeftToHim) {
  idle_state s(4);
  for (const bool another : {false, true}) {
    if (another) {
      s.enter_search();
      s.prepare(1, false);
    }
    s.enter_search();
    s.prepare(0, false);
    s.begin_watch();
    s.leave_watch();
    ASSERT_TRUE(s.cancel(0));
    EXPECT_FALSE(s.relax_hint()) << "the search that it is back in finds what there is";
    EXPECT_EQ(s.hint(), floor_of_hint() | (another ? 1u : 0u));
    EXPECT_FALSE(s.leave_with_work() && !another);
  }
}

TEST(IdleProtocol, WhatAWorkerCallsWhenItGoesToSleepOthersHearWhenItShows) {
  idle_state s(4);
  s.enter_search();
  bool showed = false;
  s.prepare(2, false, [&] { showed = s.any_parked() && s.hint() != floor_of_hint() && s.searchers() == 0; });
  EXPECT_TRUE(showed);
}

// A publisher comes by before each operation of a worker that goes to sleep: either it is told whom to wake, or the worker's
// look at the queue, which comes after prepare(), sees the job.
TEST(IdleProtocol, EitherThePublisherSeesTheSleeperOrTheSleeperSeesTheJob) {
  const int places = at_each_operation([](interruption& i) {
    weir::detail::idle_state<interrupted_atomics> s(4);
    bool job = false, woken = false;
    s.enter_search();
    i.arm([&] {
      job = true;
      interrupted_atomics::light_fence();
      if (s.hint() != 0 && s.should_wake()) woken = s.claim() == 1;
    });
    s.prepare(1, false);
    const bool sees = job;
    const bool happened = i.disarm();
    EXPECT_TRUE(!happened || woken || sees);
  });
  EXPECT_GE(places, 4);
}

// The same for one who sleeps already, while another goes over from searching to running.
TEST(IdleProtocol, EitherThePublisherWakesOrTheLastSearcherOwesALook) {
  at_each_operation([](interruption& i) {
    weir::detail::idle_state<interrupted_atomics> s(4);
    bool woken = false;
    s.enter_search();
    s.enter_search();
    s.prepare(3, false);
    i.arm([&] {
      interrupted_atomics::light_fence();
      if (s.hint() != 0 && s.should_wake()) woken = s.claim() == 3;
    });
    const bool owes = s.leave_with_work();
    const bool happened = i.disarm();
    EXPECT_TRUE(!happened || woken || owes);
  });
}

TEST(IdleProtocol, APublisherIsNotSilencedByAHintThatIsRelaxedTooLate) {
  at_each_operation([](interruption& i) {
    weir::detail::idle_state<interrupted_atomics> s(4);
    s.enter_search();
    s.prepare(0, false);
    ASSERT_EQ(s.claim(), 0);
    i.arm([&] {  // another one goes to sleep meanwhile
      s.enter_search();
      s.prepare(1, false);
    });
    const bool look = s.relax_hint();
    if (!i.disarm()) return;
    EXPECT_TRUE(s.hint() != 0) << (look ? "and it said so" : "and nobody was told");
  });
}

TEST(IdleProtocol, InAStampedeOfWakersEachSleeperIsClaimedOnce) {
  constexpr unsigned sleepers = 200;
  for (int round = 0; round < (slow ? 5 : 50); ++round) {
    idle_state s(sleepers);
    for (unsigned i = 0; i < sleepers; ++i) {
      s.enter_search();
      s.prepare(i, false);
    }
    std::vector<std::atomic<int>> claimed(sleepers);
    together(8, [&](unsigned me) {
      if (me == 7)  // sleepers that find something themselves
        for (unsigned i = 0; i < sleepers; i += 3) claimed[i] += s.cancel(i);
      for (int id = s.claim(); id >= 0; id = s.claim()) ++claimed[static_cast<unsigned>(id)];
    });
    for (unsigned i = 0; i < sleepers; ++i) ASSERT_EQ(claimed[i], 1) << "sleeper " << i;
    EXPECT_EQ(s.searchers(), sleepers);
    EXPECT_FALSE(s.any_parked());
  }
}

// Workers and publishers as weir has them, with a counter for a queue. What is lost here is lost for ever: it hangs.
void publishers_and_workers(unsigned publishers, unsigned workers, int each) {
  struct sleeper {
    weir::detail::parker<os_atomics> bed;
    std::atomic<bool> roused{false};
  };
  idle_state idle(workers);
  std::vector<sleeper> beds(workers);
  std::atomic<int> queue{0}, done{0};
  const int all = static_cast<int>(publishers) * each;
  const auto wake_one = [&] {
    if (const int id = idle.claim(); id >= 0) {
      beds[static_cast<unsigned>(id)].roused.store(true, std::memory_order_release);
      beds[static_cast<unsigned>(id)].bed.unpark();
    }
  };
  const auto take = [&] {
    int n = queue.load(std::memory_order_acquire);
    while (n > 0)
      if (queue.compare_exchange_weak(n, n - 1)) return true;
    return false;
  };
  together(publishers + workers, [&](unsigned me) {
    if (me < publishers) {
      for (int i = 0; i < each; ++i) {
        queue.fetch_add(1, std::memory_order_release);
        os_atomics::light_fence();
        if (idle.hint() != 0 && idle.should_wake()) wake_one();
        if (i % 16 == 0)
          while (done.load() < i) std::this_thread::yield();  // let them fall asleep
      }
      return;
    }
    const unsigned id = me - publishers;
    sleeper& mine = beds[id];
    while (done < all) {
      if (take()) {
        if (done.fetch_add(1) + 1 == all)
          for (sleeper& s : beds) s.bed.unpark();
        continue;
      }
      idle.enter_search();
      if (take()) {
        const bool owes = idle.leave_with_work();
        ++done;
        if (owes && queue > 0) wake_one();
        if (done == all)
          for (sleeper& s : beds) s.bed.unpark();
        continue;
      }
      idle.prepare(id, false);
      const auto rise = [&] {
        if (idle.cancel(id)) return;
        while (!mine.roused.exchange(false, std::memory_order_acquire)) mine.bed.park();
      };
      if (queue > 0 || done >= all) {
        rise();
      } else {
        mine.bed.park();
        rise();
        if (idle.relax_hint() && queue > 0) wake_one();
      }
      const bool owes = idle.leave_with_work();
      if (owes && queue > 0) wake_one();
    }
  });
  EXPECT_EQ(done, all);
}

TEST(IdleProtocol, LosesNoWakeUpBetweenOnePublisherAndOneWorker) { publishers_and_workers(1, 1, slow ? 1000 : 10'000); }
TEST(IdleProtocol, LosesNoWakeUpInAStampede) { publishers_and_workers(4, 4, slow ? 500 : 4000); }

// Wakes go to the lowest, so that the load stays on few; but as long as those are busy the next ones get their turn.
TEST(IdleProtocol, WakesEverySleeperWhenTheLowerOnesAreBusy) {
  idle_state s(130);
  for (unsigned i = 0; i < 130; ++i) {
    s.enter_search();
    s.prepare(i, false);
  }
  for (int i = 0; i < 130; ++i) {
    EXPECT_EQ(s.claim(), i);
    s.leave_with_work();
  }
}

TEST(IdleProtocol, ReturnsItsMemoryWhenItIsDestroyed) {
  auto s = std::make_unique<idle_state>(1024);
  s->enter_search();
  s->prepare(1000, true);
  const allocation_count none;
  s.reset();
  EXPECT_EQ(none(), 0u);  // what is not given back is the leak checker's to find
}

}  // namespace
}  // namespace idle_test
