// wake/one, wake/all: from submit to start, after 200 µs of idleness. ping_pong: a task there, a flag back, hot.
// raw_futex is the limit for wake/one: a thread in a futex, woken.
#include "../harness/clock.hpp"
#include "../harness/raw_futex.hpp"
#include "../harness/stats.hpp"
#include "suite.hpp"

#include <atomic>
#include <cstddef>
#include <vector>

namespace bench {
namespace {

constexpr double idle_us = 200;

void report(benchmark::State& state, const std::vector<double>& us) {
  state.counters["p50_us"] = quantile(us, 0.5);
  state.counters["p99_us"] = quantile(us, 0.99);
}

template <class Peer>
void wake_one(benchmark::State& state) {
  Peer peer(static_cast<unsigned>(state.range(0)));
  std::vector<double> took;
  took.reserve(static_cast<std::size_t>(state.max_iterations));
  std::atomic<std::uint64_t> started{0};
  tally<Peer> t(peer, threads::others);
  for (auto _ : state) {
    busy_us(idle_us);
    started.store(0, std::memory_order_relaxed);
    const std::uint64_t begin = ticks();
    peer.submit([s = &started] { s->store(ticks(), std::memory_order_release); });
    std::uint64_t at = 0;
    while ((at = started.load(std::memory_order_acquire)) == 0) relax();
    took.push_back(us_between(begin, at));
    state.SetIterationTime(took.back() * 1e-6);
  }
  t.finish(state, static_cast<double>(took.size()));
  report(state, took);
}

void wake_raw(benchmark::State& state) {
  raw_sleeper raw;
  std::vector<double> took;
  took.reserve(static_cast<std::size_t>(state.max_iterations));
  for (auto _ : state) {
    busy_us(idle_us);
    raw.started.store(0, std::memory_order_relaxed);
    const std::uint64_t begin = ticks();
    raw.post();
    std::uint64_t at = 0;
    while ((at = raw.started.load(std::memory_order_acquire)) == 0) relax();
    took.push_back(us_between(begin, at));
    state.SetIterationTime(took.back() * 1e-6);
  }
  report(state, took);
}

// As many tasks as workers, none of which ends before all have started: the last worker's wake is measured. The
// submitter sleeps meanwhile, for with as many workers as cores one of them needs its core.
template <class Peer>
void wake_all(benchmark::State& state) {
  const auto workers = static_cast<unsigned>(state.range(0));
  Peer peer(workers);
  std::vector<double> took;
  took.reserve(static_cast<std::size_t>(state.max_iterations));
  tally<Peer> t(peer, threads::others);
  for (auto _ : state) {
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
    took.push_back(us_between(begin, last.load(std::memory_order_relaxed)));
    state.SetIterationTime(took.back() * 1e-6);
  }
  t.finish(state, static_cast<double>(took.size() * workers));
  report(state, took);
}

template <class Peer>
void ping_pong(benchmark::State& state) {
  Peer peer(static_cast<unsigned>(state.range(0)));
  std::vector<double> took;
  took.reserve(static_cast<std::size_t>(state.max_iterations));
  std::atomic<bool> answered{false};
  tally<Peer> t(peer, threads::others);
  for (auto _ : state) {
    answered.store(false, std::memory_order_relaxed);
    const std::uint64_t begin = ticks();
    peer.submit([a = &answered] { a->store(true, std::memory_order_release); });
    while (!answered.load(std::memory_order_acquire)) relax();
    took.push_back(us_between(begin, ticks()));
  }
  t.finish(state, static_cast<double>(took.size()));
  report(state, took);
}

template <class Peer>
void add_peer(const char* peer) {
  add("wake/one", peer, wake_one<Peer>)->ArgName("workers")->Arg(2)->UseManualTime()->Iterations(2000);
  add("wake/all", peer, wake_all<Peer>)->ArgName("workers")->Arg(2)->UseManualTime()->Iterations(2000);
  add("ping_pong", peer, ping_pong<Peer>)->ArgName("workers")->Arg(2)->UseRealTime();
}

}  // namespace

void add_wake() {
  add_peer<weir_peer>("weir");
#if BENCH_HAVE_TBB
  add_peer<tbb_peer>("oneTBB");
#endif
  add("wake/one", "raw_futex", wake_raw)->UseManualTime()->Iterations(2000);
}

}  // namespace bench
