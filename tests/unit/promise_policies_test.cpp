// P6 P7 P8 P10: what becomes of a task, and of those before it, when a full runtime runs it on the caller, drops the oldest or discards.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace promise_policies_test {
namespace {

using namespace test;
using weir::errc;
using weir::on_full;

weir::options bounded(unsigned workers, std::size_t capacity, on_full full) {
  weir::options o = with_workers(workers);
  o.capacity = capacity;
  o.full = full;
  return o;
}
errc code(const weir::status& s) { return s ? errc{} : s.error().code; }
template <class T>
errc code(weir::join_handle<T> h) {
  auto r = h.get_until(weir::clock_type::now() + 10s);
  return r ? errc{} : r.error().code;
}

// A worker that is busy, and no room.
struct full_runtime {
  std::atomic<std::size_t> ran{0};  // before the runtime, whose tasks count in it
  weir::runtime rt;
  plug p;
  std::size_t filled;
  explicit full_runtime(const weir::options& o) : rt(o), p(rt), filled(fill(rt, ran)) { EXPECT_EQ(filled, o.capacity); }
};

// ---- all of them

class Policy : public ::testing::TestWithParam<on_full> {};
INSTANTIATE_TEST_SUITE_P(Of, Policy, ::testing::Values(on_full::caller_runs, on_full::drop_oldest, on_full::discard));

TEST_P(Policy, IsNotAskedByWhoOnlyTries) {
  full_runtime f(bounded(1, 3, GetParam()));
  tally t;
  probe<40> callable(t);
  EXPECT_EQ(code(f.rt.try_submit(std::move(callable))), errc::full);
  EXPECT_TRUE(t.untouched());
  f.p.release();
  ASSERT_TRUE(f.rt.wait_idle());
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(f.ran, 3u) << "and nothing was dropped for it";
  EXPECT_EQ(m.submitted, 4u);
  EXPECT_EQ(m.dropped, 0u);
  EXPECT_EQ(m.rejected, 2u) << "fill's last one, and this";
}

TEST_P(Policy, AdmitsAllOfABulkOrNothing) {
  weir::runtime rt(bounded(1, 5, GetParam()));
  plug p(rt);
  std::atomic<std::size_t> ran{0};
  const auto tasks = [&](std::size_t n) { return std::vector<std::function<void()>>(n, [&] { ++ran; }); };
  EXPECT_TRUE(rt.try_submit_bulk(tasks(4)));
  auto two = tasks(2);
  EXPECT_EQ(code(rt.try_submit_bulk(std::move(two))), errc::full);
  for (auto& f : two) EXPECT_TRUE(f) << "refused callables are untouched";
  EXPECT_TRUE(rt.try_submit_bulk(tasks(1)));
  EXPECT_EQ(ran, 0u);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 5u);
  EXPECT_EQ(rt.metrics().dropped, 0u);
}

TEST_P(Policy, LetsNobodyInAfterTheShutdown) {
  full_runtime f(bounded(1, 2, GetParam()));
  std::thread closer([&] { f.rt.drain(); });
  EXPECT_TRUE(eventually([&] { return code(f.rt.try_submit([] {})) == errc::stopped; }));
  bool ran = false;
  EXPECT_EQ(code(f.rt.submit([&] { ran = true; })), errc::stopped);
  EXPECT_EQ(code(f.rt.spawn([&] { ran = true; })), errc::stopped);
  f.p.release();
  closer.join();
  EXPECT_EQ(code(f.rt.submit([&] { ran = true; })), errc::stopped);
  EXPECT_FALSE(ran);
  EXPECT_EQ(f.ran, 2u);
}

TEST_P(Policy, DoesNothingWhileThereIsRoom) {
  weir::runtime rt(bounded(2, 4, GetParam()));
  std::atomic<int> ran{0};
  const auto here = std::this_thread::get_id();
  for (int round = 0; round < 100; ++round) {
    for (int i = 0; i < 4; ++i)
      ASSERT_TRUE(rt.submit([&] {
        if (std::this_thread::get_id() != here) ++ran;
      }));
    ASSERT_TRUE(rt.wait_idle());
  }
  EXPECT_EQ(ran, 400);
}

// ---- P6

