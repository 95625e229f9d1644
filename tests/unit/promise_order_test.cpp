// P31 P32: order, no hidden slot, and the starvation bound.
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <thread>

namespace promise_order_test {
namespace {

using namespace test;

std::vector<int> ascending(int n) {
  std::vector<int> v(static_cast<std::size_t>(n));
  std::iota(v.begin(), v.end(), 0);
  return v;
}

// ---- P31

TEST(Order, OfOneThreadAndLaneIsKeptByOneWorker) {
  constexpr int n = 20000;
  for (const auto prio : {weir::lane::high, weir::lane::normal, weir::lane::low}) {
    std::vector<int> seen;
    weir::options o = with_workers(1);
    o.capacity = 500;  // fills again and again
    weir::runtime rt(o);
    for (int i = 0; i < n; ++i) {
      ASSERT_TRUE(prio == weir::lane::normal ? rt.submit([&seen, i] { seen.push_back(i); })
                                             : rt.submit([&seen, i] { seen.push_back(i); }, {.prio = prio}));
    }
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(seen, ascending(n));
  }
}

TEST(Order, IsKeptAcrossAllKindsOfSubmit) {
  std::vector<int> seen;
  weir::runtime rt(with_workers(1));
  std::stop_source source;
  int i = 0;
  const auto next = [&] { return [&seen, n = i++] { seen.push_back(n); }; };
  const auto next_large = [&] { return [&seen, n = i++, pad = std::string(50, 'p')] { seen.push_back(n + static_cast<int>(pad.size()) - 50); }; };
  for (int round = 0; round < 500; ++round) {
    ASSERT_TRUE(rt.submit(next()));
    ASSERT_TRUE(rt.submit(next_large()));
    rt.spawn(next()).detach();
    ASSERT_TRUE(rt.submit(next(), {.stop = source.get_token()}));
    ASSERT_TRUE(rt.try_submit(next()));
    std::vector<std::function<void()>> bulk;
    for (int k = 0; k < 5; ++k) bulk.emplace_back(next());
    ASSERT_TRUE(rt.try_submit_bulk(std::move(bulk)));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, ascending(i));
}

TEST(Order, OfWhatOneTaskSubmitsIsKeptByOneWorker) {
  std::vector<int> seen;
  weir::runtime rt(with_workers(1));
  rt.run([&] {
    for (int i = 0; i < 5000; ++i) EXPECT_TRUE(rt.submit([&seen, i] { seen.push_back(i); }));
  });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, ascending(5000));
}

TEST(Order, EachOfManyThreadsSeesItsOwnOrderWithOneWorker) {
  constexpr int threads = 4, each = 3000;
  std::vector<int> seen[threads];
  weir::runtime rt(with_workers(1));
  std::vector<std::thread> submitters;
  for (int t = 0; t < threads; ++t) {
    submitters.emplace_back([&, t] {
      for (int i = 0; i < each; ++i) ASSERT_TRUE(rt.submit([&seen, t, i] { seen[t].push_back(i); }));
    });
  }
  for (auto& t : submitters) t.join();
  ASSERT_TRUE(rt.wait_idle());
  for (const auto& s : seen) EXPECT_EQ(s, ascending(each));
}

TEST(Order, WithManyWorkersFewerThan64ForEachAreOvertaken) {
  for (const unsigned workers : {2u, 4u}) {
    const std::size_t n = sanitized ? 20'000 : 200'000;
    std::vector<std::atomic<unsigned char>> started(n);
    std::atomic<std::size_t> low{0}, worst{0};
    weir::runtime rt(with_workers(workers));
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_TRUE(rt.submit([&, i] {
        started[i].store(1, std::memory_order_relaxed);
        std::size_t l = low.load(std::memory_order_relaxed), unstarted = 0;
        while (l < n && started[l].load(std::memory_order_relaxed) != 0) ++l;
        low.store(l, std::memory_order_relaxed);  // at worst too low: all below l have started
        for (std::size_t k = l; k < i; ++k) unstarted += started[k].load(std::memory_order_relaxed) == 0;
        for (std::size_t w = worst; w < unstarted && !worst.compare_exchange_weak(w, unstarted);) {}
      }));
    }
    ASSERT_TRUE(rt.wait_idle());
    // One more for each worker: it may have started a task that has not yet said so.
    EXPECT_LT(worst, 64 * workers + workers) << workers << " workers";
  }
}

