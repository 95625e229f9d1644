// A block that is a loop: Google Benchmark finds out how often it must turn to fill the time that was asked for.
#pragma once

#include "meter.hpp"
#include "registry.hpp"

#include <benchmark/benchmark.h>

#include <functional>

namespace bench {

// body(state, m) is called several times, with more iterations each time, and the last call counts:
//   m.start(); for (auto _ : state) …; m.stop(tasks);
// Set up peers and workloads outside of it. Throws what body throws or what it gave to SkipWithError.
reading run_loop(const ask& a, const std::function<void(benchmark::State&, meter&)>& body,
                 meter::threads who = meter::all);

}  // namespace bench
