// What the machine gives this process: the allowed CPUs, how near they are to each other, and the CPU quota. Layer 0:
// facts and pure functions of facts. Whether to pin, and how many workers to start, is decided above.
//
// Errors: what cannot be read, or makes no sense, is ignored and never fatal: the answer is then "no quota" and "flat".
// Only memory can run out (std::bad_alloc); nothing is changed or leaked by that.
// Thread safety: no state is kept between calls, so every function may be called from any thread at any time.
// Cost: discover_topology reads a few small files, about 0.1 ms; hwloc adds some milliseconds. Call it once a runtime.
#pragma once

#include <weir/detail/platform.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <sched.h>

namespace weir {
inline namespace v0 {
namespace detail {

/// One logical CPU. Ids other than os_index are only meant to be compared with the same field of another CPU.
struct cpu {
  int os_index = 0;  ///< as in sched_setaffinity and /proc/cpuinfo
  int core = 0;      ///< physical core; flat: its place in topology::cpus, so no two CPUs share a core
  int llc = 0;       ///< group that shares a last-level cache; flat: 0
  int numa = 0;      ///< NUMA node by its OS index; flat: 0
  int smt_rank = 0;  ///< 0 for the first allowed CPU of its core by os_index, 1 for the next, …; flat: 0

  friend bool operator==(const cpu&, const cpu&) = default;
};

/// A snapshot; it does not follow later changes of the mask, of the cgroup or of its limits.
struct topology {
  std::vector<cpu> cpus;                                   ///< the allowed ones, ascending by os_index, never empty
  double quota = std::numeric_limits<double>::infinity();  ///< in CPUs (1.5: 150 ms of CPU time per 100 ms of time)
  bool fractional_quota = false;                           ///< quota is finite and not a whole number of CPUs
  unsigned default_workers = 1;                            ///< see default_workers() below
};

/// Same enumerators and values as weir::pinning, which belongs to a higher layer; a unit test keeps them the same.
enum class pin_mode : std::uint8_t { automatic, none, core };

/// The CPUs in the calling thread's affinity mask (its new threads inherit it), ascending; any number of CPUs works.
/// If the mask cannot be read: 0 … number of online CPUs - 1. Never empty. O(highest possible CPU).
std::vector<int> allowed_cpus();

/// The same with the system call handed in: `get` fills `bytes` bytes and returns 0, or returns -1 and sets errno, with
/// EINVAL for "more CPUs than that".
using affinity_reader = int (*)(std::size_t bytes, cpu_set_t* mask);
std::vector<int> allowed_cpus(affinity_reader get);

/// The tightest CPU quota of this process, in CPUs; infinity when there is none. It is the minimum over its own cgroup
/// and every ancestor that some mount shows, of version 1 (cpu.cfs_quota_us / cpu.cfs_period_us) and version 2
/// (cpu.max) alike. `root` is put before every absolute path, so that tests can bring their own file tree.
/// O(lines of mountinfo + depth of the cgroup), the latter in opened files.
double cpu_quota(const std::string& root = {});

/// max(1, min(allowed, floor(quota))). Rounded down, because a worker too many does not merely run slower: once the
/// period's quota is spent the kernel stops all workers, in the middle of whatever tasks they run, until the next
/// period (tens of ms of latency), while the fraction left over serves the threads that are no workers. O(1).
unsigned default_workers(std::size_t allowed, double quota) noexcept;

/// A topology in which all CPUs are equally near. `allowed` need not be sorted, duplicates count once; empty means {0}.
/// O(n log n).
topology flat_topology(std::vector<int> allowed, double quota);

/// Sets smt_rank of each CPU from core and os_index; for whoever fills in core. O(n log n).
void rank_siblings(std::vector<cpu>& cpus);

/// allowed_cpus() and cpu_quota(root), refined by hwloc where it is compiled in, else flat.
topology discover_topology(const std::string& root = {});

#if defined(WEIR_HWLOC) && WEIR_HWLOC
/// Fills core, llc, numa and smt_rank of t.cpus. False, and t unchanged, if hwloc fails or does not know each of them.
/// A non-empty `synthetic` ("numa:2 core:4 pu:2", see hwloc's manual) describes the machine instead of the system.
/// Does not touch the binding of the calling thread.
bool refine_with_hwloc(topology& t, const std::string& synthetic = {});
#endif

/// Binds the calling thread to one CPU. False if that is impossible (offline, outside the cpuset, not permitted,
/// os_index out of range): the thread's mask is then as before and errno tells why. On success errno is as before.
bool pin_this_thread(int os_index) noexcept;
/// Lets it run on all of t.cpus again: a thread begins with the mask of the one that started it.
bool unpin_this_thread(const topology& t) noexcept;

/// The CPU (os_index) for each of `workers` workers, or empty: pin nobody. "Core" means allowed logical CPU here.
///   none       empty.
///   automatic  empty, unless workers == t.cpus.size(), the quota is not fractional, and `first_runtime` (no other
///              runtime of this process pins: two would pile their workers on the same CPUs).
///   core       always; with more workers than CPUs they wrap around.
/// Neighbouring workers get neighbouring CPUs (same last-level cache, then same NUMA node), and every core has one
/// worker before any gets a second one on its SMT sibling. Pure. O(n log n + workers).
std::vector<int> pin_plan(const topology& t, unsigned workers, pin_mode mode, bool first_runtime);

/// For each of `workers` workers all others, nearest first: same core, same last-level cache, same NUMA node, the rest.
/// Equally near ones start behind the worker itself and wrap around, so that thieves do not all begin at worker 0.
/// `plan` is pin_plan's; a worker that it does not place (empty plan, worker added later) is far from all others.
/// Pure. O(workers²) time and memory.
std::vector<std::vector<unsigned>> victim_order(const topology& t, const std::vector<int>& plan, unsigned workers);

}  // namespace detail
}  // namespace v0
}  // namespace weir
