// P37: calls that block have threads of their own, bounded, with a bounded queue.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <child.hpp>
#include <core_of.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace promise_blocking_test {
namespace {

using namespace test;
using weir::errc;

weir::options with_blocking(unsigned threads, std::size_t capacity = 100) {
  weir::options o = with_workers(1);
  o.max_blocking = threads;
  o.blocking_capacity = capacity;
  return o;
}

template <class T>
errc code_of(weir::join_handle<T> h) {
  auto r = h.get();
  return r ? errc{} : r.error().code;
}

// Keeps one thread of the pool busy.
struct occupied {
  explicit occupied(weir::runtime& rt) : handle(rt.blocking([this] {
    started.open();
    leave.wait();
  })) {
    started.wait();
  }
  ~occupied() {
    leave.open();
    static_cast<void>(handle.get());
  }
  gate started, leave;
  weir::join_handle<void> handle;
};

TEST(Blocking, RunsOnNoWorkerAndReturnsItsValue) {
  weir::runtime rt(with_blocking(2));
  auto h = rt.blocking([] { return std::to_string(weir::this_task::worker()); });
  EXPECT_EQ(h.get().value(), "-1");
  EXPECT_TRUE(rt.wait_idle());
  const weir::snapshot s = rt.metrics();
  EXPECT_EQ(s.submitted, 1u);
  EXPECT_EQ(s.ok, 1u);
}

TEST(Blocking, AnExceptionIsInTheHandle) {
  weir::runtime rt(with_blocking(1));
  auto h = rt.blocking([]() -> int { throw std::runtime_error("disk"); });
  EXPECT_THROW(static_cast<void>(h.get().value()), std::runtime_error);
  EXPECT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().failed, 1u);
}

TEST(Blocking, LeavesTheWorkersAlone) {
  weir::runtime rt(with_blocking(4));
  const occupied a(rt), b(rt), c(rt);
  EXPECT_TRUE(rt.run([] { return true; }));
  EXPECT_EQ(rt.metrics().running, 3u);
}

TEST(Blocking, HasAsManyThreadsAsCallsUpToTheLimit) {
  weir::runtime rt(with_blocking(3));
  std::atomic<unsigned> inside{0}, most{0};
  gate leave;
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 10; ++i)
    handles.push_back(rt.blocking([&] {
      const unsigned n = ++inside;
      for (unsigned seen = most; seen < n && !most.compare_exchange_weak(seen, n);) {}
      leave.wait();
      --inside;
    }));
  EXPECT_TRUE(eventually([&] { return most == 3; }));
  leave.open();
  for (auto& h : handles) EXPECT_TRUE(h.get());
  EXPECT_EQ(most, 3u);
}

TEST(Blocking, ReusesASleepingThread) {
  weir::runtime rt(with_blocking(8));
  std::set<std::thread::id> seen;
  for (int i = 0; i < 50; ++i) {
    seen.insert(rt.blocking([] { return std::this_thread::get_id(); }).get().value());
    eventually([&] { return core_of(rt).side.busy() == 0; });
  }
  EXPECT_LE(seen.size(), 2u);
}

TEST(Blocking, RefusesWhatItsQueueDoesNotHoldAndLeavesTheCallableUntouched) {
  weir::runtime rt(with_blocking(1, 2));
  auto precious = std::make_unique<int>(7);
  {
    const occupied o(rt);
    auto first = rt.blocking([] {}), second = rt.blocking([] {});
    auto refused = rt.blocking([p = std::move(precious)]() mutable { p.reset(); });
    EXPECT_TRUE(refused.ready());
    EXPECT_EQ(code_of(std::move(refused)), errc::full);
    EXPECT_TRUE(rt.submit([] {})) << "the lanes have a capacity of their own";
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().rejected, 1u);
  EXPECT_TRUE(rt.blocking([] {}).get());
}

