// P15 P16: not started in time, and not ended in time. The clock watches, though every worker is busy.
#include <weir/runtime.hpp>
#include <weir/task_group.hpp>
#include <weir/result_stream.hpp>
#include <weir/strand.hpp>
#include <weir/timer.hpp>

#include <child.hpp>
#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <random>
#include <stdexcept>
#include <system_error>
#include <thread>

#include <sys/resource.h>

namespace promise_deadlines_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;

weir::options rejecting(unsigned workers, std::size_t capacity) {
  weir::options o = with_workers(workers);
  o.capacity = capacity;
  o.full = weir::on_full::reject;
  return o;
}

weir::task_options start_by(weir::duration d) { return {.start_by = clock_type::now() + d}; }
// A limit that has passed is refused, and the callable untouched: a machine that is too busy is given more time.
template <class F>
void submit_in_time(weir::runtime& rt, F f) {
  for (weir::duration d = sanitized ? 1000ms : 300ms; !rt.submit(std::move(f), start_by(d)); d *= 2) {}
}
weir::task_options deadline(weir::duration d) { return {.deadline = clock_type::now() + d}; }

// ---- P15

TEST(StartBy, ATaskThatHasNotStartedByThenExpiresThoughEveryWorkerIsBusy) {
  weir::runtime rt(rejecting(2, 100));
  tally spawned, submitted, large, high, bound;
  {
    plug p(rt);
    clock_type::time_point limit;
    const auto in_time = [&](auto submit) {  // a limit that has passed is refused
      const std::uint64_t before = rt.metrics().submitted;
      for (weir::duration d = sanitized ? 1000ms : 300ms; rt.metrics().submitted == before; d *= 2) {
        weir::task_options o;
        o.start_by = limit = clock_type::now() + d;
        submit(o);
      }
    };
    in_time([&](auto& o) { static_cast<void>(rt.submit(probe<8>(submitted), o)); });
    in_time([&](auto& o) {
      o.name = "large";
      static_cast<void>(rt.submit(probe<5000>(large), o));
    });
    in_time([&](auto& o) {
      o.prio = weir::lane::high;
      static_cast<void>(rt.submit(probe<8>(high), o));
    });
    in_time([&](auto& o) {
      o.worker = 1;
      static_cast<void>(rt.submit(probe<8>(bound), o));
    });
    weir::join_handle<void> h;
    in_time([&](auto& o) { h = rt.spawn(probe<8>(spawned), o); });
    const auto r = h.get();
    EXPECT_GE(clock_type::now(), limit) << "not before its time";
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::expired);
    EXPECT_TRUE(eventually([&] { return rt.metrics().expired == 5; })) << "nobody has taken them out of the queue";
    for (const tally* t : {&spawned, &submitted, &large, &high, &bound}) EXPECT_EQ(t->alive, 0) << "and they are gone";
  }
  ASSERT_TRUE(rt.wait_idle());
  for (const tally* t : {&spawned, &submitted, &large, &high, &bound}) EXPECT_EQ(t->calls, 0);
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.expired);
}

TEST(StartBy, TheCapacityOfAnExpiredTaskIsFreeAtOnce) {
  for (weir::duration d = sanitized ? 1000ms : 300ms;; d *= 2) {
    std::atomic<std::size_t> ran{0};
    weir::runtime rt(rejecting(1, 8));
    plug p(rt);
    weir::task_options o = start_by(d);
    std::uint64_t accepted = 0;
    for (int i = 0; i < 5; ++i) accepted += rt.submit([&] { ran += 100; }, o).has_value();
    const std::size_t filled = fill(rt, ran);
    if (clock_type::now() >= o.start_by) continue;  // on a machine that is too busy some may have expired
    EXPECT_EQ(accepted, 5u);
    EXPECT_EQ(filled, 3u);
    EXPECT_TRUE(eventually([&] { return rt.metrics().expired == 5; }));
    EXPECT_EQ(fill(rt, ran), 5u);
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, 8u);
    break;
  }
}

