// latency: open loops at fixed rates, the same for every peer, so that their latencies can be compared. Where the knee of
// each one lies is asked by the command weir-bench latency.
#pragma once

#include "../latency/load.hpp"
#include "../latency/sweep.hpp"
#include "../peer/concepts.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace bench {
namespace open_loop {

inline constexpr double service_us = 10;
inline constexpr double lag_budget_us = 10;  // as that of weir-bench latency

// Poisson arrivals at such a share of what workers could do that did nothing else.
template <class Peer>
load_reading at(const ask& a, double share, double seconds) {
  load_plan plan;
  plan.service_us = service_us;
  plan.arrivals.seconds = seconds;
  plan.arrivals.rate = share * a.workers * 1e6 / service_us;
  plan.where = place(allowed_cores(), a.workers);
  stay_on(plan.where.workers);
  Peer peer(a.workers);
  return run_load(peer, plan);
}

}  // namespace open_loop

// A run whose generator lagged says nothing about latency: then it has none, but says by how much.
template <class Peer>
reading latency_at(const ask& a, double share) {
  using namespace open_loop;
  const double seconds = std::max(a.seconds, 0.15);
  const load_reading l = at<Peer>(a, share, seconds);
  reading r = as_reading(l, share * a.workers * 1e6 / service_us * seconds);
  if (why_void(l, lag_budget_us).empty()) return r;
  const double lag = r.metrics["lag_p99_us"];
  r.metrics = {{"lag_p99_us", lag}};
  r.curves.clear();
  return r;
}

template <class Peer>
void enrol_latency(registry& r) {
  if constexpr (accepts<Peer>) {
    const unsigned but_one = std::max(1u, r.workers() - 1);  // the generator has a core of its own
    for (const unsigned percent : {10u, 50u, 80u})
      r.add({.suite = "latency",
             .name = "at_" + std::to_string(percent),
             .size = percent,
             .task = "a task of 10 µs",
             .compared = {"p50_us", "p99_us"},
             .axis = "percent of what the workers could do",
             .x = static_cast<double>(percent)},
            Peer::name, but_one, [percent](const ask& a) { return latency_at<Peer>(a, percent / 100.0); });
  }
}

}  // namespace bench
