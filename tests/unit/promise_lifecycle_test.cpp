// P22–P26: drain, abort, what comes after them, and both on an own worker.
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <memory>
#include <mutex>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

namespace promise_lifecycle_test {
namespace {

using namespace test;
using weir::errc;

// ---- P22

TEST(Drain, RunsEverythingThatWasAcceptedAndReportsIt) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }, {.prio = weir::lane::low}));
  const weir::report r = rt.drain();
  EXPECT_EQ(ran, 1100);
  EXPECT_EQ(r.ran, 1100u);
  EXPECT_EQ(r.stopped, 0u);
  EXPECT_TRUE(r.complete);
  EXPECT_TRUE(r.still_running.empty());
}

TEST(Drain, RanCountsTheWholeLifeAndFailuresToo) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  weir::runtime rt(o);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_TRUE(rt.submit([] { throw std::runtime_error("ran to its end too"); }));
  auto cancelled = rt.spawn([] { std::this_thread::sleep_for(1s); }, {.stop = [] {
                              std::stop_source s;
                              s.request_stop();
                              return s.get_token();
                            }()});
  EXPECT_EQ(rt.drain().ran, 11u);
}

TEST(Drain, RefusesOutsideSubmitsButRunsWhatTasksSpawn) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(2));
  gate release;
  std::function<void(int)> tree = [&](int level) {
    ++ran;
    if (level == 0) return;
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(rt.submit([&, level] { tree(level - 1); })) << "on a worker while draining";
    EXPECT_EQ(rt.spawn([] { return 1; }).get().value_or(0), 1);
  };
  ASSERT_TRUE(rt.submit([&] {
    release.wait();
    tree(8);
  }));
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] {
    const weir::status s = rt.try_submit([] {});
    return !s && s.error().code == errc::stopped;
  }));
  auto h = rt.spawn([] {});
  EXPECT_TRUE(h.ready());
  EXPECT_EQ(h.get().error().code, errc::stopped);
  EXPECT_EQ(ran, 0);
  release.open();
  drainer.join();
  EXPECT_EQ(ran, 511);
}

TEST(Drain, ResumesAPausedRuntime) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(2));
  rt.pause();
  ASSERT_TRUE(eventually([&] { return rt.metrics().running == 0; }));
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
  let_it_misbehave(5ms);
  EXPECT_EQ(ran, 0) << "paused";
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_EQ(ran, 10);
}

TEST(Drain, ConcurrentDrainsShareOneReport) {
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> ran{0};
    weir::runtime rt(with_workers(2));
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    weir::report reports[4];
    std::vector<std::thread> threads;
    for (auto& r : reports) threads.emplace_back([&] { r = rt.drain(); });
    for (auto& t : threads) t.join();
    for (const auto& r : reports) {
      EXPECT_EQ(r.ran, 100u);
      EXPECT_EQ(r.stopped, 0u);
      EXPECT_TRUE(r.complete);
    }
    const weir::report again = rt.drain();
    EXPECT_EQ(again.ran, 100u) << "a drain after the drain";
    EXPECT_TRUE(again.complete);
  }
}

TEST(Drain, OfAnIdleRuntimeIsCompleteAtOnce) {
  weir::runtime rt(with_workers(2));
  const weir::report r = rt.drain();
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(r.ran, 0u);
}

TEST(Drain, EndsTheWorkersThreads) {
  static std::atomic<int> started, stopped;
  started = stopped = 0;
  weir::options o = with_workers(3);
  o.on_thread_start = [](int) { ++started; };
  o.on_thread_stop = [](int) { ++stopped; };
  weir::runtime rt(o);
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_EQ(started, 3);
  EXPECT_EQ(stopped, 3);
}

// ---- P23

TEST(DrainDeadline, StopsTheQueuedRequestsStopAndNamesWhatStillRuns) {
  weir::runtime rt(with_workers(1));
  gate release;
  auto started = std::make_shared<gate>();
  std::atomic<bool> saw_stop{false};
  auto stuck = rt.spawn(
      [&, started](std::stop_token t) {
        started->open();
        release.wait();
        saw_stop = t.stop_requested();
        return 8;
      },
      {.name = "stuck"});
  started->wait();
  tally unstarted;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit(probe<32>(unstarted)));
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 5; ++i) handles.push_back(rt.spawn(probe<32>(unstarted)));
  const auto limit = weir::clock_type::now() + 30ms;
  const weir::report r = rt.drain(limit);
  EXPECT_GE(weir::clock_type::now(), limit);
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.stopped, 15u);
  ASSERT_EQ(r.still_running.size(), 1u);
  EXPECT_STREQ(r.still_running[0].name, "stuck");
  EXPECT_EQ(r.still_running[0].worker, 0);
  EXPECT_EQ(r.unfinished, 1u);
  for (auto& h : handles) {
    EXPECT_TRUE(h.ready());
    auto result = h.get();
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, errc::stopped);
  }
  EXPECT_EQ(unstarted.alive, 0);
  EXPECT_EQ(unstarted.calls, 0);
  EXPECT_FALSE(stuck.ready());
  release.open();
  EXPECT_EQ(stuck.get().value_or(0), 8);
  EXPECT_TRUE(saw_stop);
  EXPECT_TRUE(rt.drain().complete) << "the next drain waits for the rest";
}