TEST(StartBy, ABlockedSubmitterGetsTheRoomOfAnExpiredTask) {
  weir::options o = rejecting(1, 1);
  o.full = weir::on_full::block;
  weir::runtime rt(o);
  plug p(rt);
  std::atomic<int> ran{0};
  submit_in_time(rt, [&] { ran += 100; });
  ASSERT_TRUE(rt.submit([&] { ++ran; })) << "waits for the other to expire";
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 1);
}

TEST(StartBy, ATaskThatStartsInTimeIsLeftAlone) {
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(rt.spawn([] {}, start_by(1h)).get());  // its threads are there
  std::uint64_t expired = 0;  // on a machine that is too busy
  for (weir::duration d = sanitized ? 2000ms : 500ms;; d *= 2) {
    const auto limit = clock_type::now() + d;
    const auto r = rt.spawn([limit](std::stop_token t) {
      std::this_thread::sleep_until(limit + 10ms);
      return t.stop_requested() ? -1 : 5;
    }, {.start_by = limit}).get();
    if (!r && r.error().code == errc::expired) {
      ++expired;
      continue;
    }
    EXPECT_EQ(r.value_or(0), 5);
    break;
  }
  EXPECT_LE(rt.metrics().expired, expired);
}

TEST(StartBy, RacingTheStartATaskExpiresOrRunsInTimeNeverBoth) {
  weir::runtime rt(with_workers(2));
  std::mt19937 random(5);
  std::uint64_t ran = 0;
  for (int i = 0; i < (sanitized ? 200 : 1000); ++i) {
    std::atomic<int> calls{0};
    const auto limit = clock_type::now() + std::chrono::nanoseconds(random() % 40'000);
    const auto r = rt.spawn([&] { ++calls; }, {.start_by = limit}).get();
    EXPECT_EQ(calls, r ? 1 : 0);
    if (r) {
      ++ran;
    } else {
      EXPECT_EQ(r.error().code, errc::expired);
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.ok, ran);
  EXPECT_EQ(m.submitted, ran + m.expired) << "one that came too late was not accepted";
}

TEST(StartBy, ThousandsExpireTogether) {
  weir::runtime rt(rejecting(1, 20000));
  plug p(rt);
  std::vector<weir::join_handle<void>> handles;
  const auto limit = clock_type::now() + (sanitized ? 1000ms : 250ms);
  for (int i = 0; i < 10000; ++i) handles.push_back(rt.spawn([] {}, {.start_by = limit}));
  for (auto& h : handles) {
    const auto r = h.get();
    ASSERT_FALSE(r);
    ASSERT_EQ(r.error().code, errc::expired);
  }
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.expired + 1) << "and the one that held the worker; one that came too late was not accepted";
}

TEST(StartBy, WithAStopTokenWhicheverComesFirstEndsTheTask) {
  weir::runtime rt(rejecting(1, 100));
  plug p(rt);
  std::stop_source stop;
  tally t;
  auto cancelled = rt.spawn(probe<8>(t), {.stop = stop.get_token(), .start_by = clock_type::now() + 1h});
  auto expired = rt.spawn(probe<8>(t), {.stop = stop.get_token(), .start_by = clock_type::now() + 2ms});
  const auto r = expired.get();
  EXPECT_TRUE(!r && r.error().code == errc::expired);
  EXPECT_EQ(t.alive, 1);
  stop.request_stop();
  const auto s = cancelled.get();
  EXPECT_TRUE(!s && s.error().code == errc::cancelled);
  EXPECT_EQ(t.alive, 0);
}

TEST(StartBy, WhatAnExpiredCallableDoesWhenItIsDestroyedMayUseTheRuntime) {
  weir::runtime rt(with_workers(1));
  struct at_end {
    std::function<void()> f;
    explicit at_end(std::function<void()> g) : f(std::move(g)) {}
    at_end(at_end&& o) noexcept : f(std::exchange(o.f, nullptr)) {}
    ~at_end() {
      if (f) f();
    }
    void operator()() {}
  };
  std::atomic<int> ran{0};
  std::atomic<bool> starved{false}, busy{false};
  auto p = std::make_unique<plug>(rt);
  auto other = std::make_shared<weir::join_handle<void>>(rt.spawn([] {}));
  submit_in_time(rt, at_end([&, other] {
    weir::after(rt, 1ms, [&] { ++ran; }).detach();
    static_cast<void>(rt.submit([&] { ++ran; }).has_value());
    busy = rt.wait_idle();
    const auto r = other->get();
    starved = !r && r.error().code == errc::starved;
  }));
  EXPECT_TRUE(eventually([&] { return starved.load(); })) << "the thread that tells the time waits for nothing";
  EXPECT_FALSE(busy);
  p->release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2);
}

