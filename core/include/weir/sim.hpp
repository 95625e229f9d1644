// A deterministic simulation of whole runtimes: the real code of weir and of your tasks on simulated threads, one at a
// time, in an order that a seed decides. Layer 7. For programs that are compiled with -DWEIR_SIM and linked with weir-sim
// in the place of weir (pkg-config weir-sim, Meson dependency 'weir-sim'); in all others this header is empty.
//
//   int main() {
//     auto found = weir::sim::explore(1000, [] {
//       weir::runtime rt({.workers = 2});
//       std::atomic<int> n{0};
//       weir::sim::thread other([&] { rt.submit([&] { ++n; }).value(); });
//       rt.submit([&] { ++n; }).value();
//       other.join();
//       rt.drain();
//       weir::sim::check(n == 2, "both have run");
//     });
//     return found ? 0 : 1;         // what was found is on stderr, with the seed that repeats it
//   }
//
// What is simulated: each thread of weir and each sim::thread; the monotonic and the system clock, which stand still but for
// what the simulation adds; sleeps, yields, futexes, and with them std::mutex, std::condition_variable, std::atomic's waits
// and whatever else of the C++ library is made of these. A switch to another thread may come at each atomic operation of
// weir, at each pause, mutex, futex and sleep, at sim::point(), and at each operation of a sim::atomic; code between two of
// these runs as one step, so what your tasks share should be a sim::atomic (or guarded by a mutex).
// What is not: weak memory (the interleaving is sequentially consistent; data races are for thread sanitizers), signals,
// fork(), and threads that are no sim::thread: they must not come near a simulation.
//
// A run is a pure function of the options and of what the body does: keep real time, addresses and unseeded random numbers
// out of its decisions. Then the same options give the same run to the last step, in this process or another.
// Runs do not nest, and one process makes one run at a time. What a run costs: 0.05 ms a simulated thread, 0.05 to 0.1 µs a
// step.
#pragma once

#if defined(WEIR_SIM)

#include <weir/detail/atomics.hpp>
#include <weir/options.hpp>

#include <cstdint>
#include <functional>
#include <string>

namespace weir {
inline namespace v0 {
namespace sim {

/// Who goes on at the next step.
///   pct        the runnable thread of the highest priority; priorities are random, and `depth` times at random steps the
///              one that runs falls below all others (Burckhardt et al., ASPLOS 2010): finds bugs that need few changes
///   random     at each step another one with a probability that the seed chooses (1, 1/2 … 1/64)
///   automatic  the seed chooses between the two
///   bounded    each thread as long as it can, then the next one round robin, but for at most `depth` deviations; explore()
///              goes through all of them (delay bounding: Emmi et al., POPL 2011). For tiny cases.
enum class scheduler : std::uint8_t { automatic, pct, random, bounded };

struct options {
  std::uint64_t seed = 1;
  scheduler how = scheduler::automatic;
  unsigned depth = 3;
  std::uint64_t max_steps = 2'000'000;  ///< more are a livelock
  unsigned cpus = 4;                    ///< of the simulated machine: what options::workers = 0 becomes
  bool membarrier = true;               ///< false: a kernel that has none
  bool spurious = true;                 ///< weak compare-exchanges fail and futexes return for no reason, now and then
  bool warp = true;                     ///< time jumps to the next timeout now and then although threads could run
  std::string schedule;                 ///< bounded: the deviations, as result::schedule has them
  bool catch_crashes = false;           ///< a signal like SIGSEGV fails the run; else it ends the process, after the seed was printed
  bool print = true;                    ///< what failed, on stderr
};

enum class verdict : std::uint8_t {
  ok,
  failed,    ///< check(), an exception that left the body or a sim::thread, or a crash (options::catch_crashes)
  deadlock,  ///< nobody can run and nobody waits for a time; a thread that never ends is one, too
  livelock   ///< options::max_steps were not enough
};

struct result {
  verdict what = verdict::ok;
  std::uint64_t seed = 0, steps = 0;
  std::uint64_t trace = 0;     ///< a hash of every step: two runs that agree in it were the same
  duration time{};             ///< simulated
  unsigned threads = 0;        ///< simulated, the body included
  std::string schedule;        ///< bounded: what options::schedule repeats
  std::string report;          ///< what failed: each thread's place, the state of its runtime, the last steps
  explicit operator bool() const noexcept { return what == verdict::ok; }
};

/// Runs the body once, on a simulated thread. It ends when all simulated threads have ended, or with a failure; then what
/// the threads hold is leaked, for nothing can be unwound.
result run(const options& o, const std::function<void()>& body);

struct exploration {
  std::uint64_t runs = 0, steps = 0;
  bool complete = false;  ///< bounded: there are no more schedules within the bound
  result failure;         ///< of the first run that failed; ok if none did
  explicit operator bool() const noexcept { return failure.what == verdict::ok; }
};

/// Runs the body with n seeds from o.seed on (bounded: n schedules), up to the first that fails. With WEIR_SIM_SEED=N in the
/// environment it runs that seed alone, with WEIR_SIM_SCHEDULE=S (bounded) that schedule. WEIR_SIM_VERBOSE=1 names each run
/// before it begins; WEIR_SIM_STEPS=N prints the last N steps of a failing run instead of 40.
exploration explore(std::uint64_t n, const std::function<void()>& body, options o = {});

/// A thread outside of any runtime. Inside a run only. The destructor joins.
class thread {
 public:
  thread() noexcept = default;
  explicit thread(std::function<void()> body, const char* name = "thread");
  thread(thread&& o) noexcept : id_(o.id_) { o.id_ = 0; }
  thread& operator=(thread&& o) noexcept;
  ~thread() { join(); }
  void join() noexcept;
  void detach() noexcept { id_ = 0; }
  bool joinable() const noexcept { return id_ != 0; }

 private:
  unsigned id_ = 0;
};

/// Ends the run as failed unless `holds`. Outside a run: aborts.
void check(bool holds, const char* what, const char* file = __builtin_FILE(), int line = __builtin_LINE());

/// A place where another thread may go on.
void point(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept;

/// Is the caller a simulated thread?
bool running() noexcept;
/// A number of the run's own generator, for tasks that want to be different with each seed. Inside a run only.
std::uint64_t random() noexcept;

/// An atomic whose operations are steps of the simulation. As std::atomic, without operators.
template <class T>
using atomic = detail::atomic<T>;

}  // namespace sim
}  // namespace v0
}  // namespace weir

#endif
