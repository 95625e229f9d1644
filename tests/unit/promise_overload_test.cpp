// P11: once the queue wait has stayed above options::codel_target, tasks that have waited expire; what is exempt runs. How long is long is
// told exactly in sim/overload_test.cpp; here the waits are made so long that no machine is too slow for them.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>

#include <counting_resource.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace promise_overload_test {
namespace {

using namespace test;
using weir::errc;

weir::options watched(unsigned workers = 1) {
  weir::options o = with_workers(workers);
  o.codel_target = 1ms;
  return o;
}
errc code(const weir::status& s) { return s ? errc{} : s.error().code; }
template <class T>
errc code(weir::join_handle<T>& h) {
  auto r = h.get_until(weir::clock_type::now() + 10s);
  return r ? errc{} : r.error().code;
}

// What the constructor queues, and what is submitted before begin(), waits for 20 ms. Then its first task, which is alone in its interval, holds the
// worker until that is over: the next one that is taken finds the runtime overloaded.
struct overload {
 private:
  gate hold_;  // before the runtime, as all that its tasks use

 public:
  std::function<void()> meanwhile;  // in that first task
  weir::runtime rt;

  explicit overload(const weir::options& o = watched()) : rt(o) {
    EXPECT_TRUE(rt.submit([this] { hold_.wait(); }, {.prio = weir::lane::high}));
    EXPECT_TRUE(eventually([this] { return rt.metrics().running == 1; }));
    EXPECT_TRUE(rt.submit([this] {
      if (meanwhile) meanwhile();
      std::this_thread::sleep_for(110ms);
    }));
  }
  void begin() {
    std::this_thread::sleep_for(20ms);
    hold_.open();
  }
  void begin_and_rest() {
    begin();
    ASSERT_TRUE(rt.wait_idle(weir::clock_type::now() + 10s));
  }
  ~overload() { hold_.open(); }
};

TEST(Overload, WhatHasWaitedExpiresUnrunAndTheBooksBalance) {
  overload f;
  tally small, large, named, stoppable, bulk;
  std::atomic<int> ran{0};
  std::stop_source source;
  std::vector<weir::join_handle<int>> handles;
  for (int i = 0; i < 10; ++i) {
    EXPECT_TRUE(f.rt.submit([&ran] { ++ran; }));
    EXPECT_TRUE(f.rt.submit(probe<1>(small)));
    EXPECT_TRUE(f.rt.submit(probe<200>(large)));
    EXPECT_TRUE(f.rt.submit(probe<50>(named), {.name = "named"}));
    EXPECT_TRUE(
        f.rt.submit(probe<50>(stoppable),
                    {.prio = weir::lane::low, .stop = source.get_token(), .start_by = weir::clock_type::now() + 1h}));
    handles.push_back(f.rt.spawn([&ran] { return ++ran; }));
  }
  std::vector<probe<40>> many;
  for (int i = 0; i < 5; ++i) many.emplace_back(bulk);
  EXPECT_TRUE(f.rt.try_submit_bulk(std::move(many)));
  many.clear();
  f.begin_and_rest();
  for (auto& h : handles) EXPECT_EQ(code(h), errc::expired);
  EXPECT_EQ(ran, 0);
  for (const tally* t : {&small, &large, &named, &stoppable, &bulk}) {
    EXPECT_EQ(t->calls, 0);
    EXPECT_EQ(t->alive, 0);
  }
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.submitted, 2u + 65u);
  EXPECT_EQ(m.ok, 2u);
  EXPECT_EQ(m.expired, 65u);
  EXPECT_EQ(m.shed, 65u);
  EXPECT_NE(m.prometheus().find("weir_tasks_shed_total 65\n"), std::string::npos);
  EXPECT_NE(m.prometheus().find("\nweir_overloaded "), std::string::npos);
}