TEST(CallerRuns, WhatDoesNotFitBeforeItReturns) {
  full_runtime f(bounded(1, 2, on_full::caller_runs));
  std::thread::id where;
  EXPECT_TRUE(f.rt.submit([&] { where = std::this_thread::get_id(); }));
  EXPECT_EQ(where, std::this_thread::get_id());
  tally t;
  EXPECT_TRUE(f.rt.submit(probe<200>(t)));
  EXPECT_EQ(t.calls, 1);
  EXPECT_EQ(t.alive, 0) << "and it is gone by then";
  EXPECT_TRUE(f.rt.submit(probe<1>(t), {.prio = weir::lane::high, .name = "aside"}));
  EXPECT_EQ(t.calls, 2);
  EXPECT_EQ(f.ran, 0u) << "it passes those before it";
  f.p.release();
  ASSERT_TRUE(f.rt.wait_idle());
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 6u);
  EXPECT_EQ(m.ok, 6u);
  EXPECT_EQ(m.rejected, 1u) << "fill's last one";
}

TEST(CallerRuns, SoTheHandleIsReady) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  auto h = f.rt.spawn([] { return 7; });
  EXPECT_TRUE(h.ready());
  EXPECT_EQ(h.get().value_or(-1), 7);
  std::stop_source source;
  auto conditions = f.rt.spawn([](const std::stop_token& t) { return t.stop_requested() ? 1 : 2; },
                               {.stop = source.get_token(), .start_by = weir::clock_type::now() + 10s, .deadline = weir::clock_type::now() + 10s});
  EXPECT_EQ(conditions.get().value_or(-1), 2);
}

TEST(CallerRuns, ItsExceptionGoesToOnUnhandledOrIntoTheHandle) {
  weir::options o = bounded(1, 1, on_full::caller_runs);
  unhandled seen;
  seen.install(o);
  full_runtime f(o);
  EXPECT_TRUE(f.rt.submit([] { throw std::runtime_error("on the caller"); }));
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"on the caller"});
  EXPECT_EQ(seen.infos().at(0).worker, -1);
  auto r = f.rt.spawn([]() -> int { throw std::runtime_error("stored"); }).get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  EXPECT_TRUE(r.error().cause);
  EXPECT_EQ(seen.count(), 1);
  EXPECT_EQ(f.rt.metrics().failed, 2u);
}

// P13
TEST(CallerRuns, InATaskOfItsOwnItIsRejected) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  weir::runtime other(bounded(1, 1, on_full::block));
  plug busy(other);
  ASSERT_TRUE(other.submit([] {}));
  bool inner = false;
  errc again{}, by_here{}, elsewhere{};
  EXPECT_TRUE(f.rt.submit([&] {
    again = code(f.rt.submit([&] { inner = true; }));
    by_here = code(weir::here().submit([&] { inner = true; }));
    elsewhere = code(other.submit([] {}));
  }));
  EXPECT_EQ(again, errc::full);
  EXPECT_EQ(by_here, errc::full);
  EXPECT_EQ(elsewhere, errc::full) << "nor does it block";
  EXPECT_FALSE(inner);
}

TEST(CallerRuns, OnAWorkerOfAnotherRuntimeItIsRejected) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  weir::runtime other(with_workers(1));
  bool ran = false;
  EXPECT_EQ(other.spawn([&] { return code(f.rt.submit([&] { ran = true; })); }).get().value_or(errc{}), errc::full);
  EXPECT_FALSE(ran);
}

TEST(CallerRuns, WhatMustGoElsewhereIsRejected) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  bool ran = false;
  EXPECT_EQ(code(f.rt.submit([&] { ran = true; }, {.worker = 0})), errc::full);
  weir::strand s(f.rt);
  EXPECT_EQ(code(s.submit([&] { ran = true; })), errc::full) << "what is in the strand comes first";
  weir::task_group g(f.rt);
  g.run([&] { ran = true; });
  EXPECT_EQ(code(g.wait()), errc::full);
  EXPECT_FALSE(ran);
}