TEST(DrainDeadline, APlainTaskThatStillRunsIsInTheReport) {
  weir::runtime rt(with_workers(2));
  plug p(rt, 1);
  std::atomic<bool> stop_seen{false}, on{false};
  ASSERT_TRUE(rt.submit([&] {
    on = true;
    while (!weir::this_task::token().stop_requested()) std::this_thread::yield();
    stop_seen = true;
  }));
  ASSERT_TRUE(eventually([&] { return on.load(); }));
  const weir::report r = rt.drain(weir::clock_type::now() + 10ms);
  EXPECT_FALSE(r.complete);
  EXPECT_GE(r.still_running.size(), 1u);
  EXPECT_TRUE(eventually([&] { return stop_seen.load(); })) << "a plain task sees the runtime's token";
  p.release();
  EXPECT_TRUE(rt.drain().complete);
}

TEST(DrainDeadline, InThePastStillCompletesWhenNothingIsLeft) {
  weir::runtime rt(with_workers(2));
  ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  const weir::report r = rt.drain(weir::clock_type::now() - 1s);
  EXPECT_EQ(r.ran, 1u);
  EXPECT_EQ(r.stopped, 0u);
  EXPECT_TRUE(r.still_running.empty());
}

// What had no place in a queue yet when the limit passed gets it later, and nobody drains again.
TEST(DrainDeadline, WhatComesToAQueueAfterItEndsAsStopped) {
  weir::runtime rt(with_workers(2));
  gate release;
  std::atomic<bool> begun{false}, second{false};
  weir::task_group g(rt, {.limit = 1, .cancel_on_error = false});
  g.run([&] {
    begun = true;
    release.wait();
  });
  g.run([&] { second = true; });
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  EXPECT_FALSE(rt.drain(weir::clock_type::now()).complete);
  release.open();
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::stopped);
  EXPECT_FALSE(second) << "past the limit nothing begins";
  EXPECT_TRUE(rt.drain().complete);
}

// Two drains at once, one with a limit, one without: the limit stops what is queued whoever came first, and the other
// one waits for the rest. Each accepted task is in one column of the report.
void one_hasty_one_patient(bool hasty_first) {
  std::atomic<int> ran{0};
  weir::options o = with_workers(1);
  o.capacity = 20;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  plug p(rt);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
  weir::report patient, hasty;
  const auto closing = [&] { return rt.try_submit([] {}).error().code == errc::stopped; };  // full until then
  std::thread waits_for_ever, has_a_limit;
  const auto start_hasty = [&] { has_a_limit = std::thread([&] { hasty = rt.drain(weir::clock_type::now() + 30ms); }); };
  const auto start_patient = [&] { waits_for_ever = std::thread([&] { patient = rt.drain(); }); };
  hasty_first ? start_hasty() : start_patient();
  EXPECT_TRUE(eventually(closing));
  hasty_first ? start_patient() : start_hasty();
  has_a_limit.join();
  EXPECT_FALSE(hasty.complete);
  EXPECT_TRUE(eventually([&] { return rt.metrics().stopped == 20; })) << "at the limit what is queued is stopped";
  if (hasty_first) EXPECT_EQ(hasty.stopped, 20u);
  else EXPECT_LE(hasty.stopped, 20u);  // the other one may have some in hand
  EXPECT_EQ(hasty.still_running.size(), 1u);
  p.release();
  waits_for_ever.join();
  EXPECT_EQ(p.ended(), 1u) << "a drain without a limit waits for what runs";
  EXPECT_TRUE(patient.complete);
  EXPECT_EQ(patient.ran, 1u);
  EXPECT_EQ(patient.stopped, 20u);
  EXPECT_EQ(ran, 0);
}
TEST(DrainDeadline, HoldsAlsoWhenADrainWithoutOneCameFirst) { one_hasty_one_patient(false); }
TEST(DrainDeadline, DoesNotEndADrainWithoutOneThatCameLater) { one_hasty_one_patient(true); }