// Task 0 runs until all the others have run: they must not be hidden with the worker that took them.
TEST(NoHiddenSlot, WhatABusyWorkerTookFromOutsideIsStolenAtOnce) {
  for (const std::size_t batch : {std::size_t{2}, std::size_t{3}, std::size_t{16}, std::size_t{64}, std::size_t{200}}) {
    for (int round = 0; round < 10; ++round) {
      weir::runtime rt(with_workers(2));
      std::atomic<std::size_t> ran{0};
      std::atomic<bool> ok{false};
      std::vector<std::function<void()>> tasks;
      tasks.emplace_back([&] { ok = eventually([&] { return ran == batch - 1; }); });
      while (tasks.size() < batch) tasks.emplace_back([&] { ++ran; });
      ASSERT_TRUE(rt.try_submit_bulk(std::move(tasks)));
      ASSERT_TRUE(rt.wait_idle());
      EXPECT_TRUE(ok) << "batch of " << batch << ": only " << ran << " ran beside the long task";
    }
  }
}

TEST(NoHiddenSlot, WhatABusyTaskSubmitsIsStolenAtOnce) {
  weir::runtime rt(with_workers(2));
  for (int round = 0; round < 300; ++round) {
    if (round % 10 == 0) std::this_thread::sleep_for(300us);  // sometimes the other worker is parked
    const int children = 1 + round % 3;
    EXPECT_TRUE(rt.run([&] {
      std::atomic<int> ran{0};
      for (int i = 0; i < children; ++i) EXPECT_TRUE(rt.submit([&] { ++ran; }));
      return eventually([&] { return ran == children; });
    })) << "round " << round;
  }
}

TEST(NoHiddenSlot, WithEightWorkersSevenMayBeBlocked) {
  weir::runtime rt(with_workers(8));
  for (int round = 0; round < 10; ++round) {
    plug p(rt, 7);
    ASSERT_EQ(p.started(), 7u);
    std::atomic<int> ran{0};
    for (int i = 0; i < 300; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    EXPECT_TRUE(eventually([&] { return ran == 300; })) << ran;
    p.release();
    ASSERT_TRUE(rt.wait_idle());
  }
}

TEST(NoHiddenSlot, AllWorkersTakePartInABurst) {
  weir::runtime rt(with_workers(4));
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> inside{0};
    std::atomic<bool> all{false};
    for (int i = 0; i < 4; ++i) {
      ASSERT_TRUE(rt.submit([&] {
        if (++inside == 4) all = true;
        eventually([&] { return all.load(); });
      }));
    }
    ASSERT_TRUE(rt.wait_idle());
    ASSERT_TRUE(all) << "four tasks that wait for each other did not meet on four workers, round " << round;
  }
}

// ---- P32. The starts of one worker, recorded in order.

enum class from : char { inject, local, high, normal, low };

// While `kind` is not yet exhausted, every window of `bound` starts holds at least one of it.
std::size_t longest_gap(const std::vector<from>& starts, from kind) {
  std::size_t gap = 0, worst = 0, left = static_cast<std::size_t>(std::count(starts.begin(), starts.end(), kind));
  for (const from f : starts) {
    if (left == 0) break;
    if (f == kind) {
      gap = 0;
      --left;
    } else {
      worst = std::max(worst, ++gap);
    }
  }
  return worst;
}

