// One open loop after the other, each in a process of its own: a sweep over loads finds where latency begins to grow faster
// than throughput, a row of gaps shows what waking costs.
#pragma once

#include "../harness/reading.hpp"
#include "arrivals.hpp"
#include "load_reading.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace bench {

// Who is measured, and the program that does it.
struct load_peer {
  std::string name, version, program;
};

// What every step of a sweep has in common.
struct sweep_settings {
  unsigned workers = 1;
  arrival_kind arrivals = arrival_kind::poisson;
  unsigned burst = 32;
  double service_us = 10;
  double seconds = 1;  // a step
  unsigned rounds = 3;
  std::vector<double> loads;  // percent of capacity
  std::vector<double> rates;  // tasks a second; where there are any there is no capacity to be measured
  bool same_rates = false;    // the first peer's capacity is everybody's
  double lag_budget_us = 10;
  std::uint64_t seed = 1;
  int generator_core = -1;
};

// One peer at one load; what the rounds measured is merged.
struct load_step {
  double percent = 0;                        // 0: a rate was asked for
  double rate = 0;                           // tasks a second
  load_reading got = {};                     // sums and merged histograms of the good rounds
  std::vector<unsigned> rounds = {};         // the good ones
  std::vector<reading> each = {};            // as they go into the result; belongs to rounds
  std::map<unsigned, std::string> bad = {};  // round → "void: …", "died: …"

  bool good() const noexcept { return !rounds.empty(); }
  // More arrived than was finished: the rounds took 5 % longer than their plan.
  bool saturated(double seconds) const noexcept;
};

struct load_line {
  load_peer peer;
  double capacity = 0, capacity_after = 0;  // tasks a second; 0: not measured
  std::string trouble = {};                 // why there is no capacity, and so no step
  std::vector<load_step> steps = {};
};

// "" or why this says nothing about the pool.
std::string why_void(const load_reading& r, double lag_budget_us);

// Index of the step with the greatest throughput / p99 (Kleinrock's power, with p99 in the place of the mean): beyond it
// latency grows faster than throughput. -1 when fewer than three steps were measured.
int knee_of(const std::vector<load_step>& steps);
// Index of the last step such that this and all before have p99 <= limit; -1: none.
int last_within(const std::vector<load_step>& steps, double limit_us);

// Of the median, p90, … p99.99 those that at least ten values lie beyond.
std::vector<double> shown_quantiles(const histogram& h);

// "p50_us" … of the latency, the 99 % quantiles of what it is made of and of what the generator did, switches a task; the
// curve latency_us, at those quantiles that so many tasks always have ten beyond, so that rounds have the same.
reading as_reading(const load_reading& r, double expected_tasks);

// Runs a program with these arguments and returns what it printed, or says why not.
struct load_answer {
  std::string out, failure;
  bool interrupted = false;
};
using load_starter = std::function<load_answer(const std::vector<std::string>& command)>;
// What is begun next, and how long everything will take from now on.
using load_progress = std::function<void(const std::string& what, double left_s)>;

// Measures in random order; stops early when a starter was interrupted, and says so in the result.
struct sweep_result {
  std::vector<load_line> lines;
  bool complete = true;
};
sweep_result sweep(const std::vector<load_peer>& peers, const sweep_settings& s, const load_starter& start,
                   const load_progress& tell);

}  // namespace bench