TEST(StartBy, WhatAnExpiredCallableDoesWhenItIsDestroyedWaitsForNothing) {
  weir::runtime rt(with_workers(1));
  struct at_end {
    std::function<void()> f;
    explicit at_end(std::function<void()> g) : f(std::move(g)) {}
    at_end(at_end&& o) noexcept : f(std::exchange(o.f, nullptr)) {}
    ~at_end() {
      if (f) f();
    }
    void operator()() {}
  };
  auto p = std::make_unique<plug>(rt);
  const weir::limited one(rt, 1, 1, weir::on_full::block);
  weir::task_group group(rt);
  weir::result_stream<int> stream(rt);
  ASSERT_TRUE(one.submit([] {}));
  group.run([] {});
  ASSERT_TRUE(stream.submit([] { return 1; }));
  std::atomic<bool> full{false}, entered{true}, done{false};
  std::atomic<errc> waited{}, read{};
  submit_in_time(rt, at_end([&] {
    const weir::status s = one.submit([] {});
    full = !s && s.error().code == errc::full;
    const weir::status g = group.wait_until(weir::clock_type::now() + 1h);
    waited = g ? errc{} : g.error().code;
    if (const auto r = stream.next()) read = *r ? errc{} : r->error().code;
    try {
      rt.run([] {});
    } catch (const std::system_error& e) {
      entered = e.code() != make_error_code(errc::starved);
    }
    done = true;
  }));
  EXPECT_TRUE(eventually([&] { return done.load(); })) << "the thread that tells the time waits for nothing";
  EXPECT_TRUE(full);
  EXPECT_EQ(waited.load(), errc::starved);
  EXPECT_EQ(read.load(), errc::starved);
  EXPECT_FALSE(entered);
  p->release();
  EXPECT_TRUE(group.wait());
  EXPECT_EQ(stream.next().value().value_or(0), 1);
}

TEST(StartBy, AnExpiredCallableMayBeTheLastToHoldTheRuntime) {
  for (int i = 0; i < 5; ++i) {
    tally t;
    auto rt = std::make_shared<weir::runtime>(with_workers(1));
    auto p = std::make_shared<plug>(*rt);
    weir::runtime& it = *rt;
    weir::after(it, 1h, probe<8>(t)).detach();
    // The destructor runs on the timekeeper's thread.
    submit_in_time(it, [rt = std::move(rt), p = probe<8>(t)]() mutable { p(); });
    EXPECT_TRUE(eventually([&] { return t.alive == 0; }));
    p->release();
    EXPECT_TRUE(eventually([&] { return p->ended() == 1; }));
    EXPECT_EQ(t.calls, 0);
  }
}

TEST(StartBy, OfTasksOfTasksAndWhileDrainingHoldsToo) {
  weir::runtime rt(with_workers(1));
  tally t;
  gate closing;
  std::atomic<bool> expired{false};
  ASSERT_TRUE(rt.submit([&] {
    closing.wait();
    const auto before = rt.metrics().submitted;
    for (auto d = 2ms; rt.metrics().submitted == before; d *= 2) {  // it may be late already when it is asked for: then it is refused
      auto h = weir::here().spawn(probe<8>(t), start_by(d));
      expired = eventually([&] { return h.ready(); });
    }
  }));
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] { return !rt.submit([] {}); }));
  closing.open();
  drainer.join();
  EXPECT_TRUE(expired);
  EXPECT_EQ(t.calls + t.alive, 0);
  EXPECT_EQ(rt.metrics().expired, 1u);
}