TEST(Blocking, ACancelledCallGivesItsPlaceBack) {
  weir::runtime rt(with_blocking(1, 2));
  tally t;
  {
    const occupied o(rt);
    auto first = rt.blocking(probe<64>(t)), second = rt.blocking(probe<64>(t));
    std::stop_source stop;
    second.cancel();
    EXPECT_EQ(t.alive, 1);
    auto third = rt.blocking(probe<64>(t), {.stop = stop.get_token()});
    EXPECT_EQ(t.alive, 2);
    stop.request_stop();
    EXPECT_EQ(t.alive, 1);
    EXPECT_EQ(code_of(std::move(second)), errc::cancelled);
    EXPECT_EQ(code_of(std::move(third)), errc::cancelled);
    auto fourth = rt.blocking([] {});
    EXPECT_FALSE(fourth.ready());
    EXPECT_EQ(code_of(rt.blocking([] {})), errc::full);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 1);
  EXPECT_EQ(rt.metrics().cancelled, 2u);
}

TEST(Blocking, ARunningCallSeesItsTokenFire) {
  weir::runtime rt(with_blocking(1));
  gate started;
  auto h = rt.blocking([&](std::stop_token t) {
    started.open();
    while (!t.stop_requested()) std::this_thread::yield();
    return weir::this_task::token().stop_requested();
  });
  started.wait();
  h.cancel();
  EXPECT_TRUE(h.get().value());
}

TEST(Blocking, AWaitForItOnAWorkerSleepsAndAStandInGoesOn) {
  weir::runtime rt(with_blocking(1));
  gate leave;
  auto waits = rt.spawn([&] { return weir::here().submit([&] { leave.open(); }) && rt.blocking([&] { leave.wait(); }).get(); });
  EXPECT_TRUE(waits.get().value());
}

TEST(Blocking, ACallThatWaitsForAnotherNeedsNoSecondThread) {
  weir::runtime rt(with_blocking(1));
  auto outer = rt.blocking([&] { return rt.blocking([] { return 3; }).get().value() + 1; });
  EXPECT_EQ(outer.get().value(), 4);
}

TEST(Blocking, WhatAWaiterHasRunInPlaceGivesItsPlaceBack) {
  weir::runtime rt(with_blocking(1, 1));
  auto outer = rt.blocking([&] {
    int sum = 0;
    for (int i = 1; i <= 3; ++i) sum = sum * 10 + rt.blocking([i] { return i; }).get().value_or(0);
    return sum;
  });
  EXPECT_EQ(outer.get().value_or(0), 123) << "each is queued, and run by the one that waits";
  EXPECT_EQ(rt.metrics().rejected, 0u);
}

TEST(Blocking, DrainWaitsForItAndForWhatItSubmits) {
  weir::runtime rt(with_blocking(2));
  std::atomic<int> ran{0};
  gate closing;
  auto h = rt.blocking([&] {
    closing.wait();
    for (int i = 0; i < 10; ++i)
      if (rt.submit([&] { ++ran; })) ++ran;
    if (rt.blocking([&] { ++ran; }).get()) ++ran;
    const std::vector<std::function<void()>> more(3, [&] { ++ran; });
    if (rt.try_submit_bulk(more)) ++ran;
  });
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] { return !rt.submit([] {}); }));
  closing.open();
  drainer.join();
  EXPECT_EQ(ran, 26);
  EXPECT_EQ(code_of(rt.blocking([] {})), errc::stopped);
  const weir::snapshot s = rt.metrics();
  EXPECT_EQ(s.submitted, s.ok + s.failed + s.cancelled + s.stopped);
}

