// fork: fork and join within a task, wide and narrow; loops; children of a task in a group.
#pragma once

#include "../harness/loop.hpp"
#include "../peer/concepts.hpp"
#include "../workload/fib.hpp"
#include "../workload/matmul.hpp"
#include "../workload/nqueens.hpp"
#include "../workload/skynet.hpp"
#include "../workload/uneven.hpp"
#include "../workload/uts.hpp"
#include "common.hpp"

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>

namespace bench {

// A task is one whole run of the workload.
template <class Peer, class Workload>
reading run_workload(const ask& a) {
  Workload work(static_cast<unsigned>(a.size));
  Peer peer(a.workers);
  peer.run([&work] { work.template warm<Peer>(); });
  std::uint64_t answer = 0;
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) answer = peer.run([&work] { return work.template run<Peer>(); });
    m.stop(static_cast<double>(state.iterations()));
    own.add_to(m.got());
  });
  if (!work.check(answer)) throw std::runtime_error("wrong answer");
  return r;
}

// A task on a worker spawns children into a group and waits for them.
template <class Peer>
reading group_children(const ask& a) {
  const auto children = static_cast<std::size_t>(a.size);
  Peer peer(a.workers);
  exactly_once tasks;
  const auto once = [&] {
    tasks.expect(children);
    peer.run([children] { Peer::group_of(children, [](std::size_t) { ran.add(); }); });
  };
  once();
  reading r = run_loop(a, [&](benchmark::State& state, meter& m) {
    const own_counters<Peer> own(peer);
    m.start();
    for (auto _ : state) once();
    m.stop(static_cast<double>(state.iterations()) * static_cast<double>(children));
    own.add_to(m.got());
  });
  tasks.check();
  return r;
}

template <class Peer>
void enrol_fork(registry& r) {
  const auto workload = [&r]<class Workload>(std::uint64_t quick, std::uint64_t full, std::uint64_t published, Workload*) {
    const std::uint64_t size = r.pick(quick, full, published);
    r.add_scaling<Peer>({.suite = "fork",
                         .name = Workload::name,
                         .size = size,
                         .task = "a run",
                         .against_serial = true,
                         .label = std::string(Workload::name) + "(" + std::to_string(size) + ")"},
                        run_workload<Peer, Workload>);
  };
  if constexpr (forks<Peer>) {
    // The last are those of the public runtime-benchmarks suite.
    workload(30, 35, 39, static_cast<fib*>(nullptr));
    workload(6, 7, 8, static_cast<skynet*>(nullptr));
    workload(11, 13, 14, static_cast<nqueens*>(nullptr));
    workload(512, 1024, 2048, static_cast<matmul*>(nullptr));
    workload(4'000, 20'000, 20'000, static_cast<uts*>(nullptr));
  }
  if constexpr (loops<Peer>) workload(100'000, 1'000'000, 1'000'000, static_cast<uneven*>(nullptr));
  if constexpr (groups<Peer>)
    r.add_scaling<Peer>({.suite = "fork", .name = "group", .size = r.pick(10'000u, 100'000u), .task = "a child"},
                        group_children<Peer>);
}

}  // namespace bench