TEST(CallerRuns, ADrainWaitsForIt) {
  weir::options o = bounded(1, 1, on_full::caller_runs);
  full_runtime f(o);
  gate inside, go;
  std::atomic<bool> over{false}, drained{false};
  std::thread caller([&] {
    EXPECT_TRUE(f.rt.submit([&] {
      inside.open();
      go.wait();
      over = true;
    }));
  });
  inside.wait();
  f.p.release();
  std::thread closer([&] {
    const weir::report r = f.rt.drain();
    EXPECT_TRUE(over);
    EXPECT_TRUE(r.complete);
    EXPECT_EQ(r.ran, 3u);
    drained = true;
  });
  let_it_misbehave();
  EXPECT_FALSE(drained);
  go.open();
  caller.join();
  closer.join();
}

TEST(CallerRuns, AnAbortAsksItToStop) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  for (const bool with_handle : {false, true}) {
    std::optional<plug> again;
    if (with_handle) {
      ASSERT_TRUE(f.rt.restart());
      again.emplace(f.rt);
      fill(f.rt, f.ran);
    }
    gate inside;
    const auto wait_for_stop = [&](const std::stop_token& t) {
      inside.open();
      EXPECT_TRUE(eventually([&] { return t.stop_requested() && weir::this_task::token().stop_requested(); }));
    };
    std::thread caller([&] {
      if (with_handle) {
        EXPECT_TRUE(f.rt.spawn(wait_for_stop).get());
      } else {
        EXPECT_TRUE(f.rt.submit(wait_for_stop));
      }
    });
    inside.wait();
    (again ? *again : f.p).release();
    f.rt.abort();
    caller.join();
  }
}

// As on a worker: what runs past its deadline, or past a drain's, is named.
TEST(CallerRuns, IsSeenFromOutside) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  const std::size_t others = f.rt.metrics().running;
  gate inside, plain, go;
  std::thread caller([&] {
    auto h = f.rt.spawn([&] {
      inside.open();
      go.wait();
    }, {.deadline = weir::clock_type::now() + 1ms, .name = "by its caller"});
    EXPECT_TRUE(h.ready());
  });
  std::thread other([&] {
    EXPECT_TRUE(f.rt.submit([&] {
      plain.open();
      go.wait();
    }, {.name = "plainly"}));
  });
  inside.wait();
  plain.wait();
  EXPECT_TRUE(eventually([&] { return f.rt.metrics().overran == 1; }));
  weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.running, others + 2);
  EXPECT_EQ(m.queued, 1u) << "what fills the queue";
  ASSERT_EQ(m.overdue.size(), 1u);
  EXPECT_STREQ(m.overdue[0].name, "by its caller");
  EXPECT_EQ(m.overdue[0].worker, -1);
  const weir::report r = f.rt.drain(weir::clock_type::now());
  EXPECT_FALSE(r.complete);
  std::vector<std::string> names;
  for (const weir::task_info& i : r.still_running)
    if (i.worker == -1) names.emplace_back(i.name);
  std::sort(names.begin(), names.end());
  EXPECT_EQ(names, (std::vector<std::string>{"by its caller", "plainly"}));
  go.open();
  caller.join();
  other.join();
  f.p.release();
  EXPECT_TRUE(f.rt.drain().complete);
  m = f.rt.metrics();
  EXPECT_EQ(m.running, 0u);
  EXPECT_TRUE(m.overdue.empty());
}

// P26, as on a worker.
TEST(CallerRuns, ItMayShutTheRuntimeDownOrDestroyIt) {
  {
    full_runtime f(bounded(1, 1, on_full::caller_runs));
    EXPECT_TRUE(f.rt.submit([&] {
      EXPECT_FALSE(f.rt.wait_idle());
      EXPECT_FALSE(f.rt.drain().complete);
    }));
    f.p.release();
    EXPECT_TRUE(f.rt.drain().complete);
    EXPECT_EQ(f.ran, 1u);
  }
  std::atomic<std::size_t> ran{0};
  auto rt = std::make_unique<weir::runtime>(bounded(1, 1, on_full::caller_runs));
  plug p(*rt);
  EXPECT_EQ(fill(*rt, ran), 1u);
  EXPECT_TRUE(rt->submit([&] { rt.reset(); }));
  p.release();
  EXPECT_TRUE(eventually([&] { return ran == 1; }));
}

// ---- P7

