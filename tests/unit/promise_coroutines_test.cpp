// P18, P38, and what P22–P24, P26, P27 and P35 say of coroutines.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task.hpp>

#include <child.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <thread>

namespace promise_coroutines_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;
using weir::task;

task<> sleeps(std::atomic<int>& asleep, std::atomic<int>& awake) {
  ++asleep;
  try {
    co_await weir::sleep_until(clock_type::now() + 1h);
  } catch (...) {
    ++awake;
    throw;
  }
}
// Goes on after it has been woken, with everything that may suspend it once more.
task<int> goes_on(std::atomic<int>& asleep, int hops) {
  ++asleep;
  int done = 0;
  try {
    co_await weir::sleep_until(clock_type::now() + 1h);
  } catch (const std::system_error&) { ++done; }
  for (int i = 0; i < hops; ++i) co_await weir::yield();
  const auto [a, b] = co_await weir::when_all(weir::yield(), weir::yield());
  co_return done + (a ? 1 : 0) + (b ? 1 : 0);
}

TEST(Coroutines, AreNotResumedInsideOfAStopCallback) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> asleep{0}, awake{0};
  auto h = weir::spawn(rt, sleeps(asleep, awake));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  ASSERT_TRUE(rt.spawn([] {}).get());  // by now the only worker has left the coroutine
  {
    plug p(rt);
    h.cancel();
    EXPECT_EQ(awake, 0) << "it is posted, and the worker is busy";
    EXPECT_FALSE(h.ready());
  }
  EXPECT_EQ(h.get().error().code, errc::cancelled);
  EXPECT_EQ(awake, 1);
}

TEST(Coroutines, AreOneTaskHoweverOftenTheyAreSuspended) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> asleep{0};
  auto h = weir::spawn(rt, goes_on(asleep, 100));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  EXPECT_FALSE(rt.wait_idle(clock_type::now() + 5ms)) << "a suspended one is unfinished";
  EXPECT_TRUE(eventually([&] { return rt.metrics().running == 0; })) << "and does not run";
  EXPECT_EQ(rt.metrics().queued, 1u);
  h.cancel();
  EXPECT_EQ(h.get().value_or(-1), 3);
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, 1u);
  EXPECT_EQ(m.ok, 1u);
  EXPECT_TRUE(eventually([&] { return rt.metrics().running == 0; })) << "the worker that it left first may be late";
}

TEST(Coroutines, ResumptionsAreNotRefusedByAFullRuntime) {
  weir::runtime rt(rejecting(1, 1));
  weir::limited one(rt, 1, 1);
  std::atomic<int> asleep{0}, awake{0};
  auto a = weir::spawn(rt, sleeps(asleep, awake));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  auto b = weir::spawn(one, sleeps(asleep, awake));
  ASSERT_TRUE(eventually([&] { return asleep == 2; }));
  {
    plug p(rt);
    ASSERT_TRUE(one.submit([] {}));  // takes all the room that there is
    ASSERT_EQ(rt.submit([] {}).error().code, errc::full);
    a.cancel();
    b.cancel();
  }
  EXPECT_EQ(a.get().error().code, errc::cancelled);
  EXPECT_EQ(b.get().error().code, errc::cancelled);
}

TEST(Coroutines, ADrainEndsSleepsAndWaitsForWhatFollows) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  std::atomic<int> asleep{0}, awake{0};
  auto stopped = weir::spawn(rt, sleeps(asleep, awake));
  auto on = weir::spawn(rt, goes_on(asleep, 50));
  auto in_strand = weir::spawn(s, goes_on(asleep, 50));
  ASSERT_TRUE(eventually([&] { return asleep == 3; }));
  const weir::report r = rt.drain();
  EXPECT_TRUE(r.complete);
  EXPECT_EQ(stopped.get().error().code, errc::stopped);
  EXPECT_EQ(on.get().value_or(-1), 3) << "what it does after that is still done";
  EXPECT_EQ(in_strand.get().value_or(-1), 3);
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.stopped);
  EXPECT_EQ(m.stopped, 1u);
}

