// strand: serial, in order, fair, without a thread of its own. (P14 P17 P22 P23 P35 P38)
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <child.hpp>
#include <counting_resource.hpp>
#include <runtime_tools.hpp>
#include <stopper.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace strand_test {
namespace {

using namespace test;
using weir::errc;

// ---- order

TEST(Strand, RunsOneTaskAtATimeInTheOrderOfEachSubmitter) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    weir::strand s(rt);
    constexpr int submitters = 3, each = 3000;
    int inside = 0, ran = 0, next[submitters] = {};  // plain: the strand is their lock
    bool in_order = true, alone = true;
    std::vector<std::thread> threads;
    for (int t = 0; t < submitters; ++t)
      threads.emplace_back([&, t] {
        for (int i = 0; i < each; ++i)
          ASSERT_TRUE(s.submit([&, t, i] {
            alone = alone && ++inside == 1;
            in_order = in_order && next[t]++ == i;
            ++ran;
            --inside;
          }));
      });
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, submitters * each);
    EXPECT_TRUE(in_order);
    EXPECT_TRUE(alone);
  }
}

TEST(Strand, WhatATaskSubmitsThroughItComesAfterTheTask) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  std::vector<int> order;
  weir::executor_ref e = s;
  ASSERT_TRUE(s.submit([&] {
    ASSERT_TRUE(e.submit([&] { order.push_back(2); }));
    ASSERT_TRUE(e.submit([&] { order.push_back(3); }));
    order.push_back(1);
  }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(order, (std::vector<int>{1, 2, 3}));
}

TEST(Strand, DifferentStrandsRunBesideEachOther) {
  weir::runtime rt(with_workers(2));
  weir::strand a(rt), b(rt);
  gate met_a, met_b;
  ASSERT_TRUE(a.submit([&] {
    met_a.open();
    met_b.wait();
  }));
  ASSERT_TRUE(b.submit([&] {
    met_b.open();
    met_a.wait();
  }));
  EXPECT_TRUE(rt.wait_idle(weir::clock_type::now() + 10s));
}

TEST(Strand, KeepsSubmitSpawnBulkAndGroupsInOneOrder) {
  weir::runtime rt(with_workers(3));
  weir::strand s(rt);
  std::vector<int> order;
  weir::task_group g(s);
  {
    stopper hold(s);
    ASSERT_TRUE(s.submit([&] { order.push_back(0); }));
    s.spawn([&] { order.push_back(1); }).detach();
    std::vector<std::function<void()>> bulk;
    for (int i = 2; i < 5; ++i) bulk.emplace_back([&, i] { order.push_back(i); });
    ASSERT_TRUE(s.try_submit_bulk(bulk));
    g.run([&] { order.push_back(5); });
    ASSERT_TRUE(s.submit([&] { order.push_back(6); }, {.name = "seventh"}));
    ASSERT_TRUE(s.try_submit([&] { order.push_back(7); }, {.prio = weir::lane::high}));
  }
  ASSERT_TRUE(g.wait());
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4, 5, 6, 7}));
}

