// P33: tasks that are tried again.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <set>
#include <stdexcept>
#include <string>
#include <thread>

namespace promise_retry_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;

constexpr weir::retry_policy quick{.max_attempts = 3, .base = 100us, .cap = 1ms};
constexpr weir::retry_policy patient{.max_attempts = 100, .base = 10000h, .cap = 10000h};  // months on average

weir::task_options with(const weir::retry_policy& p) { return {.retry = &p}; }

std::string text_of(const weir::error& e) {
  try {
    if (e.cause) std::rethrow_exception(e.cause);
  } catch (const std::exception& x) {
    return x.what();
  }
  return "";
}

TEST(Retry, AFailedTaskIsTriedAgainAndKeepsItsCallable) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> calls{0};
  auto h = rt.spawn([&, own = std::make_unique<int>(0)]() mutable {
    ++calls;
    if (++*own < 3) throw std::runtime_error("not yet");
    return *own;
  }, with(quick));
  EXPECT_EQ(h.get().value_or(0), 3) << "it is the same callable, with what it has kept";
  EXPECT_EQ(calls, 3);
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, 1u) << "a retried task counts once";
  EXPECT_EQ(m.ok, 1u);
  EXPECT_EQ(m.failed, 0u);
}

TEST(Retry, TheResultCarriesTheAttemptsAndTheLastError) {
  weir::runtime rt(with_workers(1));
  int n = 0;
  tally t;
  auto h = rt.spawn([&n, p = probe<8>(t)] { throw std::runtime_error("number " + std::to_string(++n)); }, with(quick));
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_EQ(r.error().attempts, 3u);
  EXPECT_EQ(text_of(r.error()), "number 3");
  EXPECT_EQ(t.alive, 0);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().failed, 1u);
  EXPECT_EQ(rt.metrics().submitted, 1u);
}

TEST(Retry, ThePolicyIsCopied) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> calls{0};
  auto policy = std::make_unique<weir::retry_policy>(quick);
  plug p(rt);
  auto h = rt.spawn([&] {
    ++calls;
    throw std::runtime_error("no");
  }, {.retry = policy.get()});
  policy.reset();
  p.release();
  EXPECT_FALSE(h.get());
  EXPECT_EQ(calls, 3);
}

TEST(Retry, EachTaskHasItsOwnPolicy) {
  weir::runtime rt(with_workers(1));
  std::vector<weir::join_handle<void>> handles;
  for (unsigned n = 0; n < 20; ++n) {
    const weir::retry_policy p{.max_attempts = n % 5, .base = 1us, .cap = 10us};
    handles.push_back(rt.spawn([] { throw std::runtime_error("no"); }, with(p)));
  }
  for (unsigned n = 0; n < 20; ++n) {
    const auto r = handles[n].get();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().attempts, std::max(1u, n % 5)) << "none or one attempt is no retry";
  }
}

TEST(Retry, OnlyWhatIsRetryableIsTriedAgain) {
  static std::atomic<int> asked;
  asked = 0;
  const weir::retry_policy p{.max_attempts = 5, .base = 1us, .cap = 1us, .retryable = [](const weir::error& e) noexcept {
                               ++asked;
                               return e.code == errc::failed && text_of(e) == "again" && e.attempts < 5;
                             }};
  weir::runtime rt(with_workers(1));
  int n = 0;
  const auto r = rt.spawn([&] { throw std::runtime_error(++n < 3 ? "again" : "for good"); }, with(p)).get();
  ASSERT_FALSE(r);
  EXPECT_EQ(text_of(r.error()), "for good");
  EXPECT_EQ(r.error().attempts, 3u);
  EXPECT_EQ(asked, 3);
}

TEST(Retry, HoldsNoWorkerWhileItWaits) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  gate failed;
  auto h = rt.spawn([&] {
    failed.open();
    throw std::runtime_error("no");
  }, with(patient));
  failed.wait();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
  EXPECT_TRUE(eventually([&] { return ran == 100; }));
  EXPECT_FALSE(h.ready());
  EXPECT_TRUE(eventually([&] { return rt.metrics().running == 0; }));
  EXPECT_EQ(rt.metrics().queued, 1u);
  h.cancel();
}

