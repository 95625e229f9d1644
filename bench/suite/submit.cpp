// submit/1, 2, 8: outside threads that fire and forget. submit/local: a worker does. spawn/remote_idle: handles from
// outside. batch_and_wait. drain.
#include "../harness/clock.hpp"
#include "../harness/shards.hpp"
#include "../harness/squad.hpp"
#include "suite.hpp"

#include <latch>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

namespace bench {
namespace {

constinit sharded_counter ran;
constexpr const char* lost = "tasks were lost or doubled";

template <class Peer>
void submit_from(benchmark::State& state, unsigned submitters) {
  const std::uint64_t each = (std::uint64_t{1} << 20) / submitters, all = each * submitters;
  Peer peer(static_cast<unsigned>(state.range(0)));
  squad outside(submitters);
  std::uint64_t expected = ran.sum();
  const auto once = [&] {
    expected += all;
    outside.run([&](unsigned) {
      for (std::uint64_t i = 0; i < each; ++i) peer.submit([weight = std::uint64_t{1}] { ran.add(weight); });
    });
    peer.wait_until([&] { return ran.sum() == expected; });
  };
  once();
  tally<Peer> t(peer);
  std::uint64_t runs = 0;
  for (auto _ : state) {
    once();
    ++runs;
  }
  t.finish(state, static_cast<double>(runs * all));
  if (ran.sum() != expected) state.SkipWithError(lost);
}

template <class Peer>
void submit_local(benchmark::State& state) {
  const auto tasks = static_cast<std::uint64_t>(state.range(0));
  Peer peer(static_cast<unsigned>(state.range(1)));
  std::uint64_t expected = ran.sum();
  const auto once = [&] {
    expected += tasks;
    peer.submit([&peer, tasks] {
      for (std::uint64_t i = 0; i < tasks; ++i) peer.submit([] { ran.add(); });
    });
    peer.wait_until([&] { return ran.sum() == expected; });
  };
  once();
  tally<Peer> t(peer);
  std::uint64_t runs = 0;
  for (auto _ : state) {
    once();
    ++runs;
  }
  t.finish(state, static_cast<double>(runs * tasks));
  if (ran.sum() != expected) state.SkipWithError(lost);
}

// The workers have been idle for 200 µs when the first of the tasks comes.
template <class Peer>
void spawn_remote_idle(benchmark::State& state) {
  const auto tasks = static_cast<std::uint64_t>(state.range(0));
  Peer peer(static_cast<unsigned>(state.range(1)));
  using handle = decltype(peer.spawn([] { return std::uint64_t{1}; }));
  std::vector<handle> handles;
  handles.reserve(tasks);
  tally<Peer> t(peer);
  std::uint64_t runs = 0, sum = 0;
  for (auto _ : state) {
    std::this_thread::sleep_for(std::chrono::microseconds(200));
    const std::uint64_t begin = ticks();
    for (std::uint64_t i = 0; i < tasks; ++i) handles.push_back(peer.spawn([] { return std::uint64_t{1}; }));
    for (handle& h : handles) sum += Peer::take(h);
    state.SetIterationTime(us_between(begin, ticks()) * 1e-6);
    handles.clear();
    ++runs;
  }
  t.finish(state, static_cast<double>(runs * tasks));
  if (sum != runs * tasks) state.SkipWithError(lost);
}

// 1000 tasks of 1 µs; `over_ideal` is the time over that of the same tasks run serially, divided by the workers.
template <class Peer>
void batch_and_wait(benchmark::State& state) {
  constexpr int tasks = 1000;
  const auto workers = static_cast<unsigned>(state.range(0));
  Peer peer(workers);
  const std::uint64_t steps = burn_steps(1);
  const auto serial_us = [steps] {
    const std::uint64_t begin = ticks();
    for (int i = 0; i < tasks; ++i) burn(steps);
    return us_between(begin, ticks());
  };
  const double before = serial_us();
  tally<Peer> t(peer);
  double total = 0;
  std::uint64_t runs = 0;
  for (auto _ : state) {
    const std::uint64_t begin = ticks();
    std::latch done(tasks);
    for (int i = 0; i < tasks; ++i)
      peer.submit([&done, steps] {
        burn(steps);
        done.count_down();
      });
    done.wait();
    total += us_between(begin, ticks());
    ++runs;
  }
  t.finish(state, static_cast<double>(runs * tasks));
  state.counters["over_ideal"] = total / static_cast<double>(runs) / ((before + serial_us()) / 2 / workers);
}

// drain() of a runtime with so many unstarted tasks; only weir has a drain that can be measured.
void drain(benchmark::State& state) {
  const auto tasks = static_cast<std::uint64_t>(state.range(0));
  const std::uint64_t before = ran.sum();
  std::uint64_t runs = 0;
  for (auto _ : state) {
    weir_peer peer(static_cast<unsigned>(state.range(1)));
    peer.runtime().pause();
    for (std::uint64_t i = 0; i < tasks; ++i) peer.submit([] { ran.add(); });
    const std::uint64_t begin = ticks();
    const bool complete = peer.runtime().drain().complete;
    state.SetIterationTime(us_between(begin, ticks()) * 1e-6);
    if (!complete) state.SkipWithError("drain was not complete");
    ++runs;
  }
  state.counters["tasks/s"] = benchmark::Counter(static_cast<double>(runs * tasks), benchmark::Counter::kIsRate);
  if (ran.sum() - before != runs * tasks) state.SkipWithError(lost);
}

template <class Peer>
void add_peer(const char* peer) {
  for (const unsigned submitters : {1u, 2u, 8u})
    add("submit/" + std::to_string(submitters), peer,
        [submitters](benchmark::State& s) { submit_from<Peer>(s, submitters); })
        ->ArgName("workers")
        ->Arg(2)
        ->UseRealTime();
  add("submit/local", peer, submit_local<Peer>)->ArgNames({"tasks", "workers"})->Args({100'000, 2})->UseRealTime();
  add("spawn/remote_idle", peer, spawn_remote_idle<Peer>)
      ->ArgNames({"tasks", "workers"})
      ->Args({1, 2})
      ->Args({10'000, 2})
      ->UseManualTime();
  add("batch_and_wait", peer, batch_and_wait<Peer>)->ArgName("workers")->Arg(2)->UseRealTime();
}

}  // namespace

void add_submit() {
  add_peer<weir_peer>("weir");
#if BENCH_HAVE_TBB
  add_peer<tbb_peer>("oneTBB");
#endif
  add("drain", "weir", drain)
      ->ArgNames({"tasks", "workers"})
      ->Args({0, 2})
      ->Args({50'000, 2})
      ->UseManualTime()
      ->Iterations(200);
}

}  // namespace bench
