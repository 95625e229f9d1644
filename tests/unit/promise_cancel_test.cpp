// P17 P20: what is cancelled before its start never starts, and is gone at once.
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <memory_resource>
#include <stdexcept>
#include <stop_token>
#include <thread>

namespace promise_cancel_test {
namespace {

using namespace test;
using weir::errc;

// ---- P17

TEST(StopBeforeTheStart, TheTaskNeverStartsAndItsCallableIsDestroyedAtOnce) {
  weir::runtime rt(rejecting(1, 100));
  tally plain, spawned, detached, large, high;
  {
    plug p(rt);
    std::stop_source source;
    const weir::task_options o{.stop = source.get_token()};
    ASSERT_TRUE(rt.submit(probe<8>(plain), o));
    ASSERT_TRUE(rt.submit(probe<5000>(large), o));
    ASSERT_TRUE(rt.submit(probe<8>(high), {.prio = weir::lane::high, .stop = source.get_token()}));
    auto h = rt.spawn(probe<8>(spawned), o);
    rt.spawn(probe<8>(detached), o).detach();
    for (const tally* t : {&plain, &spawned, &detached, &large, &high}) EXPECT_EQ(t->alive, 1);
    source.request_stop();
    for (const tally* t : {&plain, &spawned, &detached, &large, &high}) EXPECT_EQ(t->alive, 0) << "still waits for a worker";
    EXPECT_TRUE(h.ready());
    auto r = h.get();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::cancelled);
  }
  ASSERT_TRUE(rt.wait_idle());
  for (const tally* t : {&plain, &spawned, &detached, &large, &high}) EXPECT_EQ(t->calls, 0);
  EXPECT_EQ(rt.metrics().cancelled, 5u);
}

TEST(StopBeforeTheStart, CancelOnTheHandleDoesTheSame) {
  weir::runtime rt(rejecting(1, 100));
  tally t;
  {
    plug p(rt);
    auto h = rt.spawn(probe<64>(t));
    h.cancel();
    EXPECT_EQ(t.alive, 0);
    EXPECT_TRUE(h.ready());
    h.cancel();  // twice is once
    auto r = h.get();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::cancelled);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(rt.metrics().cancelled, 1u);
}

TEST(StopBeforeTheStart, TheCapacityIsFreeAtOnceAndOnlyOnce) {
  constexpr std::size_t capacity = 8;
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(rejecting(1, capacity));
  for (int round = 0; round < 20; ++round) {
    ran = 0;
    plug p(rt);
    std::stop_source source;
    auto by_handle = rt.spawn([&] { ran += 1000; });
    ASSERT_TRUE(rt.submit([&] { ran += 1000; }, {.stop = source.get_token()}));
    ASSERT_TRUE(rt.submit([&] { ran += 1000; }, {.stop = source.get_token()}));
    EXPECT_EQ(fill(rt, ran), capacity - 3);
    by_handle.cancel();
    EXPECT_EQ(fill(rt, ran), 1u);
    source.request_stop();
    EXPECT_EQ(fill(rt, ran), 2u);
    by_handle.cancel();
    EXPECT_EQ(fill(rt, ran), 0u);
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, capacity);
  }
}

TEST(StopBeforeTheStart, ABlockedSubmitterGetsTheFreedRoom) {
  std::atomic<int> ran{0};
  weir::options o = rejecting(1, 1);
  o.full = weir::on_full::block;
  weir::runtime rt(o);
  plug p(rt);
  auto h = rt.spawn([&] { ran += 100; });
  std::atomic<int> tid{0};
  std::thread blocked([&] {
    tid = thread_id();
    EXPECT_TRUE(rt.submit([&] { ++ran; }));
    tid = -1;
  });
  EXPECT_TRUE(eventually([&] { return tid > 0 && asleep(tid); }));
  h.cancel();
  EXPECT_TRUE(eventually([&] { return tid == -1; })) << "the worker is still busy, the room is free";
  p.release();
  blocked.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 1);
}

