// task_group: cancel, and what belongs to which round. (P3 P14 P20)
#include <weir/runtime.hpp>
#include <weir/task_group.hpp>

#include <runtime_tools.hpp>
#include <watchdog.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <unistd.h>

namespace task_group_cancel_test {
namespace {

using namespace test;
using weir::errc;

// What the runtime says of itself, at rest and with the queues turned over.
std::string state_of(weir::runtime& rt) {
  EXPECT_TRUE(rt.wait_idle());
  EXPECT_TRUE(rt.submit([] {}));  // behind all tickets
  EXPECT_TRUE(rt.wait_idle());
  int ends[2];
  EXPECT_EQ(::pipe(ends), 0);
  test::dump_state(ends[1]);
  ::close(ends[1]);
  std::string said;
  char part[512];
  for (ssize_t n; (n = ::read(ends[0], part, sizeof part)) > 0;) said.append(part, static_cast<std::size_t>(n));
  ::close(ends[0]);
  return said;
}

// Only what lies in a queue counts there, or submit would sweep the queues for nothing.
TEST(TaskGroupCancel, AChildCancelledBeforeItHadAPlaceIsNoStaleTicket) {
  weir::runtime rt(with_workers(1));
  gate go;
  {
    weir::task_group g(rt, {.limit = 1});
    for (int i = 0; i < 50; ++i) g.run([&] { go.wait(); });
    g.cancel();
    go.open();
    EXPECT_EQ(g.wait().error().code, errc::cancelled);
  }
  const std::string said = state_of(rt);
  EXPECT_NE(said.find("stale tickets 0\n"), std::string::npos) << said;
}

TEST(TaskGroupCancel, CancelReachesRunningChildrenAndDropsTheUnstarted) {
  weir::runtime rt(with_workers(2));
  tally never;
  weir::task_group g(rt);
  std::atomic<int> running{0}, saw{0};
  for (int i = 0; i < 2; ++i) {
    g.run([&](std::stop_token t) {
      ++running;
      while (!t.stop_requested()) std::this_thread::yield();
      ++saw;
    });
  }
  ASSERT_TRUE(eventually([&] { return running == 2; }));
  for (int i = 0; i < 10; ++i) g.run(probe<64>(never));
  EXPECT_FALSE(g.token().stop_requested());
  const std::stop_token token = g.token();
  g.cancel();
  EXPECT_TRUE(token.stop_requested());
  const weir::status s = g.wait();
  EXPECT_EQ(saw, 2);
  EXPECT_EQ(never.calls, 0);
  EXPECT_EQ(never.alive, 0);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::cancelled);
}

TEST(TaskGroupCancel, ACancelMeetsOneRoundAndNotTheNext) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 300; ++i) {
    weir::task_group g(rt);
    std::thread canceller([&] { g.cancel(); });
    int cancelled = 0;
    std::vector<std::stop_token> fine;
    for (int round = 0; round < 20; ++round) {
      std::atomic<int> ran{0};
      const std::stop_token token = g.token();
      g.run([&] { ++ran; });
      if (const weir::status s = g.wait()) {
        EXPECT_EQ(ran, 1) << "a round that is ok has run its child";
        if (cancelled != 0) fine.push_back(token);
      } else {
        EXPECT_EQ(s.error().code, errc::cancelled);
        ++cancelled;
      }
    }
    canceller.join();
    cancelled += !g.wait();
    EXPECT_EQ(cancelled, 1);
    for (const std::stop_token& t : fine) EXPECT_FALSE(t.stop_requested()) << "what comes after the cancelled one has a token of its own";
  }
}

TEST(TaskGroupCancel, WithLimitOneNothingBeginsAfterTheFirstError) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 200; ++i) {
    std::atomic<int> began{0};
    plug p(rt);
    weir::task_group g(rt, {.limit = 1});
    g.run([] { throw std::runtime_error("the first"); });
    for (int k = 0; k < 5; ++k) g.run([&] { ++began; });
    p.release();
    const weir::status s = g.wait();
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    EXPECT_EQ(began, 0);
  }
}