TEST(Strand, OverAStrandOrALimitedIsSerialStill) {
  weir::runtime rt(with_workers(3));
  weir::strand outer(rt);
  weir::limited few(rt, 2, 100'000);
  weir::strand over_limited(few);
  const weir::executor_ref strand_ref = outer;
  weir::strand over_strand(strand_ref);
  weir::limited limited_over_strand(outer, 4, 100'000);
  for (const weir::executor_ref e : {weir::executor_ref(over_limited), weir::executor_ref(over_strand), weir::executor_ref(limited_over_strand)}) {
    int inside = 0, next = 0;
    bool good = true;
    for (int i = 0; i < 2000; ++i)
      ASSERT_TRUE(e.submit([&, i] {
        good = good && ++inside == 1 && next++ == i;
        --inside;
      }));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(next, 2000);
    EXPECT_TRUE(good);
  }
}

TEST(Strand, CopiesAreTheSameStrandAndAMovedFromOneIsInvalid) {
  weir::runtime rt(with_workers(2));
  weir::strand a(rt);
  weir::strand b(a), c(rt);
  EXPECT_EQ(weir::executor_ref(a), weir::executor_ref(b));
  EXPECT_NE(weir::executor_ref(a), weir::executor_ref(c));
  weir::strand moved(std::move(a));
  EXPECT_EQ(weir::executor_ref(moved), weir::executor_ref(b));
  const weir::status said = a.submit([] {});  // NOLINT(bugprone-use-after-move)
  ASSERT_FALSE(said);
  EXPECT_EQ(said.error().code, errc::invalid);
  c = b;
  EXPECT_EQ(weir::executor_ref(c), weir::executor_ref(b));
  c = std::move(moved);
  b = std::move(c);
  EXPECT_TRUE(b.submit([] {}));
  a = b;
  EXPECT_TRUE(a.submit([] {}));
  EXPECT_TRUE(rt.wait_idle());
}

// ---- handles

TEST(Strand, AHandleNeverRunsItsTaskInPlace) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  std::optional<stopper> hold(s);
  auto h = s.spawn([] { return weir::this_task::worker(); });
  gate waits;
  auto getter = rt.spawn([&] {
    waits.open();
    auto r = h.get();
    return std::pair(weir::this_task::worker(), r.value());
  });
  waits.wait();
  let_it_misbehave();
  EXPECT_FALSE(getter.ready()) << "it would have run beside the strand's task";
  hold.reset();
  const auto r = getter.get();
  ASSERT_TRUE(r);
}

TEST(Strand, WaitingForWhatIsBehindOneselfAnswersStarvedAndTheHandleStaysValid) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  weir::join_handle<int> behind;
  auto first = s.spawn([&] {
    behind = s.spawn([] { return 7; });
    const auto r = behind.get();
    EXPECT_FALSE(r);
    return r ? errc{} : r.error().code;
  });
  const auto r = first.get();
  ASSERT_TRUE(r);
  EXPECT_EQ(*r, errc::starved);
  EXPECT_EQ(behind.get().value(), 7);
}

TEST(Strand, AGroupOverItWaitedForInsideAnswersStarvedAndEndsWithItsScope) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  std::atomic<int> ran{0};
  auto h = s.spawn([&] {
    weir::task_group g(s);
    g.run([&] { ++ran; });
    const weir::status w = g.wait();
    return w ? errc{} : w.error().code;
  });
  EXPECT_EQ(h.get().value(), errc::starved);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 0) << "the group's end cancelled it";
}

TEST(Strand, ATaskMayWaitForAnotherStrand) {
  weir::options o = with_workers(1);
  weir::runtime rt(o);  // a spare stands in
  weir::strand a(rt), b(rt);
  const auto r = a.spawn([&] { return b.spawn([] { return 5; }).get().value() + 1; }).get();
  EXPECT_EQ(r.value(), 6);
}

TEST(Strand, AGroupOverItRunsItsChildrenOneByOneAndReportsTheFirstError) {
  weir::runtime rt(with_workers(3));
  weir::strand s(rt);
  weir::task_group g(s, {.cancel_on_error = false});
  int inside = 0, ran = 0;
  bool alone = true;
  for (int i = 0; i < 200; ++i)
    g.run([&, i] {
      alone = alone && ++inside == 1;
      ++ran;
      --inside;
      if (i == 100) throw std::runtime_error("child");
    });
  const weir::status w = g.wait();
  EXPECT_THROW(w.value(), std::runtime_error);
  EXPECT_EQ(ran, 200);
  EXPECT_TRUE(alone);
}

// ---- cancelling

