// The timers' part of P22, P24 to P27, P29 and P36: shutdown, destructors, restart, fork, threads that cannot be had.
#include <weir/runtime.hpp>
#include <weir/timer.hpp>

#include <child.hpp>
#include <runtime_tools.hpp>
#include <thread_named.hpp>

#include <gtest/gtest.h>

#include <fstream>
#include <optional>
#include <string>
#include <system_error>
#include <thread>

#include <sys/resource.h>

namespace promise_timers_life_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;

// How often a thread went to sleep.
long sleeps(int tid) {
  std::ifstream in("/proc/self/task/" + std::to_string(tid) + "/status");
  for (std::string word; in >> word;)
    if (word == "voluntary_ctxt_switches:") return in >> word, std::stol(word);
  return -1;
}

bool refused_with(const weir::timer& t, errc e) { return !t.accepted() && t.accepted().error().code == e; }

// ---- P22, P24 – P26: shutdown

TEST(Timers, ThatAreNotDueAreCancelledByDrain) {
  weir::runtime rt(with_workers(1));
  tally t;
  auto kept = weir::after(rt, 1h, probe<8>(t));
  weir::after(rt, 1h, probe<8>(t)).detach();
  weir::every(rt, 1h, probe<8>(t)).detach();
  EXPECT_EQ(t.alive, 3);
  const weir::report r = rt.drain();
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(r.ran, 0u);
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(rt.metrics().cancelled, 3u);
  EXPECT_EQ(rt.metrics().submitted, 3u);
  EXPECT_FALSE(kept.cancel()) << "it has ended";
}

TEST(Timers, ThatAreDueRunWhileDraining) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  plug p(rt);
  const auto due = clock_type::now() + 1ms;
  for (int i = 0; i < 10; ++i) weir::at(rt, due, [&] { ++ran; }).detach();
  auto series = weir::every(rt, 1ms, [&] { ++ran; });
  const auto made = clock_type::now();
  while (clock_type::now() < made + 5ms) std::this_thread::sleep_for(1ms);
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  EXPECT_TRUE(eventually([&] { return refused_with(weir::after(rt, 1ms, [] {}), errc::stopped); }));
  p.release();
  drainer.join();
  EXPECT_EQ(ran, 11) << "the series' one occurrence included, and no further one";
}

TEST(Timers, AreRefusedAfterTheBeginningOfADrainOnWorkersToo) {
  weir::runtime rt(with_workers(1));
  gate closing;
  std::atomic<bool> stopped{false};
  ASSERT_TRUE(rt.submit([&] {
    closing.wait();
    stopped = refused_with(weir::after(weir::here(), 1ms, [] {}), errc::stopped);
  }));
  std::thread drainer([&] { rt.drain(); });
  EXPECT_TRUE(eventually([&] { return !rt.submit([] {}); }));
  EXPECT_TRUE(eventually([&] { return refused_with(weir::after(rt, 1ms, [] {}), errc::stopped); }));
  closing.open();
  drainer.join();
  EXPECT_TRUE(stopped);
}

TEST(Timers, AreHandedOutByAbortWithTheirCallables) {
  weir::runtime rt(with_workers(1));
  int called = 0;
  tally t;
  weir::after(rt, 1h, [&, p = probe<8>(t)] { ++called; }).detach();
  auto kept = weir::after(rt, 2h, [&, p = probe<8>(t)](std::stop_token) { ++called; });
  auto series = weir::every(rt, 1h, [&, p = probe<8>(t)] { ++called; });
  auto p = std::make_unique<plug>(rt);
  weir::after(rt, weir::duration::zero(), [&, q = probe<8>(t)] { ++called; }).detach();  // due, but unstarted
  let_it_misbehave(2ms);
  int sunk = 0;
  std::thread releaser([&] {
    eventually([&] { return rt.metrics().stopped == 4; });
    p->release();
  });
  const weir::report r = rt.abort([&](weir::task_fn&& f) {
    ++sunk;
    f();
  });
  releaser.join();
  EXPECT_EQ(sunk, 4);
  EXPECT_EQ(called, 4);
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(r.stopped, 4u);
  EXPECT_FALSE(kept.cancel());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.stopped);
}

TEST(Timers, MayOutliveTheRuntime) {
  weir::timer pending, ran, series;
  {
    weir::runtime rt(with_workers(1));
    pending = weir::after(rt, 1h, [] {});
    ran = weir::after(rt, weir::duration::zero(), [] {});
    series = weir::every(rt, 1h, [] {});
    std::this_thread::sleep_for(1ms);
  }
  for (weir::timer* t : {&pending, &ran, &series}) {
    EXPECT_TRUE(t->accepted());
    EXPECT_FALSE(t->cancel());
  }
}

TEST(Timers, DoNotHoldUpTheDestructor) {
  const auto begin = clock_type::now();
  for (int i = 0; i < 20; ++i) {
    weir::runtime rt(with_workers(2));
    for (int k = 0; k < 10; ++k) weir::after(rt, 1h, [] {}).detach();
    weir::every(rt, 1h, [] {}).detach();
  }
  EXPECT_LT(clock_type::now() - begin, 1h);
  EXPECT_TRUE(eventually([] { return thread_named("weir/t") == 0; })) << "the thread is gone with its runtime";
}

