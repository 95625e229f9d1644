// switch: context switches, CPU and futex calls of a pool that has nothing to do, little, enough and too much to do.
// What getrusage says of all threads but the one that submits, where that one spins or sleeps on purpose.
#pragma once

#include "../harness/clock.hpp"
#include "../harness/meter.hpp"
#include "common.hpp"
#include "gate.hpp"
#include "latency.hpp"
#include "strace.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {
namespace switch_detail {

using std::chrono::milliseconds;

// The clocks of this thread and of the process cannot be read at once: what is nothing may come out just below.
inline void finish(reading& r) {
  r.cpu_s = std::max(0.0, r.cpu_s);
  r.metrics["switches"] = (r.voluntary + r.involuntary) / r.tasks;
}

// step() each millisecond, from a thread that sleeps in between.
template <class Step>
void each_millisecond(std::uint64_t count, Step step) {
  timespec next{};
  clock_gettime(CLOCK_MONOTONIC, &next);
  for (std::uint64_t i = 0; i < count; ++i) {
    next.tv_nsec += 1'000'000;
    if (next.tv_nsec >= 1'000'000'000) {
      next.tv_nsec -= 1'000'000'000;
      ++next.tv_sec;
    }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, nullptr);
    step();
  }
}

template <class Peer>
void flood(Peer& peer, exactly_once& tasks, std::uint64_t count, std::uint64_t steps) {
  tasks.expect(count);
  for (std::uint64_t i = 0; i < count; ++i)
    peer.submit([steps] {
      burn(steps);
      ran.add();
    });
  until([&tasks] { return tasks.all_ran(); });
}

}  // namespace switch_detail

// For size milliseconds, beginning 20 ms after a flood of tasks and a trickle; a row is a second of it.
template <class Peer>
reading with_nothing_to_do(const ask& a) {
  using namespace switch_detail;
  Peer peer(a.workers);
  exactly_once tasks;
  flood(peer, tasks, 10'000, 0);
  each_millisecond(20, [&] { flood(peer, tasks, 1, 0); });
  std::this_thread::sleep_for(milliseconds(20));
  meter m(meter::others);
  m.start();
  std::this_thread::sleep_for(milliseconds(a.size));
  m.stop(static_cast<double>(a.size) / 1e3);
  finish(m.got());
  return m.got();
}

// A task each millisecond. The submitter sleeps in between; what it takes itself is in cpu, and alone in submitter_cpu_us.
template <class Peer>
reading trickle(const ask& a) {
  using namespace switch_detail;
  Peer peer(a.workers);
  exactly_once tasks;
  flood(peer, tasks, 100, 0);
  const usage before = usage::now();
  const std::uint64_t some = std::max<std::uint64_t>(1, a.size / 4);
  each_millisecond(some, [] {});
  const double alone = (usage::now() - before).cpu / static_cast<double>(some);
  meter m;
  const own_counters<Peer> own(peer);
  m.start();
  each_millisecond(a.size, [&] {
    tasks.expect(1);
    peer.submit([] { ran.add(); });
  });
  until([&tasks] { return tasks.all_ran(); });
  m.stop(static_cast<double>(a.size));
  own.add_to(m.got());
  finish(m.got());
  m.got().metrics["submitter_cpu_us"] = alone * 1e6;
  return m.got();
}

// Tasks of 10 µs, an open loop at so much of what the workers could do.
template <class Peer>
reading under_load(const ask& a, double share) {
  using namespace switch_detail;
  const load_reading l = open_loop::at<Peer>(a, share, std::max(a.seconds, 0.1));
  reading r;
  r.tasks = l.tasks;
  r.wall_s = l.wall_s;
  r.cpu_s = l.cpu_s;
  r.voluntary = l.voluntary;
  r.involuntary = l.involuntary;
  finish(r);
  return r;
}

// One thread submits as fast as it can, tasks of 1 µs.
template <class Peer>
reading saturated(const ask& a) {
  using namespace switch_detail;
  Peer peer(a.workers);
  exactly_once tasks;
  const std::uint64_t steps = burn_steps(1);
  flood(peer, tasks, a.size / 10, steps);
  meter m;
  const own_counters<Peer> own(peer);
  m.start();
  flood(peer, tasks, a.size, steps);
  m.stop(static_cast<double>(a.size));
  own.add_to(m.got());
  finish(m.got());
  return m.got();
}

// The same programs under strace, which counts; twice as many tasks, so that what start and end take cancels out. Calls a
// task, not their time: that is strace's.
template <class Peer>
reading futex_calls(const ask& a) {
  using namespace switch_detail;
  const auto calls = [&a](const char* name, std::uint64_t size) {
    return traced_futex_calls({"block", std::string("switch/") + name, "--peer", Peer::name, "--workers",
                               std::to_string(a.workers), "--size", std::to_string(size)});
  };
  const std::uint64_t few = std::max<std::uint64_t>(1, a.size / 10);
  meter m;
  m.start();
  const double trickled = (calls("trickle", 2 * few) - calls("trickle", few)) / static_cast<double>(few);
  const double flooded = (calls("saturated", 2 * a.size) - calls("saturated", a.size)) / static_cast<double>(a.size);
  m.stop(static_cast<double>(a.size));
  m.got().metrics["trickle"] = std::max(0.0, trickled);
  m.got().metrics["saturated"] = std::max(0.0, flooded);
  return m.got();
}

template <class Peer>
void enrol_switch(registry& r) {
  if constexpr (accepts<Peer>) {
    const std::vector<std::string> both = {"switches", "cpu"};
    const unsigned but_one = std::max(1u, r.workers() - 1);  // the generator has a core of its own
    r.add_full<Peer>(
        {.suite = "switch", .name = "idle", .size = r.pick(100u, 300u), .task = "a second", .compared = {}},
        with_nothing_to_do<Peer>);
    r.add_full<Peer>(
        {.suite = "switch", .name = "trickle", .size = r.pick(100u, 500u), .task = "a task", .compared = both},
        trickle<Peer>);
    for (const unsigned percent : {10u, 50u})
      r.add({.suite = "switch",
             .name = "load_" + std::to_string(percent),
             .size = percent,
             .task = "a task of 10 µs",
             .compared = both,
             .axis = "percent of capacity",
             .x = static_cast<double>(percent)},
            Peer::name, but_one, [percent](const ask& a) { return under_load<Peer>(a, percent / 100.0); });
    const std::uint64_t many = requires { Peer::thread_each; }
    ? 5'000u : 50'000u;
    r.add_full<Peer>({.suite = "switch", .name = "saturated", .size = many, .task = "a task of 1 µs", .compared = both},
                     saturated<Peer>);
    r.add({.suite = "switch", .name = "oversubscribed_4x", .size = many, .task = "a task of 1 µs", .compared = both},
          Peer::name, 4 * r.workers(), saturated<Peer>);
    if (can_trace())
      r.add_full<Peer>({.suite = "switch",
                        .name = "futex",
                        .size = many / r.pick(200u, 25u),
                        .task = "a task",
                        .compared = {"trickle", "saturated"}},
                       futex_calls<Peer>);
  }
}

}  // namespace bench