TEST(CallerRuns, AStreamsTaskIsRejected) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  weir::result_stream<int> s(f.rt);
  EXPECT_EQ(code(s.submit([] { return 1; })), errc::full);
  f.p.release();
  ASSERT_TRUE(f.rt.wait_idle());
  ASSERT_TRUE(s.submit([] { return 2; }));
  EXPECT_EQ(s.next()->value_or(0), 2);
}

TEST(CallerRuns, WhatItSubmitsWhileTheRuntimeDrainsIsStillRun) {
  full_runtime f(bounded(1, 1, on_full::caller_runs));
  std::atomic<bool> accepted{false}, child{false};
  std::thread drainer;
  ASSERT_TRUE(f.rt.submit([&] {
    drainer = std::thread([&] { EXPECT_TRUE(f.rt.drain().complete); });
    EXPECT_TRUE(eventually([&] {
      bool closed = false;
      std::thread([&] { closed = code(f.rt.try_submit([] {})) == errc::stopped; }).join();
      return closed;
    }));
    accepted = f.rt.submit([&] { child = true; }).has_value();
  }));
  f.p.release();
  drainer.join();
  EXPECT_TRUE(accepted);
  EXPECT_TRUE(child);
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, m.ok);
}

TEST(DropOldest, DropsTheOldestOfAllOneForEach) {
  constexpr std::size_t capacity = 5, more = 12;
  full_runtime f(bounded(1, capacity, on_full::drop_oldest));
  std::vector<weir::join_handle<std::size_t>> handles;
  for (std::size_t i = 0; i < more; ++i) {
    handles.push_back(f.rt.spawn([i] { return i; }));
    EXPECT_FALSE(handles.back().ready()) << i;
    if (i >= capacity) {
      EXPECT_TRUE(handles[i - capacity].ready()) << i;
    }
    EXPECT_EQ(f.rt.metrics().dropped, i + 1);
  }
  f.p.release();
  for (std::size_t i = 0; i < more; ++i) {
    auto r = handles[i].get();
    if (i < more - capacity) {
      ASSERT_FALSE(r) << i;
      EXPECT_EQ(r.error().code, errc::dropped);
    } else {
      EXPECT_EQ(r.value_or(99), i);
    }
  }
  ASSERT_TRUE(f.rt.wait_idle());
  EXPECT_EQ(f.ran, 0u) << "plain ones go as well";
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 1 + capacity + more);
  EXPECT_EQ(m.dropped, more);
  EXPECT_EQ(m.ok, 1 + capacity);
}

TEST(DropOldest, DestroysTheCallableAtOnce) {
  weir::runtime rt(bounded(1, 2, on_full::drop_oldest));
  plug p(rt);
  tally t;
  for (int i = 0; i < 5; ++i) EXPECT_TRUE(rt.submit(probe<100>(t)));
  EXPECT_EQ(t.alive, 2);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 2);
  EXPECT_EQ(t.alive, 0);
}

TEST(DropOldest, DropsOnlyFromTheSameLane) {
  weir::runtime rt(bounded(1, 2, on_full::drop_oldest));
  plug p(rt);
  auto normal = rt.spawn([] { return 1; });
  auto high = rt.spawn([] { return 2; }, {.prio = weir::lane::high});
  auto next = rt.spawn([] { return 3; }, {.prio = weir::lane::high});
  EXPECT_TRUE(high.ready());
  EXPECT_FALSE(normal.ready());
  tally t;
  probe<8> f(t);
  EXPECT_EQ(code(rt.submit(std::move(f), {.prio = weir::lane::low})), errc::full) << "there is none in that lane";
  EXPECT_TRUE(t.untouched());
  p.release();
  EXPECT_EQ(normal.get().value_or(0), 1);
  EXPECT_EQ(next.get().value_or(0), 3);
  EXPECT_EQ(code(std::move(high)), errc::dropped);
}

TEST(DropOldest, TakesNothingFromAStrandNorWhatIsBound) {
  weir::runtime rt(bounded(1, 2, on_full::drop_oldest));
  plug p(rt);
  weir::strand s(rt);
  std::vector<int> order;
  EXPECT_TRUE(s.submit([&] { order.push_back(1); }));
  EXPECT_TRUE(rt.submit([&] { order.push_back(2); }, {.worker = 0}));
  EXPECT_EQ(code(rt.submit([] {})), errc::full);
  EXPECT_EQ(code(s.submit([] {})), errc::full);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(order.size(), 2u);
  EXPECT_EQ(rt.metrics().dropped, 0u);
}

