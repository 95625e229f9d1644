// What every situation of the suite reports, whatever it measures.
#pragma once

#include "../harness/allocs.hpp"
#include "../harness/usage.hpp"
#include "../peer/weir.hpp"
#if BENCH_HAVE_TBB
#include "../peer/tbb.hpp"
#endif

#include <benchmark/benchmark.h>

#include <cstdint>
#include <string>

namespace bench {

enum class threads { all, others };  // others: all but the one that measures, where it spins on purpose

// From its construction to finish(): CPU time, context switches, allocations, steals and parks, each divided by tasks.
template <class Peer>
class tally {
 public:
  explicit tally(const Peer& peer, threads who = threads::all)
      : peer_(peer),
        who_(who),
        steals_(peer.steals()),
        parks_(peer.parks()),
        usage_(used()),
        made_(allocations::now()) {}

  void finish(benchmark::State& state, double tasks) {
    const usage u = used() - usage_;
    const allocations a = allocations::now() - made_;
    const auto report = [&](const char* name, double total) {
      state.counters[name] = benchmark::Counter(total / tasks);
    };
    state.counters["tasks/s"] = benchmark::Counter(tasks, benchmark::Counter::kIsRate);
    report("cpu_ns/task", u.cpu * 1e9);
    report("voluntary/task", u.voluntary);
    report("involuntary/task", u.involuntary);
    report("allocs/task", static_cast<double>(a.count));
    report("bytes/task", static_cast<double>(a.bytes));
    if (!Peer::counts_steals) return;
    report("steals/task", static_cast<double>(peer_.steals() - steals_));
    report("parks/task", static_cast<double>(peer_.parks() - parks_));
  }

 private:
  usage used() const { return who_ == threads::all ? usage::now() : usage::others(); }
  const Peer& peer_;
  threads who_;
  std::uint64_t steals_, parks_;
  usage usage_;
  allocations made_;
};

// situation<Peer>(state) under the name SITUATION/PEER, with wall time and the CPU time of the whole process.
template <class Situation>
benchmark::internal::Benchmark* add(const std::string& situation, const char* peer, Situation run) {
  return benchmark::RegisterBenchmark((situation + "/" + peer).c_str(), run)
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMicrosecond);
}

void add_fork_join();
void add_submit();
void add_wake();

}  // namespace bench