// ---- P16

TEST(Deadline, TheTokenOfARunningTaskFiresAndItsWaiterGetsTimeoutOnce) {
  weir::runtime rt(with_workers(1));
  gate release;
  std::atomic<bool> stopped{false};
  const auto limit = clock_type::now() + 10ms;
  auto h = rt.spawn([&](std::stop_token t) {
    while (!t.stop_requested()) std::this_thread::yield();
    stopped = true;
    release.wait();
    return 7;
  }, {.deadline = limit, .name = "slow"});
  const auto r = h.get();
  EXPECT_GE(clock_type::now(), limit) << "not before its time";
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timeout);
  EXPECT_TRUE(eventually([&] { return stopped.load(); }));
  const weir::snapshot m = rt.metrics();
  ASSERT_EQ(m.overdue.size(), 1u) << "it is named";
  EXPECT_STREQ(m.overdue[0].name, "slow");
  EXPECT_EQ(m.overdue[0].worker, 0);
  EXPECT_EQ(m.overran, 1u);
  EXPECT_NE(m.prometheus().find("slow"), std::string::npos);
  EXPECT_FALSE(h.ready());
  release.open();
  EXPECT_EQ(h.get().value_or(0), 7) << "it ran on; whoever waits on gets what it returned";
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().ok, 1u) << "it counts by its end";
  EXPECT_TRUE(rt.metrics().overdue.empty());
}

TEST(Deadline, AWaiterThatComesAfterItIsToldToo) {
  weir::runtime rt(with_workers(1));
  gate release;
  auto h = rt.spawn([&] { release.wait(); }, deadline(2ms));
  EXPECT_TRUE(eventually([&] { return rt.metrics().overran == 1; }));
  auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::timeout);
  r = h.get_until(clock_type::now() + 5ms);
  EXPECT_TRUE(!r && r.error().code == errc::timeout) << "a limit of its own";
  release.open();
  EXPECT_TRUE(h.get());
}

TEST(Deadline, AWaitOnAWorkerEndsAtIt) {
  weir::runtime rt(with_workers(2));
  gate started, release;
  const auto limit = clock_type::now() + 10ms;
  auto h = rt.spawn([&] {
    started.open();
    release.wait();
  }, {.deadline = limit});
  started.wait();
  const bool timed_out = rt.run([&] {
    const auto r = h.get();
    return !r && r.error().code == errc::timeout && clock_type::now() >= limit;
  });
  EXPECT_TRUE(timed_out);
  release.open();
  EXPECT_TRUE(h.get());
}

TEST(Deadline, IsSeenByThisTaskTokenOfAPlainSubmit) {
  weir::runtime rt(with_workers(1));
  std::atomic<bool> seen{false};
  ASSERT_TRUE(rt.submit([&] {
    const std::stop_token t = weir::this_task::token();
    while (!t.stop_requested()) std::this_thread::yield();
    seen = true;
  }, deadline(5ms)));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(seen);
}

TEST(Deadline, ThatHasPassedBeforeTheStartFiresTheTokenAtTheStart) {
  weir::runtime rt(with_workers(1));
  auto p = std::make_unique<plug>(rt);
  auto h = rt.spawn([](std::stop_token t) { return t.stop_requested() ? 1 : 2; }, deadline(1ms));
  const auto r = h.get();
  EXPECT_TRUE(!r && r.error().code == errc::timeout);
  p->release();
  EXPECT_EQ(h.get().value_or(0), 1);
  EXPECT_EQ(rt.metrics().overran, 1u);
}

TEST(Deadline, OfATaskThatEndsInTimeChangesNothing) {
  weir::runtime rt(with_workers(2));
  std::vector<weir::join_handle<int>> handles;
  const auto limit = clock_type::now() + 1h;
  for (int i = 0; i < 1000; ++i) handles.push_back(rt.spawn([i](std::stop_token t) { return t.stop_requested() ? -1 : i; }, {.deadline = limit}));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(handles[static_cast<std::size_t>(i)].get().value_or(-2), i);
  EXPECT_EQ(rt.metrics().overran, 0u);
}

