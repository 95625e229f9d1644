// P34, and the timers' part of P29, P35, P38: tasks that start at a time.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/timer.hpp>

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>

namespace promise_timers_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;

bool refused_with(const weir::timer& t, errc e) { return !t.accepted() && t.accepted().error().code == e; }

// ---- P34: once

TEST(Timers, AreNeverEarly) {
  weir::runtime rt(with_workers(2));
  std::mt19937 random(1);
  std::vector<weir::timer> timers;
  std::atomic<int> ran{0}, early{0};
  const int n = sanitized ? 200 : 2000;
  for (int i = 0; i < n; ++i) {
    const auto due = clock_type::now() + std::chrono::nanoseconds(random() % 30'000'000);
    timers.push_back(weir::at(rt, due, [&, due] {
      if (clock_type::now() < due) ++early;
      ++ran;
    }));
    ASSERT_TRUE(timers.back().accepted());
  }
  EXPECT_TRUE(eventually([&] { return ran == n; }));
  EXPECT_EQ(early, 0);
}

TEST(Timers, AfterCountsFromNow) {
  weir::runtime rt(with_workers(1));
  std::atomic<bool> early{false};
  const auto start = clock_type::now();
  gate ran;
  auto t = weir::after(rt, 5ms, [&] {
    early = clock_type::now() - start < 5ms;
    ran.open();
  });
  ran.wait();
  EXPECT_FALSE(early);
  EXPECT_FALSE(t.cancel()) << "it has run";
}

TEST(Timers, StartInTheOrderOfTheirTimesWhateverTheOrderOfTheirMaking) {
  weir::runtime rt(with_workers(1));
  std::mt19937 random(2);
  std::vector<int> order(100);
  for (int i = 0; i < 100; ++i) order[static_cast<std::size_t>(i)] = i;
  for (auto lead = 20ms;; lead *= 2) {
    std::shuffle(order.begin(), order.end(), random);
    std::vector<int> started;
    std::vector<weir::timer> timers;
    const auto begin = clock_type::now() + lead;
    for (const int i : order) timers.push_back(weir::at(rt, begin + i * 10us, [&started, i] { started.push_back(i); }));
    const bool in_time = clock_type::now() < begin;  // else some were due before others were made
    ASSERT_TRUE(rt.wait_idle());
    ASSERT_EQ(started.size(), 100u);
    if (!in_time) continue;
    EXPECT_TRUE(std::is_sorted(started.begin(), started.end()));
    return;
  }
}

TEST(Timers, OfTheSameTimeStartInTheOrderOfTheirMaking) {
  weir::runtime rt(with_workers(1));
  std::vector<int> started;
  std::vector<weir::timer> timers;
  const auto due = clock_type::now() + 10ms;
  for (int i = 0; i < 100; ++i) timers.push_back(weir::at(rt, due, [&, i] { started.push_back(i); }));
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(started.size(), 100u);
  EXPECT_TRUE(std::is_sorted(started.begin(), started.end()));
}

TEST(Timers, WhoseTimeHasPassedStartAtOnce) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  auto a = weir::at(rt, weir::time_point::min(), [&] { ++ran; });
  auto b = weir::at(rt, clock_type::now() - 1h, [&] { ++ran; });
  auto c = weir::after(rt, weir::duration::zero(), [&] { ++ran; });
  EXPECT_TRUE(eventually([&] { return ran == 3; }));
}

TEST(Timers, OfTheEndOfTimeWaitAndCanBeCancelled) {
  weir::runtime rt(with_workers(1));
  tally t;
  auto a = weir::at(rt, weir::time_point::max(), probe<8>(t));
  auto b = weir::after(rt, weir::duration::max(), probe<8>(t));
  auto c = weir::after(rt, std::chrono::hours(24 * 365 * 100), probe<8>(t));
  auto d = weir::every(rt, weir::duration::max(), probe<8>(t));
  for (weir::timer* x : {&a, &b, &c, &d}) EXPECT_TRUE(x->accepted());
  std::atomic<bool> ran{false};
  auto soon = weir::after(rt, 1ms, [&] { ran = true; });
  EXPECT_TRUE(eventually([&] { return ran.load(); })) << "they do not stand in the way of others";
  for (weir::timer* x : {&a, &b, &c, &d}) EXPECT_TRUE(x->cancel());
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(t.calls, 0);
}