task<bool> waits_to_be_told(std::atomic<int>& running) {
  ++running;
  while (!weir::this_task::token().stop_requested()) co_await weir::yield();
  co_return true;
}
TEST(Coroutines, APastLimitOrAnAbortLetsThemFinish) {
  for (const bool aborts : {false, true}) {
    weir::runtime rt(with_workers(2));
    weir::strand s(rt), in_front(s);
    weir::limited l(rt, 2, 100);
    std::atomic<int> asleep{0}, running{0};
    std::vector<weir::join_handle<int>> all;
    std::vector<weir::join_handle<bool>> told;
    for (const weir::executor_ref& e :
         {weir::executor_ref(rt), weir::executor_ref(s), weir::executor_ref(in_front), weir::executor_ref(l)}) {
      for (int i = 0; i < 3; ++i) all.push_back(weir::spawn(e, goes_on(asleep, 20)));
      told.push_back(weir::spawn(e, waits_to_be_told(running)));
    }
    ASSERT_TRUE(eventually([&] { return asleep == 12 && running == 4; }));
    const weir::report r = aborts ? rt.abort() : rt.drain(clock_type::now() + 5ms);
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_TRUE(r.complete || !aborts);
    for (auto& h : all) EXPECT_EQ(h.get().value_or(-1), 3);
    for (auto& h : told) EXPECT_TRUE(h.get().value_or(false));
    EXPECT_EQ(rt.metrics().ok, 16u);
  }
}

task<> alone(std::atomic<int>& inside, std::atomic<bool>& broken, std::atomic<int>& asleep) {
  ++asleep;
  try {
    co_await weir::sleep_until(clock_type::now() + 1h);
  } catch (const std::system_error&) {}
  for (int i = 0; i < 30; ++i) {
    if (++inside != 1) broken = true;
    std::this_thread::yield();
    --inside;
    co_await weir::yield();
  }
}
TEST(Coroutines, AStrandIsAStrandInAnAbort) {
  for (const bool nested : {false, true}) {
    weir::runtime rt(with_workers(4));
    weir::strand behind(rt);
    weir::strand s(nested ? static_cast<weir::executor_ref>(behind) : weir::executor_ref(rt));
    std::atomic<int> inside{0}, asleep{0};
    std::atomic<bool> broken{false};
    for (int i = 0; i < 6; ++i) weir::spawn(s, alone(inside, broken, asleep)).detach();
    if (nested)
      for (int i = 0; i < 6; ++i) weir::spawn(behind, alone(inside, broken, asleep)).detach();
    ASSERT_TRUE(eventually([&] { return asleep == (nested ? 12 : 6); }));
    ASSERT_TRUE(rt.abort().complete);
    EXPECT_FALSE(broken);
  }
}

// It waits for somebody else's task, and calls that off when it is told to stop.
task<int> calls_off(weir::runtime& other, std::atomic<int>& asleep) {
  std::stop_source off;
  auto h = other.spawn(
      [&asleep](std::stop_token t) {
        ++asleep;
        while (!t.stop_requested()) std::this_thread::yield();
        return 5;
      },
      {.stop = off.get_token()});
  const std::stop_callback on_stop(weir::this_task::token(), [&off] { off.request_stop(); });
  co_return (co_await h).value();
}
TEST(Coroutines, AnAbortOrAPastLimitAsksThoseThatAreSuspendedToStop) {
  for (const bool aborts : {false, true}) {
    weir::runtime other(with_workers(1)), rt(with_workers(1));
    std::atomic<int> asleep{0};
    auto h = weir::spawn(rt, calls_off(other, asleep));
    ASSERT_TRUE(eventually([&] { return asleep == 1; }));
    if (aborts) EXPECT_TRUE(rt.abort().complete);
    else static_cast<void>(rt.drain(clock_type::now() + 5ms));
    EXPECT_EQ(h.get().value(), 5);
  }
}

task<> spins(std::atomic<bool>& running, std::atomic<bool>& over) {
  running = true;
  while (!over) co_await weir::yield();
}
task<> ends_it(std::atomic<int>& asleep, std::atomic<bool>& over) {
  ++asleep;
  try {
    co_await weir::sleep_until(clock_type::now() + 1h);
  } catch (const std::system_error&) {}
  over = true;
}
TEST(Coroutines, ThatYieldLetOthersGoFirstInAnAbort) {
  for (int where = 0; where < 3; ++where) {
    weir::runtime rt(with_workers(1));
    weir::strand behind(rt), s(static_cast<const weir::executor_ref&>(behind)), beside(rt);
    const weir::executor_ref other = where == 0   ? weir::executor_ref(rt)
                                     : where == 1 ? weir::executor_ref(behind)
                                                  : weir::executor_ref(beside);
    std::atomic<int> asleep{0};
    std::atomic<bool> running{false}, over{false};
    auto a = weir::spawn(other, ends_it(asleep, over));
    ASSERT_TRUE(eventually([&] { return asleep == 1; }));
    auto b = weir::spawn(s, spins(running, over));
    ASSERT_TRUE(eventually([&] { return running.load(); }));
    EXPECT_TRUE(rt.abort().complete) << "the only worker gets to the other one";
    EXPECT_TRUE(a.get());
    EXPECT_TRUE(b.get());
  }
}

