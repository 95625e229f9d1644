// limited: at most n at once, at most `capacity` waiting, exact. (P4 P5 P10 P13 P14 P17 P38)
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace limited_test {
namespace {

using namespace test;
using weir::errc;

// How many are inside at the same time, and how many there were at most.
class crowd {
 public:
  void enter() {
    const int now = ++inside_;
    int seen = most_;
    while (now > seen && !most_.compare_exchange_weak(seen, now)) {}
  }
  void leave() { --inside_; }
  int most() const { return most_; }
  int inside() const { return inside_; }

 private:
  std::atomic<int> inside_{0}, most_{0};
};

// Holds n places until release().
class holder {
 public:
  holder(weir::executor_ref e, int n) {
    for (int i = 0; i < n; ++i)
      EXPECT_TRUE(e.submit([s = state_] {
        ++s->started;
        s->go.wait();
      }));
    EXPECT_TRUE(eventually([&] { return state_->started == n; }));
  }
  ~holder() { release(); }
  holder(const holder&) = delete;
  holder& operator=(const holder&) = delete;
  void release() { state_->go.open(); }

 private:
  struct state {
    gate go;
    std::atomic<int> started{0};
  };
  std::shared_ptr<state> state_ = std::make_shared<state>();
};

weir::errc code(const weir::status& s) { return s ? errc{} : s.error().code; }

// ---- n

TEST(Limited, AtMostNRunAndAllNAreUsed) {
  for (const unsigned n : {1u, 2u, 3u}) {
    weir::runtime rt(with_workers(4));
    weir::limited few(rt, n, 100'000);
    crowd c;
    std::atomic<int> ran{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 3; ++t)
      threads.emplace_back([&] {
        for (int i = 0; i < 1000; ++i)
          ASSERT_TRUE(few.submit([&, i] {
            c.enter();
            if (i % 100 == 0) std::this_thread::yield();
            ++ran;
            c.leave();
          }));
      });
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, 3000);
    EXPECT_LE(c.most(), static_cast<int>(n));
    // Tasks that need each other get all n places, whatever order they come in.
    for (int round = 0; round < 200; ++round) {
      std::atomic<unsigned> met{0};
      for (unsigned i = 0; i < n; ++i)
        ASSERT_TRUE(few.submit([&] {
          ++met;
          while (met < n) std::this_thread::yield();
        }));
      ASSERT_TRUE(rt.wait_idle(weir::clock_type::now() + 10s)) << met << " of " << n << " run";
    }
  }
}

TEST(Limited, ABulkStartsAllThatHavePlace) {
  weir::runtime rt(with_workers(3));
  weir::limited few(rt, 3, 1000);
  for (int round = 0; round < 200; ++round) {
    std::atomic<int> met{0};
    std::vector<std::function<void()>> bulk(3, [&] {
      ++met;
      while (met < 3) std::this_thread::yield();
    });
    ASSERT_TRUE(few.try_submit_bulk(bulk));
    ASSERT_TRUE(rt.wait_idle(weir::clock_type::now() + 10s)) << met;
  }
}

TEST(Limited, WithOnePlaceItKeepsTheOrder) {
  weir::runtime rt(with_workers(3));
  weir::limited one(rt, 1, 100'000);
  int next = 0;
  bool in_order = true;
  for (int i = 0; i < 5000; ++i) ASSERT_TRUE(one.submit([&, i] { in_order = in_order && next++ == i; }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(in_order);
}

TEST(Limited, InFrontOfAnotherBothLimitsHold) {
  weir::runtime rt(with_workers(4));
  weir::limited outer(rt, 3, 10'000), a(outer, 2, 10'000), b(outer, 2, 10'000);
  crowd in_a, in_b, in_all;
  const auto task = [&](crowd& c) {
    return [&] {
      c.enter();
      in_all.enter();
      std::this_thread::yield();
      in_all.leave();
      c.leave();
    };
  };
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(a.submit(task(in_a)));
    ASSERT_TRUE(b.submit(task(in_b)));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_LE(in_a.most(), 2);
  EXPECT_LE(in_b.most(), 2);
  EXPECT_LE(in_all.most(), 3);
  EXPECT_EQ(rt.metrics().ok, 3000u);
}

TEST(Limited, AnExceptionGivesThePlaceBack) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  weir::runtime rt(o);
  weir::limited few(rt, 2, 100);
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(few.submit([] { throw std::runtime_error("x"); }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 20);
  holder both(few, 2);
}

// ---- capacity

TEST(Limited, CapacityIsExactAndARefusedCallableUntouched) {
  weir::runtime rt(with_workers(3));
  weir::limited few(rt, 2, 5);
  std::atomic<int> ran{0};
  holder h(few, 2);
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(few.submit([&] { ++ran; }));
  tally t;
  const probe<64> p(t);
  EXPECT_EQ(code(few.submit(p)), errc::full);
  EXPECT_EQ(code(few.try_submit(p)), errc::full);
  EXPECT_EQ(few.spawn(p).get().error().code, errc::full);
  EXPECT_TRUE(t.untouched());
  EXPECT_TRUE(rt.submit([&] { ++ran; })) << "its runtime has room";
  EXPECT_EQ(rt.metrics().rejected, 3u);
  h.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 6);
  EXPECT_TRUE(few.submit([] {}));
}

TEST(Limited, WhatWaitsInItCountsInTheRuntimesCapacityAndInThatOfTheOneBehind) {
  weir::options o = with_workers(2);
  o.capacity = 6;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  weir::limited behind(rt, 4, 4), front(behind, 4, 100);
  std::atomic<std::size_t> ran{0};
  {
    plug p(rt);
    int in_front = 0;
    while (in_front < 100 && front.try_submit([&] { ++ran; })) ++in_front;
    EXPECT_EQ(in_front, 4) << "the capacity of the one behind";
    EXPECT_EQ(code(behind.submit([] {})), errc::full);
    EXPECT_EQ(fill(rt, ran), 2u);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 6u);
  {
    plug p(rt);
    EXPECT_EQ(fill(rt, ran), 6u);
    EXPECT_EQ(code(front.submit([] {})), errc::full);
  }
  ASSERT_TRUE(rt.wait_idle());
  // What the runtime refused took no room here.
  std::atomic<int> more{0};
  {
    plug p(rt);
    for (int i = 0; i < 4; ++i) EXPECT_TRUE(front.submit([&] { ++more; }));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(more, 4);
}

TEST(Limited, ABulkIsAllOrNothing) {
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 1, 5);
  holder h(few, 1);
  tally t;
  std::vector<probe<64>> bulk;
  for (int i = 0; i < 3; ++i) bulk.emplace_back(t);
  const int before = t.alive;
  EXPECT_TRUE(few.try_submit_bulk(bulk));
  EXPECT_EQ(t.alive, before + 3);
  EXPECT_EQ(code(few.try_submit_bulk(bulk)), errc::full);
  EXPECT_EQ(t.alive, before + 3);
  bulk.pop_back();
  EXPECT_TRUE(few.try_submit_bulk(std::move(bulk)));
  h.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 5);
}

TEST(Limited, CancelGivesItsCapacityBackAtOnce) {
  weir::runtime rt(with_workers(3));
  weir::limited few(rt, 2, 4);
  holder h(few, 2);
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 4; ++i) handles.push_back(few.spawn([] {}));
  EXPECT_EQ(code(few.submit([] {})), errc::full);
  handles[2].cancel();
  EXPECT_TRUE(few.submit([] {}));
  EXPECT_EQ(code(few.submit([] {})), errc::full);
  h.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Limited, InvalidIsTheAnswerOfOneThatWasBuiltFromNonsense) {
  weir::runtime rt(with_workers(1));
  const auto invalid = [&](weir::limited l) {
    EXPECT_EQ(code(l.submit([] {})), errc::invalid);
    EXPECT_EQ(code(l.try_submit([] {})), errc::invalid);
    EXPECT_EQ(l.spawn([] { return 1; }).get().error().code, errc::invalid);
    EXPECT_EQ(code(l.try_submit_bulk(std::vector<void (*)()>{+[] {}})), errc::invalid);
    weir::strand over{static_cast<const weir::executor_ref&>(l)};
    EXPECT_EQ(code(over.submit([] {})), errc::invalid);
    weir::task_group g(l);
    g.run([] {});
    EXPECT_FALSE(g.try_run([] {}));
    EXPECT_EQ(code(g.wait()), errc::invalid);
  };
  invalid({rt, 0, 10});
  invalid({rt, static_cast<unsigned>(-1), 10});
  invalid({rt, 2, 0});
  invalid({rt, 2, std::numeric_limits<std::size_t>::max()});
  invalid({rt, 2, 10, static_cast<weir::on_full>(77)});
  weir::limited nowhere(weir::executor_ref(), 2, 10);
  EXPECT_EQ(code(nowhere.submit([] {})), errc::stopped);
  EXPECT_TRUE(weir::limited(rt, 1u << 20, std::size_t{1} << 40).submit([] {}));
}

// It holds no runtime, so nothing may be asked of one.
TEST(Limited, ItsAnswerIsTheSameWhenTheRuntimeHasGone) {
  std::optional<weir::limited> nonsense, moved_from;
  std::optional<weir::strand> over;
  {
    weir::runtime rt(with_workers(1));
    nonsense.emplace(rt, 0, 10);
    over.emplace(static_cast<const weir::executor_ref&>(*nonsense));
    moved_from.emplace(rt, 1, 10);
    const weir::limited to(std::move(*moved_from));
  }
  for (const weir::executor_ref e : {weir::executor_ref(*nonsense), weir::executor_ref(*moved_from), weir::executor_ref(*over)}) {
    EXPECT_EQ(code(e.submit([] {})), errc::invalid);
    EXPECT_EQ(e.spawn([] { return 1; }).get().error().code, errc::invalid);
    weir::strand behind(e);
    weir::task_group g(behind);
    g.run([] {});
    EXPECT_FALSE(g.try_run([] {}));
    EXPECT_EQ(code(g.wait()), errc::invalid);
  }
}

// ---- block

TEST(Limited, BlockWaitsForRoomInLine) {
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 1, 1, weir::on_full::block);
  std::vector<int> order;  // one place: no lock
  std::vector<std::thread> threads;
  {
    holder h(few, 1);
    ASSERT_TRUE(few.submit([&] { order.push_back(0); }));
    for (int i = 1; i <= 4; ++i) {
      std::atomic<int> tid{0};
      threads.emplace_back([&, i] {
        tid = thread_id();
        EXPECT_TRUE(few.submit([&, i] { order.push_back(i); }));
      });
      ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
    }
    EXPECT_EQ(code(few.try_submit([] {})), errc::full) << "it never blocks";
  }
  for (auto& t : threads) t.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(order, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(Limited, ABlockedSubmitEndsByItsTokenItsTimeAndAShutdown) {
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 1, 1, weir::on_full::block);
  tally t;
  const probe<64> p(t);
  holder h(few, 1);
  ASSERT_TRUE(few.submit([] {}));
  EXPECT_EQ(code(few.submit(p, {.start_by = weir::clock_type::now() + 2ms})), errc::expired);
  std::stop_source source;
  std::thread stopper([&] {
    std::this_thread::sleep_for(5ms);
    source.request_stop();
  });
  EXPECT_EQ(code(few.submit(p, {.stop = source.get_token()})), errc::cancelled);
  stopper.join();
  EXPECT_EQ(few.spawn(p, {.stop = source.get_token()}).get().error().code, errc::cancelled);
  std::atomic<int> tid{0};
  errc said{};
  std::thread blocked([&] {
    tid = thread_id();
    said = code(few.submit(p));
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  std::thread drainer([&] { EXPECT_TRUE(rt.drain().complete); });
  blocked.join();
  EXPECT_EQ(said, errc::stopped);
  h.release();
  drainer.join();
  EXPECT_TRUE(t.untouched());
}

TEST(Limited, OnAWorkerBlockIsReject) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  weir::limited few(rt, 1, 1, weir::on_full::block);
  holder h(few, 1);
  ASSERT_TRUE(few.submit([] {}));
  EXPECT_EQ(other.run([&] { return code(few.submit([] {})); }), errc::full) << "of another runtime, too";
}

TEST(Limited, ASubmitterBlockedForManyGetsRoomWhenOneIsCancelled) {
  weir::runtime rt(with_workers(1));
  weir::limited few(rt, 1, 1, weir::on_full::block);
  std::optional<holder> h(std::in_place, few, 1);
  auto waiting = few.spawn([] {});
  std::atomic<int> tid{0};
  std::thread blocked([&] {
    tid = thread_id();
    EXPECT_TRUE(few.submit([] {}));
    tid = -1;
  });
  EXPECT_TRUE(eventually([&] { return tid > 0 && asleep(tid); }));
  waiting.cancel();
  EXPECT_TRUE(eventually([&] { return tid == -1; })) << "the place is still held, the room is free";
  h.reset();
  blocked.join();
}

// ---- waits

TEST(Limited, StarvesOnlyWhenAllPlacesWaitForItsOwnTasks) {
  weir::runtime rt(with_workers(4));
  weir::limited two(rt, 2, 100);
  // One that waits for another: the second place runs it.
  EXPECT_EQ(two.spawn([&] { return two.spawn([] { return 3; }).get().value(); }).get().value(), 3);
  // Two that wait for others: the second one is told, so both end.
  std::atomic<int> waiting{0}, starved{0}, fine{0};
  const auto task = [&] {
    ++waiting;
    while (waiting < 2) std::this_thread::yield();
    auto inner = two.spawn([] { return 1; });
    const auto r = inner.get();
    if (r) ++fine;
    else if (r.error().code == errc::starved) ++starved;
  };
  auto a = two.spawn(task), b = two.spawn(task);
  EXPECT_TRUE(a.get());
  EXPECT_TRUE(b.get());
  EXPECT_EQ(starved + fine, 2);
  EXPECT_GE(fine, 1);
  ASSERT_TRUE(rt.wait_idle());
}

TEST(Limited, AWaiterWhoseTaskHasEndedDoesNotMakeOthersStarve) {
  weir::runtime rt(with_workers(4));
  weir::limited two(rt, 2, 1000);
  std::atomic<int> starved{0};
  for (int round = 0; round < 300; ++round) {
    // Never more than one waits for long: what it waits for runs in the other place, and waits for nothing.
    auto h = two.spawn([&] {
      for (int i = 0; i < 5; ++i)
        if (!two.spawn([] {}).get()) ++starved;
    });
    ASSERT_TRUE(h.get());
  }
  EXPECT_EQ(starved, 0);
}

TEST(Limited, AGroupOverItKeepsItsLimitToo) {
  weir::runtime rt(with_workers(4));
  weir::limited few(rt, 2, 1000);
  crowd c;
  weir::task_group g(few, {.limit = 3});
  for (int i = 0; i < 500; ++i)
    g.run([&] {
      c.enter();
      std::this_thread::yield();
      c.leave();
    });
  EXPECT_TRUE(g.wait());
  EXPECT_LE(c.most(), 2);
  weir::limited wide(rt, 4, 1000);
  weir::task_group narrow(wide, {.limit = 2});
  crowd d;
  EXPECT_TRUE(rt.run([&] {
    for (int i = 0; i < 500; ++i)
      narrow.run([&] {
        d.enter();
        std::this_thread::yield();
        d.leave();
      });
    return static_cast<bool>(narrow.wait());
  }));
  EXPECT_LE(d.most(), 2);
}

TEST(Limited, AGroupsRefusedChildIsItsErrorAndTryRunLeavesItAlone) {
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 1, 2);
  holder h(few, 1);
  weir::task_group g(few, {.cancel_on_error = false});
  tally t;
  probe<64> p(t);
  g.run([] {});
  g.run([] {});
  EXPECT_FALSE(g.try_run(p));
  EXPECT_TRUE(t.untouched());
  g.run([] {});
  h.release();
  EXPECT_EQ(code(g.wait()), errc::full);
  EXPECT_EQ(g.errors().size(), 1u);
}

TEST(Limited, ATaskMayHoldTheLastHandleAndEndBeforeSubmitReturns) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> ran{0};
  const int rounds = sanitized ? 200 : 2000;
  for (int i = 0; i < rounds; ++i) {
    auto p = std::make_shared<weir::limited>(rt, 2, 8);
    weir::limited& l = *p;
    ASSERT_TRUE(l.submit([&] { ++ran; }));
    ASSERT_TRUE(l.submit([&ran, p = std::move(p)] { ++ran; }));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2 * rounds);
}

}  // namespace
}  // namespace limited_test
