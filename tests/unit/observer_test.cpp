// What an observer is told of tasks: starts, ends, discards, parents, names, times.
#include <weir/weir.hpp>

#include <child.hpp>
#include <recorder.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <array>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace observer_test {
namespace {

using namespace test;
using weir::errc;

std::uint64_t submitted(const weir::runtime& rt) { return rt.metrics().submitted; }

// One task of each kind, each with work() in it; all have ended when it returns. How many there were.
template <class Work>
std::uint64_t one_of_each_kind(weir::runtime& rt, Work work) {
  std::array<char, 200> large{};
  EXPECT_TRUE(rt.submit([&work] { work(); }));
  EXPECT_TRUE(rt.submit([&work, large] { static_cast<void>(large), work(); }));
  EXPECT_TRUE(rt.submit([&work] { work(); }, {.prio = weir::lane::high, .name = "named"}));
  EXPECT_TRUE(rt.submit([&work] { work(); }, {.worker = 0}));
  EXPECT_TRUE(rt.submit([&work] { work(); }, {.stop = std::stop_source().get_token()}));
  std::vector<std::function<void()>> bulk(3, [&work] { work(); });
  EXPECT_TRUE(rt.try_submit_bulk(bulk));
  rt.spawn([&work] { work(); }).get().value();
  rt.blocking([&work] { work(); }).get().value();
  rt.run([&work] { work(); });
  weir::strand one(rt);
  EXPECT_TRUE(weir::executor_ref(one).submit([&work] { work(); }));
  EXPECT_TRUE(weir::executor_ref(one).submit([&work, large] { static_cast<void>(large), work(); }));
  EXPECT_TRUE(weir::executor_ref(one).try_submit_bulk(bulk));
  weir::executor_ref(one).spawn([&work] { work(); }).get().value();
  weir::limited few(one, 1, 10);
  EXPECT_TRUE(weir::executor_ref(few).submit([&work] { work(); }));
  weir::task_group group(rt);
  group.run([&work] { work(); });
  EXPECT_TRUE(group.wait());
  weir::task_group gated(one);
  gated.run([&work] { work(); });
  EXPECT_TRUE(gated.wait());
  weir::result_stream<void> stream(rt);
  EXPECT_TRUE(stream.submit([&work] { work(); }));
  EXPECT_TRUE(stream.next().value());
  weir::after(rt, std::chrono::nanoseconds(0), [&work] { work(); }).detach();
  weir::after(one, std::chrono::nanoseconds(0), [&work] { work(); }).detach();
  EXPECT_TRUE(rt.wait_idle());
  return 23;
}

TEST(Observer, EveryKindOfTaskStartsAndEndsOnce) {
  recorder seen;
  {
    weir::runtime rt(observed_by(seen, with_workers(2)));
    std::atomic<unsigned> ran{0};
    const std::uint64_t n = one_of_each_kind(rt, [&] { ++ran; });
    EXPECT_EQ(ran, n);
    EXPECT_EQ(submitted(rt), n);
    EXPECT_TRUE(rt.broadcast([&] { ++ran; }));
    ASSERT_TRUE(rt.wait_idle());
    seen.check(n + 2);
    EXPECT_EQ(seen.count(told::end), n + 2);
  }
  for (const event& e : seen.of(told::end)) {
    EXPECT_EQ(e.code, errc{});
    EXPECT_EQ(e.info.parent, 0u);
    EXPECT_LE(e.info.queued, e.info.started);
    EXPECT_NE(e.info.queued, weir::time_point{});
  }
  EXPECT_EQ(seen.of(told::start, "named").size(), 1u);
}

TEST(Observer, ItIsToldTheContextTheWorkerAndTheThread) {
  recorder seen;
  weir::options o = observed_by(seen, with_workers(2));
  o.context = &o;
  weir::runtime rt(o);
  std::thread::id where{};
  rt.spawn([&] { where = std::this_thread::get_id(); }, {.worker = 1}).get().value();
  rt.blocking([] {}).get().value();
  ASSERT_TRUE(rt.wait_idle());
  const auto starts = seen.of(told::start), ends = seen.of(told::end);
  ASSERT_EQ(starts.size(), 2u);
  ASSERT_EQ(ends.size(), 2u);
  EXPECT_EQ(starts[0].info.worker, 1);
  EXPECT_EQ(starts[0].info.context, &o);
  EXPECT_EQ(starts[0].thread, where);
  EXPECT_EQ(ends[0].thread, where);
  EXPECT_EQ(starts[1].info.worker, -1) << "a thread of the blocking pool";
}

TEST(Observer, TheEndIsToldBeforeAWaiterGoesOn) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(2)));
  for (int i = 0; i < 200; ++i) {
    seen.clear();
    rt.spawn([] {}).get().value();
    EXPECT_EQ(seen.count(told::end), 1u);
    rt.run([] {});
    EXPECT_EQ(seen.count(told::end), 2u);
    weir::task_group g(rt);
    g.run([] {});
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(seen.count(told::end), 3u);
    weir::result_stream<int> s(rt);
    EXPECT_TRUE(s.submit([] { return 1; }));
    EXPECT_TRUE(s.next().value());
    EXPECT_EQ(seen.count(told::end), 4u);
  }
}