TEST(Retry, AStopTokenEndsTheWaitAtOnceWithTheLastCause) {
  weir::runtime rt(with_workers(1));
  std::stop_source stop;
  gate failed;
  tally t;
  auto h = rt.spawn([&, p = probe<8>(t)] {
    failed.open();
    throw std::runtime_error("no luck");
  }, {.stop = stop.get_token(), .retry = &patient});
  failed.wait();
  EXPECT_TRUE(eventually([&] { return rt.metrics().running == 0; }));
  EXPECT_FALSE(rt.wait_idle(clock_type::now() + 2ms)) << "a task that waits is not over";
  stop.request_stop();
  EXPECT_TRUE(eventually([&] { return h.ready(); }));
  EXPECT_EQ(t.alive, 0);
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::cancelled);
  EXPECT_EQ(r.error().attempts, 1u);
  EXPECT_EQ(text_of(r.error()), "no luck");
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().cancelled, 1u);
}

TEST(Retry, CancelOnTheHandleDoesTheSame) {
  weir::runtime rt(with_workers(1));
  gate failed;
  auto h = rt.spawn([&] {
    failed.open();
    throw std::runtime_error("no luck");
  }, with(patient));
  failed.wait();
  EXPECT_TRUE(eventually([&] {
    h.cancel();
    return h.ready();
  }));
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_TRUE(r.error().code == errc::cancelled || r.error().code == errc::failed) << "it may have been asked to stop before its end";
  EXPECT_EQ(r.error().attempts, 1u);
}

TEST(Retry, ATaskThatWasAskedToStopIsNotTriedAgain) {
  weir::runtime rt(with_workers(1));
  std::stop_source stop;
  gate started;
  int calls = 0;
  auto h = rt.spawn([&](std::stop_token t) {
    ++calls;
    started.open();
    while (!t.stop_requested()) std::this_thread::yield();
    throw std::runtime_error("stopped");
  }, {.stop = stop.get_token(), .retry = &quick});
  started.wait();
  stop.request_stop();
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_EQ(r.error().attempts, 1u);
  EXPECT_EQ(calls, 1);
}

TEST(Retry, DrainEndsWhatWaitsWithItsLastError) {
  weir::runtime rt(with_workers(2));
  std::vector<weir::join_handle<void>> handles;
  std::atomic<int> failed{0};
  for (int i = 0; i < 10; ++i)
    handles.push_back(rt.spawn([&] {
      ++failed;
      throw std::runtime_error("last");
    }, with(patient)));
  EXPECT_TRUE(eventually([&] { return failed == 10 && rt.metrics().running == 0; }));
  const weir::report r = rt.drain();
  EXPECT_TRUE(r.complete);
  for (auto& h : handles) {
    const auto e = h.get();
    ASSERT_FALSE(e);
    EXPECT_EQ(e.error().code, errc::failed);
    EXPECT_EQ(e.error().attempts, 1u);
    EXPECT_EQ(text_of(e.error()), "last");
  }
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, 10u);
  EXPECT_EQ(m.failed, 10u);
}

TEST(Retry, AbortEndsWhatWaitsAndDoesNotHandItOut) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> failed{0};
  auto h = rt.spawn([&] {
    ++failed;
    throw std::runtime_error("last");
  }, with(patient));
  EXPECT_TRUE(eventually([&] { return failed == 1 && rt.metrics().running == 0; }));
  int sunk = 0;
  EXPECT_TRUE(rt.abort([&](weir::task_fn&&) { ++sunk; }).complete);
  EXPECT_EQ(sunk, 0) << "it had been started";
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_EQ(text_of(r.error()), "last");
}

TEST(Retry, AFailureWhileDrainingIsTheLast) {
  weir::runtime rt(with_workers(1));
  gate started, closing;
  int calls = 0;
  auto h = rt.spawn([&] {
    ++calls;
    started.open();
    closing.wait();
    throw std::runtime_error("late");
  }, with(patient));
  started.wait();
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] { return !rt.submit([] {}); }));
  closing.open();
  drainer.join();
  EXPECT_EQ(calls, 1);
  EXPECT_EQ(text_of(h.get().error()), "late");
}

