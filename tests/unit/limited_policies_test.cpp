// P6 P7 P8 of a limited: what becomes of a task, and of those before it, when it is full and its policy is none of block and reject.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <utility>
#include <vector>

namespace limited_policies_test {
namespace {

using namespace test;
using weir::errc;
using weir::on_full;

errc code(const weir::status& s) { return s ? errc{} : s.error().code; }
template <class T>
errc code(weir::join_handle<T> h) {
  auto r = h.get_until(weir::clock_type::now() + 10s);
  return r ? errc{} : r.error().code;
}

// One place, which is held, and no room.
struct full_limit {
 private:
  gate held_, hold_;  // before the runtime, as all that its tasks use

 public:
  std::atomic<std::size_t> ran{0};
  weir::runtime rt;
  weir::limited few;

  explicit full_limit(on_full full, std::size_t capacity = 1, unsigned workers = 2, std::size_t of_runtime = 1000)
      : full_limit(full, capacity, options(workers, of_runtime)) {}
  full_limit(on_full full, std::size_t capacity, const weir::options& o) : rt(o), few(rt, 1, capacity, full) {
    EXPECT_TRUE(few.submit([this] {
      held_.open();
      hold_.wait();
    }));
    held_.wait();
    while (few.try_submit([this] { ++ran; })) ++filled;
    EXPECT_EQ(filled, capacity);
  }
  ~full_limit() { release(); }
  void release() { hold_.open(); }
  bool rests() { return rt.wait_idle(weir::clock_type::now() + 10s); }
  static weir::options options(unsigned workers, std::size_t capacity) {
    weir::options o = with_workers(workers);
    o.capacity = capacity;
    o.full = on_full::reject;
    return o;
  }
  std::size_t filled = 0;
};

// ---- all of them

class LimitPolicy : public ::testing::TestWithParam<on_full> {};
INSTANTIATE_TEST_SUITE_P(Of, LimitPolicy,
                         ::testing::Values(on_full::caller_runs, on_full::drop_oldest, on_full::discard));

TEST_P(LimitPolicy, IsNotAskedByWhoOnlyTries) {
  full_limit f(GetParam(), 3);
  tally t;
  probe<40> callable(t);
  EXPECT_EQ(code(f.few.try_submit(std::move(callable))), errc::full);
  EXPECT_TRUE(t.untouched());
  std::vector<std::function<void()>> two(2, [&] { ++f.ran; });
  EXPECT_EQ(code(f.few.try_submit_bulk(two)), errc::full);
  weir::task_group g(f.few);
  EXPECT_FALSE(g.try_run([&] { ++f.ran; }));
  EXPECT_TRUE(g.wait());
  f.release();
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(f.ran, 3u);
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 4u);
  EXPECT_EQ(m.dropped, 0u);
}

TEST_P(LimitPolicy, IsNotAskedWhileThereIsRoom) {
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 1, 4, GetParam());
  std::atomic<int> ran{0};
  const auto here = std::this_thread::get_id();
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 4; ++i)
      ASSERT_TRUE(few.submit([&] {
        if (std::this_thread::get_id() != here) ++ran;
      }));
    ASSERT_TRUE(rt.wait_idle());
  }
  EXPECT_EQ(ran, 400);
}

TEST_P(LimitPolicy, LetsNobodyInAfterTheShutdown) {
  full_limit f(GetParam());
  std::thread closer([&] { f.rt.drain(); });
  EXPECT_TRUE(eventually([&] { return code(f.rt.try_submit([] {})) == errc::stopped; }));
  EXPECT_EQ(code(f.few.submit([&] { ++f.ran; })), errc::stopped);
  EXPECT_EQ(code(f.few.spawn([&] { ++f.ran; })), errc::stopped);
  f.release();
  closer.join();
  EXPECT_EQ(f.ran, 1u) << "and nobody went for it";
  EXPECT_EQ(code(f.few.submit([&] { ++f.ran; })), errc::stopped);
}

TEST_P(LimitPolicy, NobodyGoesForATaskThatMayNotStartAnyMore) {
  full_limit f(GetParam());
  std::stop_source source;
  source.request_stop();
  EXPECT_EQ(code(f.few.submit([&] { ++f.ran; }, {.stop = source.get_token()})), errc::cancelled);
  EXPECT_EQ(code(f.few.spawn([&] { ++f.ran; }, {.start_by = weir::clock_type::now() - 1ms})), errc::expired);
  f.release();
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(f.ran, 1u);
  EXPECT_EQ(f.rt.metrics().dropped, 0u);
}

