// What weir's core asks of the machine, answered by the simulation: time, pauses, futexes, fences, threads, topology.
#include "simulator.hpp"

#include "futex.hpp"
#include "system.hpp"
#include "topology.hpp"

#include <cstdio>
#include <cstdlib>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

constexpr std::uint8_t kind_of(sim::step_kind k) noexcept { return static_cast<std::uint8_t>(k); }
bool steps() noexcept { return sim::inside() && !sim::describing; }

[[noreturn]] void outside(const char* what) noexcept {
  std::fprintf(stderr, "weir: this library was built for simulation; %s outside of weir::sim::run\n", what);
  std::abort();
}

}  // namespace

// ---- the seam ----

void sim_hook::before(atomic_op kind, const void*, const char* file, int line) noexcept {
  if (steps() && kind != atomic_op::pause) sim::active->step(static_cast<std::uint8_t>(kind), file, line);
}
bool sim_hook::fails_weakly() noexcept { return steps() && sim::active->unreliable() && sim::active->random.one_in(32); }

void cpu_relax(const char* file, int line) noexcept {
  if (steps()) sim::active->step(static_cast<std::uint8_t>(atomic_op::pause), file, line, true);
}
std::uint64_t ticks() noexcept { return sim::inside() ? static_cast<std::uint64_t>(sim::active->now) : 0; }
double measure_ticks() noexcept { return 1.0; }

// ---- futexes and fences ----

void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t nanoseconds) noexcept {
  if (!steps()) outside("a thread would sleep");
  sim::simulator& s = *sim::active;
  s.step(kind_of(sim::step_kind::futex_wait), "futex_wait", 0);
  // A hooked atomic is the standard one in it (hooked_atomics.hpp), and looking at it is no step: the kernel does it.
  if (reinterpret_cast<const std::atomic<std::uint32_t>&>(word).load() != expected) return;
  if (s.unreliable() && s.random.one_in(32)) return;
  const std::int64_t limit = nanoseconds < 0 || nanoseconds > sim::never - s.now ? sim::never : s.now + nanoseconds;
  s.wait("a futex", &word, limit);
}

void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept {
  if (!steps()) return;
  sim::active->step(kind_of(sim::step_kind::futex_wake), "futex_wake", 0);
  sim::active->wake(word, static_cast<unsigned>(n));
}

bool asymmetric_fences_known = false;
bool asymmetric_fences() noexcept {
  return asymmetric_fences_known = sim::active == nullptr || sim::active->opts.membarrier;
}
// One thread at a time is sequential consistency: the step before this call is all that there is to it.
void heavy_fence() noexcept {}

// ---- threads ----

int thread_start(pthread_t& out, const char* name, std::size_t, void* (*body)(void*), void* argument) noexcept {
  if (!steps()) outside("a runtime was started");
  sim::active->step(kind_of(sim::step_kind::start), name, 0);
  out = sim::active->start([=] { body(argument); }, name);
  return 0;
}
void thread_join(pthread_t t) noexcept {
  if (!steps()) outside("a thread was joined");
  sim::active->step(kind_of(sim::step_kind::join), "join", 0);
  sim::active->join(static_cast<unsigned>(t));
}
void thread_detach(pthread_t) noexcept {}
void thread_settle(int, const topology&) noexcept {}
void thread_yield() noexcept { cpu_relax(); }
int thread_cpu() noexcept { return -1; }

topology discover_topology(const std::string&) {
  std::vector<int> cpus;
  for (int i = 0; i < static_cast<int>(sim::active != nullptr ? sim::active->opts.cpus : 1); ++i) cpus.push_back(i);
  topology t = flat_topology(std::move(cpus), std::numeric_limits<double>::infinity());
  t.default_workers = static_cast<unsigned>(t.cpus.size());
  return t;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