TEST(DropOldest, PassesOverWhatWasCancelled) {
  weir::runtime rt(bounded(1, 3, on_full::drop_oldest));
  plug p(rt);
  auto first = rt.spawn([] { return 1; });
  auto second = rt.spawn([] { return 2; });
  auto third = rt.spawn([] { return 3; });
  first.cancel();
  auto fourth = rt.spawn([] { return 4; });
  EXPECT_FALSE(second.ready()) << "the cancelled one had made room";
  auto fifth = rt.spawn([] { return 5; });
  EXPECT_EQ(code(std::move(second)), errc::dropped);
  p.release();
  EXPECT_EQ(third.get().value_or(0), 3);
  EXPECT_EQ(fourth.get().value_or(0), 4);
  EXPECT_EQ(fifth.get().value_or(0), 5);
  EXPECT_EQ(code(std::move(first)), errc::cancelled);
}

TEST(DropOldest, BehindAStrandsTurnToo) {
  weir::runtime rt(bounded(1, 4, on_full::drop_oldest));
  rt.pause();
  std::atomic<int> ran{0};
  gate submitted, leave;
  std::thread other([&] {
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(rt.submit([&] { ++ran; }));
    submitted.open();
    leave.wait();
  });
  submitted.wait();
  weir::strand s(rt);
  EXPECT_TRUE(s.submit([&] { ++ran; }));  // its turn lies in this thread's part of the queue, which is looked at first
  EXPECT_EQ(code(rt.submit([&] { ++ran; })), errc{}) << "the other thread's three may be dropped";
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  leave.open();
  other.join();
  EXPECT_EQ(ran, 4);
  EXPECT_EQ(rt.metrics().dropped, 1u);
}

TEST(DropOldest, WhatTheCallableDoesWhenItIsDestroyedWaitsForNoRest) {
  weir::runtime rt(bounded(1, 1, on_full::drop_oldest));
  plug p(rt);
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
  ASSERT_TRUE(rt.submit(at_end([&] { rest = rt.wait_idle(); })));
  ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rest.has_value()) << "it was dropped";
  EXPECT_FALSE(*rest);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(DropOldest, NoTaskThatHasStarted) {
  weir::runtime rt(bounded(1, 1, on_full::drop_oldest));
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> ran{0};
    auto h = rt.spawn([&] { return ++ran; });
    auto g = rt.spawn([&] { return ++ran; });
    const auto first = h.get(), second = g.get();
    EXPECT_EQ(ran, (first ? 1 : 0) + (second ? 1 : 0));
    if (!first) {
      EXPECT_EQ(first.error().code, errc::dropped);
    }
    if (!second) {
      EXPECT_EQ(second.error().code, errc::full) << "the worker has the first one in hand";
    }
  }
}

// ---- P8

TEST(Discard, TheNewTaskIsDropped) {
  full_runtime f(bounded(1, 2, on_full::discard));
  tally t;
  {
    probe<30> callable(t);
    EXPECT_EQ(code(f.rt.submit(std::move(callable))), errc::dropped);
    auto h = f.rt.spawn(std::move(callable));
    EXPECT_TRUE(h.ready());
    EXPECT_EQ(code(std::move(h)), errc::dropped);
    EXPECT_TRUE(t.untouched());
  }
  EXPECT_EQ(code(f.rt.submit([] {}, {.prio = weir::lane::high})), errc::dropped);
  f.p.release();
  ASSERT_TRUE(f.rt.wait_idle());
  EXPECT_EQ(f.ran, 2u);
  EXPECT_EQ(t.calls, 0);
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.dropped, 3u);
  EXPECT_EQ(m.submitted, 1u + 2 + 3);
  EXPECT_EQ(m.ok, 3u);
  EXPECT_EQ(m.rejected, 1u) << "fill's last one";
}

TEST(Discard, InAStrandToo) {
  full_runtime f(bounded(1, 1, on_full::discard));
  weir::strand s(f.rt);
  EXPECT_EQ(code(s.submit([] {})), errc::dropped);
  EXPECT_EQ(f.rt.metrics().dropped, 1u);
}

}  // namespace
}  // namespace promise_policies_test
