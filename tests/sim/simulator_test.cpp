// The simulator itself: what it finds, that it repeats, and that what it simulates behaves.
#include "cases.hpp"

#include <gtest/gtest.h>

#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <set>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

namespace {

namespace sim = weir::sim;
using namespace std::chrono_literals;

sim::options quiet(std::uint64_t seed = 1) {
  sim::options o;
  o.seed = seed;
  o.print = false;
  return o;
}

// Two threads that each read, then write: some order loses an increment.
void lost_update() {
  sim::atomic<int> n{0};
  const auto add = [&] { n.store(n.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed); };
  sim::thread a(add), b(add);
  a.join();
  b.join();
  sim::check(n.load(std::memory_order_relaxed) == 2, "both count");
}

TEST(Simulator, TheSameSeedGivesTheSameTrace) {
  for (const auto& c : {cases::all[0], cases::all[8], cases::all[19]})
    for (std::uint64_t seed : {1u, 2u, 3u, 77u}) {
      const sim::result a = sim::run(quiet(seed), c.run), b = sim::run(quiet(seed), c.run);
      EXPECT_TRUE(a && b) << c.name;
      EXPECT_EQ(a.trace, b.trace) << c.name;
      EXPECT_EQ(a.steps, b.steps) << c.name;
      EXPECT_EQ(a.time, b.time) << c.name;
    }
}

TEST(Simulator, AFailureDoesNotChangeWhatComesAfterIt) {
  const sim::result before = sim::run(quiet(5), &cases::every_accepted_task_runs_once);
  EXPECT_EQ(sim::run(quiet(), [] {
              weir::runtime rt(cases::with_workers(2));
              std::mutex m;
              std::scoped_lock lock(m);
              sim::check(false, "while a runtime lives and a mutex is held");
            }).what, sim::verdict::failed);
  const sim::result after = sim::run(quiet(5), &cases::every_accepted_task_runs_once);
  EXPECT_EQ(before.trace, after.trace);
}

TEST(Simulator, SeedsDiffer) {
  std::set<std::uint64_t> traces;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) traces.insert(sim::run(quiet(seed), &cases::drain_against_submit).trace);
  EXPECT_GT(traces.size(), 45u);
}

TEST(Simulator, FindsALostUpdateAndRepeatsIt) {
  for (sim::scheduler how : {sim::scheduler::pct, sim::scheduler::random, sim::scheduler::automatic}) {
    sim::options o = quiet();
    o.how = how;
    const sim::exploration e = sim::explore(2000, &lost_update, o);
    ASSERT_FALSE(e) << "in " << e.runs << " runs";
    o.seed = e.failure.seed;
    const sim::result again = sim::run(o, &lost_update);
    EXPECT_EQ(again.what, sim::verdict::failed);
    EXPECT_EQ(again.trace, e.failure.trace);
    EXPECT_NE(again.report.find("both count"), std::string::npos) << again.report;
  }
}

TEST(Simulator, BoundedSearchFindsALostUpdateAndRepeatsIt) {
  sim::options o = quiet();
  o.how = sim::scheduler::bounded;
  o.depth = 2;
  const sim::exploration e = sim::explore(10000, &lost_update, o);
  ASSERT_FALSE(e);
  o.schedule = e.failure.schedule;
  EXPECT_FALSE(o.schedule.empty());
  const sim::result again = sim::run(o, &lost_update);
  EXPECT_EQ(again.what, sim::verdict::failed);
  EXPECT_EQ(again.trace, e.failure.trace);
}

TEST(Simulator, BoundedSearchEndsWhenNothingIsLeft) {
  sim::options o = quiet();
  o.how = sim::scheduler::bounded;
  o.depth = 2;
  const sim::exploration e = sim::explore(100000, [] {
    sim::atomic<int> n{0};
    sim::thread a([&] { n.fetch_add(1, std::memory_order_relaxed); }), b([&] { n.fetch_add(1, std::memory_order_relaxed); });
    a.join();
    b.join();
    sim::check(n.load(std::memory_order_relaxed) == 2, "both count");
  }, o);
  EXPECT_TRUE(e);
  EXPECT_TRUE(e.complete);
  EXPECT_GT(e.runs, 10u);
}

TEST(Simulator, ADeadlockIsToldWithEachThreadsPlace) {
  const sim::exploration e = sim::explore(1000, [] {
    std::mutex a, b;
    sim::thread t([&] { std::scoped_lock first(a); std::scoped_lock second(b); }, "one");
    std::scoped_lock first(b);
    std::scoped_lock second(a);
  }, quiet());
  ASSERT_FALSE(e);
  EXPECT_EQ(e.failure.what, sim::verdict::deadlock);
  EXPECT_NE(e.failure.report.find("one: waits for a mutex"), std::string::npos) << e.failure.report;
  EXPECT_NE(e.failure.report.find("body: waits for a mutex"), std::string::npos) << e.failure.report;
}

TEST(Simulator, AThreadThatNeverEndsIsADeadlockOrALivelock) {
  sim::options o = quiet();
  o.max_steps = 10000;
  EXPECT_EQ(sim::run(o, [] { for (;;) std::this_thread::yield(); }).what, sim::verdict::livelock);
  EXPECT_EQ(sim::run(o, [] { std::condition_variable c; std::mutex m; std::unique_lock l(m); c.wait(l, [] { return false; }); }).what,
            sim::verdict::deadlock);
}

TEST(Simulator, AnExceptionThatLeavesTheBodyFailsTheRun) {
  const sim::result r = sim::run(quiet(), [] { throw std::runtime_error("what it says"); });
  EXPECT_EQ(r.what, sim::verdict::failed);
  EXPECT_NE(r.report.find("what it says"), std::string::npos);
}

