// An open loop: tasks arrive when the plan says so, whether or not earlier ones have ended, and each counts its latency
// from the instant at which it should have arrived. A stall of the pool is therefore seen by all tasks that arrive during it
// (Gil Tene's "coordinated omission" is what a loop that waits for its answers gets wrong).
//
// One thread generates and spins between arrivals. Three numbers tell what it did:
//   cost    how long submit() took;
//   behind  how late submit() was called, whatever the reason; part of the latency, as a client would see it;
//   lag     the part of it that is not an earlier submit()'s fault: the generator itself was not running. A run whose lag is
//           too large says nothing about the pool.
#pragma once

#include "../harness/clock.hpp"
#include "../harness/usage.hpp"
#include "../peer/concepts.hpp"
#include "arrivals.hpp"
#include "histogram.hpp"
#include "load_reading.hpp"
#include "placement.hpp"
#include "recorder.hpp"

#include <algorithm>
#include <cstdint>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

struct load_plan {
  arrival_plan arrivals;
  double service_us = 10;  // each task's own work, on an undisturbed core
  placement where;
  double warm_up = 0.1;    // the first share of the time is run but not counted
  double patience_s = 20;  // for what is still unfinished at the last arrival
};

namespace load_detail {

struct context {
  recorder record;
  std::uint64_t steps = 0;       // of burn()
  std::uint64_t count_from = 0;  // ticks
  double ns_per_tick = 1;

  std::uint64_t ns(std::uint64_t from, std::uint64_t to) const noexcept {
    return to > from ? static_cast<std::uint64_t>(static_cast<double>(to - from) * ns_per_tick) : 0;
  }
};

// 16 bytes, trivially copyable: no pool needs an allocation for its captures' sake.
struct timed_task {
  context* all;
  std::uint64_t due;  // ticks
  void operator()() const {
    const std::uint64_t start = ticks();
    burn(all->steps);
    const std::uint64_t end = ticks();
    all->record.note(due >= all->count_from, all->ns(due, start), all->ns(start, end));
  }
};

inline std::uint64_t service_steps(double us) { return us > 0 ? std::max<std::uint64_t>(burn_steps(us), 1) : 0; }

// Returns when `all` tasks have ended, or throws.
inline void await_end(const context& c, std::uint64_t all, double patience_s) {
  const double limit = seconds_now() + patience_s;
  while (c.record.ended() < all) {
    if (seconds_now() > limit)
      throw std::runtime_error(std::to_string(all - c.record.ended()) + " of " + std::to_string(all) +
                               " tasks had not ended " + std::to_string(static_cast<int>(patience_s)) +
                               " s after the last arrival");
    relax();
  }
}

// Threads that are started lazily are started here, where they inherit the workers' cores.
template <class Peer>
std::uint64_t warm(Peer& peer, context& c, std::uint64_t in_flight, double seconds) {
  const double end = seconds_now() + seconds;
  std::uint64_t sent = 0;
  c.count_from = ~std::uint64_t{0};
  while (seconds_now() < end) {
    for (std::uint64_t i = 0; i < in_flight; ++i) peer.submit(timed_task{&c, 0});
    await_end(c, sent += in_flight, 20);
  }
  return sent;
}

// Threads inherit their cores from the one that starts them. Where that is the generator, task by task, it must stay on all.
template <class Peer>
void settle_generator(const placement& where) {
  if (where.generator < 0) return;
  std::vector<int> cores = {where.generator};
  if constexpr (requires { Peer::thread_each; })
    for (const int c : allowed_cores()) cores.push_back(c);
  stay_on(cores);
}

}  // namespace load_detail

template <accepts Peer>
load_reading run_load(Peer& peer, const load_plan& plan) {
  using namespace load_detail;
  const std::vector<std::uint64_t> due_ns = arrivals(plan.arrivals);
  const auto c = std::make_unique<context>();
  c->steps = service_steps(plan.service_us);
  c->ns_per_tick = 1e3 / ticks_per_us();
  const std::uint64_t before = warm(peer, *c, 64, 0.03);
  settle_generator<Peer>(plan.where);

  load_reading r;
  const double ticks_per_ns = 1 / c->ns_per_tick;
  const usage used = usage::others();
  const std::uint64_t zero = ticks() + static_cast<std::uint64_t>(100e3 * ticks_per_ns);
  c->count_from = zero + static_cast<std::uint64_t>(plan.warm_up * plan.arrivals.seconds * 1e9 * ticks_per_ns);
  std::uint64_t free_since = 0;  // when the last submit() returned
  for (const std::uint64_t ns : due_ns) {
    const std::uint64_t due = zero + static_cast<std::uint64_t>(static_cast<double>(ns) * ticks_per_ns);
    std::uint64_t now = ticks();
    while (now < due) {
      relax();
      now = ticks();
    }
    peer.submit(timed_task{c.get(), due});
    const std::uint64_t back = ticks();
    if (due >= c->count_from) {
      r.behind.add(c->ns(due, now));
      r.lag.add(c->ns(std::max(due, free_since), now));
      r.cost.add(c->ns(now, back));
    }
    free_since = back;
  }
  const std::uint64_t last = ticks();
  await_end(*c, before + due_ns.size(), plan.patience_s);
  const std::uint64_t end = ticks();
  const usage spent = usage::others() - used;

  task_times t = c->record.merged();
  r.waited = t.waited;
  r.ran = t.ran;
  r.whole = t.whole;
  r.tasks = static_cast<double>(due_ns.size());
  r.wall_s = us_between(zero, end) * 1e-6;
  r.drained_s = us_between(last, end) * 1e-6;
  // The clocks of this thread and of the process cannot be read at once: what is nothing may come out just below.
  r.cpu_s = std::max(0.0, spent.cpu);
  r.voluntary = std::max(0.0, spent.voluntary);
  r.involuntary = std::max(0.0, spent.involuntary);
  return r;
}

// Tasks a second with one submitter that keeps at most `in_flight` tasks unfinished: the median over five stretches.
template <accepts Peer>
double run_capacity(Peer& peer, double service_us, double seconds, std::uint64_t in_flight, const placement& where) {
  using namespace load_detail;
  if (!(seconds > 0)) throw std::invalid_argument("the duration must be more than 0 s");
  const auto c = std::make_unique<context>();
  c->steps = service_steps(service_us);
  c->ns_per_tick = 1e3 / ticks_per_us();
  std::uint64_t sent = warm(peer, *c, 64, 0.03), ended = sent;
  settle_generator<Peer>(where);
  std::vector<double> rates;
  for (int stretch = 0; stretch < 5; ++stretch) {
    const double begin = seconds_now(), until = begin + seconds / 5;
    const std::uint64_t at_begin = c->record.ended();
    double now = begin;
    for (std::uint64_t n = 0; now < until; ++n) {
      while (sent - ended >= in_flight) {
        ended = c->record.ended();
        if (sent - ended < in_flight) break;
        if ((now = seconds_now()) > until + 20) throw std::runtime_error("the pool does not get on with its tasks");
      }
      peer.submit(timed_task{c.get(), 0});
      ++sent;
      if (n % 16 == 0) now = seconds_now();
    }
    rates.push_back(static_cast<double>(c->record.ended() - at_begin) / (seconds_now() - begin));
  }
  await_end(*c, sent, 20);
  std::sort(rates.begin(), rates.end());
  return rates[2];
}

}  // namespace bench
