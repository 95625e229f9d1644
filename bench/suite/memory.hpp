// memory: what a pool keeps resident for each idle worker, queued task, waiting thread or task, and open fork. Resident
// pages and not calls of operator new: the kernel's count sees every allocator, in every language.
#pragma once

#include "../harness/block.hpp"
#include "../harness/meter.hpp"
#include "../harness/usage.hpp"
#include "../peer/concepts.hpp"
#include "common.hpp"
#include "gate.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace bench {
namespace memory_detail {

using std::chrono::milliseconds;

struct small_task {  // 16 bytes
  std::uint64_t one = 1, more = 0;
  void operator()() const { ran.add(one + more); }
};

template <class Peer>
void warm(Peer& peer, std::uint64_t tasks) {
  const std::uint64_t all = ran.sum() + tasks;
  for (std::uint64_t i = 0; i < tasks; ++i) peer.submit(small_task{});
  until([all] { return ran.sum() == all; });
}

inline double threads_now() noexcept {
  std::FILE* f = std::fopen("/proc/self/status", "r");
  if (f == nullptr) return 0;
  char line[256];
  unsigned long n = 0;
  while (std::fgets(line, sizeof line, f) != nullptr)
    if (std::sscanf(line, "Threads: %lu", &n) == 1) break;
  std::fclose(f);
  return static_cast<double>(n);
}

// A pool that takes so many tasks without blocking or running them itself, if it can be told to.
template <class Peer>
Peer roomy(unsigned workers, std::size_t tasks) {
  if constexpr (requires { Peer::with_room(workers, tasks); }) return Peer::with_room(workers, tasks);
  else return Peer(workers);
}

}  // namespace memory_detail

// All workers stand in a task while the others are queued. A pool that does not take them all runs the rest at once: only
// what was queued is counted.
template <class Peer>
reading queued_tasks(const ask& a) {
  using namespace memory_detail;
  Peer peer = roomy<Peer>(a.workers, a.size + a.workers);
  warm(peer, 1000);
  gate open;
  stand_in(peer, a.workers, open);
  const std::uint64_t before = ran.sum();
  const double empty = resident_bytes();
  meter m;
  m.start();
  for (std::uint64_t i = 0; i < a.size; ++i) peer.submit(small_task{});
  const double full = resident_bytes();
  const std::uint64_t early = ran.sum() - before;
  open.open();
  until([&] { return ran.sum() - before == a.size; });
  if (early >= a.size) throw std::runtime_error("it queues nothing: every task ran inside its submit()");
  m.stop(static_cast<double>(a.size - early));
  std::this_thread::sleep_for(milliseconds(50));
  reading& r = m.got();
  const double after = resident_bytes();
  r.metrics["bytes_each"] = (full - empty) / r.tasks;
  r.metrics["bytes_kept_each"] = (after - empty) / r.tasks;  // after all have run
  r.metrics["after_mb"] = after / 1e6;
  return r;
}