TEST(Deadline, BesideStartByEachHasItsTime) {
  weir::runtime rt(rejecting(1, 100));
  gate release;
  auto late = rt.spawn([&] { release.wait(); }, {.start_by = clock_type::now() + 10s, .deadline = clock_type::now() + 5ms});
  auto r = late.get();
  EXPECT_TRUE(!r && r.error().code == errc::timeout);
  auto never = rt.spawn([] {}, {.start_by = clock_type::now() + 2ms, .deadline = clock_type::now() + 1h});
  r = never.get();
  EXPECT_TRUE(!r && r.error().code == errc::expired);
  release.open();
  EXPECT_TRUE(late.get());
}

TEST(Deadline, RacingTheEndOfTheTaskLeavesItsResult) {
  weir::runtime rt(with_workers(2));
  std::mt19937 random(6);
  for (int i = 0; i < (sanitized ? 100 : 500); ++i) {
    const auto work = std::chrono::nanoseconds(random() % 30'000);
    auto h = rt.spawn([work] {
      burn(work);
      return 3;
    }, {.deadline = clock_type::now() + std::chrono::nanoseconds(random() % 60'000)});
    auto r = h.get();
    if (!r) {
      ASSERT_EQ(r.error().code, errc::timeout);
      r = h.get();
    }
    ASSERT_EQ(r.value_or(0), 3);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().ok, rt.metrics().submitted);
}

// ---- no thread, no cost

TEST(StartBy, WithoutAThreadToTellTheTimeIsRefusedWithTheCause) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime rt(with_workers(1));
              rlimit old{};
              ::getrlimit(RLIMIT_NPROC, &old);
              const rlimit none{1, old.rlim_max};
              if (::setrlimit(RLIMIT_NPROC, &none) != 0 || (::getuid() == 0 && ::setuid(65534) != 0)) return;
              tally t;
              probe<8> f(t);
              for (const bool at_start : {true, false}) {
                const weir::task_options o = at_start ? start_by(1h) : deadline(1h);
                const auto s = rt.submit(std::move(f), o);
                check(!s && s.error().code == errc::failed, "submit answers failed");
                bool told = false;
                try {
                  s.value();
                } catch (const std::system_error& e) {
                  told = e.code() == std::errc::resource_unavailable_try_again;
                }
                check(told, "with the cause");
                const auto r = rt.spawn(std::move(f), o).get();
                check(!r && r.error().code == errc::failed, "so does spawn");
              }
              check(t.untouched(), "the callable is untouched");
              check(rt.submit(std::move(f), {.name = "untimed"}).has_value(), "without a time nothing is missing");
              ::setrlimit(RLIMIT_NPROC, &old);
              check(rt.spawn([] { return 1; }, deadline(1h)).get().value_or(0) == 1, "the next one has its thread");
              check(rt.wait_idle(), "it comes to rest");
            }),
            "");
}

TEST(StartBy, TimedSubmitsOnAForkedChildsParentAnswerStopped) {
  weir::runtime rt(with_workers(1));
  plug p(rt);
  auto pending = rt.spawn([] {}, start_by(1h));
  auto late = rt.spawn([] {}, deadline(1h));
  EXPECT_EQ(in_child([&](child_checks& check) {
              const auto s = rt.submit([] {}, start_by(1h));
              check(!s && s.error().code == errc::stopped, "submit answers stopped");
              auto r = pending.get();
              check(!r && r.error().code == errc::stopped, "get answers stopped");
              r = late.get();
              check(!r && r.error().code == errc::stopped, "get of a task with a deadline, too");
            }),
            "");
  p.release();
  EXPECT_TRUE(pending.get());
  EXPECT_TRUE(late.get());
}

}  // namespace
}  // namespace promise_deadlines_test
