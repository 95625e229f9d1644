// Coroutines: task<T>, what it awaits, where it goes on.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task.hpp>

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <stdexcept>
#include <string>
#include <thread>

namespace test {
int sum_of_ready_tasks(weir::runtime& rt, int n);  // task_depth.cpp
}

namespace task_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;
using weir::task;

// ---- what the tests are made of: functions, for a lambda's captures do not live in the frame ----

struct counted {
  explicit counted(std::atomic<int>& n) : alive(&n) { ++*alive; }
  counted(counted&& o) noexcept : alive(o.alive) { ++*alive; }
  counted(const counted& o) noexcept : alive(o.alive) { ++*alive; }
  counted& operator=(const counted&) = delete;
  ~counted() { --*alive; }
  std::atomic<int>* alive;
};

template <class T>
task<T> give(T value) {
  co_return value;
}
task<> nothing() { co_return; }
task<int> fails(std::string why) {
  co_await weir::yield();
  throw std::runtime_error(why);
}
task<> holds(counted, bool& began) {
  began = true;
  co_return;
}
task<> pause(weir::duration d) { co_await weir::sleep_until(clock_type::now() + d); }
task<> until_asked_to_stop(std::atomic<bool>& asleep, std::atomic<bool>& told) {
  asleep = true;
  try {
    co_await pause(1h);
  } catch (const std::system_error& e) {
    told = e.code() == errc::cancelled && weir::this_task::token().stop_requested();
    throw;
  }
}
template <class T>
weir::result<T> run(weir::executor_ref e, task<T> t) {
  return weir::spawn(e, std::move(t)).get();
}
template <class T>
std::string text_of(const weir::result<T>& r) {
  try {
    if (!r && r.error().cause) std::rethrow_exception(r.error().cause);
  } catch (const std::exception& e) { return e.what(); }
  return "";
}

TEST(Task, ItBeginsWhenItIsAwaitedOrSpawnedAndNotBefore) {
  weir::runtime rt(with_workers(1));
  std::atomic<int> alive{0};
  bool began = false;
  {
    task<> t = holds(counted(alive), began);
    EXPECT_TRUE(t.valid());
    EXPECT_EQ(alive, 1);
  }
  EXPECT_FALSE(began);
  EXPECT_EQ(alive, 0) << "the frame of one that never began is freed, its parameters with it";
  EXPECT_TRUE(run(rt, holds(counted(alive), began)));
  EXPECT_TRUE(began);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(alive, 0);
}

task<std::unique_ptr<int>> owns(int n) { co_return std::make_unique<int>(n); }
task<std::string> awaits_all_kinds() {
  co_await nothing();
  const int n = co_await give(40);
  std::unique_ptr<int> p = co_await owns(2);
  std::string caught;
  try {
    co_await fails("why");
  } catch (const std::runtime_error& e) { caught = e.what(); }
  co_return std::to_string(n + *p) + caught;
}

TEST(Task, ValuesAndExceptionsGoToWhoAwaits) {
  weir::runtime rt(with_workers(2));
  EXPECT_EQ(run(rt, awaits_all_kinds()).value_or(""), "42why");
  const auto r = run(rt, fails("nobody caught it"));
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_EQ(text_of(r), "nobody caught it");
}

TEST(Task, AnErrorThatNobodyReadsIsReportedOnce) {
  unhandled told;
  weir::options o = with_workers(1);
  told.install(o);
  {
    weir::runtime rt(o);
    weir::spawn(rt, fails("lost")).detach();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(rt.metrics().failed, 1u);
  }
  EXPECT_EQ(told.count(), 1);
}

TEST(Task, AMillionThatAreReadyNeedNoMoreStackThanOne) {
#if (defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)) && !defined(__clang__)
  GTEST_SKIP() << "gcc's sanitizers do no tail calls";
#endif
  weir::runtime rt(with_workers(1));
  EXPECT_EQ(sum_of_ready_tasks(rt, 1'000'000), 1'000'000);
}

task<> crowded(std::atomic<int>& inside, std::atomic<int>& most, int rounds) {
  for (int i = 0; i < rounds; ++i) {
    const int now = ++inside;
    for (int m = most; now > m && !most.compare_exchange_weak(m, now);) {}
    std::this_thread::yield();
    --inside;
    if (i % 2 == 0) co_await weir::yield();
    else co_await weir::sleep_until(clock_type::now() + 20us);
  }
}