TEST(Blocking, WhatItCannotSubmitThroughALimitWhileDrainingCostsNoRoom) {
  weir::runtime rt(with_blocking(1));
  const weir::limited one(rt, 1, 1);
  struct cannot_be_copied {
    cannot_be_copied() = default;
    cannot_be_copied(const cannot_be_copied&) { throw std::runtime_error("copy"); }
    void operator()() const {}
  };
  gate closing;
  std::atomic<bool> failed{false};
  auto h = rt.blocking([&] {
    closing.wait();
    const cannot_be_copied f;
    const weir::status s = one.submit(f);
    failed = !s && s.error().code == errc::failed;
  });
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] { return !rt.submit([] {}); }));
  closing.open();
  drainer.join();
  EXPECT_TRUE(failed);
  ASSERT_TRUE(rt.restart());
  EXPECT_TRUE(one.submit([] {})) << "its room is free";
  EXPECT_TRUE(rt.wait_idle());
}

TEST(Blocking, DrainsDeadlineStopsTheQueuedAndNamesTheRunning) {
  weir::runtime rt(with_blocking(1));
  gate started, leave;
  auto runs = rt.blocking(
      [&] {
        started.open();
        leave.wait();
      },
      {.name = "reads a tape"});
  started.wait();
  auto queued = rt.blocking([] {});
  const weir::report r = rt.drain(weir::clock_type::now() + std::chrono::milliseconds(10));
  EXPECT_FALSE(r.complete);
  ASSERT_EQ(r.still_running.size(), 1u);
  EXPECT_STREQ(r.still_running[0].name, "reads a tape");
  EXPECT_EQ(code_of(std::move(queued)), errc::stopped);
  leave.open();
  EXPECT_TRUE(runs.get());
  EXPECT_TRUE(rt.drain().complete);
}

TEST(Blocking, AbortHandsTheUnstartedToItsSink) {
  weir::runtime rt(with_blocking(1));
  std::atomic<int> ran{0};
  gate started;
  auto runs = rt.blocking([&](std::stop_token t) {
    started.open();
    while (!t.stop_requested()) std::this_thread::yield();
  });
  started.wait();
  auto queued = rt.blocking([&] { ++ran; });
  int sunk = 0;
  rt.abort([&](weir::task_fn&& f) {
    f();
    ++sunk;
  });
  EXPECT_EQ(sunk, 1);
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(code_of(std::move(queued)), errc::stopped);
  EXPECT_TRUE(runs.get());
}

TEST(Blocking, ComesAgainAfterARestart) {
  weir::runtime rt(with_blocking(2));
  EXPECT_TRUE(rt.blocking([] {}).get());
  rt.drain();
  ASSERT_TRUE(rt.restart());
  EXPECT_TRUE(rt.blocking([] {}).get());
}

TEST(Blocking, ARuntimeMayBeDestroyedByACallOfItsOwn) {
  auto rt = std::make_unique<weir::runtime>(with_blocking(2));
  gate go, gone;
  auto h = rt->blocking([&] {
    go.wait();
    rt.reset();
    gone.open();
  });
  go.open();
  EXPECT_TRUE(h.get());
  gone.wait();
}

TEST(Blocking, ACallIsTriedAgainOnAThreadOfThePoolPastItsCapacity) {
  weir::runtime rt(with_blocking(1, 1));
  static constexpr weir::retry_policy policy{.max_attempts = 3, .base = std::chrono::microseconds(100), .cap = std::chrono::milliseconds(1)};
  int n = 0;
  std::set<int> workers;
  auto h = rt.blocking([&] {
    workers.insert(weir::this_task::worker());
    if (++n < 3) throw std::runtime_error("busy");
    return n;
  }, {.retry = &policy});
  std::vector<weir::join_handle<void>> others;
  while (!h.ready()) others.push_back(rt.blocking([] {}));
  EXPECT_EQ(h.get().value_or(0), 3);
  EXPECT_EQ(workers, std::set<int>{-1});
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().failed, 0u);
}

TEST(Blocking, ACallThatWaitsForTheNextAttemptOfAnotherStarvesNobodyWhenThePoolIsFull) {
  weir::runtime rt(with_blocking(1));
  static constexpr weir::retry_policy policy{.max_attempts = 3, .base = std::chrono::microseconds(100), .cap = std::chrono::milliseconds(1)};
  std::atomic<int> n{0};
  auto outer = rt.blocking([&] {
    auto inner = rt.blocking([&] {
      if (++n < 3) throw std::runtime_error("busy");
    }, {.retry = &policy});
    const weir::status s = inner.get();
    return !s && s.error().code == errc::starved;  // the next attempt needs this very thread
  });
  EXPECT_TRUE(outer.get().value_or(false));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(n, 3);
  EXPECT_EQ(rt.metrics().ok, 2u);
}