TEST(Observer, WhatATaskSubmitsHasItAsItsParent) {
  recorder seen;
  weir::runtime other(with_workers(1)), rt(observed_by(seen, with_workers(2)));
  rt.spawn(
        [&] {
          EXPECT_TRUE(rt.submit([] {}, {.name = "child"}));
          rt.spawn([&] { EXPECT_TRUE(rt.submit([] {}, {.name = "grandchild"})); }, {.name = "child"})
              .get()
              .value();  // in place, too
          EXPECT_TRUE(rt.submit([] {}, {.name = "child"}));
          static_cast<void>(weir::fork_join([&] { EXPECT_TRUE(rt.submit([] {}, {.name = "child"})); },
                                            [&] { EXPECT_TRUE(rt.submit([] {}, {.name = "child"})); }));
        },
        {.name = "parent"})
      .get()
      .value();
  ASSERT_TRUE(rt.wait_idle());
  const auto parent = seen.of(told::start, "parent"), children = seen.of(told::start, "child"),
             grandchild = seen.of(told::start, "grandchild");
  ASSERT_EQ(parent.size(), 1u);
  ASSERT_EQ(children.size(), 5u);
  ASSERT_EQ(grandchild.size(), 1u);
  EXPECT_EQ(parent[0].info.parent, 0u);
  std::set<std::uint64_t> ids;
  for (const event& e : children) {
    EXPECT_EQ(e.info.parent, parent[0].info.id);
    ids.insert(e.info.id);
  }
  EXPECT_EQ(ids.size(), 5u);
  EXPECT_TRUE(ids.contains(grandchild[0].info.parent));
  // A parent may be of another runtime, if that has ids.
  recorder here;
  weir::runtime third(observed_by(here, with_workers(1)));
  rt.spawn([&] { third.run([] {}); }, {.name = "elsewhere"}).get().value();
  other.run([&] { EXPECT_TRUE(third.submit([] {})); });
  ASSERT_TRUE(third.wait_idle());
  const auto foreign = here.of(told::start);
  ASSERT_EQ(foreign.size(), 2u);
  EXPECT_EQ(foreign[0].info.parent, seen.of(told::start, "elsewhere").at(0).info.id);
  EXPECT_EQ(foreign[1].info.parent, 0u);
}

TEST(Observer, AFailureIsToldOfEachKindWhoseErrorIsTheRuntimes) {
  recorder seen;
  unhandled errors;
  weir::options o = observed_by(seen, with_workers(1));
  errors.install(o);
  weir::runtime rt(o);
  const auto fails = [] { throw std::runtime_error("x"); };
  EXPECT_TRUE(rt.submit(fails));
  EXPECT_FALSE(rt.spawn(fails).get());
  weir::task_group g(rt);
  g.run(fails);
  EXPECT_FALSE(g.wait());
  weir::result_stream<void> s(rt);
  EXPECT_TRUE(s.submit(fails));
  EXPECT_FALSE(s.next().value());
  weir::after(rt, std::chrono::nanoseconds(0), fails).detach();
  ASSERT_TRUE(rt.wait_idle());
  seen.check(5);
  for (const event& e : seen.of(told::end)) EXPECT_EQ(e.code, errc::failed);
  EXPECT_EQ(errors.count(), 2);
  EXPECT_THROW(rt.run(fails), std::runtime_error);
  EXPECT_EQ(seen.of(told::end).back().code, errc{}) << "run's exception is its caller's";
}

