// join_handle: what it answers, when, and what it keeps alive.
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace join_handle_test {
namespace {

using namespace test;
using weir::errc;

TEST(JoinHandle, GetReturnsTheValueOnce) {
  weir::runtime rt(with_workers(2));
  auto h = rt.spawn([] { return std::string("value"); });
  EXPECT_TRUE(h.valid());
  EXPECT_EQ(h.get().value(), "value");
  EXPECT_FALSE(h.valid());
  EXPECT_EQ(h.get().error().code, errc::invalid);
}

TEST(JoinHandle, VoidAndMoveOnlyResults) {
  weir::runtime rt(with_workers(2));
  auto v = rt.spawn([] {});
  static_assert(std::is_same_v<decltype(v), weir::join_handle<void>>);
  EXPECT_TRUE(v.get());
  auto m = rt.spawn([] { return std::make_unique<int>(4); });
  EXPECT_EQ(*m.get().value(), 4);
}

TEST(JoinHandle, ReadyTurnsTrueWhenTheTaskEndsAndNotBefore) {
  weir::runtime rt(with_workers(1));
  gate release;
  auto h = rt.spawn([&] {
    release.wait();
    return 1;
  });
  EXPECT_FALSE(h.ready());
  let_it_misbehave(2ms);
  EXPECT_FALSE(h.ready());
  release.open();
  EXPECT_TRUE(eventually([&] { return h.ready(); }));
  EXPECT_EQ(h.get().value_or(0), 1);
}

TEST(JoinHandle, GetUntilTimesOutAndLeavesTheHandleValid) {
  weir::runtime rt(with_workers(1));
  gate release;
  auto h = rt.spawn([&] {
    release.wait();
    return 2;
  });
  for (int i = 0; i < 3; ++i) {
    const auto limit = weir::clock_type::now() + 3ms;
    auto r = h.get_until(limit);
    EXPECT_GE(weir::clock_type::now(), limit) << "never early";
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::timeout);
    EXPECT_TRUE(h.valid());
  }
  EXPECT_EQ(h.get_until(weir::clock_type::now() - 1s).error().code, errc::timeout);
  EXPECT_EQ(h.get_until(weir::time_point::min()).error().code, errc::timeout);
  release.open();
  EXPECT_EQ(h.get_until(weir::time_point::max()).value_or(0), 2);
}

TEST(JoinHandle, AReadyOneIsReadEvenAtALimitInThePast) {
  weir::runtime rt(with_workers(1));
  auto h = rt.spawn([] { return 3; });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(h.get_until(weir::clock_type::now() - 1s).value_or(0), 3);
}

TEST(JoinHandle, MovesKeepTheResult) {
  weir::runtime rt(with_workers(2));
  auto a = rt.spawn([] { return 5; });
  weir::join_handle<int> b(std::move(a));
  weir::join_handle<int> c;
  c = std::move(b);
  EXPECT_FALSE(a.valid());  // NOLINT: that is the point
  EXPECT_FALSE(b.valid());  // NOLINT
  std::vector<weir::join_handle<int>> v;
  v.push_back(std::move(c));
  for (int i = 0; i < 20; ++i) v.push_back(rt.spawn([i] { return i; }));  // grows, moves
  EXPECT_EQ(v[0].get().value_or(0), 5);
  for (std::size_t i = 1; i < v.size(); ++i) EXPECT_EQ(v[i].get().value_or(-1), static_cast<int>(i) - 1);
}

TEST(JoinHandle, MoveAssignmentDetachesTheOldTaskWhichStillRuns) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(1));
  auto h = rt.spawn([&] { return ran += 1; });
  h = rt.spawn([&] { return ran += 10; });
  EXPECT_GE(h.get().value_or(0), 10);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 11);
}