TEST(Overload, TheCapacityIsGivenBack) {
  std::atomic<std::size_t> ran{0};  // outlives the runtime, which drains
  weir::options o = watched();
  o.capacity = 20;
  o.full = weir::on_full::reject;
  overload f(o);
  EXPECT_EQ(fill(f.rt, ran), 19u) << "and one that waits already";
  f.begin_and_rest();
  EXPECT_EQ(ran, 0u);
  f.rt.pause();
  EXPECT_EQ(fill(f.rt, ran), 20u);
}

TEST(Overload, IsOffByDefault) {
  overload f(with_workers(1));
  std::atomic<std::size_t> ran{0};
  for (int i = 0; i < 20; ++i) EXPECT_TRUE(f.rt.submit([&ran] { ++ran; }));
  auto h = f.rt.spawn([&ran] { ++ran; });
  f.begin_and_rest();
  EXPECT_TRUE(h.get());
  EXPECT_EQ(ran, 21u);
  const weir::snapshot m = f.rt.metrics();
  EXPECT_EQ(m.shed, 0u);
  EXPECT_FALSE(m.overloaded);
}

TEST(Overload, TheHighLaneAndWhatIsBoundToAWorkerAreExempt) {
  overload f;
  std::atomic<int> ran{0};
  EXPECT_TRUE(f.rt.submit([&] { ++ran; }));
  auto high = f.rt.spawn([&] { ++ran; }, {.prio = weir::lane::high});
  auto bound = f.rt.spawn([&] { ++ran; }, {.worker = 0});
  EXPECT_TRUE(f.rt.submit([&] { ++ran; }, {.worker = 0}));
  EXPECT_TRUE(f.rt.broadcast([&] { ++ran; }));
  f.begin_and_rest();
  EXPECT_TRUE(high.get());
  EXPECT_TRUE(bound.get());
  EXPECT_EQ(ran, 4);
  EXPECT_EQ(f.rt.metrics().shed, 1u);
}

TEST(Overload, WhatTasksSubmitIsExempt) {
  overload f;
  std::atomic<int> ran{0};
  weir::strand s(f.rt);
  std::optional<weir::task_group> g;
  f.meanwhile = [&] {
    EXPECT_TRUE(weir::here().submit([&] { ++ran; }));
    EXPECT_TRUE(weir::here().submit([&] { ++ran; }, {.prio = weir::lane::low}));
    weir::here().spawn([&] { ++ran; }).detach();
    EXPECT_TRUE(s.submit([&] { ++ran; }));
    g.emplace(f.rt);
    g->run([&] { ++ran; });
  };
  EXPECT_TRUE(f.rt.submit([&] { ++ran; }));
  f.begin_and_rest();
  EXPECT_TRUE(g->wait());
  EXPECT_EQ(ran, 5);
  EXPECT_EQ(f.rt.metrics().shed, 1u);
}

TEST(Overload, TimersAndCallersOfRunAreExempt) {
  overload f;
  std::atomic<int> ran{0};
  auto t = weir::after(f.rt, 1ms, [&] { ++ran; });
  ASSERT_TRUE(t.accepted());
  auto due = weir::after(f.rt, 0ms, [&] { ++ran; });
  std::thread caller([&] { f.rt.run([&] { ++ran; }); });
  EXPECT_TRUE(f.rt.submit([&] { ++ran; }));
  f.begin_and_rest();
  caller.join();
  EXPECT_TRUE(f.rt.wait_idle());
  EXPECT_EQ(ran, 3);
}

TEST(Overload, AGroupsChildrenAreItsError) {
  for (const unsigned limit : {0u, 1u}) {
    overload f;
    weir::task_group g(f.rt, {.limit = limit});
    std::atomic<int> ran{0};
    for (int i = 0; i < 3; ++i) g.run([&] { ++ran; });
    f.begin_and_rest();
    EXPECT_EQ(code(g.wait()), errc::expired);
    EXPECT_EQ(ran, 0);
    EXPECT_EQ(f.rt.metrics().shed + f.rt.metrics().cancelled, 3u);
  }
}

TEST(Overload, AStreamsResultsAreExpired) {
  overload f;
  weir::result_stream<int> s(f.rt, {.ordered = true});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(s.submit([i] { return i; }));
  f.begin_and_rest();
  s.close();
  int seen = 0;
  while (auto r = s.next()) {
    ++seen;
    ASSERT_FALSE(*r);
    EXPECT_EQ(r->error().code, errc::expired);
  }
  EXPECT_EQ(seen, 3);
}

