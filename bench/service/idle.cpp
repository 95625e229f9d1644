// What a runtime costs that has nothing, or almost nothing, to do.
#include "../harness/clock.hpp"
#include "../harness/raw_futex.hpp"
#include "../harness/shards.hpp"
#include "../harness/usage.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <chrono>
#include <cstdint>
#include <ctime>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

using std::chrono::milliseconds;

constinit sharded_counter ran;

void submit_one(weir::runtime& rt) {
  if (!rt.submit([] { ran.add(); })) throw std::runtime_error("submit was refused");
}

std::uint64_t forks(unsigned n) {
  if (n < 2) return n;
  std::uint64_t x = 0, y = 0;
  static_cast<void>(weir::fork_join([&] { x = forks(n - 1); }, [&] { y = forks(n - 2); }));
  return x + y;
}

// What the other threads of the process use in `wait`, beginning 20 ms after the last work: CPU in µs, and switches.
usage quiet(milliseconds wait) {
  std::this_thread::sleep_for(milliseconds(20));
  const usage before = usage::others();
  std::this_thread::sleep_for(wait);
  return usage::others() - before;
}

// After each kind of work that could leave a worker spinning, napping or with a timer.
std::vector<double> at_rest(bool quick) {
  weir::runtime rt({.workers = service_workers});
  const milliseconds wait(quick ? 200 : 500);
  double cpu = 0, switches = 0;
  const auto rest = [&] {
    rt.wait_idle();
    const usage u = quiet(wait);
    cpu += u.cpu;
    switches += u.switches();
  };
  for (int i = 0; i < 300'000; ++i) submit_one(rt);
  rest();
  static_cast<void>(rt.run([] { return forks(24); }));
  rest();
  for (int i = 0; i < 2'000; ++i) {
    submit_one(rt);
    busy_us(5);
  }
  rest();
  for (int i = 0; i < 100; ++i) {
    submit_one(rt);
    std::this_thread::sleep_for(milliseconds(1));
  }
  rest();
  // The two clocks of this thread and of the process are read 0.3 µs apart, hence not exactly zero.
  return {cpu * 1e6, switches};
}

// step() at each millisecond, from a thread that sleeps in between.
template <class Step>
usage each_millisecond(int count, Step step) {
  const usage before = usage::now();
  timespec next{};
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (int i = 0; i < count; ++i) {
    next.tv_nsec += 1'000'000;
    if (next.tv_nsec >= 1'000'000'000) {
      next.tv_nsec -= 1'000'000'000;
      ++next.tv_sec;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    step();
  }
  return usage::now() - before;
}

// The loop without submits tells what the sleeping submitter alone costs, and the one that wakes a bare thread what this machine
// asks of any two that sleep.
std::vector<double> trickle(bool quick) {
  const int count = quick ? 1'000 : 5'000;
  weir::runtime rt({.workers = service_workers});
  const usage floor = each_millisecond(quick ? 500 : 1'000, [] {});
  const double floor_scale = 5'000.0 / (quick ? 500 : 1'000);
  const std::uint64_t before = ran.sum();
  const usage u = each_millisecond(count, [&rt] { submit_one(rt); });
  rt.wait_idle();
  if (ran.sum() - before != static_cast<std::uint64_t>(count)) throw std::runtime_error("tasks were lost or doubled");
  raw_sleeper raw;
  const usage bare = each_millisecond(count, [&raw] { raw.post(); });
  const double scale = 5'000.0 / count;
  return {u.cpu * scale, u.switches() / count, floor.cpu * floor_scale, bare.cpu * scale};
}

}  // namespace

std::vector<scenario> idle_scenarios() {
  return {{"idle/none",
           {{"CPU of idle workers, after four kinds of work", "us", at_most(10)},
            {"context switches of idle workers", "", at_most(0)}},
           at_rest},
          {"idle/trickle",
           {{"a task each ms: CPU in 5 s", "s", at_most(0.14)},
            {"a task each ms: context switches a task", "", at_most(2.6)},
            {"  CPU in 5 s of the sleeping submitter alone", "s", {}},
            {"  CPU in 5 s when it wakes a bare thread", "s", {}}},
           trickle}};
}

}  // namespace bench