TEST(StopBeforeTheStart, ATokenThatIsStoppedAlreadyMeansCancelledAndUntouchedOrDestroyed) {
  weir::runtime rt(rejecting(1, 4));
  std::stop_source source;
  source.request_stop();
  tally t;
  {
    probe<8> f(t);
    const weir::status s = rt.submit(std::move(f), {.stop = source.get_token()});
    if (!s) {
      EXPECT_EQ(s.error().code, errc::cancelled);
      EXPECT_TRUE(t.untouched());
    }
    auto r = rt.spawn(std::move(f), {.stop = source.get_token()}).get();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::cancelled);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(t.alive, 0);
}

// Live bytes of what the runtime took from options::memory.
class counting_memory final : public std::pmr::memory_resource {
 public:
  std::size_t peak() const { return peak_; }
  std::size_t live() const { return live_; }

 private:
  void* do_allocate(std::size_t n, std::size_t align) override {
    const std::size_t now = live_ += n;
    for (std::size_t p = peak_; p < now && !peak_.compare_exchange_weak(p, now);) {}
    return std::pmr::new_delete_resource()->allocate(n, align);
  }
  void do_deallocate(void* p, std::size_t n, std::size_t align) override {
    live_ -= n;
    std::pmr::new_delete_resource()->deallocate(p, n, align);
  }
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
  std::atomic<std::size_t> live_{0}, peak_{0};
};

TEST(StopBeforeTheStart, EmptySlotsOfCancelledTasksNeverExceedTwiceTheCapacity) {
  constexpr std::size_t capacity = 64;
  counting_memory memory;
  std::size_t accepted = 0;
  {
    weir::options o = rejecting(1, capacity);
    o.memory = &memory;
    weir::runtime rt(o);
    plug p(rt);
    std::vector<weir::join_handle<void>> full;
    for (std::size_t i = 0; i < capacity; ++i) full.push_back(rt.spawn([] {}));
    full.clear();  // detached: they stay queued
    ASSERT_FALSE(rt.try_submit([] {}));
    const std::size_t after_one_fill = memory.peak();
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    plug q(rt);
    for (std::size_t i = 0; i < 1000 * capacity; ++i) {
      auto h = rt.spawn([] {});
      if (h.ready()) continue;  // refused
      ++accepted;
      h.cancel();
      EXPECT_TRUE(h.ready());
    }
    EXPECT_GE(accepted, capacity) << "a cancelled task gives its capacity back";
    EXPECT_LE(memory.peak(), 8 * after_one_fill + 65536) << "cancelled tasks pile up: " << accepted << " accepted";
  }
  EXPECT_EQ(memory.live(), 0u) << "all goes back with the runtime";
}

// ---- a running task

TEST(StopOfARunningTask, FiresItsTokenHoweverItIsAskedFor) {
  std::atomic<int> started{0};
  weir::runtime rt(with_workers(2));
  const auto run_until_stopped = [&](std::stop_token t) {
    ++started;
    while (!t.stop_requested()) std::this_thread::yield();
    return 6;
  };
  auto by_cancel = rt.spawn(run_until_stopped);
  std::stop_source source;
  auto by_token = rt.spawn(run_until_stopped, {.stop = source.get_token()});
  ASSERT_TRUE(eventually([&] { return started == 2; }));
  by_cancel.cancel();
  EXPECT_EQ(by_cancel.get().value_or(0), 6) << "it had started, so its value counts";
  EXPECT_FALSE(by_token.ready());
  source.request_stop();
  EXPECT_EQ(by_token.get().value_or(0), 6);
  EXPECT_EQ(rt.metrics().cancelled, 0u);
}

TEST(StopOfARunningTask, IsSeenByThisTaskToken) {
  weir::runtime rt(with_workers(1));
  auto started = std::make_shared<gate>();
  auto h = rt.spawn([started] {
    started->open();
    while (!weir::this_task::token().stop_requested()) std::this_thread::yield();
    return 1;
  });
  started->wait();
  h.cancel();
  EXPECT_EQ(h.get().value_or(0), 1);
  EXPECT_FALSE(rt.run([] { return weir::this_task::token().stop_requested(); }));
  EXPECT_FALSE(weir::this_task::token().stop_possible()) << "outside of any worker";
}