TEST(Task, InAStrandItGoesOnInTheStrandOneAfterTheOther) {
  weir::runtime rt(with_workers(4));
  std::atomic<int> inside{0}, most{0};
  {
    weir::strand s(rt);
    std::vector<weir::join_handle<void>> all;
    for (int i = 0; i < 8; ++i) all.push_back(weir::spawn(s, crowded(inside, most, 50)));
    for (auto& h : all) EXPECT_TRUE(h.get());
  }
  EXPECT_EQ(most, 1);
}

task<> suspended_in_a_limit(std::atomic<int>& asleep) {
  ++asleep;
  co_await pause(1h);
}
TEST(Task, WhileItIsSuspendedItHoldsNoPlaceOfALimit) {
  weir::runtime rt(with_workers(1));
  weir::limited one(rt, 1, 100);
  std::atomic<int> asleep{0};
  std::vector<weir::join_handle<void>> all;
  for (int i = 0; i < 10; ++i) all.push_back(weir::spawn(one, suspended_in_a_limit(asleep)));
  EXPECT_TRUE(eventually([&] { return asleep == 10; }));
  EXPECT_TRUE(one.spawn([] {}).get()) << "neither the worker nor the place is held";
  for (auto& h : all) h.cancel();
  for (auto& h : all) EXPECT_EQ(h.get().error().code, errc::cancelled);
}

task<> moves(weir::strand s, std::atomic<int>& inside, std::atomic<bool>& broken) {
  for (int i = 0; i < 20; ++i) {
    co_await weir::schedule(s);
    for (int k = 0; k < 2; ++k) {
      if (++inside != 1) broken = true;
      std::this_thread::yield();
      --inside;
      co_await weir::yield();  // still in the strand
    }
    co_await weir::schedule(weir::here());
  }
}
TEST(Task, ScheduleMovesItUntilTheNextOne) {
  weir::runtime rt(with_workers(4));
  std::atomic<int> inside{0};
  std::atomic<bool> broken{false};
  std::vector<weir::join_handle<void>> all;
  {
    weir::strand s(rt);
    for (int i = 0; i < 6; ++i) all.push_back(weir::spawn(rt, moves(s, inside, broken)));
  }
  for (auto& h : all) EXPECT_TRUE(h.get()) << "the strand lives as long as somebody is in it";
  EXPECT_FALSE(broken);
}

task<errc> schedules(weir::executor_ref e) {
  try {
    co_await weir::schedule(e);
  } catch (const std::system_error& x) { co_return static_cast<errc>(x.code().value()); }
  co_return errc{};
}
TEST(Task, ScheduleAnswersWhereItCannotGo) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  EXPECT_EQ(run(rt, schedules(other)).value(), errc::invalid);
  EXPECT_EQ(run(rt, schedules(weir::executor_ref())).value(), errc::stopped);
  EXPECT_EQ(run(rt, schedules(weir::limited(rt, 0, 1))).value(), errc::invalid);
  EXPECT_EQ(run(rt, schedules(rt)).value(), errc{});
}

task<bool> sleeps_to(weir::time_point t) {
  co_await weir::sleep_until(t);
  co_return clock_type::now() >= t;
}
TEST(Task, SleepIsNeverEarlyAndHoldsNoWorker) {
  weir::runtime rt(with_workers(1));
  std::vector<weir::join_handle<bool>> all;
  const auto now = clock_type::now();
  for (int i = 0; i < 200; ++i) all.push_back(weir::spawn(rt, sleeps_to(now + i * 100us)));
  for (auto& h : all) EXPECT_TRUE(h.get().value());
  EXPECT_TRUE(run(rt, sleeps_to(weir::time_point::min())).value()) << "what has passed is ready";
}

TEST(Task, AStopTokenEndsASleepEarly) {
  weir::runtime rt(with_workers(2));
  std::atomic<bool> asleep{false}, told{false};
  auto h = weir::spawn(rt, until_asked_to_stop(asleep, told));
  ASSERT_TRUE(eventually([&] { return asleep.load(); }));
  h.cancel();
  EXPECT_EQ(h.get().error().code, errc::cancelled) << "an error that says so is no failure";
  EXPECT_TRUE(told);
  asleep = told = false;
  std::stop_source source;
  auto with_token = weir::spawn(rt, until_asked_to_stop(asleep, told), {.stop = source.get_token()});
  ASSERT_TRUE(eventually([&] { return asleep.load(); }));
  source.request_stop();
  EXPECT_EQ(with_token.get().error().code, errc::cancelled);
  EXPECT_TRUE(told);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().cancelled, 2u);
}