// Its tasks have waited since they were submitted, whatever went before in the strand.
TEST(Overload, ReachesIntoStrandsAndLimitsAndGivesTheirRoomBack) {
  std::atomic<int> ran{0};  // outlives the runtime, which drains
  overload f;
  weir::strand s(f.rt);
  weir::limited few(f.rt, 1, 5);
  weir::strand behind(few);
  tally t;
  std::vector<weir::join_handle<void>> handles;
  for (weir::executor_ref e : {static_cast<weir::executor_ref>(s), static_cast<weir::executor_ref>(few),
                               static_cast<weir::executor_ref>(behind)}) {
    EXPECT_TRUE(e.submit(probe<50>(t)));
    handles.push_back(e.spawn([&] { ++ran; }));
  }
  std::vector<std::function<void()>> three(3, [&] { ++ran; });
  EXPECT_TRUE(s.try_submit_bulk(three));
  EXPECT_EQ(code(few.try_submit_bulk(three)), errc::full);
  f.begin_and_rest();
  for (auto& h : handles) EXPECT_EQ(code(h), errc::expired);
  EXPECT_EQ(ran, 0);
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(t.alive, 0);
  EXPECT_EQ(f.rt.metrics().shed, 9u);
  f.rt.pause();
  int fit = 0;
  while (few.try_submit([&] { ++ran; })) ++fit;
  EXPECT_EQ(fit, 5);
}

TEST(Overload, WhatIsDestroyedUnrunMayThrowOrSubmit) {
  weir::options o = watched();
  unhandled seen;
  seen.install(o);
  overload f(o);
  struct at_end {
    std::function<void()> f;
    explicit at_end(std::function<void()> g) : f(std::move(g)) {}
    at_end(at_end&& other) noexcept : f(std::exchange(other.f, nullptr)) {}
    ~at_end() noexcept(false) {
      if (f) f();
    }
    void operator()() const {}
  };
  std::atomic<int> ran{0};
  EXPECT_TRUE(f.rt.submit(at_end([&] { EXPECT_TRUE(f.rt.submit([&] { ++ran; })); })));
  EXPECT_TRUE(f.rt.submit(at_end([] { throw std::runtime_error("in a destructor"); })));
  f.begin_and_rest();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"in a destructor"});
  EXPECT_EQ(f.rt.metrics().expired, 2u);
}

TEST(Overload, EndsWithTheQueue) {
  overload f;
  std::atomic<int> ran{0};
  EXPECT_TRUE(f.rt.submit([&] { ++ran; }));
  f.begin_and_rest();
  EXPECT_EQ(ran, 0);
  std::this_thread::sleep_for(110ms);
  gate hold;
  EXPECT_TRUE(f.rt.submit([&] { hold.wait(); }, {.prio = weir::lane::high}));
  auto h = f.rt.spawn([&] { ++ran; });
  std::this_thread::sleep_for(20ms);
  hold.open();
  EXPECT_TRUE(h.get()) << "it has waited, but there is no overload any more";
  EXPECT_EQ(f.rt.metrics().shed, 1u);
}

TEST(Overload, EndsWithARestart) {
  overload f;
  EXPECT_TRUE(f.rt.submit([] {}));
  f.begin_and_rest();
  EXPECT_TRUE(f.rt.drain().complete);
  ASSERT_TRUE(f.rt.restart());
  EXPECT_FALSE(f.rt.metrics().overloaded);
  f.rt.pause();
  auto h = f.rt.spawn([] {});
  std::this_thread::sleep_for(10ms);
  f.rt.resume();
  EXPECT_TRUE(h.get());
}

// ---- what carries the time, in the hands of others