// ---- P24

TEST(Abort, GivesEachUnstartedCallableToTheSinkOnThisThread) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  plug p(rt);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([&] { ran += 1; }));
  const std::string big(100, 'b');
  ASSERT_TRUE(rt.submit([&ran, big] { ran += static_cast<int>(big.size()); }));
  ASSERT_TRUE(rt.try_submit_bulk(std::vector<std::function<void()>>(3, [&] { ran += 1000; })));
  auto spawned = rt.spawn([&] { return ran += 10000; });
  auto wants_token = rt.spawn([&](std::stop_token) { ran += 100000; }, {.prio = weir::lane::low});
  ASSERT_TRUE(rt.submit([&] { ran += 1000000; }, {.prio = weir::lane::high}));
  std::thread releaser([&] {
    EXPECT_TRUE(eventually([&] { return spawned.ready(); })) << "handles complete while the running task still runs";
    p.release();
  });
  std::vector<weir::task_fn> sunk;
  const auto me = std::this_thread::get_id();
  const weir::report r = rt.abort([&](weir::task_fn&& f) {
    EXPECT_EQ(std::this_thread::get_id(), me);
    EXPECT_TRUE(f);
    sunk.push_back(std::move(f));
  });
  releaser.join();
  EXPECT_EQ(p.ended(), 1u) << "abort returns after the running tasks";
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(r.ran, 1u);
  EXPECT_EQ(r.stopped, 17u);
  EXPECT_EQ(sunk.size(), 17u);
  EXPECT_EQ(spawned.get().error().code, errc::stopped);
  EXPECT_EQ(wants_token.get().error().code, errc::stopped);
  EXPECT_EQ(ran, 0);
  for (auto& f : sunk) f();
  EXPECT_EQ(ran, 10 + 100 + 3000 + 10000 + 100000 + 1000000) << "what was handed out still works";
}

TEST(Abort, WithoutASinkDestroysTheUnstarted) {
  weir::runtime rt(with_workers(1));
  tally t;
  plug p(rt);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit(probe<40>(t)));
  auto h = rt.spawn(probe<8>(t));
  std::thread releaser([&] {
    EXPECT_TRUE(eventually([&] { return t.alive == 0; }));
    p.release();
  });
  const weir::report r = rt.abort();
  releaser.join();
  EXPECT_EQ(r.stopped, 11u);
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(h.get().error().code, errc::stopped);
}

TEST(Abort, AThrowingSinkMeansTheRestAreDestroyedThenItIsRethrown) {
  weir::runtime rt(with_workers(1));
  tally t;
  plug p(rt);
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit(probe<40>(t)));
  for (int i = 0; i < 10; ++i) handles.push_back(rt.spawn(probe<40>(t)));
  std::atomic<int> calls{0};
  std::thread releaser([&] {
    EXPECT_TRUE(eventually([&] { return t.alive == 0; })) << t.alive;
    p.release();
  });
  EXPECT_THROW(rt.abort([&](weir::task_fn&& f) {
    weir::task_fn mine = std::move(f);
    if (++calls == 3) throw std::out_of_range("the sink is full");
  }),
               std::out_of_range);
  releaser.join();
  EXPECT_EQ(p.ended(), 1u) << "also then it returns only after the running tasks";
  EXPECT_EQ(calls, 3);
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(t.calls, 0);
  for (auto& h : handles) EXPECT_EQ(h.get().error().code, errc::stopped);
  EXPECT_EQ(rt.submit([] {}).error().code, errc::stopped);
  EXPECT_TRUE(rt.wait_idle());
}

TEST(Abort, RequestsStopOfRunningTasks) {
  weir::runtime rt(with_workers(2));
  const auto until_stopped = [](std::stop_token t) {
    while (!t.stop_requested()) std::this_thread::yield();
  };
  auto spawned = rt.spawn(until_stopped);
  ASSERT_TRUE(rt.submit(until_stopped));
  ASSERT_TRUE(eventually([&] { return rt.metrics().running == 2; }));
  const weir::report r = rt.abort();
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(r.ran, 2u);
  EXPECT_TRUE(spawned.get());
}

TEST(Abort, OfAPausedRuntimeHandsOutEverything) {
  weir::runtime rt(with_workers(2));
  rt.pause();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([] {}));
  int sunk = 0;
  const weir::report r = rt.abort([&](weir::task_fn&&) { ++sunk; });
  EXPECT_EQ(r.ran + r.stopped, 10u);
  EXPECT_EQ(static_cast<std::uint64_t>(sunk), r.stopped);
}