TEST(Observer, EachAttemptOfARetryStartsAndEndsWithTheSameId) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(1)));
  const weir::retry_policy quick{.max_attempts = 3, .base = std::chrono::nanoseconds(1)};
  int n = 0;
  EXPECT_TRUE(rt.spawn(
                    [&] {
                      if (++n < 3) throw 1;
                    },
                    {.retry = &quick})
                  .get());
  ASSERT_TRUE(rt.wait_idle());
  const auto starts = seen.of(told::start), ends = seen.of(told::end);
  ASSERT_EQ(starts.size(), 3u);
  ASSERT_EQ(ends.size(), 3u);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(starts[i].info.id, starts[0].info.id);
    EXPECT_EQ(ends[i].info.id, starts[0].info.id);
    EXPECT_EQ(ends[i].code, i < 2 ? errc::failed : errc{});
  }
  EXPECT_LT(starts[0].info.started, starts[2].info.started);
  EXPECT_EQ(seen.captured(), 1u);
  EXPECT_EQ(seen.released(), 1u);

  const weir::retry_policy slow{.max_attempts = 3, .base = std::chrono::hours(24), .cap = std::chrono::hours(24)};
  auto h = rt.spawn([] { throw 1; }, {.name = "waits", .retry = &slow});
  ASSERT_TRUE(eventually([&] { return seen.of(told::end, "waits").size() == 1 && rt.metrics().running == 0; }));
  h.cancel();
  EXPECT_FALSE(h.get());
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(seen.of(told::discard, "waits").size(), 1u) << "it ended while it waited for another attempt";
  EXPECT_EQ(seen.of(told::discard)[0].code, errc::cancelled);
  EXPECT_EQ(seen.of(told::discard)[0].info.id, seen.of(told::end, "waits")[0].info.id);
  EXPECT_EQ(seen.released(), seen.captured());
}

TEST(Observer, EachOccurrenceOfASeriesIsATask) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(1)));
  std::atomic<int> n{0};
  auto t = weir::every(rt, std::chrono::milliseconds(1), [&] { ++n; });
  ASSERT_TRUE(eventually([&] { return n >= 3; }));
  t.cancel();
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_TRUE(eventually([&] { return seen.released() == 1; }));
  seen.check(submitted(rt));
  for (const event& e : seen.of(told::start)) EXPECT_LE(e.info.queued, e.info.started) << "when it was due";
}

// ---- what does not run

TEST(Observer, WhatDoesNotRunIsDiscardedWithTheReason) {
  recorder seen;
  {
    weir::options o = observed_by(seen, rejecting(1, 100));
    weir::runtime rt(o);
    plug p(rt);
    rt.spawn([] {}, {.name = "cancelled"}).cancel();
    std::stop_source stop;
    EXPECT_TRUE(rt.submit([] {}, {.stop = stop.get_token(), .name = "stopped by a token"}));
    stop.request_stop();
    for (auto d = std::chrono::milliseconds(100); seen.of(told::discard, "expired").empty(); d *= 2)  // refused, on a machine that was too busy
      EXPECT_EQ(rt.spawn([] {}, {.start_by = weir::clock_type::now() + d, .name = "expired"}).get().error().code, errc::expired);
    weir::task_group g(rt);
    g.run([] {});
    g.cancel();
    EXPECT_EQ(g.wait().error().code, errc::cancelled);
    {
      auto t = weir::after(rt, std::chrono::hours(1), [] {});
    }
    EXPECT_TRUE(rt.submit([] {}, {.name = "left"}));
    EXPECT_TRUE(rt.submit([x = std::string(100, 'x')] {}));
    EXPECT_TRUE(weir::executor_ref(weir::strand(rt)).submit([] {}));
    std::thread later([&] {
      ASSERT_TRUE(eventually([&] { return rt.metrics().stopped == 3; }));
      p.release();
    });
    const weir::report r = rt.drain(weir::clock_type::now());
    later.join();
    EXPECT_EQ(r.stopped, 3u);
    EXPECT_TRUE(rt.drain().complete);
    seen.check(submitted(rt));
  }
  const auto code = [&](const char* name) { return seen.of(told::discard, name).at(0).code; };
  EXPECT_EQ(code("cancelled"), errc::cancelled);
  EXPECT_EQ(code("stopped by a token"), errc::cancelled);
  EXPECT_EQ(code("expired"), errc::expired);
  EXPECT_EQ(code("left"), errc::stopped);
  EXPECT_EQ(seen.count(told::discard), 8u);
  for (const event& e : seen.of(told::discard)) EXPECT_EQ(e.info.started, weir::time_point{});
}