TEST(Timers, WhoseCancelSaysTrueNeverStartAndTheirCallableIsGoneAtOnce) {
  weir::runtime rt(with_workers(1));
  tally t;
  plug p(rt);
  auto timer = weir::after(rt, 5ms, probe<100>(t));
  EXPECT_EQ(t.alive, 1);
  EXPECT_TRUE(timer.cancel());
  EXPECT_EQ(t.alive, 0);
  EXPECT_FALSE(timer.cancel()) << "twice is once";
  p.release();
  let_it_misbehave();
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(rt.metrics().cancelled, 1u);
}

TEST(Timers, ThatAreDueButBehindABusyWorkerCanStillBeCancelled) {
  weir::runtime rt(with_workers(1));
  tally t;
  plug p(rt);
  auto timer = weir::after(rt, weir::duration::zero(), probe<8>(t));
  let_it_misbehave(5ms);
  EXPECT_TRUE(timer.cancel());
  EXPECT_EQ(t.alive, 0);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 0);
}

TEST(Timers, CancelRacingTheStartIsEitherCancelledOrRanNeverBoth) {
  weir::runtime rt(with_workers(2));
  std::mt19937 random(3);
  int ran = 0, cancelled = 0;
  for (int i = 0; i < (sanitized ? 100 : 500); ++i) {
    std::atomic<int> calls{0};
    auto t = weir::after(rt, std::chrono::nanoseconds(random() % 100'000), [&] { ++calls; });
    burn(std::chrono::nanoseconds(random() % 150'000));
    const bool never = t.cancel();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(calls, never ? 0 : 1);
    ++(never ? cancelled : ran);
  }
  EXPECT_EQ(rt.metrics().ok, static_cast<std::uint64_t>(ran));
  EXPECT_EQ(rt.metrics().cancelled, static_cast<std::uint64_t>(cancelled));
}

TEST(Timers, AreCancelledByTheirDestructorUnlessTheyAreDetached) {
  weir::runtime rt(with_workers(1));
  tally gone, stays, moved;
  plug p(rt);
  {
    auto a = weir::after(rt, 5ms, probe<8>(gone));
    auto b = weir::after(rt, 5ms, probe<8>(stays));
    b.detach();
    auto c = weir::after(rt, 5ms, probe<8>(gone));
    c = weir::after(rt, 5ms, probe<8>(moved));
    EXPECT_EQ(gone.alive, 1) << "what an assignment replaces is cancelled";
    weir::timer d = std::move(c);
    d.detach();
  }
  EXPECT_EQ(gone.alive, 0);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(gone.calls, 0);
  EXPECT_EQ(stays.calls, 1);
  EXPECT_EQ(moved.calls, 1);
  EXPECT_EQ(stays.alive + moved.alive, 0);
}

TEST(Timers, EmptyOnesAreInvalidAndHarmless) {
  weir::timer t;
  EXPECT_TRUE(refused_with(t, errc::invalid));
  EXPECT_FALSE(t.cancel());
  t.detach();
  weir::runtime rt(with_workers(1));
  weir::timer real = weir::after(rt, 1h, [] {});
  t = std::move(real);
  EXPECT_TRUE(t.accepted());
  EXPECT_TRUE(refused_with(real, errc::invalid)) << "moved from";
  EXPECT_FALSE(real.cancel());
}

TEST(Timers, TheTokenOfARunningOneFiresWhenItIsCancelled) {
  weir::runtime rt(with_workers(1));
  gate started;
  std::atomic<bool> stopped{false};
  auto t = weir::after(rt, weir::duration::zero(), [&](std::stop_token token) {
    started.open();
    while (!token.stop_requested()) std::this_thread::yield();
    stopped = true;
  });
  started.wait();
  EXPECT_FALSE(t.cancel());
  EXPECT_TRUE(eventually([&] { return stopped.load(); }));
}

TEST(Timers, ThatThrowAreReportedOnce) {
  unhandled seen;
  weir::options o = with_workers(1);
  seen.install(o);
  weir::runtime rt(o);
  weir::after(rt, 1ms, [] { throw std::runtime_error("late"); }).detach();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"late"});
  EXPECT_EQ(rt.metrics().failed, 1u);
}

TEST(Timers, CanBeMadeAndCancelledByTimersAndTasks) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> ran{0};
  weir::timer never;
  rt.run([&] {
    never = weir::after(weir::here(), 1h, [&] { ran += 100; });
    weir::after(weir::here(), 1ms, [&] {
      weir::after(weir::here(), 1ms, [&] { ++ran; }).detach();
      EXPECT_TRUE(never.cancel());
    }).detach();
  });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 1);
}