#if __has_include(<weir/task_group.hpp>)
TEST(Abort, CompletesGroupChildrenWithStoppedAndDoesNotHandThemOut) {
  weir::runtime rt(with_workers(1));
  tally t;
  weir::task_group g(rt);
  plug p(rt);
  for (int i = 0; i < 10; ++i) g.run(probe<40>(t));
  ASSERT_TRUE(rt.submit([] {}));
  std::thread releaser([&] {
    EXPECT_TRUE(eventually([&] { return t.alive == 0; }));
    p.release();
  });
  int sunk = 0;
  rt.abort([&](weir::task_fn&&) { ++sunk; });
  releaser.join();
  EXPECT_EQ(sunk, 1);
  const weir::status s = g.wait();
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::stopped);
  EXPECT_EQ(t.calls, 0);
}
#endif

// ---- P25

TEST(AfterShutdown, EveryVerbAnswersStoppedAndLeavesTheCallableUntouched) {
  for (const bool by_abort : {false, true}) {
    weir::runtime rt(with_workers(2));
    ASSERT_TRUE(rt.submit([] {}));
    by_abort ? rt.abort() : rt.drain();
    tally t;
    {
      probe<64> f(t);
      const weir::executor_ref ref = rt;
      for (const weir::status& s : {rt.submit(std::move(f)), rt.try_submit(std::move(f)), ref.submit(std::move(f)),
                                    rt.submit(std::move(f), {.prio = weir::lane::high}), rt.submit(std::move(f), {.name = "n"})}) {
        ASSERT_FALSE(s);
        EXPECT_EQ(s.error().code, errc::stopped);
      }
      EXPECT_EQ(rt.spawn(std::move(f)).get().error().code, errc::stopped);
      EXPECT_TRUE(t.untouched());
      std::vector<probe<64>> some;
      some.push_back(f);
      const int before = t.copies + t.moves;
      const weir::status bulk = rt.try_submit_bulk(std::move(some));
      ASSERT_FALSE(bulk);
      EXPECT_EQ(bulk.error().code, errc::stopped);
      EXPECT_EQ(t.copies + t.moves, before);
    }
    bool ran = false;
    try {
      rt.run([&] { ran = true; });
      ADD_FAILURE() << "run returned";
    } catch (const std::system_error& e) {
      EXPECT_EQ(e.code(), errc::stopped);
    }
    EXPECT_FALSE(ran);
    EXPECT_FALSE(rt.broadcast([] {}));
    EXPECT_TRUE(rt.wait_idle());
    EXPECT_EQ(rt.metrics().submitted, 1u);
    rt.pause();
    rt.resume();
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_TRUE(rt.abort().complete);
    EXPECT_EQ(t.calls, 0);
    EXPECT_EQ(rt.workers(), 2u);
  }
}

// ---- P26

TEST(OnAnOwnWorker, DrainAndAbortBeginAndReturnIncomplete) {
  for (const bool by_abort : {false, true}) {
    std::atomic<int> ran{0};
    weir::runtime rt(with_workers(2));
    auto h = rt.spawn([&] {
      const weir::report r = by_abort ? rt.abort() : rt.drain();
      EXPECT_FALSE(r.complete);
      EXPECT_TRUE(by_abort || rt.submit([&] { ++ran; })) << "what tasks spawn is still run";
      return r.complete;
    });
    EXPECT_FALSE(h.get().value_or(true));
    EXPECT_EQ(rt.submit([] {}).error().code, errc::stopped) << "it has begun";
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_EQ(ran, by_abort ? 0 : 1);
  }
}

TEST(OnAnOwnWorker, WaitIdleReturnsFalseAtOnce) {
  for (const unsigned workers : {1u, 2u}) {
    weir::runtime rt(with_workers(workers));
    EXPECT_FALSE(rt.run([&] { return rt.wait_idle(); }));
    EXPECT_FALSE(rt.spawn([&] { return rt.wait_idle(); }).get().value_or(true));
  }
}

TEST(OnAnOwnWorker, TheDestructorHandsOffAndEverythingAcceptedStillRuns) {
  static std::atomic<int> threads, ran;
  for (int round = 0; round < 10; ++round) {
    threads = ran = 0;
    weir::options o = with_workers(2);
    o.on_thread_start = [](int) { ++threads; };
    o.on_thread_stop = [](int) { --threads; };
    auto rt = std::make_unique<weir::runtime>(o);
    ASSERT_TRUE(eventually([&] { return threads == 2; }));
    auto submitted = std::make_shared<gate>(), destroyed = std::make_shared<gate>();
    weir::runtime* raw = rt.release();
    for (int i = 0; i < 100; ++i) ASSERT_TRUE(raw->submit([] { ++ran; }));
    ASSERT_TRUE(raw->submit([raw, submitted, destroyed] {
      submitted->wait();
      delete raw;
      ++ran;
      destroyed->open();
    }));
    submitted->open();
    ASSERT_TRUE(destroyed->wait_for(10s));
    EXPECT_TRUE(eventually([&] { return threads == 0 && ran == 101; })) << threads << " threads left, " << ran << " ran";
  }
}