TEST(Strand, CancelFreesTheCallableAndTheCapacityAtOnce) {
  weir::runtime rt(rejecting(2, 8));
  weir::strand s(rt);
  tally t;
  std::atomic<std::size_t> ran{0};
  {
    stopper hold(s);
    std::stop_source source;
    auto h = s.spawn(probe<64>(t));
    ASSERT_TRUE(s.submit(probe<64>(t), {.stop = source.get_token()}));
    weir::task_group g(s);
    g.run(probe<64>(t));
    std::size_t more = 0;
    while (s.try_submit([&ran] { ++ran; })) ++more;
    EXPECT_EQ(more, 5u);
    EXPECT_EQ(t.alive, 3);
    h.cancel();
    EXPECT_EQ(t.alive, 2);
    EXPECT_TRUE(h.ready());
    EXPECT_EQ(h.get().error().code, errc::cancelled);
    EXPECT_TRUE(s.try_submit([&ran] { ++ran; }));
    source.request_stop();
    EXPECT_EQ(t.alive, 1);
    EXPECT_TRUE(s.try_submit([&ran] { ++ran; }));
    g.cancel();
    EXPECT_EQ(t.alive, 0);
    EXPECT_TRUE(s.try_submit([&ran] { ++ran; }));
    EXPECT_FALSE(s.try_submit([&ran] { ++ran; }));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 8u);
  EXPECT_EQ(t.calls, 0);
  const auto m = rt.metrics();
  EXPECT_EQ(m.cancelled, 3u);
  EXPECT_EQ(m.submitted, m.ok + m.cancelled);
}

TEST(Strand, WhatWasCancelledDoesNotPileUpBehindABusyTask) {
  counting_resource memory;
  weir::options o = rejecting(1, 64);
  o.memory = &memory;
  weir::runtime rt(o);
  weir::strand s(rt);
  stopper hold(s);
  const auto cancel_some = [&](int n) {
    for (int i = 0; i < n; ++i) {
      auto h = s.spawn([] {});
      h.cancel();
    }
  };
  cancel_some(2000);
  const auto before = memory.bytes();
  cancel_some(100'000);
  EXPECT_EQ(memory.bytes(), before);
}

TEST(Strand, ATaskThatIsLateExpires) {
  weir::runtime rt(with_workers(2));
  weir::strand s(rt);
  std::atomic<int> ran{0};
  weir::join_handle<void> late;
  {
    stopper hold(s);
    late = s.spawn([&] { ++ran; }, {.start_by = weir::clock_type::now() + 1ms});
    std::this_thread::sleep_for(5ms);
  }
  const auto r = late.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::expired);
  EXPECT_EQ(ran, 0);
}

// ---- errors

TEST(Strand, ATaskThatThrowsIsToldOnceAndTheNextOneFollows) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  weir::runtime rt(o);
  weir::strand s(rt);
  int ran = 0;
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(s.submit([&, i] {
      ++ran;
      if (i % 2 == 0) throw std::runtime_error(std::to_string(i));
    }));
  auto h = s.spawn([]() -> int { throw std::runtime_error("read"); });
  EXPECT_THROW(h.get().value(), std::runtime_error);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 10);
  EXPECT_EQ(seen.texts(), (std::vector<std::string>{"0", "2", "4", "6", "8"}));
  EXPECT_EQ(rt.metrics().failed, 6u);
}

TEST(Strand, BadInputHasAnAnswerAndLeavesTheCallableAlone) {
  weir::runtime rt(with_workers(1));
  weir::strand s(rt);
  const std::function<void()> null;
  EXPECT_EQ(s.submit(null).error().code, errc::invalid);
  EXPECT_EQ(s.spawn(null).get().error().code, errc::invalid);
  tally t;
  const probe<64> p(t);
  EXPECT_EQ(s.submit(p, {.worker = 0}).error().code, errc::invalid) << "a turn runs on any worker";
  EXPECT_EQ(s.submit(p, {.prio = static_cast<weir::lane>(9)}).error().code, errc::invalid);
  weir::strand nowhere{weir::executor_ref()};
  EXPECT_EQ(nowhere.submit(p).error().code, errc::stopped);
  EXPECT_EQ(nowhere.spawn([] {}).get().error().code, errc::stopped);
  EXPECT_EQ(nowhere.try_submit_bulk(std::vector<probe<64>>(1, p)).error().code, errc::stopped);
  weir::strand over_nowhere(static_cast<const weir::executor_ref&>(nowhere));
  EXPECT_EQ(over_nowhere.submit(p).error().code, errc::stopped);
  weir::task_group g(nowhere);
  g.run([] {});
  EXPECT_EQ(g.wait().error().code, errc::stopped);
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(t.alive, 1);
}