TEST(Blocking, StartByAndDeadlineAreWatched) {
  gate leave;
  weir::runtime rt(with_blocking(1));
  auto slow = rt.blocking([&](std::stop_token t) {
    while (!t.stop_requested()) std::this_thread::yield();
    leave.wait();
    return 1;
  }, {.deadline = weir::clock_type::now() + std::chrono::milliseconds(20), .name = "slow"});
  auto late = rt.blocking([] {}, {.start_by = weir::clock_type::now() + std::chrono::milliseconds(2)});
  EXPECT_EQ(code_of(std::move(late)), errc::expired);
  leave.open();
  auto r = slow.get();
  if (!r) r = slow.get();
  EXPECT_EQ(r.value_or(0), 1);
  EXPECT_EQ(rt.metrics().overran, 1u);
}

TEST(Blocking, HereIsTheRuntimeOfTheCall) {
  weir::runtime rt(with_blocking(1));
  EXPECT_EQ(rt.blocking([] { return weir::here().spawn([] { return 4; }).get().value_or(0); }).get().value_or(0), 4);
}

TEST(Blocking, AnswersWhatItCannotDo) {
  weir::runtime rt(with_blocking(1));
  void (*nothing)() = nullptr;
  EXPECT_EQ(code_of(rt.blocking(nothing)), errc::invalid);
  EXPECT_EQ(code_of(rt.blocking([] {}, {.worker = 0})), errc::invalid);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(code_of(rt.blocking([] {}, {.stop = stop.get_token()})), errc::cancelled);
  EXPECT_EQ(code_of(rt.blocking([] {}, {.start_by = weir::clock_type::now() - std::chrono::seconds(1)})), errc::expired);
  EXPECT_EQ(rt.metrics().submitted, 0u);
  weir::options o = with_workers(1);
  o.max_blocking = 0;
  EXPECT_THROW(weir::runtime(std::move(o)), std::invalid_argument);
  weir::options p = with_workers(1);
  p.blocking_capacity = 0;
  EXPECT_THROW(weir::runtime(std::move(p)), std::invalid_argument);
}

TEST(Blocking, WithoutAnyThreadIsRefusedWithTheCause) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime rt(with_blocking(2));
              rlimit old{};
              ::getrlimit(RLIMIT_NPROC, &old);
              const rlimit none{1, old.rlim_max};
              if (::setrlimit(RLIMIT_NPROC, &none) != 0 || (::getuid() == 0 && ::setuid(65534) != 0)) return;
              tally t;
              probe<8> f(t);
              const auto r = rt.blocking(std::move(f)).get();
              check(!r && r.error().code == errc::failed, "it answers failed");
              bool told = false;
              try {
                static_cast<void>(r.value());
              } catch (const std::system_error& e) {
                told = e.code() == std::errc::resource_unavailable_try_again;
              }
              check(told, "with the cause");
              check(t.untouched(), "the callable is untouched");
              check(rt.metrics().submitted == 0, "and nothing was accepted");
              ::setrlimit(RLIMIT_NPROC, &old);
              check(rt.blocking(std::move(f)).get().has_value(), "a later call finds a thread");
              check(rt.drain().complete, "nothing is lost");
            }),
            "");
}

TEST(Blocking, InAForkedChildAnswersStopped) {
  weir::runtime rt(with_blocking(2));
  const occupied o(rt);
  EXPECT_EQ(in_child([&](child_checks& check) { check(code_of(rt.blocking([] {})) == errc::stopped, "it is stopped"); }), "");
}

}  // namespace
}  // namespace promise_blocking_test