TEST(Task, ADeadlineHoldsWhileItIsSuspended) {
  weir::runtime rt(with_workers(1));
  std::atomic<bool> asleep{false}, told{false};
  auto h = weir::spawn(rt, until_asked_to_stop(asleep, told), {.deadline = clock_type::now() + 5ms});
  auto r = h.get();
  if (!r && r.error().code == errc::timeout) r = h.get();  // who waits is told once
  EXPECT_EQ(r.error().code, errc::cancelled);
  EXPECT_TRUE(told);
}

// ---- several at once ----

task<std::string> awaits_all() {
  auto [a, b, c] = co_await weir::when_all(give(1), fails("b"), pause(1ms));
  std::vector<task<int>> many;
  for (int i = 0; i < 100; ++i) many.push_back(give(i));
  int sum = 0;
  for (auto& r : co_await weir::when_all(std::move(many))) sum += r.value();
  const auto none = co_await weir::when_all(std::vector<task<int>>());
  co_return std::to_string(a.value()) + text_of(b) + (c ? "ok" : "") + std::to_string(sum) +
      std::to_string(none.size());
}
TEST(Task, WhenAllHasAllResultsErrorsAmongThem) {
  weir::runtime rt(with_workers(3));
  for (int i = 0; i < 50; ++i) EXPECT_EQ(run(rt, awaits_all()).value_or("?"), "1bok49500");
  weir::strand s(rt);
  EXPECT_EQ(run(static_cast<weir::executor_ref>(s), awaits_all()).value_or("?"), "1bok49500");
}

task<int> meets(std::atomic<int>& there) {
  ++there;
  while (there < 2) std::this_thread::yield();
  co_return 1;
}
task<int> meet_each_other(std::atomic<int>& there) {
  auto [a, b] = co_await weir::when_all(meets(there), meets(there));
  co_return a.value() + b.value();
}
TEST(Task, WhenAllRunsThemOnSeveralWorkers) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> there{0};
  EXPECT_EQ(run(rt, meet_each_other(there)).value(), 2) << "neither ends before the other has begun";
}

task<std::string> the_first_of(std::atomic<bool>& asleep, std::atomic<bool>& told) {
  auto v = co_await weir::when_any(until_asked_to_stop(asleep, told), give(std::string("quick")));
  co_return std::to_string(v.index()) + std::get<1>(v) + (told || !asleep ? "joined" : "");
}
task<int> first_fails() { co_return static_cast<int>((co_await weir::when_any(fails("first"), pause(1h))).index()); }
task<std::string> first_of_many() {
  std::vector<task<int>> all;
  all.push_back(fails("never"));
  all.clear();
  for (int i = 0; i < 5; ++i)
    all.push_back([](int n) -> task<int> {
      co_await pause(n == 3 ? weir::duration(1ms) : weir::duration(1h));
      co_return n * 10;
    }(i));
  const auto [which, value] = co_await weir::when_any(std::move(all));
  co_return std::to_string(which) + ":" + std::to_string(value);
}
TEST(Task, WhenAnyCancelsTheOthersAndWaitsForThem) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> asleep{false}, told{false};
    EXPECT_EQ(run(rt, the_first_of(asleep, told)).value_or("?"), "1quickjoined");
    EXPECT_EQ(asleep, told) << "no loser outlives it";
  }
  EXPECT_EQ(text_of(run(rt, first_fails())), "first");
  EXPECT_EQ(run(rt, first_of_many()).value_or("?"), "3:30");
}

task<errc> limited_in_time(task<int> t, weir::duration d) {
  auto r = co_await weir::with_deadline(std::move(t), clock_type::now() + d);
  co_return r ? errc{} : r.error().code;
}
task<int> busy_until_told(std::atomic<bool>& began, std::atomic<bool>& over) {
  began = true;
  while (!weir::this_task::token().stop_requested()) std::this_thread::yield();
  over = true;
  co_return 1;
}
task<int> forever() {
  co_await pause(1h);
  co_return 1;
}
TEST(Task, WithDeadlineStopsAndWaits) {
  weir::runtime rt(with_workers(1));
  EXPECT_EQ(run(rt, limited_in_time(give(1), 1h)).value(), errc{});
  EXPECT_EQ(run(rt, limited_in_time(fails("x"), 1h)).value(), errc::failed);
  EXPECT_EQ(run(rt, limited_in_time(forever(), 2ms)).value(), errc::timeout);
  EXPECT_EQ(run(rt, limited_in_time(forever(), -1ms)).value(), errc::timeout) << "it does not even begin";
  std::atomic<bool> began{false}, over{false};
  for (weir::duration limit = 50ms; !began; limit *= 2)  // until it begins in time
    EXPECT_EQ(run(rt, limited_in_time(busy_until_told(began, over), limit)).value(), errc::timeout) << "the only worker is busy";
  EXPECT_TRUE(over) << "it has ended when with_deadline has";
}
TEST(Task, StoppingTheOuterStopsTheInner) {
  weir::runtime rt(with_workers(2));
  std::atomic<bool> began{false}, over{false};
  auto h = weir::spawn(rt, limited_in_time(busy_until_told(began, over), 1h));
  h.cancel();
  static_cast<void>(h.get());
  auto any = weir::spawn(rt, first_of_many());
  any.cancel();
  static_cast<void>(any.get());
  ASSERT_TRUE(rt.wait_idle());
}