TEST(Observer, WhatAbortHandsOutIsDiscarded) {
  recorder seen;
  weir::runtime rt(observed_by(seen, rejecting(1, 100)));
  plug p(rt);
  std::atomic<int> ran{0};
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(rt.submit([&] { ++ran; }));
  auto h = rt.spawn([&] { ++ran; });
  EXPECT_TRUE(weir::executor_ref(weir::strand(rt)).submit([&, x = std::string(100, 'x')] { ++ran; }));
  weir::after(rt, std::chrono::hours(1), [&] { ++ran; }).detach();
  std::thread later([&] {
    ASSERT_TRUE(eventually([&] { return seen.count(told::discard) == 6; }));
    p.release();
  });
  int out = 0;
  rt.abort([&](weir::task_fn&& f) {
    ++out;
    f();
  });
  later.join();
  EXPECT_EQ(out, 6);
  EXPECT_EQ(ran, 6) << "and each could still be called";
  for (const event& e : seen.of(told::discard)) EXPECT_EQ(e.code, errc::stopped);
  seen.check(7);
}

TEST(Observer, PoliciesOfAFullQueue) {
  for (const auto full :
       {weir::on_full::drop_oldest, weir::on_full::discard, weir::on_full::caller_runs, weir::on_full::reject}) {
    recorder seen;
    weir::options o = observed_by(seen, rejecting(1, 2));
    o.full = full;
    weir::runtime rt(o);
    {
      plug p(rt);
      EXPECT_TRUE(rt.submit([] {}, {.name = "oldest"}));
      EXPECT_TRUE(rt.submit([] {}));
      recorder::context = 7;
      const weir::status s =
          rt.submit([x = std::string(100, 'x')] { EXPECT_EQ(recorder::context, 7u); }, {.name = "newest"});
      EXPECT_EQ(recorder::context, 7u) << "a caller has its context back";
      recorder::context = 0;
      switch (full) {
        case weir::on_full::drop_oldest:
          EXPECT_TRUE(s);
          EXPECT_EQ(seen.of(told::discard, "oldest").at(0).code, errc::dropped);
          break;
        case weir::on_full::discard:
          EXPECT_EQ(s.error().code, errc::dropped);
          EXPECT_EQ(seen.of(told::discard, "newest").at(0).code, errc::dropped);
          break;
        case weir::on_full::caller_runs:
          EXPECT_TRUE(s);
          EXPECT_EQ(seen.of(told::end, "newest").at(0).thread, std::this_thread::get_id());
          EXPECT_EQ(seen.of(told::end, "newest").at(0).info.worker, -1);
          break;
        default: EXPECT_EQ(s.error().code, errc::full) << "refused: nothing is told";
      }
    }
    ASSERT_TRUE(rt.wait_idle());
    seen.check(submitted(rt));
  }
}

TEST(Observer, ForksAreNoTasks) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(2)));
  std::atomic<int> sum{0};
  rt.run([&] { static_cast<void>(weir::parallel_for(0, 1000, [&](int i) { sum += i; }, {.grain = 1})); });
  EXPECT_EQ(sum, 499'500);
  seen.check(1);
}

TEST(Observer, ATaskOfACancelledGroupThatWasJustTakenIsDiscarded) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(2)));
  for (int i = 0; i < 300; ++i) {
    weir::task_group g(rt, {.limit = 1});
    for (int k = 0; k < 4; ++k) g.run([] {});
    g.cancel();
    static_cast<void>(g.wait());
  }
  ASSERT_TRUE(rt.wait_idle());
  seen.check(submitted(rt));
  EXPECT_EQ(rt.metrics().cancelled, seen.count(told::discard));
  EXPECT_EQ(rt.metrics().ok, seen.count(told::end));
}

