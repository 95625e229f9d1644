// The parker alone: one thread's place to sleep.
#include "parker.hpp"

#include <gate.hpp>
#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <memory>

namespace parker_test {
namespace {

using namespace test;
using weir::detail::forever;
using weir::detail::os_atomics;
using parker = weir::detail::parker<os_atomics>;

TEST(Parker, ReturnsAtOnceWhenATokenIsThere) {
  parker p;
  EXPECT_FALSE(p.unpark()) << "nobody sleeps: no system call";
  EXPECT_TRUE(p.park());
}

TEST(Parker, WithoutATokenSleepsUntilItsTimeIsOver) {
  parker p;
  const auto t0 = std::chrono::steady_clock::now();
  while (p.park(2'000'000)) FAIL() << "there is no token";
  EXPECT_FALSE(p.park(0));
  if (std::chrono::steady_clock::now() - t0 < 2ms) {
    // Returned early, as every futex wait may; but never with a token.
    EXPECT_FALSE(p.park(1'000'000));
  }
}

TEST(Parker, KeepsOneTokenHoweverManyWereLeft) {
  parker p;
  for (int i = 0; i < 5; ++i) p.unpark();
  EXPECT_TRUE(p.park(forever));
  EXPECT_FALSE(p.park(0));
}

TEST(Parker, WakesASleeperByASystemCallAndNobodyElse) {
  parker p;
  std::atomic<int> tid{0};
  std::atomic<bool> over{false};
  std::thread sleeper([&] {
    tid = thread_id();
    while (!over) EXPECT_TRUE(p.park());
  });
  EXPECT_TRUE(eventually([&] { return tid != 0 && asleep(tid) && p.unpark(); }));  // the chaos build holds it up before it is about to sleep, too
  over = true;
  p.unpark();
  sleeper.join();
  p.park(0);  // it may have gone on before that token
  EXPECT_FALSE(p.unpark());
}

// A waker comes by before each operation of an owner that goes to sleep, including right before the sleep itself.
TEST(Parker, AnOwnerSeesATokenWheneverItIsLeft) {
  const int places = at_each_operation([](interruption& i) {
    weir::detail::parker<interrupted_atomics> p;
    bool came = false;
    i.arm([&] {
      p.unpark();
      came = true;
    });
    const bool token = p.park(3'000'000);
    i.disarm();
    EXPECT_EQ(token, came);
  });
  EXPECT_GE(places, 3);
}

// Waits that return for no reason: park() without a limit goes on sleeping, for its callers may be promised a token.
struct restless : os_atomics {
  static inline std::atomic<int> returns{0};
  static void wait(const weir::detail::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t ns) noexcept {
    if (++returns % 4 != 0) return;
    os_atomics::wait(word, expected, ns < 0 ? 100'000 : ns);
  }
};
TEST(Parker, SleepsOnWhenTheKernelReturnsForNoReason) {
  weir::detail::parker<restless> p;
  std::atomic<bool> left{false};
  std::thread waker([&] {
    eventually([] { return restless::returns > 40; });
    left = true;
    p.unpark();
  });
  EXPECT_TRUE(p.park(forever));
  EXPECT_TRUE(left);
  waker.join();
}

TEST(Parker, PassesTheBallBetweenTwoThreads) {
  parker beds[2];
  int ball = 0;  // no atomic: the token orders it
  const int rounds = slow ? 2000 : 20'000;
  together(2, [&](unsigned me) {
    if (me == 0) beds[0].unpark();
    for (int i = 0; i < rounds; ++i) {
      ASSERT_TRUE(beds[me].park());
      ASSERT_EQ(ball, 2 * i + static_cast<int>(me));
      ++ball;
      beds[1 - me].unpark();
    }
  });
  EXPECT_EQ(ball, 2 * rounds);
}

// Tokens may merge, what they announce may not get lost.
TEST(Parker, LosesNothingInAStampedeOfWakers) {
  parker p;
  constexpr unsigned wakers = 7;
  const int each = slow ? 1000 : 10'000;
  std::atomic<int> announced{0};
  together(wakers + 1, [&](unsigned me) {
    if (me != 0) {
      for (int i = 0; i < each; ++i) {
        announced.fetch_add(1, std::memory_order_relaxed);
        p.unpark();
      }
      return;
    }
    int seen = 0;
    while (seen < static_cast<int>(wakers) * each) {
      ASSERT_TRUE(p.park());
      seen = announced.load(std::memory_order_relaxed);
    }
  });
}

// A waker that never stops leaving tokens does not keep another pair from its own.
TEST(Parker, ServesAPairThoughAnotherIsWokenWithoutEnd) {
  parker noisy, quiet[2];
  std::atomic<bool> stop{false};
  together(4, [&](unsigned me) {
    if (me == 0) {
      while (!stop) noisy.unpark();
      noisy.unpark();
    } else if (me == 1) {
      while (!stop) noisy.park(1'000'000);
    } else {
      const unsigned mine = me - 2;
      if (mine == 0) quiet[0].unpark();
      for (int i = 0; i < 300; ++i) {
        ASSERT_TRUE(quiet[mine].park());
        quiet[1 - mine].unpark();
      }
      stop = true;
    }
  });
}

// The wake needs the address only as a key: the owner may go, and take the parker with it, as soon as it has the token.
TEST(Parker, MayBeDestroyedOnceItsOwnerHasTheToken) {
  for (int i = 0; i < (slow ? 200 : 2000); ++i) {
    auto p = std::make_unique<parker>();
    parker* const raw = p.get();
    std::atomic<bool> go{false};
    std::thread waker([&] {
      go = true;
      raw->unpark();
    });
    while (!go) std::this_thread::yield();
    ASSERT_TRUE(p->park());
    p.reset();
    waker.join();
  }
}

}  // namespace
}  // namespace parker_test