TEST(Retry, OfADetachedTaskOnlyTheLastErrorIsReported) {
  unhandled seen;
  weir::options o = with_workers(1);
  seen.install(o);
  weir::runtime rt(o);
  int n = 0, m = 0;
  ASSERT_TRUE(rt.submit([&n] { throw std::runtime_error("submit " + std::to_string(++n)); }, {.name = "named", .retry = &quick}));
  ASSERT_TRUE(rt.wait_idle());
  rt.spawn([&m] { throw std::runtime_error("spawn " + std::to_string(++m)); }, with(quick)).detach();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.texts(), (std::vector<std::string>{"submit 3", "spawn 3"}));
  EXPECT_STREQ(seen.infos()[0].name, "named");
  EXPECT_EQ(rt.metrics().failed, 2u);
}

TEST(Retry, WhatWaitsCountsInMaxOutstandingAndNotInTheCapacity) {
  weir::options o = with_workers(1);
  o.capacity = 1;
  o.max_outstanding = 300;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  std::vector<weir::join_handle<void>> handles;
  std::atomic<int> tried{0};
  for (int i = 0; i < 100; ++i) {
    handles.push_back(rt.spawn([&] {
      ++tried;
      throw std::runtime_error("no");
    }, with(patient)));
    ASSERT_TRUE(eventually([&] { return tried == i + 1 && rt.metrics().running == 0; }));
    ASSERT_EQ(rt.metrics().queued, handles.size());
    ASSERT_FALSE(handles.back().ready()) << "the capacity is not taken by those that wait: " << i;
  }
  // Children see them: 300 may be outstanding, overshot by 64 at most.
  const int accepted = rt.run([] {
    int n = 0;
    while (n < 1000 && weir::here().submit([] {})) ++n;
    return n;
  });
  EXPECT_LE(accepted, 300 - 100 + 64);
  EXPECT_GE(accepted, 300 - 100 - 64);
  for (auto& h : handles) h.cancel();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Retry, IsNeverRefusedByAFullQueue) {
  std::atomic<std::size_t> ran{0};  // outlives the runtime, which drains
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  std::atomic<int> n{0};
  gate failed;
  auto h = rt.spawn([&] {
    if (n++ == 0) {
      failed.open();
      throw std::runtime_error("once");
    }
    return 4;
  }, with(quick));
  failed.wait();
  plug p(rt, 1);
  fill(rt, ran);
  let_it_misbehave(5ms);
  p.release();
  EXPECT_EQ(h.get().value_or(0), 4);
}

TEST(Retry, ThatWouldComeAfterTheDeadlineIsNotWaitedFor) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> calls{0};
  auto h = rt.spawn([&] {
    ++calls;
    throw std::runtime_error("no");
  }, {.deadline = clock_type::now() + 30s, .retry = &patient});
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_EQ(r.error().attempts, 1u);
}

TEST(Retry, AWaitOnAWorkerLetsTheTaskBeTriedAgain) {
  weir::runtime rt(with_workers(1));
  const int got = rt.run([&] {
    int n = 0;
    auto h = weir::here().spawn([&n] {
      if (++n < 3) throw std::runtime_error("not yet");
      return n;
    }, with(quick));
    return h.get().value_or(-1);
  });
  EXPECT_EQ(got, 3);
}

TEST(Retry, ComesBackToTheWorkerThatTheTaskIsBoundTo) {
  weir::runtime rt(with_workers(3));
  std::vector<int> where;
  auto h = rt.spawn([&] {
    where.push_back(weir::this_task::worker());
    if (where.size() < 3) throw std::runtime_error("not yet");
  }, {.worker = 2, .retry = &quick});
  EXPECT_TRUE(h.get());
  EXPECT_EQ(where, (std::vector<int>{2, 2, 2}));
}

