// The open loop: what it counts, and from when.
#include "latency/load.hpp"
#include "peer/mutex_pool.hpp"
#include "peer/std_async.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace load_test {
namespace {

using namespace bench;

// Runs each task inside submit(). Tasks of the warm-up are due at 0.
struct inline_peer {
  static constexpr const char* name = "inline";
  static std::string version() { return ""; }
  explicit inline_peer(unsigned) {}

  template <class F>
  void submit(F&& f) {
    f();
  }
};

// Is held up once, for 100 ms.
struct stalling_peer : inline_peer {
  using inline_peer::inline_peer;
  template <class F>
  void submit(F&& f) {
    if constexpr (requires { f.due; })
      if (f.due != 0 && !stalled_) stalled_ = true, busy_us(100e3);
    f();
  }
  bool stalled_ = false;
};

struct losing_peer : inline_peer {
  using inline_peer::inline_peer;
  template <class F>
  void submit(F&& f) {
    if constexpr (requires { f.due; })
      if (f.due != 0 && ++seen_ == 7) return;
    f();
  }
  int seen_ = 0;
};

struct refusing_peer : inline_peer {
  using inline_peer::inline_peer;
  template <class F>
  void submit(F&& f) {
    if constexpr (requires { f.due; })
      if (f.due != 0) throw std::runtime_error("refused");
    f();
  }
};

load_plan constant(double rate, double seconds, double service_us) {
  load_plan p;
  p.arrivals = {.kind = arrival_kind::constant, .rate = rate, .seconds = seconds};
  p.service_us = service_us;
  return p;
}

TEST(OpenLoop, CountsEachTaskOnceAndLeavesOutTheWarmUp) {
  mutex_pool peer(2);
  load_plan p = constant(20'000, 0.2, 0);
  const load_reading r = run_load(peer, p);
  EXPECT_EQ(r.tasks, 4000);
  EXPECT_NEAR(static_cast<double>(r.whole.count()), 3600, 1);
  for (const histogram* h : {&r.waited, &r.ran, &r.cost, &r.behind, &r.lag}) EXPECT_EQ(h->count(), r.whole.count());
  EXPECT_GE(r.wall_s, 0.19);
  p.warm_up = 0;
  EXPECT_EQ(run_load(peer, p).whole.count(), 4000u);
}

// The one property that an open loop is for. A loop that waits for answers would have seen a single slow task.
TEST(OpenLoop, AStallIsSeenByAllThatArriveDuringIt) {
  stalling_peer peer(1);
  load_plan p = constant(10'000, 0.4, 0);
  p.warm_up = 0;
  const load_reading r = run_load(peer, p);
  EXPECT_EQ(r.whole.count(), 4000u);
  // A thousand arrive during the stall and wait for half of it on average.
  EXPECT_GE(r.whole.at(0.85), 20'000'000u);
  EXPECT_GE(r.whole.at(0.98), 80'000'000u);
  EXPECT_GE(r.behind.at(0.85), 20'000'000u) << "the generator was late";
  EXPECT_LT(r.lag.at(0.85), 20'000'000u) << "but that was submit()'s fault, not its own";
  EXPECT_GE(r.cost.greatest(), 100'000'000u);
}

TEST(OpenLoop, TellsWaitingFromRunning) {
  inline_peer peer(1);
  load_plan p = constant(500, 0.2, 300);
  const load_reading r = run_load(peer, p);
  EXPECT_GE(r.ran.at(0.5), 200'000u);
  EXPECT_GE(r.whole.at(0.5), r.ran.at(0.5));
  EXPECT_GE(r.whole.sum(), r.waited.sum());
  EXPECT_NEAR(r.whole.sum(), r.waited.sum() + r.ran.sum(), 1e-6 * r.whole.sum());
}

TEST(OpenLoop, AThreadATaskGivesItsNumberBack) {
  std_async peer(1);
  const load_reading r = run_load(peer, constant(2'000, 0.3, 0));
  EXPECT_EQ(r.tasks, 600);
  EXPECT_EQ(r.whole.count(), r.cost.count());
}

TEST(OpenLoop, SaysHowManyTasksWereLost) {
  losing_peer peer(1);
  load_plan p = constant(1000, 0.1, 0);
  p.patience_s = 0.2;
  try {
    run_load(peer, p);
    FAIL() << "a task was lost";
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find("1 of"), std::string::npos) << e.what();
  }
}

TEST(OpenLoop, PassesOnWhatSubmitThrows) {
  refusing_peer peer(1);
  EXPECT_THROW(run_load(peer, constant(1000, 0.1, 0)), std::runtime_error);
}

TEST(OpenLoop, RefusesAnAbsurdPlan) {
  inline_peer peer(1);
  EXPECT_THROW(run_load(peer, constant(0, 1, 0)), std::invalid_argument);
  EXPECT_THROW(run_load(peer, constant(1000, 0, 0)), std::invalid_argument);
  EXPECT_THROW(run_capacity(peer, 1, 0, 64, {}), std::invalid_argument);
}

TEST(Capacity, IsThatOfTheWorkForOneInlineWorker) {
  inline_peer peer(1);
  // Loose: it has to hold on a busy core.
  const double rate = run_capacity(peer, 100, 0.3, 64, {});
  EXPECT_GT(rate, 100);
  EXPECT_LT(rate, 20'000);
}

TEST(Recorder, AddsUpThreadsThatCameAndWent) {
  recorder r;
  for (int round = 0; round < 3; ++round) {
    std::vector<std::thread> threads;
    for (int t = 0; t < 300; ++t) threads.emplace_back([&r] { r.note(true, 10, 5); });
    for (std::thread& t : threads) t.join();
  }
  r.note(false, 1, 1);
  EXPECT_EQ(r.ended(), 901u);
  const task_times all = r.merged();
  EXPECT_EQ(all.whole.count(), 900u);
  EXPECT_EQ(all.whole.at(1), 15u);
}

// More at once than there are numbers: the rest share one.
TEST(Recorder, LosesNothingWhenThereAreTooManyThreads) {
  recorder r;
  std::atomic<int> here{0};
  std::atomic<bool> go{false};
  constexpr int threads = 300;
  std::vector<std::thread> all;
  for (int t = 0; t < threads; ++t)
    all.emplace_back([&] {
      r.note(true, 1, 1);
      here.fetch_add(1);
      go.wait(false);
      for (int i = 0; i < 100; ++i) r.note(true, 1, 1);
    });
  while (here.load() < threads) std::this_thread::yield();
  go = true;
  go.notify_all();
  for (std::thread& t : all) t.join();
  EXPECT_EQ(r.ended(), 300u * 101);
  EXPECT_EQ(r.merged().whole.count(), 300u * 101);
}

TEST(Placement, GivesTheGeneratorACoreOfItsOwnWhenThereIsOneMoreThanWorkers) {
  const placement two = place({0, 1}, 1);
  EXPECT_EQ(two.generator, 1);
  EXPECT_EQ(two.workers, std::vector<int>{0});
  EXPECT_FALSE(two.shared);
  const placement crowded = place({0, 1}, 2);
  EXPECT_EQ(crowded.generator, 1);
  EXPECT_EQ(crowded.workers, (std::vector<int>{0, 1}));
  EXPECT_TRUE(crowded.shared);
  const placement one = place({3}, 1);
  EXPECT_EQ(one.generator, 3);
  EXPECT_TRUE(one.shared);
  EXPECT_EQ(place({}, 1).generator, -1);
}

}  // namespace
}  // namespace load_test