TEST(Simulator, ACrashFailsTheRunWhereThatIsAskedFor) {
  sim::options o = quiet();
  o.catch_crashes = true;
  const sim::result r = sim::run(o, [] { __builtin_trap(); });
  EXPECT_EQ(r.what, sim::verdict::failed);
}

TEST(Simulator, TimeIsVirtual) {
  const auto real = std::chrono::steady_clock::now();
  const sim::result r = sim::run(quiet(), [] {
    const auto t0 = std::chrono::steady_clock::now();
    const auto s0 = std::chrono::system_clock::now();
    sim::thread other([] { std::this_thread::sleep_for(1h); });
    std::this_thread::sleep_for(24h);
    other.join();
    sim::check(std::chrono::steady_clock::now() - t0 >= 24h && std::chrono::system_clock::now() - s0 >= 24h, "a day has passed");
    std::mutex m;
    std::condition_variable c;
    std::unique_lock l(m);
    const auto t1 = std::chrono::steady_clock::now();
    sim::check(!c.wait_for(l, 1min, [] { return false; }), "nobody notified");
    sim::check(std::chrono::steady_clock::now() - t1 >= 1min, "a minute has passed");
  });
  EXPECT_TRUE(r) << r.report;
  EXPECT_GE(r.time, 24h);
  EXPECT_LT(std::chrono::steady_clock::now() - real, 10s);
}

TEST(Simulator, MutexesExcludeAndConditionsWake) {
  const sim::exploration e = sim::explore(300, [] {
    std::mutex m;
    std::condition_variable c;
    int inside = 0, turn = 0;
    const auto play = [&](int me) {
      for (int i = 0; i < 3; ++i) {
        std::unique_lock l(m);
        c.wait(l, [&] { return turn == me; });
        sim::check(++inside == 1, "alone");
        sim::point();
        --inside;
        turn = 1 - me;
        c.notify_all();
      }
    };
    sim::thread a([&] { play(0); }), b([&] { play(1); });
  }, quiet());
  EXPECT_TRUE(e) << e.failure.report;
}

thread_local int of_this_thread = 0;
struct tells_its_end {
  sim::atomic<int>* n = nullptr;
  ~tells_its_end() {
    if (n != nullptr) n->fetch_add(1, std::memory_order_relaxed);
  }
};
thread_local tells_its_end at_exit;

TEST(Simulator, ThreadLocalsBelongToTheSimulatedThread) {
  const sim::exploration e = sim::explore(100, [] {
    sim::atomic<int> ends{0};
    const auto self = [&](int me) {
      at_exit.n = &ends;
      const auto id = std::this_thread::get_id();
      for (int i = 0; i < 5; ++i) {
        of_this_thread = me;
        sim::point();
        sim::check(of_this_thread == me && std::this_thread::get_id() == id, "its own");
      }
    };
    {
      sim::thread a([&] { self(1); }), b([&] { self(2); });
      of_this_thread = 3;
      a.join();
      sim::check(ends.load(std::memory_order_relaxed) >= 1, "destructors run before the thread is joined");
    }
    sim::check(ends.load(std::memory_order_relaxed) == 2 && of_this_thread == 3, "and each once");
  }, quiet());
  EXPECT_TRUE(e) << e.failure.report;
}

TEST(Simulator, ExceptionsInFlightBelongToTheSimulatedThread) {
  const sim::exploration e = sim::explore(100, [] {
    const auto play = [](int me) {
      try {
        throw me;
      } catch (int x) {
        sim::point();
        try {
          sim::point();
          throw;
        } catch (int y) {
          sim::point();
          sim::check(x == me && y == me && std::uncaught_exceptions() == 0, "its own");
        }
      }
    };
    sim::thread a([&] { play(1); }), b([&] { play(2); });
    play(3);
  }, quiet());
  EXPECT_TRUE(e) << e.failure.report;
}

TEST(Simulator, AStopCallbacksDestructorWaitsForTheCallback) {
  const sim::exploration e = sim::explore(300, [] {
    std::stop_source source;
    bool gone = false;
    sim::thread stopper([&] { source.request_stop(); });
    {
      std::stop_callback on_stop(source.get_token(), [&] {
        sim::point();
        sim::point();
        sim::check(!gone, "the callback's object is there while it runs");
      });
      sim::point();
    }
    gone = true;
    stopper.join();
  }, quiet());
  EXPECT_TRUE(e) << e.failure.report;
}

TEST(Simulator, AtomicWaitsAreSimulated) {
  const sim::exploration e = sim::explore(200, [] {
    std::atomic<int> word{0};
    sim::thread a([&] {
      sim::point();
      word.store(1);
      word.notify_one();
    });
    word.wait(0);
  }, quiet());
  EXPECT_TRUE(e) << e.failure.report;
}

// Every schedule with at most one deviation of: start, one task, drain.
TEST(Simulator, OneTaskOneWorkerAllSchedulesWithOneDeviation) {
  sim::options o = quiet();
  o.how = sim::scheduler::bounded;
  o.depth = 1;
  const sim::exploration e = sim::explore(1'000'000, [] {
    weir::runtime rt({.workers = 1, .spin = 0us});
    bool ran = false;
    HOLDS(rt.submit([&] { ran = true; }));
    rt.drain();
    HOLDS(ran);
  }, o);
  EXPECT_TRUE(e) << e.failure.schedule << "\n" << e.failure.report;
  EXPECT_TRUE(e.complete);
  RecordProperty("runs", static_cast<int>(e.runs));
}

}  // namespace