// ---- P34: again and again

TEST(Series, DoNotDrift) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> n{0}, early{0};
  const auto begin = clock_type::now();
  auto t = weir::every(rt, 2ms, [&] {
    const int i = ++n;
    if (clock_type::now() < begin + i * 2ms) ++early;
    burn(500us);  // a period that began at the end of a run would be 2.5 ms
  });
  ASSERT_TRUE(eventually([&] { return n >= 100; }));
  t.cancel();
  ASSERT_TRUE(rt.wait_idle());  // one that had begun refers to what is above
  EXPECT_EQ(early, 0) << "the n-th is not before n periods";
}

TEST(Series, NeverRunBesideThemselvesAndSkipWhatWouldOverlap) {
  weir::runtime rt(with_workers(4));
  std::atomic<int> inside{0}, n{0}, beside{0};
  const auto begin = clock_type::now();
  auto t = weir::every(rt, 1ms, [&] {
    if (++inside != 1) ++beside;
    std::this_thread::sleep_for(2500us);
    --inside;
    ++n;
  });
  ASSERT_TRUE(eventually([&] { return n >= 10; }));
  t.cancel();
  ASSERT_TRUE(rt.wait_idle());
  const auto took = clock_type::now() - begin;
  EXPECT_EQ(beside, 0);
  EXPECT_LE(n, took / 3ms) << "two of three are skipped";
}

TEST(Series, ThatQueueCatchUpWithTime) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> n{0};
  gate first;
  const auto begin = clock_type::now();
  auto t = weir::every(rt, 1ms, [&] {
    if (n++ == 0) first.wait();
  }, weir::overlap::queue);
  while (clock_type::now() < begin + 30ms) std::this_thread::sleep_for(1ms);
  EXPECT_LE(n, 1);
  first.open();
  EXPECT_TRUE(eventually([&] { return n >= 29; })) << "none is left out";
  EXPECT_TRUE(t.cancel());
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_LE(n, (clock_type::now() - begin) / 1ms);
}

TEST(Series, ThatCoalesceFollowOnceForAllThatOverlapped) {
  weir::runtime rt(with_workers(2));
  std::vector<weir::time_point> at;
  gate begun, first, third;
  auto t = weir::every(rt, 10ms, [&] {
    at.push_back(clock_type::now());
    if (at.size() == 1) begun.open(), first.wait();
    if (at.size() == 3) third.open();
  }, weir::overlap::coalesce);
  begun.wait();
  std::this_thread::sleep_until(at[0] + 65ms);
  const auto before = clock_type::now();
  first.open();
  third.wait();
  t.cancel();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_GE(at[1], before) << "one follows at once";
  EXPECT_GT(at[2] - at[1], weir::duration::zero());
  EXPECT_GE((at[2] - at[0]) / 10ms, 5) << "and the next at its own time";
}

TEST(Series, GoOnAfterAnException) {
  unhandled seen;
  weir::options o = with_workers(1);
  seen.install(o);
  weir::runtime rt(o);
  auto t = weir::every(rt, 1ms, [] { throw std::runtime_error("again"); });
  EXPECT_TRUE(eventually([&] { return seen.count() >= 3; }));
  t.cancel();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().failed, static_cast<std::uint64_t>(seen.count()));
}