TEST(JoinHandle, ARefusedTasksHandleMovesToo) {
  weir::runtime rt(with_workers(1));
  rt.drain();
  auto a = rt.spawn([] { return 1; });
  EXPECT_TRUE(a.ready());
  EXPECT_TRUE(a.valid());
  auto b = std::move(a);
  EXPECT_FALSE(a.valid());  // NOLINT
  EXPECT_EQ(b.get().error().code, errc::stopped);
  weir::join_handle<int> c;
  c = rt.spawn([] { return 1; });
  EXPECT_EQ(c.get().error().code, errc::stopped);
  EXPECT_EQ(c.get().error().code, errc::invalid) << "read once";
}

TEST(JoinHandle, TheDestructorNeverBlocksAndTheTaskStillRuns) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(1));
  plug p(rt);
  { auto h = rt.spawn([&] { ++ran; }); }  // returns although the worker is busy
  rt.spawn([&] { ++ran; }).detach();
  EXPECT_EQ(ran, 0);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2);
}

TEST(JoinHandle, TheResultOfADetachedTaskIsDestroyed) {
  auto payload = std::make_shared<int>(1);
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 100; ++i) {
    auto h = rt.spawn([payload] { return payload; });
    ASSERT_TRUE(i % 3 != 0 || rt.wait_idle());
    if (i % 3 == 1) h.detach();
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(eventually([&] { return payload.use_count() == 1; }));
}

TEST(JoinHandle, TheCallableIsDestroyedBeforeTheResultIsReady) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 200; ++i) {
    auto payload = std::make_shared<int>(i);
    auto h = rt.spawn([payload] { return *payload; });
    EXPECT_EQ(h.get().value_or(-1), i);
    EXPECT_EQ(payload.use_count(), 1);
  }
}

TEST(JoinHandle, OutlivesTheRuntime) {
  weir::join_handle<std::string> h;
  {
    weir::runtime rt(with_workers(2));
    h = rt.spawn([] { return std::string(100, 's'); });
  }
  EXPECT_TRUE(h.ready());
  h.cancel();
  EXPECT_EQ(h.get().value_or(""), std::string(100, 's'));
  weir::join_handle<std::shared_ptr<int>> unread;
  auto payload = std::make_shared<int>(0);
  {
    weir::runtime rt(with_workers(1));
    unread = rt.spawn([payload] { return payload; });
  }
  EXPECT_EQ(payload.use_count(), 2);
  unread.detach();
  EXPECT_EQ(payload.use_count(), 1);
}

TEST(JoinHandle, CancelAfterTheEndChangesNothing) {
  weir::runtime rt(with_workers(1));
  auto h = rt.spawn([] { return 7; });
  ASSERT_TRUE(rt.wait_idle());
  h.cancel();
  EXPECT_EQ(h.get().value_or(0), 7);
}

TEST(JoinHandle, MayBeReadOnAnotherThread) {
  weir::runtime rt(with_workers(1));
  for (int i = 0; i < 100; ++i) {
    auto h = rt.spawn([i] { return i; });
    std::thread([&, moved = std::move(h)]() mutable { EXPECT_EQ(moved.get().value_or(-1), i); }).join();
  }
}

TEST(JoinHandle, ManyThreadsWaitEachForItsOwnTask) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 300; ++i) {
        auto h = rt.spawn([=] { return t * 1000 + i; });
        if (h.get().value_or(-1) != t * 1000 + i) ++wrong;
      }
    });
  }
  for (auto& t : threads) t.join();
  EXPECT_EQ(wrong, 0);
}

TEST(JoinHandle, ATaskMayHandItsOwnChildsHandleOut) {
  weir::runtime rt(with_workers(1));
  auto outer = rt.spawn([&] { return rt.spawn([] { return 9; }); });
  auto inner = outer.get();
  ASSERT_TRUE(inner);
  EXPECT_EQ(inner->get().value_or(0), 9);
}

TEST(JoinHandle, ATaskThatReturnsAResultOrAnErrorNestsIt) {
  weir::runtime rt(with_workers(1));
  auto h = rt.spawn([]() -> weir::result<int> { return errc::timeout; });
  auto r = h.get();
  ASSERT_TRUE(r);
  ASSERT_FALSE(*r);
  EXPECT_EQ(r->error().code, errc::timeout);
}

}  // namespace
}  // namespace join_handle_test