TEST_P(LimitPolicy, ItsRoomIsAllThereInTheEnd) {
  full_limit f(GetParam(), 3);
  for (int i = 0; i < 20; ++i) {
    static_cast<void>(f.few.submit([] {}));
    f.few.spawn([] {}).detach();
  }
  f.release();
  ASSERT_TRUE(f.rests());
  f.rt.pause();
  std::size_t fit = 0;
  while (f.few.try_submit([] {})) ++fit;
  EXPECT_EQ(fit, 3u);
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted - fit, m.ok + m.dropped);
}

// ---- P6

TEST(LimitCallerRuns, WhatDoesNotFitBeforeItReturns) {
  full_limit f(on_full::caller_runs);
  std::thread::id where;
  EXPECT_TRUE(f.few.submit([&] { where = std::this_thread::get_id(); }));
  EXPECT_EQ(where, std::this_thread::get_id());
  tally t;
  EXPECT_TRUE(f.few.submit(probe<200>(t)));
  EXPECT_TRUE(f.few.submit(probe<1>(t), {.name = "aside"}));
  EXPECT_EQ(t.calls, 2);
  EXPECT_EQ(t.alive, 0) << "and it is gone by then";
  auto h = f.few.spawn([] { return 7; });
  EXPECT_TRUE(h.ready());
  EXPECT_EQ(h.get().value_or(-1), 7);
  std::stop_source source;
  auto conditions = f.few.spawn([](const std::stop_token& token) { return token.stop_requested() ? 1 : 2; },
                                {.stop = source.get_token(),
                                 .start_by = weir::clock_type::now() + 10s,
                                 .deadline = weir::clock_type::now() + 10s});
  EXPECT_EQ(conditions.get().value_or(-1), 2);
  EXPECT_EQ(f.ran, 0u);
  f.release();
  ASSERT_TRUE(f.rests());
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 7u);
  EXPECT_EQ(m.ok, 7u);
  EXPECT_EQ(f.ran, 1u);
}

TEST(LimitCallerRuns, ThoughTheRuntimeIsFullToo) {
  full_limit f(on_full::caller_runs, 1, 1, 1);
  EXPECT_EQ(code(f.rt.try_submit([] {})), errc::full);
  bool ran = false;
  EXPECT_TRUE(f.few.submit([&] { ran = true; }));
  EXPECT_TRUE(ran);
}

TEST(LimitCallerRuns, ItsExceptionGoesToOnUnhandledOrIntoTheHandle) {
  weir::options o = full_limit::options(1, 100);
  unhandled seen;
  seen.install(o);
  full_limit f(on_full::caller_runs, 1, o);
  EXPECT_TRUE(f.few.submit([] { throw std::runtime_error("on the caller"); }));
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"on the caller"});
  auto r = f.few.spawn([]() -> int { throw std::runtime_error("stored"); }).get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
}

// It has been admitted, so it comes back by way of the limit, and takes no room there.
TEST(LimitCallerRuns, WhatFailsThereIsTriedAgainInTheLimit) {
  full_limit f(on_full::caller_runs, 2);
  const weir::retry_policy p{.max_attempts = 3, .base = 1us};
  std::vector<std::thread::id> where;
  auto h = f.few.spawn(
      [&] {
        where.push_back(std::this_thread::get_id());
        if (where.size() < 3) throw std::runtime_error("not yet");
        return 7;
      },
      {.retry = &p});
  EXPECT_FALSE(h.ready());
  f.release();
  EXPECT_EQ(h.get().value_or(0), 7);
  ASSERT_EQ(where.size(), 3u);
  EXPECT_EQ(where[0], std::this_thread::get_id());
  EXPECT_NE(where[1], std::this_thread::get_id());
  ASSERT_TRUE(f.rests());
  f.rt.pause();
  std::size_t fit = 0;
  while (f.few.try_submit([] {})) ++fit;
  EXPECT_EQ(fit, 2u) << "and gives none back that it has not taken";
}

TEST(LimitCallerRuns, WhatMustPassSomethingElseFirstIsRejected) {
  full_limit f(on_full::caller_runs);
  bool ran = false;
  weir::strand s(f.few);
  EXPECT_EQ(code(s.submit([&] { ran = true; })), errc::full);
  weir::limited in_front(f.few, 1, 10, on_full::caller_runs);
  EXPECT_EQ(code(in_front.submit([&] { ran = true; })), errc::full);
  weir::task_group g(f.few);
  g.run([&] { ran = true; });
  EXPECT_EQ(code(g.wait()), errc::full);
  weir::result_stream<int> stream(f.few);
  EXPECT_EQ(code(stream.submit([&] { return ran = true, 1; })), errc::full);
  EXPECT_FALSE(ran);
}