// Everything that can be queued with the time, by each way out that is no start.
struct all_kinds {
  tally t;
  std::vector<weir::join_handle<void>> handles;
  void submit_to(weir::runtime& rt, weir::executor_ref gated) {
    EXPECT_TRUE(rt.submit(probe<1>(t)));
    EXPECT_TRUE(rt.submit(probe<100>(t), {.name = "boxed"}));
    EXPECT_TRUE(rt.submit(probe<20>(t), {.prio = weir::lane::low}));
    handles.push_back(rt.spawn(probe<20>(t)));
    EXPECT_TRUE(gated.submit(probe<20>(t)));
    handles.push_back(gated.spawn(probe<20>(t)));
  }
  static constexpr int count = 6;
};

TEST(OverloadControl, AnAbortHandsOutWhatIsQueued) {
  counting_resource memory;
  {
    weir::options o = watched();
    o.memory = &memory;
    weir::runtime rt(o);
    rt.pause();
    weir::strand s(rt);
    all_kinds k;
    k.submit_to(rt, s);
    int out = 0;
    rt.abort([&](weir::task_fn&& f) {
      ++out;
      f();
    });
    EXPECT_EQ(out, k.count);
    EXPECT_EQ(k.t.calls, k.count);
    EXPECT_EQ(k.t.alive, 0);
    for (auto& h : k.handles) EXPECT_EQ(code(h), errc::stopped);
  }
  EXPECT_EQ(memory.bytes(), 0u) << "the blocks that held the time are back, too";
}

TEST(OverloadControl, ADrainAtItsLimitStopsWhatIsQueued) {
  overload f;
  weir::strand s(f.rt);
  all_kinds k;
  k.submit_to(f.rt, s);
  const weir::report r = f.rt.drain(weir::clock_type::now());
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.stopped, 1u + k.count) << "and the one that was to hold the worker";
  EXPECT_EQ(k.t.alive, 0);
  for (auto& h : k.handles) EXPECT_EQ(code(h), errc::stopped);
  f.begin();
  EXPECT_TRUE(f.rt.drain().complete);
}

TEST(OverloadControl, TheOldestIsDroppedAndTheCancelledAreSweptOut) {
  weir::options o = watched();
  o.capacity = 6;
  o.full = weir::on_full::drop_oldest;
  weir::runtime rt(o);
  rt.pause();
  tally t;
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 6; ++i) handles.push_back(rt.spawn(probe<20>(t)));
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rt.submit(probe<20>(t)));
  EXPECT_EQ(rt.metrics().dropped, 3u);
  for (int i = 3; i < 6; ++i) handles[static_cast<std::size_t>(i)].cancel();
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rt.submit(probe<20>(t)));
  EXPECT_EQ(t.alive, 6);
  for (int i = 0; i < 6; ++i) EXPECT_TRUE(rt.submit(probe<20>(t)));
  EXPECT_EQ(rt.metrics().dropped, 9u);
  for (int i = 0; i < 40; ++i) {  // more stale tickets than there is capacity
    auto h = rt.spawn(probe<20>(t));
    h.cancel();
  }
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.alive, 0);
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.cancelled + m.dropped + m.expired);
}

TEST(OverloadControl, TheOrderOfASubmitterIsKept) {
  weir::runtime rt(watched());
  std::vector<int> order;
  rt.pause();
  for (int i = 0; i < 1000; ++i) {
    if (i % 3 == 0) EXPECT_TRUE(rt.submit([&order, i] { order.push_back(i); }));
    else rt.spawn([&order, i] { order.push_back(i); }).detach();
  }
  rt.resume();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(std::is_sorted(order.begin(), order.end()));
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok + m.expired);
}

TEST(OverloadControl, AWaiterStillRunsAnUnstartedTaskInPlace) {
  weir::runtime rt(watched());
  auto outer = rt.spawn([&] {
    auto h = std::make_unique<weir::join_handle<int>>();
    std::thread([&] { *h = rt.spawn([] { return 7; }); }).join();
    std::this_thread::sleep_for(5ms);
    return h->get().value_or(0);
  });
  EXPECT_EQ(outer.get().value_or(0), 7);
  EXPECT_TRUE(rt.wait_idle());
}

}  // namespace
}  // namespace promise_overload_test