namespace memory_detail {

// Resident bytes of a process with so many idle workers and so many plain threads that sleep.
template <class Peer>
double idle_process(unsigned workers, unsigned threads) {
  const outcome o = in_child(
      [workers, threads] {
        gate leave;
        std::vector<std::thread> sleepers;
        for (unsigned i = 0; i < threads; ++i) sleepers.emplace_back([&leave] { leave.wait(); });
        double bytes = 0;
        {
          Peer peer(workers);
          gate all_started;  // some pools start a thread when there is work for it
          stand_in(peer, workers, all_started);
          all_started.open();
          warm(peer, 5'000);
          std::this_thread::sleep_for(milliseconds(30));
          bytes = resident_bytes();
        }
        leave.open();
        for (std::thread& t : sleepers) t.join();
        return std::vector<double>{bytes};
      },
      60);
  if (!o.failure.empty() || o.values.empty()) throw std::runtime_error("the process with idle workers " + o.failure);
  return o.values[0];
}

}  // namespace memory_detail

// Processes with few and with many workers; the difference, with and without what the same number of plain threads take.
template <class Peer>
reading idle_workers(const ask& a) {
  using namespace memory_detail;
  const auto more = static_cast<unsigned>(a.size);
  meter m;
  m.start();
  const double few = idle_process<Peer>(1, 0), few_and_threads = idle_process<Peer>(1, more),
               many = idle_process<Peer>(1 + more, 0);
  m.stop(more);
  m.got().metrics["bytes_each"] = (many - few) / more;
  m.got().metrics["bytes_beside_a_thread"] = std::max(0.0, (many - few_and_threads) / more);
  return m.got();
}

// Outside threads that wait for a handle of a task that cannot start yet, beside as many that wait in a futex.
template <class Peer>
reading waiting_threads(const ask& a) {
  using namespace memory_detail;
  const auto waiters = static_cast<unsigned>(a.size);
  const auto grown = [&](bool through_the_peer) {
    const outcome o = in_child(
        [&] {
          Peer peer(a.workers);
          warm(peer, 1000);
          gate open;
          stand_in(peer, a.workers, open);
          std::atomic<unsigned> here{0};
          std::vector<std::thread> threads;
          const double before = resident_bytes();
          for (unsigned i = 0; i < waiters; ++i)
            threads.emplace_back([&] {
              if (through_the_peer) {
                auto h = peer.spawn([&open] {
                  open.wait();
                  return 1;
                });
                here.fetch_add(1);
                static_cast<void>(Peer::take(h));
              } else {
                here.fetch_add(1);
                open.wait();
              }
            });
          until([&] { return here.load() == waiters; });
          std::this_thread::sleep_for(milliseconds(20));
          const double bytes = resident_bytes() - before;
          open.open();
          for (std::thread& t : threads) t.join();
          return std::vector<double>{bytes};
        },
        60);
    if (!o.failure.empty() || o.values.empty())
      throw std::runtime_error("the process with waiting threads " + o.failure);
    return o.values[0];
  };
  meter m;
  m.start();
  const double plain = grown(false), waiting = grown(true);
  m.stop(waiters);
  m.got().metrics["bytes_each"] = waiting / waiters;
  m.got().metrics["bytes_beside_a_thread"] = std::max(0.0, (waiting - plain) / waiters);
  return m.got();
}

// A task may wait for another without a worker being lost: unfinished(gate) is a handle of a task that does not end before
// the gate opens, all of which together hold at most one worker.
template <class P>
concept waits_in_tasks = spawns<P> && requires(P& p, gate& g) {
  p.unfinished(g);
};

template <class Peer>
reading waiting_tasks(const ask& a) {
  using namespace memory_detail;
  const auto waiters = static_cast<std::size_t>(a.size);
  Peer peer(a.workers);
  gate open;
  using handle = decltype(peer.unfinished(open));
  std::vector<handle> wanted;
  wanted.reserve(waiters);
  for (std::size_t i = 0; i < waiters; ++i) wanted.push_back(peer.unfinished(open));
  std::this_thread::sleep_for(milliseconds(20));
  meter m;
  std::atomic<std::size_t> here{0}, gone{0};
  const double before = resident_bytes(), threads = threads_now();
  m.start();
  for (std::size_t i = 0; i < waiters; ++i)
    peer.submit([&here, &gone, h = &wanted[i]] {
      here.fetch_add(1);
      static_cast<void>(Peer::take(*h));
      gone.fetch_add(1);
    });
  until([&] { return here.load() == waiters; });
  m.stop(static_cast<double>(waiters));
  std::this_thread::sleep_for(milliseconds(20));
  m.got().metrics["bytes_each"] = (resident_bytes() - before) / static_cast<double>(waiters);
  m.got().metrics["threads_each"] = (threads_now() - threads) / static_cast<double>(waiters);
  open.open();
  until([&] { return gone.load() == waiters; });
  return m.got();
}

namespace memory_detail {

struct bottom {
  double bytes = 0;
  void reached() { bytes = resident_bytes(); }
};

// Forks within forks, each open until the inner ones have ended.
template <class Peer>
[[gnu::noinline]] std::uint64_t deep(unsigned depth, bottom& at) {
  if (depth == 0) {
    at.reached();
    return 1;
  }
  const auto both = Peer::both([depth, &at] { return deep<Peer>(depth - 1, at); }, [] { return std::uint64_t{1}; });
  return both.first + both.second;
}

}  // namespace memory_detail

// Stack included: the peer "serial" tells what the recursion alone takes.
template <class Peer>
reading open_forks(const ask& a) {
  using namespace memory_detail;
  const auto depth = static_cast<unsigned>(a.size);
  Peer peer(a.workers);
  bottom shallow, at;
  const auto dive = [&peer](unsigned d, bottom& b) { return peer.run([d, &b] { return deep<Peer>(d, b); }); };
  dive(10, shallow);
  meter m;
  m.start();
  const std::uint64_t answer = dive(depth, at);
  m.stop(depth);
  if (answer != depth + std::uint64_t{1}) throw std::runtime_error("wrong answer");
  m.got().metrics["bytes_each"] = std::max(0.0, (at.bytes - shallow.bytes) / (depth - 10.0));
  return m.got();
}

template <class Peer>
void enrol_memory(registry& r) {
  const std::vector<std::string> each = {"bytes_each"};
  if constexpr (submits<Peer>) {
    r.add_full<Peer>({.suite = "memory",
                      .name = "queued",
                      .size = r.pick(200'000u, 1'000'000u),
                      .task = "a queued task",
                      .compared = each},
                     queued_tasks<Peer>);
    r.add_full<Peer>({.suite = "memory", .name = "idle_worker", .size = 64, .task = "an idle worker", .compared = each},
                     idle_workers<Peer>);
  }
  if constexpr (submits<Peer> && spawns<Peer>)
    r.add_full<Peer>(
        {.suite = "memory", .name = "waiting_thread", .size = 64, .task = "a thread that waits", .compared = each},
        waiting_threads<Peer>);
  if constexpr (waits_in_tasks<Peer>)
    r.add_full<Peer>(
        {.suite = "memory", .name = "waiting_task", .size = 32, .task = "a task that waits", .compared = each},
        waiting_tasks<Peer>);
  if constexpr (forks<Peer>)
    r.add({.suite = "memory",
           .name = "open_fork",
           .size = 4'000,
           .task = "an open fork",
           .compared = each,
           .against_serial = true},
          Peer::name, 1, open_forks<Peer>);
}

}  // namespace bench
