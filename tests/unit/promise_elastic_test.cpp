// options::max_workers: workers that come while all are busy and something waits, and that go again.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <child.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace promise_elastic_test {
namespace {

using namespace test;
using weir::errc;

weir::options elastic(unsigned workers, unsigned most) {
  weir::options o = with_workers(workers);
  o.max_workers = most;
  return o;
}

// n tasks are inside at the same time.
class meeting {
 public:
  explicit meeting(unsigned n) : n_(n) {}
  void come() {
    ++inside_;
    leave_.wait();
  }
  bool complete() {
    return eventually([&] { return inside_ >= n_; });
  }
  unsigned inside() const { return inside_; }
  void end() { leave_.open(); }

 private:
  const unsigned n_;
  std::atomic<unsigned> inside_{0};
  gate leave_;
};

void all_meet(weir::runtime& rt, unsigned n) {
  meeting m(n);
  for (unsigned i = 0; i < n; ++i) ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete()) << m.inside() << " of " << n;
  m.end();
  ASSERT_TRUE(rt.wait_idle());
}

bool comes_down(weir::runtime& rt, unsigned base) {
  return eventually([&] { return rt.workers() == base; }, 60s);
}

void books_balance(weir::runtime& rt) {
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
  EXPECT_EQ(m.queued, 0u);
  EXPECT_EQ(m.running, 0u);
  EXPECT_EQ(m.on_duty, rt.workers());
}

TEST(Elastic, BlockedWorkersBringOthersAndNotMoreThanTheMost) {
  weir::runtime rt(elastic(2, 6));
  EXPECT_EQ(rt.workers(), 2u);
  meeting m(6);
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete());
  let_it_misbehave();
  EXPECT_EQ(m.inside(), 6u);
  EXPECT_EQ(rt.workers(), 6u);
  m.end();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(m.inside(), 9u);
  EXPECT_GE(rt.metrics().surplus_came, 4u);
  books_balance(rt);
}

TEST(Elastic, WhatIsSubmittedInAnyWayGetsIn) {
  weir::runtime rt(elastic(1, 8));
  weir::strand s(rt);
  meeting m(8);
  const auto come = [&] { m.come(); };
  ASSERT_TRUE(rt.submit([&] {  // by a task
    EXPECT_TRUE(weir::here().submit(come));
    come();
  }));
  ASSERT_TRUE(rt.submit(come, {.prio = weir::lane::low}));
  ASSERT_TRUE(rt.submit(come, {.prio = weir::lane::high}));
  ASSERT_TRUE(rt.try_submit_bulk(std::vector(2, come)));
  ASSERT_TRUE(weir::executor_ref(s).submit(come));
  std::thread runs([&] { rt.run(come); });
  EXPECT_TRUE(m.complete()) << m.inside();
  m.end();
  runs.join();
  ASSERT_TRUE(rt.wait_idle());
  books_balance(rt);
}

TEST(Elastic, WhatABlockedWorkerHasClaimedIsRunByOthers) {
  weir::runtime rt(elastic(1, 3));
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(rt.submit([] {}));  // the worker learns to claim many at once
  ASSERT_TRUE(rt.wait_idle());
  meeting m(1);
  std::atomic<int> ran{0};
  rt.pause();
  ASSERT_TRUE(rt.submit([&] { m.come(); }));
  for (int i = 0; i < 40; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
  rt.resume();
  EXPECT_TRUE(eventually([&] { return ran == 40; }));
  m.end();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Elastic, SurplusWorkersGoWhenThereIsNothingToDo) {
  weir::runtime rt(elastic(1, 5));
  for (int round = 0; round < 2; ++round) {
    all_meet(rt, 5);
    EXPECT_TRUE(comes_down(rt, 1)) << rt.workers();
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.surplus_came, m.surplus_went);
    EXPECT_EQ(m.on_duty, 1u);
    EXPECT_EQ(rt.run([] { return 3; }), 3);
  }
}

