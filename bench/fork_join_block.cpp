#include "fork_join_block.hpp"

#include "harness/allocs.hpp"
#include "harness/clock.hpp"
#include "harness/usage.hpp"
#include "peer/serial.hpp"
#include "peer/weir.hpp"
#include "workload/fib.hpp"
#include "workload/matmul.hpp"
#include "workload/nqueens.hpp"
#include "workload/skynet.hpp"
#include "workload/uts.hpp"
#if BENCH_HAVE_TBB
#include "peer/tbb.hpp"
#endif

#include <cstdint>

namespace bench {
namespace {

template <class Peer, class Workload>
std::vector<double> measure(unsigned workers, unsigned size) {
  Workload work(size);
  Peer peer(workers);
  peer.run([&work] { work.template warm<Peer>(); });

  const allocations a = allocations::now();
  const usage u = usage::now();
  const double t = seconds_now();
  const std::uint64_t answer = peer.run([&work] { return work.template run<Peer>(); });
  const double wall = seconds_now() - t;
  const usage used = usage::now() - u;
  const allocations made = allocations::now() - a;

  std::vector<double> r(readings);
  r[wall_s] = wall;
  r[cpu_s] = used.cpu;
  r[voluntary] = used.voluntary;
  r[involuntary] = used.involuntary;
  r[allocated] = static_cast<double>(made.count);
  r[right] = work.check(answer) ? 1 : 0;
  return r;
}

template <class Peer, class Workload>
contender under(std::string name, unsigned workers, unsigned size) {
  return {std::move(name), workers, [workers, size] { return measure<Peer, Workload>(workers, size); }};
}

template <class Workload>
event make_event(std::string name, unsigned workers, unsigned size) {
  event e{std::move(name), {}};
  e.contenders.push_back(under<serial, Workload>("serial", 1, size));
  e.contenders.push_back(under<weir_peer, Workload>("weir 1", 1, size));
  if (workers > 1) e.contenders.push_back(under<weir_peer, Workload>("weir " + std::to_string(workers), workers, size));
#if BENCH_HAVE_TBB
  e.contenders.push_back(under<tbb_peer, Workload>("oneTBB " + std::to_string(workers), workers, size));
#endif
  return e;
}

}  // namespace

std::vector<event> events(sizes s, unsigned workers) {
  const bool full = s == sizes::full;
  const auto titled = [](const char* name, unsigned n) { return std::string(name) + "(" + std::to_string(n) + ")"; };
  const unsigned fib_n = full ? 39 : 35, depth = full ? 8 : 7, queens = full ? 14 : 12, width = full ? 2048 : 1024,
                 roots = full ? 100'000 : 20'000;
  return {
      make_event<fib>(titled("fib", fib_n), workers, fib_n),
      make_event<skynet>("skynet(10^" + std::to_string(depth) + ")", workers, depth),
      make_event<nqueens>(titled("nqueens", queens), workers, queens),
      make_event<matmul>(titled("matmul", width), workers, width),
      make_event<uts>(titled("uts", roots), workers, roots),
  };
}

}  // namespace bench