TEST(Starvation, TheInjectQueueIsServedWithinTheBoundHoweverBusyTheWorkerKeepsItself) {
  for (const unsigned bound : {4u, 16u, 64u}) {
    std::vector<from> starts;
    weir::options o = with_workers(1);
    o.starvation_bound = bound;
    std::atomic<int> left{200};
    weir::runtime rt(o);
    std::function<void()> again = [&] {  // two of these keep the worker's own queue from ever being empty
      starts.push_back(from::local);
      EXPECT_TRUE(left == 0 || rt.submit([&] { again(); }));
    };
    {
      plug p(rt);
      ASSERT_TRUE(rt.submit([&] { EXPECT_TRUE(rt.submit([&] { again(); }) && rt.submit([&] { again(); })); }));
      for (int i = 0; i < 200; ++i) {
        ASSERT_TRUE(rt.submit([&] {
          starts.push_back(from::inject);
          --left;
        }));
      }
    }
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(left, 0);
    EXPECT_LT(longest_gap(starts, from::inject), bound);
  }
}

TEST(Starvation, EveryLaneIsServedWithinTheBound) {
  for (const unsigned bound : {8u, 64u}) {
    std::vector<from> starts;
    weir::options o = with_workers(1);
    o.starvation_bound = bound;
    weir::runtime rt(o);
    {
      plug p(rt);
      for (int i = 0; i < 5000; ++i) ASSERT_TRUE(rt.submit([&] { starts.push_back(from::high); }, {.prio = weir::lane::high}));
      for (int i = 0; i < 60; ++i) ASSERT_TRUE(rt.submit([&] { starts.push_back(from::normal); }));
      for (int i = 0; i < 60; ++i) ASSERT_TRUE(rt.submit([&] { starts.push_back(from::low); }, {.prio = weir::lane::low}));
    }
    ASSERT_TRUE(rt.wait_idle());
    ASSERT_EQ(starts.size(), 5120u);
    EXPECT_LT(longest_gap(starts, from::normal), bound);
    EXPECT_LT(longest_gap(starts, from::low), bound);
    EXPECT_LT(longest_gap(starts, from::high), bound) << "the high lane is no exception";
    const auto first_half_high = std::count(starts.begin(), starts.begin() + 1000, from::high);
    EXPECT_GE(first_half_high, 700) << "but it does come first";
  }
}

TEST(Starvation, LanesAreServedBesideALocalStormToo) {
  constexpr unsigned bound = 16;
  std::vector<from> starts;
  weir::options o = with_workers(1);
  o.starvation_bound = bound;
  std::atomic<int> left{150};
  weir::runtime rt(o);
  std::function<void()> again = [&] {
    starts.push_back(from::local);
    EXPECT_TRUE(left == 0 || rt.submit([&] { again(); }));
  };
  {
    plug p(rt);
    ASSERT_TRUE(rt.submit([&] { EXPECT_TRUE(rt.submit([&] { again(); }) && rt.submit([&] { again(); })); }));
    for (int i = 0; i < 50; ++i) {
      ASSERT_TRUE(rt.submit([&] { starts.push_back(from::high), --left; }, {.prio = weir::lane::high}));
      ASSERT_TRUE(rt.submit([&] { starts.push_back(from::normal), --left; }));
      ASSERT_TRUE(rt.submit([&] { starts.push_back(from::low), --left; }, {.prio = weir::lane::low}));
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  for (const from lane : {from::high, from::normal, from::low}) EXPECT_LT(longest_gap(starts, lane), bound);
}

TEST(Starvation, AnOutsideTaskIsServedThoughEveryWorkerKeepsItselfBusy) {
  weir::runtime rt(with_workers(2));
  std::atomic<bool> enough{false};
  std::function<void()> again = [&] {
    EXPECT_TRUE(enough || rt.submit([&] { again(); }));
  };
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(rt.submit([&] { again(); }));
  for (int i = 0; i < 50; ++i) {
    auto h = rt.spawn([] { return 1; }, {.prio = i % 2 == 0 ? weir::lane::low : weir::lane::normal});
    EXPECT_TRUE(h.get_until(weir::clock_type::now() + 10s)) << "starved";
    EXPECT_EQ(rt.run([] { return 2; }), 2);
  }
  enough = true;
  ASSERT_TRUE(rt.wait_idle());
}

}  // namespace
}  // namespace promise_order_test
