// fork_join/fib, skynet, nqueens, matmul, uts; parallel_for/uneven; spawn/local.
#include "../harness/shards.hpp"
#include "../peer/serial.hpp"
#include "../workload/fib.hpp"
#include "../workload/matmul.hpp"
#include "../workload/nqueens.hpp"
#include "../workload/skynet.hpp"
#include "../workload/uneven.hpp"
#include "../workload/uts.hpp"
#include "suite.hpp"

#include <cstddef>
#include <vector>

namespace bench {
namespace {

constinit sharded_counter ran;

// serial has no runtime to count in
struct serial_peer : serial {
  using serial::serial;
  static constexpr bool counts_steals = false;
  std::uint64_t steals() const { return 0; }
  std::uint64_t parks() const { return 0; }
};

// A task here is one whole run of the workload.
template <class Peer, class Workload>
void run_workload(benchmark::State& state) {
  Workload work(static_cast<unsigned>(state.range(0)));
  Peer peer(static_cast<unsigned>(state.range(1)));
  peer.run([&work] { work.template warm<Peer>(); });
  tally<Peer> t(peer);
  std::uint64_t answer = 0, runs = 0;
  for (auto _ : state) {
    answer = peer.run([&work] { return work.template run<Peer>(); });
    ++runs;
  }
  t.finish(state, static_cast<double>(runs));
  if (!work.check(answer)) state.SkipWithError("wrong answer");
}

template <class Workload>
void add_workload(const char* group, std::int64_t small, std::int64_t full) {
  const std::string name = std::string(group) + "/" + Workload::name;
  for (const std::int64_t size : {small, full}) {
    add(name, "serial", run_workload<serial_peer, Workload>)
        ->ArgNames({"n", "workers"})
        ->Args({size, 1})
        ->UseRealTime();
    for (const std::int64_t workers : {1, 2}) {
      add(name, "weir", run_workload<weir_peer, Workload>)
          ->ArgNames({"n", "workers"})
          ->Args({size, workers})
          ->UseRealTime();
#if BENCH_HAVE_TBB
      add(name, "oneTBB", run_workload<tbb_peer, Workload>)
          ->ArgNames({"n", "workers"})
          ->Args({size, workers})
          ->UseRealTime();
#endif
    }
  }
}

// A task on a worker spawns children into a group and waits for them.
template <class Peer>
void spawn_local(benchmark::State& state) {
  const auto children = static_cast<std::size_t>(state.range(0));
  Peer peer(static_cast<unsigned>(state.range(1)));
  const std::uint64_t before = ran.sum();
  const auto once = [&] { peer.run([children] { Peer::group_of(children, [](std::size_t) { ran.add(); }); }); };
  once();
  tally<Peer> t(peer);
  std::uint64_t runs = 0;
  for (auto _ : state) {
    once();
    ++runs;
  }
  t.finish(state, static_cast<double>(runs * children));
  if (ran.sum() - before != (runs + 1) * children) state.SkipWithError("tasks were lost or doubled");
}

template <class Peer>
void add_spawn_local(const char* peer) {
  for (const std::int64_t workers : {1, 2})
    add("spawn/local", peer, spawn_local<Peer>)
        ->ArgNames({"children", "workers"})
        ->Args({1000, workers})
        ->Args({100'000, workers})
        ->UseRealTime();
}

}  // namespace

void add_fork_join() {
  add_workload<fib>("fork_join", 30, 39);
  add_workload<skynet>("fork_join", 6, 8);
  add_workload<nqueens>("fork_join", 11, 14);
  add_workload<matmul>("fork_join", 512, 2048);
  add_workload<uts>("fork_join", 20'000, 100'000);
  add_workload<uneven>("parallel_for", 100'000, 1'000'000);
  add_spawn_local<weir_peer>("weir");
#if BENCH_HAVE_TBB
  add_spawn_local<tbb_peer>("oneTBB");
#endif
}

}  // namespace bench