TEST(Retry, StartByIsForTheFirstAttempt) {
  weir::runtime rt(with_workers(1));
  const weir::retry_policy slow{.max_attempts = 3, .base = 40ms, .cap = 40ms};
  int n = 0;
  auto h = rt.spawn([&n] {
    if (++n < 3) throw std::runtime_error("not yet");
    std::this_thread::sleep_for(15ms);
    return n;
  }, {.start_by = clock_type::now() + 10ms, .retry = &slow});
  const auto r = h.get();
  if (n != 0) {
    EXPECT_EQ(r.value_or(0), 3);
  } else {
    EXPECT_EQ(r.error().code, errc::expired) << "a machine that was too busy";
  }
}

TEST(Retry, ThroughAStrandLetsOthersGoFirstAndGivesItsRoomBackOnce) {
  weir::runtime rt(with_workers(2));
  const weir::limited l(rt, 1, 2);
  const weir::executor_ref e = l;
  for (int round = 0; round < 20; ++round) {
    std::stop_source stop;
    int n = 0;
    auto h = e.spawn([&n] {
      if (++n < 3) throw std::runtime_error("not yet");
      return n;
    }, {.stop = stop.get_token(), .start_by = clock_type::now() + 1h, .deadline = clock_type::now() + 1h, .retry = &quick});
    EXPECT_EQ(h.get().value_or(0), 3);
    ASSERT_TRUE(rt.wait_idle());
    gate started, leave;
    ASSERT_TRUE(e.submit([&] {
      started.open();
      leave.wait();
    }));
    started.wait();
    auto waits = e.spawn([] {}, {.start_by = clock_type::now() + 1ms});
    ASSERT_TRUE(e.try_submit([] {}));
    const auto r = waits.get();
    EXPECT_TRUE(!r && r.error().code == errc::expired);
    ASSERT_TRUE(e.try_submit([] {})) << "an expired task gives its room back";
    ASSERT_FALSE(e.try_submit([] {})) << "and no more than that";
    leave.open();
    ASSERT_TRUE(rt.wait_idle());
  }
}

TEST(Retry, OfADestructorThatThrowsThereIsNone) {
  weir::runtime rt(with_workers(1));
  struct ends_badly {
    std::shared_ptr<int> n;
    bool moved = false;
    explicit ends_badly(std::shared_ptr<int> m) : n(std::move(m)) {}
    ends_badly(ends_badly&& o) noexcept : n(std::move(o.n)) { o.moved = true; }
    ~ends_badly() noexcept(false) {
      if (!moved && n) throw std::runtime_error("destructor");
    }
    void operator()() { ++*n; }
  };
  auto n = std::make_shared<int>(0);
  auto h = rt.spawn(ends_badly(n), with(quick));
  const auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(text_of(r.error()), "destructor");
  EXPECT_EQ(*n, 1);
}

TEST(Retry, ANegativeWaitIsInvalid) {
  weir::runtime rt(with_workers(1));
  tally t;
  probe<8> f(t);
  for (const weir::retry_policy p : {weir::retry_policy{.base = -1ns}, weir::retry_policy{.cap = -1ns}}) {
    const auto s = rt.submit(std::move(f), with(p));
    EXPECT_TRUE(!s && s.error().code == errc::invalid);
    const auto r = rt.spawn(std::move(f), with(p)).get();
    EXPECT_TRUE(!r && r.error().code == errc::invalid);
  }
  EXPECT_TRUE(t.untouched());
}

TEST(Retry, ThousandsWaitAndEndOnceEach) {
  weir::options o = with_workers(2);
  o.capacity = 1 << 16;
  weir::runtime rt(o);
  const int n = sanitized ? 1000 : 10000;
  std::atomic<int> calls{0}, done{0};
  for (int i = 0; i < n; ++i)
    ASSERT_TRUE(rt.submit([&, left = i % 4]() mutable {
      ++calls;
      if (left-- > 0) throw std::runtime_error("not yet");
      ++done;
    }, {.retry = [] {
          static const weir::retry_policy p{.max_attempts = 4, .base = 50us, .cap = 500us};
          return &p;
        }()}));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(done, n);
  EXPECT_EQ(calls, n / 4 * (1 + 2 + 3 + 4));
  EXPECT_EQ(rt.metrics().ok, static_cast<std::uint64_t>(n));
}

}  // namespace
}  // namespace promise_retry_test
