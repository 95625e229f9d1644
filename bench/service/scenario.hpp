// One scenario of weir-service: what it measures, what must be reached, and the block that measures it once.
// A block runs in a fresh process and returns one number for each metric, in their order; it throws when the runtime
// loses, doubles or refuses a task.
#pragma once

#include "../harness/targets.hpp"

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct metric {
  std::string name;
  std::string unit;
  target goal{};
};

struct scenario {
  std::string name;
  std::vector<metric> metrics;
  std::function<std::vector<double>(bool quick)> block;
};

inline constexpr target at_most(double x) { return {bound::at_most, x}; }
inline constexpr target at_least(double x) { return {bound::at_least, x}; }

// The workers of every scenario that does not say otherwise: the targets are for two.
inline constexpr unsigned service_workers = 2;

std::vector<scenario> submit_scenarios();
std::vector<scenario> cost_scenarios();
std::vector<scenario> memory_scenarios();
std::vector<scenario> wake_scenarios();
std::vector<scenario> idle_scenarios();
std::vector<scenario> conserve_scenarios();
std::vector<scenario> fork_scenarios();
std::vector<scenario> timer_scenarios();

}  // namespace bench
