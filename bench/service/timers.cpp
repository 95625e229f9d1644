// What timers cost with a million pending, how late they are, and what a pending one costs a runtime that is idle.
#include "../harness/clock.hpp"
#include "../harness/shards.hpp"
#include "../harness/usage.hpp"
#include "scenario.hpp"

#include <weir/timer.hpp>
#include <weir/weir.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace bench {
namespace {

using weir::clock_type;

constinit sharded_counter ran;

weir::options roomy() { return {.workers = service_workers, .max_outstanding = std::size_t{1} << 23}; }

// Timeouts: half a minute to a minute from now.
weir::duration timeout(std::mt19937_64& random) { return std::chrono::seconds(30) + std::chrono::nanoseconds(random() % 30'000'000'000); }

weir::timer make(weir::runtime& rt, weir::duration d) {
  weir::timer t = weir::after(rt, d, [] { ran.add(); });
  if (!t.accepted()) throw std::runtime_error("a timer was refused");
  return t;
}

template <class F>
double ns_each(std::size_t n, F f) {
  const double begin = seconds_now();
  f();
  return (seconds_now() - begin) * 1e9 / static_cast<double>(n);
}

// Making includes the clock, cancelling the memory that goes back. In random order each cancel is some cache misses: the
// timer's, and its neighbours' in the list.
std::vector<double> a_million(bool quick) {
  const std::size_t pending = 1'000'000, n = quick ? 100'000 : 300'000;
  std::mt19937_64 random(1);
  weir::runtime rt(roomy());
  std::vector<weir::timer> million(pending), more(n);
  const double before = resident_bytes();
  for (weir::timer& t : million) t = make(rt, timeout(random));
  const double bytes = (resident_bytes() - before) / static_cast<double>(pending);
  std::vector<weir::duration> when(n);
  for (weir::duration& d : when) d = timeout(random);
  double made = 0, cancelled = 0;
  for (int warm = 0; warm < 2; ++warm) {
    made = ns_each(n, [&] {
      for (std::size_t i = 0; i < n; ++i) more[i] = make(rt, when[i]);
    });
    cancelled = ns_each(n, [&] {
      for (weir::timer& t : more) t = weir::timer();
    });
  }
  std::shuffle(million.begin(), million.end(), random);
  const double at_random = ns_each(n, [&] {
    for (std::size_t i = 0; i < n; ++i) million[i] = weir::timer();
  });
  return {made, cancelled, at_random, bytes};
}

// From when a timer is due until it starts, in µs: n of them, `gap` apart, with so many others pending for later.
std::vector<double> lateness(std::size_t n, std::chrono::nanoseconds gap, std::size_t others) {
  std::mt19937_64 random(2);
  weir::runtime rt(roomy());
  std::vector<weir::timer> timers;
  timers.reserve(n + others);
  for (std::size_t i = 0; i < others; ++i) timers.push_back(make(rt, timeout(random)));
  std::vector<double> late(n);
  const auto begin = clock_type::now() + std::chrono::milliseconds(50);
  for (std::size_t i = 0; i < n; ++i) {
    const auto due = begin + gap * static_cast<std::int64_t>(i);
    timers.push_back(weir::at(rt, due, [due, at = &late[i]] { *at = std::chrono::duration<double, std::micro>(clock_type::now() - due).count(); }));
  }
  while (rt.metrics().ok < n) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  std::sort(late.begin(), late.end());
  if (late.front() < 0) throw std::runtime_error("a timer was early");
  return {late[n / 2], late[n - 1 - n / 100], late[n - 1]};
}

std::vector<double> seldom(bool quick) { return lateness(quick ? 200 : 1'000, std::chrono::milliseconds(1), 0); }
std::vector<double> often(bool quick) { return lateness(quick ? 20'000 : 100'000, std::chrono::microseconds(10), 1'000'000); }

std::vector<double> pending_at_rest(bool quick) {
  weir::runtime rt(roomy());
  std::mt19937_64 random(3);
  std::vector<weir::timer> timers;
  for (int i = 0; i < 1000; ++i) timers.push_back(make(rt, timeout(random)));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  const usage before = usage::others();
  std::this_thread::sleep_for(std::chrono::milliseconds(quick ? 200 : 1000));
  const usage u = usage::others() - before;
  return {u.cpu * 1e6, u.switches()};
}

}  // namespace

std::vector<scenario> timer_scenarios() {
  return {{"timers/a_million",
           {{"making a timer, a million pending", "ns", at_most(100)},
            {"cancelling it", "ns", at_most(100)},
            {"cancelling any of the million, at random", "ns"},
            {"a pending timer", "bytes"}},
           a_million},
          {"timers/late",
           {{"late start, one a millisecond, p50", "us"},
            {"the same, p99", "us", at_most(1000)},
            {"the same, the latest", "us"}},
           seldom},
          {"timers/late_in_a_crowd",
           {{"late start, one in 10 us, a million pending, p50", "us"},
            {"the same, p99", "us", at_most(1000)},
            {"the same, the latest", "us"}},
           often},
          {"timers/at_rest",
           {{"CPU with a thousand timers pending", "us", at_most(50)}, {"context switches with them", "", at_most(0)}},
           pending_at_rest}};
}

}  // namespace bench
