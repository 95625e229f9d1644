// wake: from submit to start after 200 µs of idleness, of one worker and of all; a round trip back to back. The peer
// raw_futex is the limit of the first: a thread in a futex, woken.
#pragma once

#include "../harness/clock.hpp"
#include "../harness/loop.hpp"
#include "../harness/stats.hpp"
#include "../peer/concepts.hpp"
#include "common.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <vector>

namespace bench {

inline constexpr double idle_us = 200;

// p50, p99 and the curve of what each sample took.
inline void add_latencies(reading& r, const std::vector<double>& us) {
  r.metrics["p50_us"] = quantile(us, 0.5);
  r.metrics["p99_us"] = quantile(us, 0.99);
  curve& c = r.curves["latency_us"];
  for (const double q : {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.999}) c.push_back({q, quantile(us, q)});
}

// sample() waits, posts one task and returns the microseconds that count. CPU and switches are those of all threads but
// the one that posts, which spins on purpose; they include the idleness between samples.
template <class Sample>
reading sampled(const ask& a, double tasks_each, Sample sample) {
  meter m(meter::others);
  std::vector<double> took;
  took.reserve(a.size);
  for (std::uint64_t i = 0; i < a.size / 20; ++i) sample();
  m.start();
  for (std::uint64_t i = 0; i < a.size; ++i) took.push_back(sample());
  m.stop(static_cast<double>(a.size) * tasks_each);
  double sum = 0;
  for (const double us : took) sum += us;
  m.got().wall_s = sum * 1e-6;
  add_latencies(m.got(), took);
  return m.got();
}

// post(started) must make some thread store ticks() into it.
template <class Post>
double wake_sample(std::atomic<std::uint64_t>& started, Post post) {
  busy_us(idle_us);
  started.store(0, std::memory_order_relaxed);
  const std::uint64_t begin = ticks();
  post();
  std::uint64_t at = 0;
  while ((at = started.load(std::memory_order_acquire)) == 0) relax();
  return us_between(begin, at);
}

template <class Peer>
reading wake_one(const ask& a) {
  Peer peer(a.workers);
  std::atomic<std::uint64_t> started{0};
  return sampled(a, 1, [&] {
    return wake_sample(started, [&] { peer.submit([s = &started] { s->store(ticks(), std::memory_order_release); }); });
  });
}

// As many tasks as workers, none of which ends before all have started: the last worker's wake is measured. The
// submitter sleeps meanwhile, for with as many workers as cores one of them needs its core.
template <class Peer>
reading wake_all(const ask& a) {
  Peer peer(a.workers);
  return sampled(a, a.workers, [&peer, workers = a.workers] {
    busy_us(idle_us);
    std::atomic<unsigned> here{0};
    std::atomic<unsigned> gone{0};
    std::atomic<std::uint64_t> last{0};
    const std::uint64_t begin = ticks();
    for (unsigned i = 0; i < workers; ++i)
      peer.submit([&here, &gone, &last, workers] {
        if (here.fetch_add(1, std::memory_order_acq_rel) + 1 == workers) last.store(ticks(), std::memory_order_relaxed);
        while (here.load(std::memory_order_acquire) < workers) relax();
        if (gone.fetch_add(1, std::memory_order_acq_rel) + 1 == workers) gone.notify_one();
      });
    for (unsigned n = 0; (n = gone.load(std::memory_order_acquire)) < workers;) gone.wait(n, std::memory_order_acquire);
    return us_between(begin, last.load(std::memory_order_relaxed));
  });
}

template <class Peer>
reading ping_pong(const ask& a) {
  Peer peer(a.workers);
  std::atomic<bool> answered{false};
  return sampled(a, 1, [&] {
    answered.store(false, std::memory_order_relaxed);
    const std::uint64_t begin = ticks();
    peer.submit([s = &answered] { s->store(true, std::memory_order_release); });
    while (!answered.load(std::memory_order_acquire)) relax();
    return us_between(begin, ticks());
  });
}

template <class Peer>
void enrol_wake(registry& r) {
  if constexpr (submits<Peer>) {
    const std::uint64_t some = r.pick(500u, 2'000u), many = r.pick(5'000u, 50'000u);
    const std::vector<std::string> both = {"p50_us", "p99_us"};
    r.add_full<Peer>({.suite = "wake", .name = "one", .size = some, .task = "a wake", .compared = both},
                     wake_one<Peer>);
    r.add_full<Peer>({.suite = "wake", .name = "all", .size = some, .task = "a wake", .compared = both},
                     wake_all<Peer>);
    r.add_full<Peer>({.suite = "wake", .name = "ping_pong", .size = many, .task = "a round trip", .compared = both},
                     ping_pong<Peer>);
  }
}

}  // namespace bench