TEST(Elastic, ItIsOffWhenTheMostIsNotMore) {
  for (const unsigned most : {0u, 1u, 2u}) {
    std::atomic<int> ran{0};
    weir::runtime rt(elastic(2, most));  // drains before that goes
    plug p(rt);
    ASSERT_TRUE(rt.submit([&] { ++ran; }));
    let_it_misbehave();
    EXPECT_EQ(ran, 0);
    EXPECT_EQ(rt.workers(), 2u);
    EXPECT_EQ(rt.metrics().surplus_came, 0u);
  }
}

TEST(Elastic, TheyAreToldOfAndNumberedAboveAllOthers) {
  static std::atomic<int> started, stopped, lowest;
  started = stopped = 0;
  lowest = 1 << 30;
  weir::options o = elastic(1, 4);
  o.on_thread_start = [](int n) {
    ++started;
    if (n != 0 && n < lowest) lowest = n;
  };
  o.on_thread_stop = [](int) { ++stopped; };
  {
    weir::runtime rt(o);
    meeting m(4);
    std::atomic<unsigned> above{0};
    for (int i = 0; i < 4; ++i)
      ASSERT_TRUE(rt.submit([&] {
        above += weir::this_task::worker() >= 1024;
        m.come();
      }));
    EXPECT_TRUE(m.complete());
    EXPECT_EQ(above, 3u);
    EXPECT_EQ(rt.submit([] {}, {.worker = 1}).error().code, errc::invalid) << "no task can be bound to them";
    EXPECT_EQ(started, 4);
    m.end();
    std::atomic<int> seen{0};
    ASSERT_TRUE(rt.broadcast([&] { ++seen; }));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(seen, 1);
  }
  EXPECT_EQ(lowest, 1024);
  EXPECT_EQ(stopped, started);
}

TEST(Elastic, ResizeChangesTheBaseAndThoseThatAreTooManyGo) {
  weir::runtime rt(elastic(1, 4));
  meeting m(4);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete());
  ASSERT_TRUE(rt.resize(3));
  EXPECT_EQ(rt.workers(), 4u) << "two of them finish their task and go";
  EXPECT_EQ(rt.metrics().surplus_went, 2u);
  ASSERT_TRUE(rt.resize(6));
  EXPECT_EQ(rt.workers(), 6u);
  EXPECT_EQ(rt.run([] { return 5; }), 5);
  m.end();
  ASSERT_TRUE(rt.wait_idle());
  all_meet(rt, 6);
  EXPECT_EQ(rt.workers(), 6u);
  ASSERT_TRUE(rt.resize(2));
  all_meet(rt, 4);
  EXPECT_TRUE(comes_down(rt, 2));
  books_balance(rt);
}

TEST(Elastic, NobodyComesWhileItIsPausedButThenTheyDo) {
  weir::runtime rt(elastic(1, 3));
  meeting m(1);
  ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete());
  rt.pause();
  // Who looks is the thread that tells the time: when something has expired, a look that began before the pause has ended. (On a slow host the
  // first task may have waited for long enough.)
  for (weir::duration d = 1ms; rt.metrics().expired == 0; d *= 2)
    static_cast<void>(rt.spawn([] {}, {.start_by = weir::clock_type::now() + d}).get());
  const unsigned there = rt.workers();
  std::atomic<int> ran{0};
  ASSERT_TRUE(rt.submit([&] { ++ran; }));
  let_it_misbehave();
  EXPECT_EQ(ran, 0);
  EXPECT_LE(rt.workers(), there);
  rt.resume();
  EXPECT_TRUE(eventually([&] { return ran == 1; }));
  m.end();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Elastic, ADrainEndsWhatBlockedWorkersHoldUp) {
  weir::runtime rt(elastic(1, 2));
  gate go;
  std::atomic<int> ran{0};
  ASSERT_TRUE(rt.submit([&] {
    go.wait();
    ++ran;
  }));
  ASSERT_TRUE(rt.submit([&] {
    go.open();
    ++ran;
  }));
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_EQ(ran, 2);
  const weir::snapshot s = rt.metrics();
  EXPECT_EQ(s.surplus_came, s.surplus_went);
  EXPECT_EQ(rt.workers(), 1u);
  ASSERT_TRUE(rt.restart());
  all_meet(rt, 2);
}

