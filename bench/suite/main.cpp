// weir-suite: situations as names, peers beside each other in one process.
//   weir-suite --benchmark_filter='^submit/' --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true
#include "../harness/clock.hpp"
#include "suite.hpp"

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 1;
  static_cast<void>(bench::ticks_per_us());  // takes 20 ms; not within a measurement
  bench::add_fork_join();
  bench::add_submit();
  bench::add_wake();
  if (benchmark::RunSpecifiedBenchmarks() == 0) return 1;
  benchmark::Shutdown();
  return 0;
}