TEST(Series, NeverStartAgainAfterCancelSaidTrue) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < (sanitized ? 20 : 100); ++round) {
    std::atomic<bool> cancelled{false};
    std::atomic<int> wrong{0}, n{0};
    auto t = weir::every(rt, 20us, [&] {
      if (cancelled) ++wrong;
      ++n;
    });
    while (n < round % 5) std::this_thread::yield();
    ASSERT_TRUE(t.cancel());
    cancelled = true;
    EXPECT_FALSE(t.cancel());
    ASSERT_TRUE(rt.wait_idle());
    // A run that had begun may have seen the flag.
    EXPECT_LE(wrong, 1);
    const int ran = n;
    let_it_misbehave(1ms);
    EXPECT_EQ(n, ran);
  }
}

TEST(Series, MayCancelThemselvesAndTheirCallableGoesWithTheRun) {
  weir::runtime rt(with_workers(2));
  tally t;
  weir::timer self;
  gate made;
  std::atomic<int> n{0};
  std::atomic<bool> said{false};
  self = weir::every(rt, 1ms, [&, p = probe<8>(t)]() mutable {
    made.wait();
    if (++n == 3) said = self.cancel();
    EXPECT_EQ(t.alive, 1) << "not under its feet";
  });
  made.open();
  EXPECT_TRUE(eventually([&] { return t.alive == 0; }));
  EXPECT_TRUE(said);
  let_it_misbehave(5ms);
  EXPECT_EQ(n, 3);
}

// ---- bad input

TEST(Timers, OfNegativeDurationsNullCallablesAndNoPeriodAreInvalid) {
  weir::runtime rt(with_workers(1));
  tally t;
  probe<8> f(t);
  EXPECT_TRUE(refused_with(weir::after(rt, -1ns, std::move(f)), errc::invalid));
  EXPECT_TRUE(refused_with(weir::every(rt, -1ms, std::move(f)), errc::invalid));
  EXPECT_TRUE(refused_with(weir::every(rt, weir::duration::zero(), std::move(f)), errc::invalid));
  EXPECT_TRUE(refused_with(weir::every(rt, 1ms, std::move(f), static_cast<weir::overlap>(9)), errc::invalid));
  EXPECT_TRUE(refused_with(weir::after(rt, 1ms, std::function<void()>()), errc::invalid));
  EXPECT_TRUE(refused_with(weir::at(rt, clock_type::now(), static_cast<void (*)()>(nullptr)), errc::invalid));
  EXPECT_TRUE(refused_with(weir::at(weir::executor_ref(), clock_type::now(), std::move(f)), errc::stopped));
  EXPECT_TRUE(t.untouched());
}

TEST(Timers, WhoseCallableThrowsWhenItIsCopiedFailWithTheCause) {
  struct throws {
    throws() = default;
    throws(const throws&) { throw std::out_of_range("copy"); }
    void operator()() {}
  };
  weir::runtime rt(with_workers(1));
  const throws f;
  const auto t = weir::after(rt, 1ms, f);
  ASSERT_TRUE(refused_with(t, errc::failed));
  EXPECT_THROW(t.accepted().value(), std::out_of_range);
  EXPECT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().submitted, 0u);
}

TEST(Timers, TakeCallablesOfAnyAlignmentAndSize) {
  struct alignas(64) aligned {
    std::atomic<int>* n;
    void operator()() { *n += reinterpret_cast<std::uintptr_t>(this) % 64 == 0 ? 1 : 100; }
  };
  weir::runtime rt(with_workers(1));
  std::atomic<int> n{0};
  weir::after(rt, 1ms, aligned{&n}).detach();
  tally t;
  weir::after(rt, 1ms, probe<5000>(t)).detach();
  weir::after(rt, 1ms, [p = std::make_unique<int>(7), &n] { n += *p; }).detach();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(n, 8);
  EXPECT_EQ(t.calls, 1);
}

// ---- P35, P38: counted once, admitted once