TEST(Elastic, ADrainThatGivesUpNamesWhatRunsOnThem) {
  weir::runtime rt(elastic(1, 3));
  meeting m(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rt.submit([&] { m.come(); }, {.name = "stuck"}));
  EXPECT_TRUE(m.complete());
  const weir::report r = rt.drain(weir::clock_type::now());
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.still_running.size(), 3u);
  EXPECT_EQ(r.stopped, 2u);
  m.end();
  EXPECT_TRUE(rt.abort().complete);
  books_balance(rt);
}

TEST(Elastic, ItMayBeDestroyedOnAnyOfItsWorkers) {
  auto ran = std::make_shared<std::atomic<int>>(0);
  auto rt = std::make_shared<weir::runtime>(elastic(1, 3));
  auto m = std::make_shared<meeting>(3);
  for (int i = 0; i < 3; ++i)
    ASSERT_TRUE(rt->submit([rt, ran, m] {
      m->come();
      ++*ran;
    }));
  EXPECT_TRUE(m->complete());
  rt.reset();
  m->end();
  EXPECT_TRUE(eventually([&] { return *ran == 3; }));
}

TEST(Elastic, TheChildOfAForkIsNotHeldUp) {
  weir::runtime rt(elastic(1, 3));
  meeting m(3);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete());
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(rt.submit([] {}).error().code == errc::stopped, "submit answers stopped");
              check(rt.workers() > 0, "workers() answers");
              static_cast<void>(rt.metrics());
              weir::runtime mine(elastic(1, 2));
              gate go;
              check(!!mine.submit([&] { go.wait(); }), "a new one takes tasks");
              check(!!mine.submit([&] { go.open(); }), "and more");
              check(mine.drain().complete, "and is elastic");
            }),
            "");
  m.end();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Elastic, ASurplusWorkerThatWaitsHasAStandInToo) {
  weir::runtime other(with_workers(1));
  weir::runtime rt(elastic(1, 2));
  gate far;
  auto slow = other.spawn([&] { far.wait(); });
  meeting m(1);
  ASSERT_TRUE(rt.submit([&] { m.come(); }));
  EXPECT_TRUE(m.complete());
  std::atomic<bool> waits{false};
  ASSERT_TRUE(rt.submit([&] {
    waits = true;
    EXPECT_TRUE(slow.get());
  }));
  EXPECT_TRUE(eventually([&] { return waits.load(); }));
  ASSERT_TRUE(rt.submit([&] { far.open(); }));
  EXPECT_TRUE(eventually([&] { return far.is_open(); }));
  m.end();
  ASSERT_TRUE(rt.wait_idle());
  books_balance(rt);
}

TEST(Elastic, ForksOfASurplusWorkerJoin) {
  weir::runtime rt(elastic(1, 3));
  plug p(rt);
  std::atomic<int> sum{0};
  ASSERT_TRUE(rt.submit([&] {
    const auto [a, b] = weir::fork_join([] { return 1; }, [] { return 2; });
    sum = a + b;
  }));
  EXPECT_TRUE(eventually([&] { return sum == 3; }));
}

// No thread can be had: nothing is lost, nothing runs twice.
TEST(Elastic, WithoutThreadsTheTasksWait) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime rt(elastic(1, 4));
              const rlimit limit{1, 1};
              const bool limited = ::setrlimit(RLIMIT_NPROC, &limit) == 0 && (::getuid() != 0 || ::setuid(65534) == 0);
              meeting m(1);
              check(!!rt.submit([&] { m.come(); }), "submit accepts");
              check(m.complete(), "it runs");
              std::atomic<int> ran{0};
              for (int i = 0; i < 100; ++i) check(!!rt.submit([&] { ++ran; }), "submit still accepts");
              std::this_thread::sleep_for(20ms);
              check(!limited || ran == 0, "without another worker they wait");
              m.end();
              check(rt.wait_idle(), "the runtime comes to rest");
              check(ran == 100, "each task ran once");
            }),
            "");
}

}  // namespace
}  // namespace promise_elastic_test