// ---- capacity, and P38

TEST(Strand, WhatWaitsInItCountsInTheRuntimesCapacity) {
  weir::runtime rt(rejecting(2, 16));
  weir::strand s(rt);
  std::atomic<std::size_t> ran{0};
  std::size_t in_strand = 0, beside = 0;
  {
    plug p(rt);
    while (in_strand < 10 && s.try_submit([&] { ++ran; })) ++in_strand;
    beside = fill(rt, ran);
    EXPECT_EQ(in_strand, 10u);
    EXPECT_EQ(beside, 6u);
    const weir::status said = s.submit([&] { ++ran; });
    ASSERT_FALSE(said);
    EXPECT_EQ(said.error().code, errc::full);
    EXPECT_EQ(s.try_submit_bulk(std::vector<std::function<void()>>(1, [&] { ++ran; })).error().code, errc::full);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 16u);
  const auto m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok);
  EXPECT_GE(m.rejected, 2u);
}

TEST(Strand, BlocksWhereItsRuntimeDoesAndGetsTheRoom) {
  weir::options o = with_workers(1);
  o.capacity = 4;
  weir::runtime rt(o);
  weir::strand s(rt);
  int ran = 0;
  for (int i = 0; i < 2000; ++i) ASSERT_TRUE(s.submit([&] { ++ran; }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2000);
}

// ---- fairness

// A strand that feeds itself for ever must not keep a worker from anything else.
TEST(Strand, LetsOthersRunWithinTheStarvationBound) {
  weir::options o = with_workers(1);
  weir::runtime rt(o);
  weir::strand s(rt);
  std::atomic<bool> stop{false};
  std::atomic<std::uint64_t> starts{0};
  std::function<void()> again = [&] {
    ++starts;
    if (!stop) {
      EXPECT_TRUE(s.submit(again));
      EXPECT_TRUE(s.submit([&] { ++starts; }));
    }
  };
  ASSERT_TRUE(s.submit(again));
  ASSERT_TRUE(eventually([&] { return starts > 10'000; }));
  for (const weir::lane l : {weir::lane::high, weir::lane::normal, weir::lane::low}) {
    for (int i = 0; i < 50; ++i) {
      std::uint64_t begun_at = 0;
      gate done;
      // From the instant at which the one worker itself has queued it.
      ASSERT_TRUE(s.submit([&] {
        ASSERT_TRUE(rt.submit(
            [&, queued_at = starts.load()] {
              begun_at = starts.load() - queued_at;
              done.open();
            },
            {.prio = l}));
      }));
      done.wait();
      EXPECT_LE(begun_at, o.starvation_bound);
    }
  }
  EXPECT_EQ(rt.run([&] { return weir::this_task::worker(); }), 0) << "a caller of run() goes ahead";
  stop = true;
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Strand, ThatNeverRunsEmptyLetsTheOneBehindItGoOn) {
  weir::runtime rt(with_workers(1));
  weir::strand behind(rt), s(static_cast<const weir::executor_ref&>(behind));
  std::atomic<int> starts{0};
  std::atomic<bool> over{false};
  std::function<void()> again = [&] {
    ++starts;
    if (!over) {
      EXPECT_TRUE(s.submit(again));
    }
  };
  ASSERT_TRUE(s.submit(again));
  ASSERT_TRUE(eventually([&] { return starts > 100; }));
  ASSERT_TRUE(behind.submit([&] { over = true; }));
  EXPECT_TRUE(eventually([&] { return over.load(); }));
  over = true;
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Strand, AWorkerIsNotHeldByASleepingStrand) {
  weir::runtime rt(with_workers(1));
  weir::strand s(rt);
  const auto before = rt.metrics().running;
  EXPECT_EQ(before, 0u);
  for (int i = 0; i < 20; ++i) {
    ASSERT_TRUE(s.spawn([&] { EXPECT_EQ(rt.metrics().running, 1u) << "a turn is no task"; }).get());
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(rt.metrics().running, 0u);
  }
}

}  // namespace
}  // namespace strand_test