TEST(StopOfARunningTask, CancelRacingTheStartIsEitherCancelledOrRanNeverBoth) {
  weir::runtime rt(with_workers(2));
  const int rounds = sanitized ? 2000 : 20000;
  int ran = 0, cancelled = 0;
  for (int i = 0; i < rounds; ++i) {
    std::atomic<int> calls{0};
    auto h = rt.spawn([&] { ++calls; });
    h.cancel();
    auto r = h.get();
    if (r) {
      EXPECT_EQ(calls, 1);
      ++ran;
    } else {
      EXPECT_EQ(r.error().code, errc::cancelled);
      EXPECT_EQ(calls, 0);
      ++cancelled;
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().ok, static_cast<std::uint64_t>(ran));
  EXPECT_EQ(rt.metrics().cancelled, static_cast<std::uint64_t>(cancelled));
}

TEST(StopOfARunningTask, ATokenThatOutlivesTheTaskMayBeStoppedAtAnyTime) {
  std::stop_source source;
  {
    weir::runtime rt(with_workers(2));
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([] {}, {.stop = source.get_token()}));
    ASSERT_TRUE(rt.wait_idle());
    source.request_stop();
  }
  EXPECT_TRUE(source.stop_requested());
}

// ---- P20

#if __has_include(<weir/task_group.hpp>)
TEST(GroupError, TheFirstRequestsStopAndUnstartedSiblingsAreCancelled) {
  weir::runtime rt(with_workers(1));
  tally never;
  {
    plug p(rt);
    weir::task_group g(rt, {.keep_all_errors = true});
    std::atomic<bool> fail{false};
    g.run([&] {
      fail = true;
      throw std::out_of_range("the first");
    });
    for (int i = 0; i < 10; ++i) g.run(probe<64>(never));
    p.release();
    const weir::status s = g.wait();
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    EXPECT_THROW(s.value(), std::out_of_range);
    EXPECT_TRUE(fail);
    EXPECT_EQ(never.alive, 0);
  }
  EXPECT_EQ(never.calls, 0) << "one worker: nobody started before the first failed, or after";
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.failed, 1u);
  EXPECT_EQ(m.cancelled, 10u);
}

TEST(GroupError, StartedSiblingsSeeTheirTokenAndWaitReturnsAfterThem) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 50; ++round) {
    weir::task_group g(rt);
    gate started;
    std::atomic<bool> ended{false};
    g.run([&](std::stop_token t) {
      started.open();
      while (!t.stop_requested()) std::this_thread::yield();
      std::this_thread::sleep_for(500us);
      ended = true;
    });
    g.run([&] {
      started.wait();
      throw std::out_of_range("first");
    });
    const weir::status s = g.wait();
    EXPECT_TRUE(ended);
    ASSERT_FALSE(s);
    EXPECT_THROW(s.value(), std::out_of_range);
  }
}

TEST(GroupError, WithoutCancelOnErrorTheSiblingsRun) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  weir::task_group g(rt, {.cancel_on_error = false});
  g.run([&] { throw std::out_of_range("first"); });
  for (int i = 0; i < 10; ++i) g.run([&] { ++ran; });
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::failed);
  EXPECT_EQ(ran, 10);
}

TEST(GroupError, RunAfterTheErrorIsCancelledWithoutStarting) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt);
  g.run([] { throw std::out_of_range("first"); });
  ASSERT_TRUE(eventually([&] { return g.token().stop_requested(); }));
  tally late;
  g.run(probe<8>(late));
  EXPECT_FALSE(g.wait());
  EXPECT_EQ(late.calls, 0);
  EXPECT_EQ(late.alive, 0);
}
#endif

}  // namespace
}  // namespace promise_cancel_test
