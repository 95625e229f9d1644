// submit: outside threads and tasks that fire and forget, handles from outside, batches that are waited for, drain.
#pragma once

#include "../harness/clock.hpp"
#include "../harness/loop.hpp"
#include "../harness/squad.hpp"
#include "../peer/concepts.hpp"
#include "common.hpp"

#include <chrono>
#include <cstdint>
#include <latch>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace bench {

// So many outside threads, from the first submit until the last task has run.
template <class Peer>
reading submit_from(const ask& a, unsigned submitters) {
  const std::uint64_t each = a.size / submitters, all = each * submitters;
  Peer peer(a.workers);
  squad outside(submitters);
  exactly_once tasks;
  const auto once = [&] {
    tasks.expect(all);
    outside.run([&](unsigned) {
      for (std::uint64_t i = 0; i < each; ++i) peer.submit([weight = std::uint64_t{1}] { ran.add(weight); });
    });
    peer.wait_until([&] { return tasks.all_ran(); });
  };
  once();
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) once();
    m.stop(static_cast<double>(state.iterations()) * static_cast<double>(all));
    own.add_to(m.got());
  });
  tasks.check();
  return r;
}

// A task submits the others.
template <class Peer>
reading submit_local(const ask& a) {
  const std::uint64_t all = a.size;
  Peer peer(a.workers);
  exactly_once tasks;
  const auto once = [&] {
    tasks.expect(all);
    peer.submit([&peer, all] {
      for (std::uint64_t i = 0; i < all; ++i) peer.submit([] { ran.add(); });
    });
    peer.wait_until([&] { return tasks.all_ran(); });
  };
  once();
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) once();
    m.stop(static_cast<double>(state.iterations()) * static_cast<double>(all));
    own.add_to(m.got());
  });
  tasks.check();
  return r;
}

// Handles from outside: all are made, then all are waited for.
template <class Peer>
reading submit_handles(const ask& a) {
  Peer peer(a.workers);
  using handle = decltype(peer.spawn([] { return std::uint64_t{1}; }));
  std::vector<handle> handles;
  handles.reserve(a.size);
  std::uint64_t sum = 0, runs = 0;
  const auto once = [&] {
    for (std::uint64_t i = 0; i < a.size; ++i) handles.push_back(peer.spawn([] { return std::uint64_t{1}; }));
    for (handle& h : handles) sum += Peer::take(h);
    handles.clear();
    ++runs;
  };
  once();
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) once();
    m.stop(static_cast<double>(state.iterations()) * static_cast<double>(a.size));
    own.add_to(m.got());
  });
  if (sum != runs * a.size) throw std::runtime_error("tasks were lost or doubled");
  return r;
}

// Tasks of 1 µs and a latch. over_ideal: the time over that of the same tasks run serially, divided by the workers.
template <class Peer>
reading submit_batch(const ask& a) {
  Peer peer(a.workers);
  const std::uint64_t steps = burn_steps(1);
  const auto serial_us = [&a, steps] {
    const std::uint64_t begin = ticks();
    for (std::uint64_t i = 0; i < a.size; ++i) burn(steps);
    return us_between(begin, ticks());
  };
  const auto once = [&] {
    std::latch done(static_cast<std::ptrdiff_t>(a.size));
    for (std::uint64_t i = 0; i < a.size; ++i)
      peer.submit([&done, steps] {
        burn(steps);
        done.count_down();
      });
    done.wait();
  };
  once();
  const double before = serial_us();
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) once();
    m.stop(static_cast<double>(state.iterations()) * static_cast<double>(a.size));
    own.add_to(m.got());
  });
  const double ideal_us = (before + serial_us()) / 2 / static_cast<double>(a.size) / a.workers;
  r.metrics["over_ideal"] = r.wall_s * 1e6 / r.tasks / ideal_us;
  return r;
}

template <class Peer>
void enrol_submit(registry& r) {
  if constexpr (submits<Peer>) {
    const std::uint64_t many = r.pick(200'000u, 1'000'000u);
    for (const unsigned n : {1u, 2u, 8u})
      r.add_full<Peer>({.suite = "submit",
                        .name = "from_" + std::to_string(n),
                        .size = many,
                        .task = "a task",
                        .compared = {"wall", "cpu"}},
                       [n](const ask& a) { return submit_from<Peer>(a, n); });
    r.add_full<Peer>({.suite = "submit", .name = "local", .size = 100'000, .task = "a task"}, submit_local<Peer>);
    r.add_full<Peer>({.suite = "submit", .name = "batch", .size = 1'000, .task = "a task of 1 µs"}, submit_batch<Peer>);
  }
  if constexpr (spawns<Peer>)
    r.add_full<Peer>({.suite = "submit", .name = "handles", .size = 10'000, .task = "a task"}, submit_handles<Peer>);
}

}  // namespace bench