TEST(Timers, ArePartOfTheBooksAndAPendingOneIsUnfinished) {
  weir::runtime rt(with_workers(2));
  auto never = weir::after(rt, 1h, [] {});
  EXPECT_FALSE(rt.wait_idle(clock_type::now() + 5ms));
  EXPECT_EQ(rt.metrics().submitted, 1u);
  EXPECT_EQ(rt.metrics().queued, 1u);
  for (int i = 0; i < 10; ++i) weir::after(rt, i * 100us, [] {}).detach();
  never.cancel();
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, 11u);
  EXPECT_EQ(m.ok, 10u);
  EXPECT_EQ(m.cancelled, 1u);
}

TEST(Series, KeepNobodyFromRestBetweenTwoTimes) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> n{0};
  auto seldom = weir::every(rt, 1h, [] {});
  EXPECT_TRUE(rt.wait_idle());
  auto often = weir::every(rt, 1ms, [&] { ++n; });
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(rt.wait_idle());
    std::this_thread::sleep_for(500us);
  }
  often.cancel();
  seldom.cancel();
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.cancelled) << "each occurrence is a task, the one that was cancelled, too";
  EXPECT_EQ(m.ok, static_cast<std::uint64_t>(n));
  EXPECT_GE(m.cancelled, 1u);
}

TEST(Timers, CountInMaxOutstandingAndNotInTheCapacity) {
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.max_outstanding = 100;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  std::vector<weir::timer> timers;
  for (int i = 0; i < 50; ++i) timers.push_back(weir::after(rt, 1h, [] {}));
  for (int i = 0; i < 50; ++i) timers.push_back(weir::every(rt, 1h, [] {}));
  for (const auto& t : timers) EXPECT_TRUE(t.accepted());
  tally t;
  probe<8> f(t);
  EXPECT_TRUE(refused_with(weir::after(rt, 1h, std::move(f)), errc::full));
  EXPECT_TRUE(refused_with(weir::every(rt, 1h, std::move(f)), errc::full));
  EXPECT_TRUE(t.untouched());
  EXPECT_EQ(rt.metrics().rejected, 2u);
  timers.pop_back();
  auto again = weir::after(rt, 1h, [] {});
  EXPECT_TRUE(again.accepted()) << "a cancelled one makes room";
}

TEST(Timers, ThatAreDueAreNeverRefusedByAFullQueue) {
  weir::options o = with_workers(1);
  o.capacity = 1;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  plug p(rt);
  ASSERT_TRUE(rt.try_submit([] {}));
  ASSERT_FALSE(rt.try_submit([] {})) << "the queue is full";
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) weir::after(rt, i * 10us, [&] { ++ran; }).detach();
  let_it_misbehave(5ms);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 100);
}

TEST(Timers, ThatAreDueWhileTheRuntimeIsPausedStartWhenItGoesOn) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> ran{0};
  rt.pause();
  weir::after(rt, 1ms, [&] { ++ran; }).detach();
  let_it_misbehave();
  EXPECT_EQ(ran, 0);
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 1);
}

TEST(Timers, ThroughAStrandRunOneAtATimeAndTakeNoRoomInALimit) {
  weir::runtime rt(with_workers(4));
  const weir::strand s(rt);
  std::atomic<int> inside{0}, beside{0}, ran{0};
  const auto f = [&] {
    if (++inside != 1) ++beside;
    std::this_thread::sleep_for(100us);
    --inside;
    ++ran;
  };
  for (int i = 0; i < 20; ++i) weir::after(s, i * 50us, f).detach();
  auto series = weir::every(s, 1ms, f);
  EXPECT_TRUE(eventually([&] { return ran >= 25; }));
  series.cancel();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(beside, 0);
  const weir::limited l(rt, 1, 1);
  ran = 0;
  for (int i = 0; i < 10; ++i) weir::after(l, 1ms, f).detach();
  auto never = weir::after(l, 1h, f);
  EXPECT_TRUE(never.cancel());
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 10) << "a due timer is not refused";
  const weir::executor_ref limit = l;
  gate started, leave;
  ASSERT_TRUE(limit.submit([&] {
    started.open();
    leave.wait();
  }));
  started.wait();
  EXPECT_TRUE(limit.try_submit([] {}));
  EXPECT_FALSE(limit.try_submit([] {})) << "its room is what it was";
  leave.open();
  ASSERT_TRUE(rt.wait_idle());
}

}  // namespace
}  // namespace promise_timers_test