// P13
TEST(LimitCallerRuns, OnAWorkerAndWhereElseNobodyMayWaitItIsRejected) {
  full_limit f(on_full::caller_runs);
  bool ran = false;
  EXPECT_EQ(f.rt.spawn([&] { return code(f.few.submit([&] { ran = true; })); }).get().value_or(errc{}), errc::full);
  weir::runtime other(with_workers(1));
  EXPECT_EQ(other.spawn([&] { return code(f.few.submit([&] { ran = true; })); }).get().value_or(errc{}), errc::full);
  EXPECT_EQ(f.rt.blocking([&] { return code(f.few.submit([&] { ran = true; })); }).get().value_or(errc{}), errc::full);
  errc inside{};
  EXPECT_TRUE(f.few.submit([&] { inside = code(f.few.submit([&] { ran = true; })); }));
  EXPECT_EQ(inside, errc::full);
  EXPECT_FALSE(ran);
}

TEST(LimitCallerRuns, ADrainWaitsForIt) {
  full_limit f(on_full::caller_runs);
  gate inside, go;
  std::atomic<bool> over{false};
  std::thread caller([&] {
    EXPECT_TRUE(f.few.submit([&] {
      inside.open();
      go.wait();
      over = true;
    }));
  });
  inside.wait();
  f.release();
  std::thread opener([&] {
    let_it_misbehave();
    go.open();
  });
  const weir::report r = f.rt.drain();
  EXPECT_TRUE(over);
  EXPECT_EQ(r.ran, 3u);
  caller.join();
  opener.join();
}

TEST(LimitCallerRuns, ATaskMayHoldTheLastHandle) {
  weir::runtime rt(with_workers(1));
  auto few = std::make_shared<weir::limited>(rt, 1, 1, on_full::caller_runs);
  plug p(rt);
  ASSERT_TRUE(few->submit([] {}));
  weir::limited copy = *few;
  const weir::executor_ref e = copy;
  few.reset();
  bool ran = false;
  auto h = e.spawn([&ran, last = std::move(copy)] { ran = true; });
  EXPECT_TRUE(ran);
  EXPECT_TRUE(h.get());
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

// ---- P7

TEST(LimitDropOldest, DropsTheOldestOfItsOwnOneForEach) {
  constexpr std::size_t capacity = 5, more = 12;
  full_limit f(on_full::drop_oldest, capacity);
  std::vector<weir::join_handle<std::size_t>> handles;
  for (std::size_t i = 0; i < more; ++i) {
    handles.push_back(f.few.spawn([i] { return i; }));
    EXPECT_FALSE(handles.back().ready()) << i;
    if (i >= capacity) { EXPECT_TRUE(handles[i - capacity].ready()) << i; }
    EXPECT_EQ(f.rt.metrics().dropped, i + 1);
  }
  f.release();
  for (std::size_t i = 0; i < more; ++i) {
    auto r = handles[i].get();
    if (i < more - capacity) {
      ASSERT_FALSE(r) << i;
      EXPECT_EQ(r.error().code, errc::dropped);
    } else {
      EXPECT_EQ(r.value_or(99), i);
    }
  }
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(f.ran, 0u) << "plain ones go as well";
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 1 + capacity + more);
  EXPECT_EQ(m.dropped, more);
  EXPECT_EQ(m.ok, 1 + capacity);
}

TEST(LimitDropOldest, DestroysTheCallableAtOnceAndGivesTheCreditOfTheRuntimeBack) {
  full_limit f(on_full::drop_oldest, 2, 1, 2);
  tally t;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(f.few.submit(probe<100>(t)));
  EXPECT_EQ(t.alive, 2);
  f.release();
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(t.calls, 2);
  EXPECT_EQ(t.alive, 0);
}

TEST(LimitDropOldest, LeavesTheRuntimesOtherTasksAlone) {
  full_limit f(on_full::drop_oldest, 1, 1);
  std::atomic<int> others{0};
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(f.rt.submit([&] { ++others; }));
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(f.few.submit([] {}));
  f.release();
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(others, 5);
  EXPECT_EQ(f.rt.metrics().dropped, 5u);
}

TEST(LimitDropOldest, AWorkersTasksGoAndComeLikeOthers) {
  full_limit f(on_full::drop_oldest);
  EXPECT_EQ(f.rt.spawn([&] {
                  auto h = f.few.spawn([] { return 1; });
                  EXPECT_FALSE(h.ready());
                  const errc said = code(f.few.submit([&] { ++f.ran; }));
                  EXPECT_TRUE(h.ready());
                  return said == errc{} ? code(std::move(h)) : said;
                })
                .get()
                .value_or(errc{}),
            errc::dropped);
  f.release();
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(f.ran, 1u);
  EXPECT_EQ(f.rt.metrics().dropped, 2u);
}

