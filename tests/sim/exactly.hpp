// Runs of the simulator whose times are exact: for tests of when something happens.
#pragma once

#include <weir/sim.hpp>

#include <chrono>
#include <cstdint>
#include <functional>

constexpr auto soon = std::chrono::microseconds(500);  // what a few hundred steps take on the slowest of the simulated machines

inline weir::sim::result exactly(std::uint64_t seed, const std::function<void()>& body) {
  weir::sim::options o;
  o.seed = seed;
  o.warp = false;
  o.spurious = false;
  return weir::sim::run(o, body);
}