// ---- use

TEST(Observer, MaySubmitCancelAndReadMetrics) {
  struct busy final : recorder {
    weir::runtime* rt = nullptr;
    std::atomic<int> more{20};
    void on_start(const weir::task_info& i) noexcept override {
      recorder::on_start(i);
      static_cast<void>(rt->metrics());
      if (more.fetch_sub(1) <= 0) return;
      const weir::status s = rt->submit([] {});
      EXPECT_TRUE(s || s.error().code == errc::stopped);
    }
    void on_end(const weir::task_info& i, errc e) noexcept override {
      recorder::on_end(i, e);
      rt->spawn([] {}).cancel();
    }
    void on_discard(const weir::task_info& i, errc e) noexcept override {
      recorder::on_discard(i, e);
      static_cast<void>(rt->metrics());
    }
  } seen;
  auto rt = std::make_unique<weir::runtime>(observed_by(seen, with_workers(2)));
  seen.rt = rt.get();
  EXPECT_TRUE(rt->submit([] {}));
  ASSERT_TRUE(eventually([&] { return seen.more <= 0; }));
  // on_end makes tasks for ever, unless it gets to cancel them; a shutdown ends it.
  static_cast<void>(rt->abort());
  seen.check(rt->metrics().submitted);
}

TEST(Observer, ARestartedRuntimeIsObserved) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(1)));
  EXPECT_TRUE(rt.submit([] {}));
  EXPECT_TRUE(rt.drain().complete);
  ASSERT_TRUE(rt.restart());
  EXPECT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  seen.check(2);
}

TEST(Observer, WithoutMemoryForItATaskIsRefusedUntouched) {
  struct empty_handed final : std::pmr::memory_resource {
    std::atomic<bool> none{false};
    void* do_allocate(std::size_t n, std::size_t a) override {
      if (none) throw std::bad_alloc();
      return std::pmr::new_delete_resource()->allocate(n, a);
    }
    void do_deallocate(void* p, std::size_t n, std::size_t a) override {
      std::pmr::new_delete_resource()->deallocate(p, n, a);
    }
    bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
  } memory;
  recorder seen;
  weir::options o = observed_by(seen, rejecting(1, 1u << 16));
  o.memory = &memory;
  weir::runtime rt(o);
  {
    plug p(rt);
    memory.none = true;
    weir::status s;
    std::uint64_t accepted = 0;
    for (; accepted < 60'000 && (s = rt.submit([] {})); ++accepted) {}
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    std::vector<std::function<void()>> bulk(200, [] {});
    EXPECT_FALSE(rt.try_submit_bulk(bulk));
    EXPECT_FALSE(weir::executor_ref(weir::strand(rt)).try_submit_bulk(bulk));
    memory.none = false;
    EXPECT_TRUE(rt.submit([] {}));
    EXPECT_TRUE(rt.try_submit_bulk(bulk)) << "and no capacity was lost";
    EXPECT_EQ(submitted(rt), accepted + 202);
  }
  ASSERT_TRUE(rt.wait_idle());
  seen.check(submitted(rt));
}

TEST(Observer, InTheChildOfAForkNothingIsCalled) {
  recorder seen;
  auto rt = std::make_unique<weir::runtime>(observed_by(seen, with_workers(1)));
  EXPECT_TRUE(rt->submit([] {}));
  ASSERT_TRUE(rt->wait_idle());
  auto h = rt->spawn([] {});
  auto t = weir::after(*rt, std::chrono::hours(1), [] {});
  h.get().value();
  const auto before = seen.captured();
  const std::size_t events = seen.events().size();
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(!rt->submit([] {}), "the runtime takes tasks");
              check(!rt->spawn([] {}).get(), "it spawns");
              h.cancel();
              t.cancel();
              rt.reset();
              check(seen.captured() == before && seen.events().size() == events, "nothing was called");
              recorder own;
              weir::runtime fresh(observed_by(own, with_workers(1)));
              fresh.run([] {});
              check(own.count(told::end) == 1 && own.of(told::start).at(0).info.parent == 0,
                    "a new runtime has its observer");
            }),
            "");
  t.cancel();
}

}  // namespace
}  // namespace observer_test