TEST(LimitDropOldest, TakesNothingFromAStrandInFrontOfIt) {
  weir::runtime rt(with_workers(1));
  weir::limited few(rt, 1, 3, on_full::drop_oldest);
  weir::strand s(few);
  plug p(rt);
  std::atomic<int> ran{0};
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(s.submit([&] { ++ran; }));
  auto own = few.spawn([&] { ++ran; });
  ASSERT_TRUE(s.submit([&] { ++ran; })) << "the limit's own task goes, which lies behind the strand's turn";
  EXPECT_EQ(code(std::move(own)), errc::dropped);
  EXPECT_EQ(code(few.submit([] {})), errc::full);
  EXPECT_EQ(code(s.submit([] {})), errc::full);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 3);
  ASSERT_TRUE(few.submit([&] { ++ran; })) << "what comes behind what was taken out of the middle is found";
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 4);
}

TEST(LimitDropOldest, PassesOverWhatWasCancelledAndWhatATimerHasPosted) {
  full_limit f(on_full::drop_oldest, 3);
  std::atomic<int> timed{0};
  auto t = weir::after(f.few, 0ms, [&] { ++timed; });
  auto first = f.few.spawn([] { return 1; });
  auto second = f.few.spawn([] { return 2; });
  auto third = f.few.spawn([] { return 3; });
  first.cancel();
  auto fourth = f.few.spawn([] { return 4; });
  EXPECT_FALSE(second.ready()) << "the cancelled one had made room";
  auto fifth = f.few.spawn([] { return 5; });
  EXPECT_EQ(code(std::move(second)), errc::dropped);
  for (int i = 0; i < 100; ++i) f.few.spawn([] {}).cancel();
  f.release();
  EXPECT_EQ(code(std::move(first)), errc::cancelled);
  ASSERT_TRUE(f.rests());
  EXPECT_EQ(timed, 1);
}

TEST(LimitDropOldest, AGroupsChildMayGoForAnother) {
  full_limit f(on_full::drop_oldest);
  weir::task_group g(f.few, {.cancel_on_error = false});
  for (int i = 0; i < 3; ++i) g.run([&] { ++f.ran; });
  f.release();
  EXPECT_EQ(code(g.wait()), errc::dropped);
  EXPECT_EQ(f.ran, 1u);
}

TEST(LimitDropOldest, WhatTheCallableDoesWhenItIsDestroyedWaitsForNoRestAndMaySubmit) {
  full_limit f(on_full::drop_oldest, 2);
  struct at_end {
    std::function<void()> f;
    explicit at_end(std::function<void()> g) : f(std::move(g)) {}
    at_end(at_end&& o) noexcept : f(std::exchange(o.f, nullptr)) {}
    ~at_end() {
      if (f) f();
    }
    void operator()() {}
  };
  std::optional<bool> rest;
  for (int i = 0; i < 2; ++i)
    ASSERT_TRUE(f.few.submit(at_end([&] {
      rest = f.rt.wait_idle();
      EXPECT_TRUE(f.few.submit([&] { ++f.ran; }));
    })));
  ASSERT_TRUE(f.few.submit([&] { ++f.ran; }));
  ASSERT_TRUE(rest.has_value());
  EXPECT_FALSE(*rest);
  f.release();
  ASSERT_TRUE(f.rests());
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.dropped);
}

TEST(LimitDropOldest, NoTaskThatHasStarted) {
  weir::runtime rt(with_workers(1));
  weir::limited few(rt, 1, 1, on_full::drop_oldest);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    auto h = few.spawn([&] { return ++ran; });
    auto g = few.spawn([&] { return ++ran; });
    const auto first = h.get(), second = g.get();
    EXPECT_EQ(ran, (first ? 1 : 0) + (second ? 1 : 0));
    if (!first) { EXPECT_EQ(first.error().code, errc::dropped); }
    if (!second) { EXPECT_EQ(second.error().code, errc::full); }
  }
}

// ---- P8

TEST(LimitDiscard, TheNewTaskIsDropped) {
  full_limit f(on_full::discard);
  tally t;
  probe<40> callable(t);
  EXPECT_EQ(code(f.few.submit(std::move(callable))), errc::dropped);
  EXPECT_TRUE(t.untouched());
  EXPECT_EQ(code(f.few.spawn([] { return 1; })), errc::dropped);
  EXPECT_EQ(f.rt.spawn([&] { return code(f.few.submit([] {})); }).get().value_or(errc{}), errc::dropped)
      << "on a worker as well";
  weir::strand s(f.few);
  EXPECT_EQ(code(s.submit([] {})), errc::dropped);
  weir::task_group g(f.few);
  g.run([&] { ++f.ran; });
  EXPECT_EQ(code(g.wait()), errc::dropped);
  f.release();
  ASSERT_TRUE(f.rests());
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.dropped, 5u);
  EXPECT_EQ(m.ok, 3u);
  EXPECT_EQ(m.submitted, 8u);
  EXPECT_EQ(f.ran, 1u);
}

}  // namespace
}  // namespace limited_policies_test