TEST(Coroutines, ThatYieldInAStrandInFrontOfAnotherLetThatOneGoOn) {
  weir::runtime rt(with_workers(1));
  weir::strand behind(rt), s(static_cast<const weir::executor_ref&>(behind));
  std::atomic<bool> running{false}, over{false};
  auto h = weir::spawn(s, spins(running, over));
  ASSERT_TRUE(eventually([&] { return running.load(); }));
  EXPECT_TRUE(behind.submit([&] { over = true; }));
  EXPECT_TRUE(h.get());
}

task<> unstarted(std::shared_ptr<int>) { co_return; }
TEST(Coroutines, AnAbortEndsThoseThatHaveNotBegunAndHandsOutNone) {
  weir::runtime rt(with_workers(1));
  auto p = std::make_unique<plug>(rt);
  auto life = std::make_shared<int>(1);
  auto h = weir::spawn(rt, unstarted(life));
  int sunk = 0;
  std::thread opener([&] {
    EXPECT_TRUE(eventually([&] { return h.ready(); }));
    p->release();
  });
  EXPECT_TRUE(rt.abort([&](weir::task_fn&&) { ++sunk; }).complete);
  opener.join();
  EXPECT_EQ(sunk, 0);
  EXPECT_EQ(h.get().error().code, errc::stopped);
  EXPECT_EQ(life.use_count(), 1);
}

task<bool> drains(weir::runtime& rt) { co_return rt.drain().complete || rt.wait_idle(); }
TEST(Coroutines, MayShutTheirRuntimeDown) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> asleep{0};
  auto other = weir::spawn(rt, goes_on(asleep, 3));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  EXPECT_FALSE(weir::spawn(rt, drains(rt)).get().value()) << "on an own worker it only begins";
  EXPECT_EQ(other.get().value_or(-1), 3);
  EXPECT_TRUE(rt.drain().complete);
}

task<> owns_the_runtime(std::unique_ptr<weir::runtime> rt, std::atomic<bool>& over) {
  co_await weir::yield();
  rt.reset();  // the workers take the rest down
  co_await weir::yield();
  over = true;
}
TEST(Coroutines, MayDestroyTheirRuntime) {
  std::atomic<bool> over{false};
  auto rt = std::make_unique<weir::runtime>(with_workers(2));
  const weir::executor_ref e = *rt;
  weir::spawn(e, owns_the_runtime(std::move(rt), over)).detach();
  EXPECT_TRUE(eventually([&] { return over.load(); }));
}

TEST(Coroutines, ARestartedRuntimeRunsThem) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> asleep{0};
  for (int i = 0; i < 3; ++i) {
    auto h = weir::spawn(rt, goes_on(asleep, 3));
    ASSERT_TRUE(eventually([&] { return asleep == i + 1; }));
    ASSERT_TRUE((i % 2 == 0 ? rt.drain() : rt.abort()).complete);
    EXPECT_EQ(h.get().value_or(-1), 3);
    ASSERT_TRUE(rt.restart());
  }
}

TEST(Coroutines, InAForkedChildNothingGoesOnAndNothingHangs) {
  auto rt = std::make_unique<weir::runtime>(with_workers(2));
  std::atomic<int> asleep{0}, awake{0};
  auto h = weir::spawn(*rt, sleeps(asleep, awake));
  auto unused = std::make_unique<task<>>(sleeps(asleep, awake));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  EXPECT_EQ(in_child([&](child_checks& check) {
              const auto r = weir::spawn(*rt, sleeps(asleep, awake)).get();
              check(!r && r.error().code == errc::stopped, "spawn answers stopped");
              const auto mine = h.get();
              check(!mine && mine.error().code == errc::stopped, "a wait answers stopped");
              h.cancel();
              unused.reset();
              rt.reset();
              check(awake == 0, "nobody goes on");
            }),
            "");
  h.cancel();
  EXPECT_EQ(h.get().error().code, errc::cancelled);
}

TEST(Coroutines, OfANewRuntimeInAForkedChildRun) {
  std::atomic<int> asleep{0}, awake{0};
  weir::runtime rt(with_workers(2));
  auto h = weir::spawn(rt, sleeps(asleep, awake));
  ASSERT_TRUE(eventually([&] { return asleep == 1; }));
  EXPECT_EQ(in_child([&](child_checks& check) {
              weir::runtime fresh(with_workers(1));
              std::atomic<int> there{0};
              auto again = weir::spawn(fresh, goes_on(there, 3));
              check(eventually([&] { return there == 1; }), "it begins");
              again.cancel();
              check(again.get().value_or(-1) == 3, "and goes on when it is asked to stop");
            }),
            "");
  h.cancel();
}

}  // namespace
}  // namespace promise_coroutines_test