// The task is through before submit() has come back: then submit() works on what is there no more, or the destructor waits.
TEST(OnAnOwnWorker, ATaskMayBeTheLastThatHoldsTheRuntime) {
  for (int i = 0; i < 50; ++i) {
    std::atomic<int> threads{0};
    weir::options o = with_workers(2);
    static std::atomic<int>* count;
    count = &threads;
    o.on_thread_start = [](int) { ++*count; };
    o.on_thread_stop = [](int) { ++*count; };
    auto rt = std::make_unique<weir::runtime>(o);
    weir::runtime& there = *rt;
    if (i % 2 == 0) ASSERT_TRUE(there.submit([owner = std::move(rt)] {}));
    else there.run([&] { rt.reset(); });
    ASSERT_TRUE(eventually([&] { return threads == 4; }));
  }
}

// A stop callback is foreign code: whoever asks the running to stop does not hold up what ends meanwhile.
TEST(Drain, AtItsLimitAStopCallbackMayWaitForWhatARunningTaskHolds) {
  weir::runtime rt(with_workers(1));
  std::mutex m;
  std::atomic<bool> begun{false};
  auto outer = rt.spawn([&] {
    const std::stop_callback when(weir::this_task::token(), [&] { const std::lock_guard lock(m); });
    const std::lock_guard lock(m);
    auto inner = weir::here().spawn([&] {
      begun = true;
      return eventually([t = weir::this_task::token()] { return t.stop_requested(); });
    });
    return inner.get().value();
  });
  ASSERT_TRUE(eventually([&] { return begun.load(); }));
  static_cast<void>(rt.drain(weir::clock_type::now() + 20ms));
  EXPECT_TRUE(outer.get().value());
}

// Two whose limit passes all the time beside one without.
TEST(Drain, OfSeveralEachReturnsAtItsLimit) {
  for (int round = 0; round < 5; ++round) {
    weir::options o = with_workers(2);
    o.on_thread_stop = [](int) { std::this_thread::sleep_for(3ms); };
    weir::runtime rt(o);
    ASSERT_TRUE(rt.submit([] { std::this_thread::sleep_for(2ms); }));
    std::vector<std::thread> late;
    for (int i = 0; i < 2; ++i)
      late.emplace_back([&] {
        while (!rt.drain(weir::clock_type::now() + std::chrono::microseconds(200)).complete) {}
      });
    EXPECT_TRUE(rt.drain().complete);
    for (auto& t : late) t.join();
  }
}

TEST(Drain, InTheSinkOfAnAbortReturnsAtItsLimit) {
  weir::runtime rt(with_workers(1));
  rt.pause();
  rt.spawn([] {}).detach();
  bool complete = true;
  rt.abort([&](weir::task_fn&&) { complete = rt.drain(weir::clock_type::now() + 1ms).complete; });
  EXPECT_FALSE(complete);
}

// Whoever saw rest before the leader has joined its threads waits for that: a complete report means that restart() may come.
TEST(Drain, OfTwoACompleteReportIsOfARuntimeThatHasStopped) {
  for (int round = 0; round < 20; ++round) {
    weir::options o = with_workers(2);
    o.on_thread_stop = [](int) { std::this_thread::sleep_for(3ms); };
    weir::runtime rt(o);
    ASSERT_TRUE(rt.submit([] {}));
    std::thread leads([&] { EXPECT_TRUE(rt.drain().complete); });
    while (!rt.drain(weir::clock_type::now() + std::chrono::microseconds(500)).complete) {}
    EXPECT_TRUE(rt.restart());
    leads.join();
  }
}

TEST(OnAnOwnWorker, AHandleOutlivesARuntimeThatDestroyedItself) {
  auto* raw = new weir::runtime(with_workers(1));
  auto submitted = std::make_shared<gate>();
  auto h = raw->spawn([raw, submitted] {
    submitted->wait();
    delete raw;
    return 3;
  });
  submitted->open();
  EXPECT_EQ(h.get().value_or(0), 3);
}

}  // namespace
}  // namespace promise_lifecycle_test