// ---- handles and groups ----

task<int> awaits(weir::join_handle<int> h) { co_return (co_await h).value(); }
task<errc> awaits_twice(weir::join_handle<int> h) {
  static_cast<void>(co_await h);
  co_return (co_await h).error().code;
}
TEST(Task, AwaitsHandlesWithoutHoldingAWorker) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  EXPECT_EQ(run(rt, awaits(rt.spawn([] { return 7; }))).value(), 7);
  EXPECT_EQ(run(rt, awaits(other.spawn([] { return 8; }))).value(), 8);
  EXPECT_EQ(run(rt, awaits(rt.blocking([] { return std::this_thread::sleep_for(1ms), 9; }))).value(), 9);
  EXPECT_EQ(run(rt, awaits(weir::spawn(other, give(10)))).value(), 10);
  EXPECT_EQ(text_of(run(rt, awaits(rt.spawn([]() -> int { throw std::runtime_error("x"); })))), "x");
  EXPECT_EQ(run(rt, awaits_twice(rt.spawn([] { return 7; }))).value(), errc::invalid);
  gate open;
  auto slow = other.spawn([&] { return open.wait(), 11; });
  auto h = weir::spawn(rt, awaits(std::move(slow)));
  EXPECT_TRUE(rt.spawn([] {}).get()) << "the only worker is free";
  open.open();
  EXPECT_EQ(h.get().value(), 11);
}

task<errc> awaits_itself(std::shared_ptr<weir::join_handle<errc>> mine, std::atomic<bool>& set) {
  while (!set) co_await weir::yield();
  auto r = co_await *mine;
  co_return r ? errc{} : r.error().code;
}
TEST(Task, AwaitingItselfWouldNeverEnd) {
  weir::runtime rt(with_workers(1));
  std::atomic<bool> set{false};
  auto mine = std::make_shared<weir::join_handle<errc>>();
  std::weak_ptr<weir::join_handle<errc>> there = mine;
  *mine = weir::spawn(rt, awaits_itself(mine, set));
  set = true;
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(mine->get().value(), errc::starved);
}

task<std::string> awaits_a_group(weir::executor_ref e, int n) {
  std::atomic<int> ran{0};
  weir::task_group g(e);
  for (int i = 0; i < n; ++i) g.run([&ran] { ++ran; });
  const weir::status s = co_await g;
  const bool all = ran == n;
  g.run([] { throw std::runtime_error("child"); });
  const weir::status bad = co_await g;
  co_return std::string(s ? "ok" : "bad") + (all ? " all " : " some ") + text_of(bad);
}
TEST(Task, AwaitsAGroup) {
  weir::runtime rt(with_workers(2));
  for (int n : {0, 1, 100}) EXPECT_EQ(run(rt, awaits_a_group(rt, n)).value_or("?"), "ok all child");
}

// ---- at the edges ----

TEST(Task, WhatCannotBeSpawnedIsAnswered) {
  weir::runtime rt(rejecting(1, 1));
  const weir::retry_policy policy;
  EXPECT_EQ(weir::spawn(rt, nothing(), {.retry = &policy}).get().error().code, errc::invalid);
  EXPECT_EQ(weir::spawn(rt, task<>()).get().error().code, errc::invalid);
  EXPECT_EQ(weir::spawn(weir::executor_ref(), nothing()).get().error().code, errc::stopped);
  {
    plug p(rt);
    auto first = weir::spawn(rt, nothing());
    std::atomic<int> alive{0};
    bool began = false;
    EXPECT_EQ(weir::spawn(rt, holds(counted(alive), began)).get().error().code, errc::full);
    EXPECT_EQ(alive, 0);
    first.cancel();
    EXPECT_EQ(first.get().error().code, errc::cancelled);
    auto late = weir::spawn(rt, holds(counted(alive), began), {.start_by = clock_type::now() + 1ms});
    EXPECT_EQ(late.get().error().code, errc::expired);
    EXPECT_EQ(alive, 0) << "what never starts frees its frame";
  }
  static_cast<void>(rt.drain());
  EXPECT_EQ(weir::spawn(rt, nothing()).get().error().code, errc::stopped);
}

