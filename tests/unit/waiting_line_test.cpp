// The line of those who wait for room, alone.
#include "waiting_line.hpp"

#include <gate.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <thread>
#include <type_traits>
#include <vector>

namespace waiting_line_test {
namespace {

using namespace test;
using weir::detail::forever;
using weir::detail::os_atomics;
using line = weir::detail::waiting_line<os_atomics>;

constexpr std::uint32_t bit = 4;

struct fixture : ::testing::Test {
  weir::detail::attention_word<os_atomics> attention;
  line l{attention, bit};
  std::atomic<int> free{0};
  std::atomic<int> handed_back{0};

  struct room {
    fixture& f;
    bool take() {
      int n = f.free;
      while (n > 0)
        if (f.free.compare_exchange_weak(n, n - 1)) return true;
      return false;
    }
    void give_back() {
      EXPECT_FALSE(f.l.empty()) << "who finds nobody in the line must find the room";
      ++f.free, ++f.handed_back;
    }
  };
  void make_room(int n = 1) {
    free += n;
    if (attention.told(bit)) l.serve(room{*this});
  }
  line::state wait(line::place& me) {
    l.join(me);
    if (l.announce()) l.serve(room{*this});
    line::state s = line::look(me);
    while (s <= line::asleep) s = line::sleep(me, forever);
    if (s != line::served) l.leave(me);
    return s;
  }
};
using WaitingLine = fixture;

TEST_F(WaitingLine, ServesTheFirstFirst) {
  line::place a, b, c;
  for (line::place* p : {&a, &b, &c}) l.join(*p);
  EXPECT_EQ(l.length(), 3u);
  make_room(2);
  l.serve(room{*this});
  EXPECT_EQ(line::look(a), line::served);
  EXPECT_EQ(line::look(b), line::served);
  EXPECT_EQ(line::look(c), line::waiting);
  EXPECT_EQ(l.length(), 1u);
  l.leave(c);
  EXPECT_TRUE(l.empty());
}

TEST_F(WaitingLine, ThatIsEmptyTakesNoRoom) {
  make_room(3);
  l.serve(room{*this});
  EXPECT_EQ(free, 3);
  EXPECT_EQ(attention.bits(), 0u);
  EXPECT_FALSE(l.announce()) << "nobody is in it";
}

TEST_F(WaitingLine, SetsTheBitWhileSomebodyMaySleepInIt) {
  line::place a, b;
  l.join(a);
  EXPECT_EQ(attention.bits(), 0u) << "who only looks for room himself asks nobody";
  EXPECT_TRUE(l.announce());
  EXPECT_FALSE(l.announce()) << "once";
  l.join(b);
  EXPECT_FALSE(l.announce());
  EXPECT_EQ(attention.bits(), bit);
  l.leave(a);
  EXPECT_EQ(attention.bits(), bit);
  make_room();
  EXPECT_EQ(line::look(b), line::served);
  EXPECT_EQ(attention.bits(), 0u);
}

TEST_F(WaitingLine, PassesOverWhoHasAnsweredHimself) {
  line::place a, b;
  l.join(a);
  l.join(b);
  line::answer_oneself(a, line::expired);
  line::answer_oneself(a, line::stopped);
  EXPECT_EQ(line::look(a), line::expired) << "the first answer holds";
  free = 1;
  l.serve(room{*this});
  EXPECT_EQ(line::look(b), line::served) << "with the room that the other had given up";
  l.leave(a);
  l.leave(a);
  EXPECT_TRUE(l.empty());
}

TEST_F(WaitingLine, HandsTheRoomBackWhenNobodyIsLeftToTakeIt) {
  line::place a;
  l.join(a);
  line::answer_oneself(a, line::stopped);
  free = 1;
  l.serve(room{*this});
  EXPECT_EQ(free, 1);
  EXPECT_EQ(handed_back, 1);
  EXPECT_TRUE(l.empty());
}

TEST_F(WaitingLine, TellsWhetherSomebodyStandsInItWithoutRoom) {
  EXPECT_FALSE(l.serve_now(room{*this})) << "nobody is in it";
  line::place a;
  l.join(a);
  EXPECT_TRUE(l.serve_now(room{*this}));
  free = 1;
  EXPECT_FALSE(l.serve_now(room{*this})) << "served";
  EXPECT_EQ(line::look(a), line::served);
}

TEST_F(WaitingLine, IsShutForAllWhoStandInIt) {
  line::place a, b;
  l.join(a);
  l.join(b);
  EXPECT_TRUE(l.announce());
  l.shut_all();
  EXPECT_EQ(line::look(a), line::shut);
  EXPECT_EQ(line::look(b), line::shut);
  EXPECT_TRUE(l.empty());
  EXPECT_EQ(attention.bits(), 0u);
}

TEST_F(WaitingLine, LetsASleeperGoByTheClock) {
  line::place a;
  l.join(a);
  EXPECT_EQ(line::sleep(a, 1'000'000), line::asleep);
  line::answer_oneself(a, line::expired);
  EXPECT_EQ(line::sleep(a, forever), line::expired) << "an answered place does not sleep";
  l.leave(a);
}

TEST_F(WaitingLine, WakesTheSleeperWhoIsServedOrShutOrStopped) {
  for (const auto how : {line::served, line::shut, line::stopped}) {
    line::place me;
    std::atomic<int> tid{0};
    line::state got = line::waiting;
    std::thread t([&] {
      tid = thread_id();
      got = wait(me);
    });
    EXPECT_TRUE(eventually([&] { return tid != 0 && l.length() == 1 && asleep(tid); }));
    if (how == line::served) make_room();
    else if (how == line::shut) l.shut_all();
    else line::answer_oneself(me, line::stopped);
    t.join();
    EXPECT_EQ(got, how);
    EXPECT_TRUE(l.empty());
  }
}

// Room is made one by one; whoever gets it gives it back by making it again.
void ping(fixture& f, unsigned waiters, int each) {
  std::atomic<int> in{0};
  f.free = 1;
  together(waiters, [&](unsigned) {
    for (int i = 0; i < each; ++i) {
      line::place me;
      ASSERT_EQ(f.wait(me), line::served);
      ++in;
      f.make_room();
    }
  });
  EXPECT_EQ(in, static_cast<int>(waiters) * each);
  EXPECT_EQ(f.free, 1);
  EXPECT_TRUE(f.l.empty());
}
TEST_F(WaitingLine, LosesNoRoomBetweenTwo) { ping(*this, 2, slow ? 1000 : 10'000); }
TEST_F(WaitingLine, LosesNoRoomInAStampede) { ping(*this, 12, slow ? 100 : 1000); }

// Two make room at the same time: one of them serves, and no room stays behind.
TEST_F(WaitingLine, LosesNoRoomThatIsMadeWhileAnotherServes) {
  const int rounds = slow ? 500 : 5000;
  std::atomic<int> in{0};
  together(4, [&](unsigned i) {
    for (int r = 0; r < rounds; ++r) {
      if (i < 2) {
        make_room();
      } else {
        line::place me;
        ASSERT_EQ(wait(me), line::served);
        ++in;
      }
    }
  });
  EXPECT_EQ(in, 2 * rounds);
  EXPECT_EQ(free, 0);
}

TEST_F(WaitingLine, StarvesNobody) {
  std::vector<std::atomic<int>> turns(6);
  const auto all_had_some = [&] { return std::all_of(turns.begin(), turns.end(), [](const auto& n) { return n >= 20; }); };
  free = 1;
  together(6, [&](unsigned i) {
    while (!all_had_some()) {
      line::place me;
      ASSERT_EQ(wait(me), line::served);
      ++turns[i];
      make_room();
    }
  });
  EXPECT_TRUE(all_had_some());
}

static_assert(!std::is_copy_constructible_v<line> && !std::is_copy_constructible_v<line::place>);

}  // namespace
}  // namespace waiting_line_test