TEST(Timers, ADestructorOnAnOwnWorkerTakesThemDown) {
  tally t;
  {
    auto rt = std::make_shared<weir::runtime>(with_workers(2));
    weir::after(*rt, 1h, probe<8>(t)).detach();
    weir::every(*rt, 1h, probe<8>(t)).detach();
    auto* raw = rt.get();
    weir::after(*raw, 1ms, [rt = std::move(rt)] {}).detach();
  }
  EXPECT_TRUE(eventually([&] { return t.alive == 0 && thread_named("weir/t") == 0 && thread_named("weir/w0") == 0; }));
  EXPECT_EQ(t.calls, 0);
}

// Whoever cancels destroys the callable, which may be the last that holds the runtime: it waits for no rest that cannot come.
TEST(Timers, ACancelMayDestroyTheRuntime) {
  for (int round = 0; round < 10; ++round) {
    auto rt = std::make_shared<weir::runtime>(with_workers(1));
    weir::runtime& raw = *rt;
    weir::timer t = weir::after(raw, 1h, [rt = std::move(rt)] {});
    EXPECT_TRUE(t.cancel());
  }
  EXPECT_TRUE(eventually([] { return thread_named("weir/t") == 0 && thread_named("weir/w0") == 0; }));
}

TEST(Timers, OfARestartedRuntimeRunAgain) {
  weir::runtime rt(with_workers(1));
  for (int round = 0; round < 3; ++round) {
    std::atomic<int> ran{0};
    auto never = weir::after(rt, 1h, [&] { ran += 100; });
    weir::after(rt, 1ms, [&] { ++ran; }).detach();
    ASSERT_TRUE(eventually([&] { return ran == 1; }));
    rt.drain();
    EXPECT_TRUE(eventually([] { return thread_named("weir/t") == 0; }));
    ASSERT_TRUE(refused_with(weir::after(rt, 1ms, [] {}), errc::stopped));
    ASSERT_TRUE(rt.restart());
    EXPECT_FALSE(never.cancel()) << "it ended with the drain";
  }
}

// ---- P27: fork()

TEST(Timers, OfAForkedChildsParentAreInert) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  std::optional<weir::timer> pending = weir::after(rt, 1h, [&] { ++ran; });
  auto soon = weir::after(rt, 30ms, [&] { ++ran; });
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(refused_with(weir::after(rt, 1ms, [] {}), errc::stopped), "after answers stopped");
              check(refused_with(weir::every(rt, 1ms, [] {}), errc::stopped), "every answers stopped");
              check(!soon.cancel(), "cancel is false");
              pending.reset();
            }),
            "");
  EXPECT_TRUE(eventually([&] { return ran == 1; })) << "the parent goes on";
  EXPECT_TRUE(pending->cancel());
}

TEST(Timers, OfANewRuntimeInAForkedChildRun) {
  weir::runtime rt(with_workers(1));
  auto pending = weir::after(rt, 1h, [] {});
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime fresh(with_workers(1));
              gate done;
              auto t = weir::after(fresh, 1ms, [&] { done.open(); });
              check(done.wait_for(10s), "it tells the time");
            }),
            "");
}

// ---- P29: no thread to tell the time

TEST(Timers, WithoutAThreadFailWithTheCauseAndLoseNothing) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime rt(with_workers(1));
              check(rt.run([] { return 1; }) == 1, "it runs");
              rlimit old{};
              ::getrlimit(RLIMIT_NPROC, &old);
              const rlimit none{1, old.rlim_max};
              if (::setrlimit(RLIMIT_NPROC, &none) != 0 || (::getuid() == 0 && ::setuid(65534) != 0)) return;
              tally t;
              probe<8> f(t);
              const auto refused = weir::after(rt, 1ms, std::move(f));
              check(refused_with(refused, errc::failed), "a timer is refused with failed");
              bool told = false;
              try {
                refused.accepted().value();
              } catch (const std::system_error& e) {
                told = e.code() == std::errc::resource_unavailable_try_again;
              }
              check(told, "and the cause");
              check(t.untouched(), "the callable is untouched");
              check(rt.wait_idle(), "nothing was accepted");
              ::setrlimit(RLIMIT_NPROC, &old);
              gate done;
              auto second = weir::after(rt, 1ms, [&] { done.open(); });
              check(second.accepted().has_value() && done.wait_for(10s), "the next one gets its thread");
            }),
            "");
}

// ---- P36: idleness

TEST(Timers, NeedNoThreadBeforeTheFirstOne) {
  weir::runtime rt(with_workers(2));
  ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(eventually([] { return thread_named("weir/t") == 0; }));  // nor one of the last test
  auto t = weir::after(rt, 1h, [] {});
  EXPECT_TRUE(eventually([] { return thread_named("weir/t") != 0; }));
}

TEST(Timers, WakeNobodyWhileNothingIsDue) {
  weir::runtime rt(with_workers(1));
  auto late = weir::after(rt, 1h, [] {});
  int tid = 0;
  ASSERT_TRUE(eventually([&] { return (tid = thread_named("weir/t")) != 0 && asleep(tid); }));
  const long before = sleeps(tid);
  {
    std::vector<weir::timer> later;
    for (int i = 0; i < 1000; ++i) later.push_back(weir::after(rt, 1h + std::chrono::seconds(i), [] {}));
  }
  std::this_thread::sleep_for(100ms);
  EXPECT_EQ(sleeps(tid), before) << "a later timer, or one that is cancelled, is no reason to wake up";
  gate done;
  auto soon = weir::after(rt, 1ms, [&] { done.open(); });
  done.wait();
  EXPECT_TRUE(eventually([&] { return asleep(tid); }));
  EXPECT_LE(sleeps(tid), before + 4) << "one wake-up for the new time, one for it to come";
}

}  // namespace
}  // namespace promise_timers_life_test