TEST(TaskGroupCancel, AChildThatAddsAnotherAfterAnErrorLeavesNothingUncounted) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 100; ++i) {
    weir::task_group g(rt, {.limit = 1});
    std::thread other([&] {
      for (int k = 0; k < 20; ++k) g.run([] {});
    });
    g.run([] { throw std::runtime_error("once"); });
    other.join();
    const weir::status s = g.wait();
    EXPECT_FALSE(s);
  }
  EXPECT_TRUE(eventually([&] { return state_of(rt).find("stale tickets 0\n") != std::string::npos; })) << state_of(rt);
}

TEST(TaskGroupCancel, TheParentsTokenCancelsIt) {
  weir::runtime rt(with_workers(1));
  std::stop_source parent;
  tally never;
  weir::task_group g(rt, {.parent = parent.get_token()});
  std::atomic<bool> on{false};
  g.run([&](std::stop_token t) {
    on = true;
    while (!t.stop_requested()) std::this_thread::yield();
  });
  ASSERT_TRUE(eventually([&] { return on.load(); }));
  g.run(probe<8>(never));
  parent.request_stop();
  EXPECT_TRUE(g.token().stop_requested());
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(never.calls, 0);
}

TEST(TaskGroupCancel, AParentThatIsStoppedAlreadyLetsNothingStart) {
  weir::runtime rt(with_workers(1));
  std::stop_source parent;
  parent.request_stop();
  tally never;
  weir::task_group g(rt, {.parent = parent.get_token()});
  g.run(probe<8>(never));
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::cancelled);
  EXPECT_EQ(never.calls, 0);
  EXPECT_EQ(never.alive, 0);
}

TEST(TaskGroupCancel, ThisTaskTokenInAChildIsTheGroups) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  std::atomic<bool> on{false};
  g.run([&] {
    on = true;
    while (!weir::this_task::token().stop_requested()) std::this_thread::yield();
  });
  ASSERT_TRUE(eventually([&] { return on.load(); }));
  g.cancel();
  static_cast<void>(g.wait());
}

TEST(TaskGroupCancel, TheDestructorCancelsAndWaits) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> inside{0}, ended{0};
    {
      weir::task_group g(rt);
      for (int i = 0; i < 8; ++i) {
        g.run([&](std::stop_token t) {
          ++inside;
          while (!t.stop_requested()) std::this_thread::yield();
          ++ended;
          --inside;
        });
      }
      EXPECT_TRUE(round % 2 != 0 || eventually([&] { return inside == 2; }));
    }
    EXPECT_EQ(inside, 0);
    EXPECT_LE(ended, 8);
  }
}

// The child that runs lies in front of those that may begin, where the waiter and the canceller look.
TEST(TaskGroupCancel, AWaiterOnAWorkerPassesTheRunningChildByAndTheRestEnds) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 200; ++i) {
    tally others;
    std::atomic<int> ran{0};
    gate begun, go;
    const weir::status s = rt.run([&] {
      weir::task_group g(rt, {.limit = 2});
      g.run([&] {
        begun.open();
        go.wait();
        ++ran;
        g.cancel();
      });
      begun.wait();
      for (int k = 0; k < 10; ++k) g.run(probe<64>(others));
      go.open();
      return g.wait();
    });
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::cancelled);
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(others.alive, 0);
    EXPECT_LE(others.calls, 10);
  }
}

TEST(TaskGroupCancel, AChildThatWaitsForItsOwnGroupRunsItsSiblingsAndTimesOut) {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  std::atomic<int> ran{0};
  std::atomic<errc> said{errc{}};
  g.run([&] {
    for (int i = 0; i < 3; ++i) g.run([&] { ++ran; });
    weir::status s;
    do s = g.wait_until(weir::clock_type::now() + 5ms);
    while (!s && ran != 3);  // on a machine that is too busy for all three
    EXPECT_EQ(ran, 3);
    if (!s) said = s.error().code;
  });
  ASSERT_TRUE(eventually([&] { return said == errc::timeout; }));
  EXPECT_TRUE(g.wait());
}

}  // namespace
}  // namespace task_group_cancel_test