task<int> on_its_worker() {
  const int here = weir::this_task::worker();
  for (int i = 0; i < 20; ++i) {
    if (i % 2 == 0) co_await weir::yield();
    else co_await pause(10us);
    if (weir::this_task::worker() != here) co_return -1;
  }
  co_return here;
}
TEST(Task, OneThatIsBoundToAWorkerStaysThere) {
  weir::runtime rt(with_workers(3));
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(weir::spawn(rt, on_its_worker(), {.prio = weir::lane::high, .worker = i}).get().value(), i);
}

task<task<int>> makes_a_task() { co_return give(5); }
TEST(Task, AFrameMayOutliveItsRuntime) {
  task<int> t;
  {
    weir::runtime rt(with_workers(1));
    t = std::move(run(rt, makes_a_task())).value();
  }
  EXPECT_TRUE(t.valid());
  weir::runtime rt(with_workers(1));
  EXPECT_EQ(run(rt, std::move(t)).value(), 5);
}

// Refuses what is as large as a big frame, once it is told to.
struct small_blocks : std::pmr::memory_resource {
  std::atomic<bool> refuses{false};
  void* do_allocate(std::size_t n, std::size_t a) override {
    if (refuses && n > 3000 && n < 12'000) throw std::bad_alloc();
    return std::pmr::new_delete_resource()->allocate(n, a);
  }
  void do_deallocate(void* p, std::size_t n, std::size_t a) override {
    std::pmr::new_delete_resource()->deallocate(p, n, a);
  }
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
};
task<int> large(int n) {
  char room[4000];
  char* volatile escaped = room;  // else the optimiser keeps one byte of it
  escaped[n] = 1;
  co_await weir::yield();
  co_return escaped[n];
}
task<std::string> calls_large() {
  std::string out;
  try {
    out += std::to_string(co_await large(1));
  } catch (const std::bad_alloc&) { out += "bad_alloc"; }
  auto h = weir::spawn(weir::here(), large(1));
  const auto r = co_await h;
  out += r ? "ok" : r.error().code == errc::failed ? "failed" : "other";
  auto [a] = co_await weir::when_all(large(1));
  out += a ? "ok" : a.error().code == errc::failed ? "failed" : "other";
  co_return out;
}
TEST(Task, AFrameWithoutMemoryIsAnError) {
  small_blocks memory;
  weir::options o = with_workers(1);
  o.memory = &memory;
  weir::runtime rt(o);
  EXPECT_EQ(run(rt, calls_large()).value_or("?"), "1okok");
  memory.refuses = true;
  EXPECT_EQ(run(rt, calls_large()).value_or("?"), "bad_allocfailedfailed");
  memory.refuses = false;
}

// A coroutine that weir knows nothing of.
struct foreign {
  struct promise_type {
    foreign get_return_object() noexcept { return {}; }
    std::suspend_never initial_suspend() noexcept { return {}; }
    std::suspend_never final_suspend() noexcept { return {}; }
    void return_void() noexcept {}
    void unhandled_exception() noexcept { std::terminate(); }
  };
};
foreign awaits_here(int& value, errc& slept) {
  value = co_await give(3);
  try {
    co_await pause(1h);
  } catch (const std::system_error& e) { slept = static_cast<errc>(e.code().value()); }
}
foreign awaits_any_here(errc& any) {
  try {
    static_cast<void>(co_await weir::when_any(give(1), give(2)));
  } catch (const std::system_error& e) {
    any = static_cast<errc>(e.code().value());
  }
}
TEST(Task, AForeignCoroutineMayAwaitWhatDoesNotSuspend) {
  int value = 0;
  errc slept{};
  awaits_here(value, slept);
  EXPECT_EQ(value, 3);
  EXPECT_EQ(slept, errc::invalid);
  errc any{};
  awaits_any_here(any);
  EXPECT_EQ(any, errc::invalid);
}

}  // namespace
}  // namespace task_test
