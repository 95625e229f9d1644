// What a runtime and a task can be told. Plain aggregates: every member has a default, designated initialisers are
// the intended spelling. Invalid values are refused by runtime's constructor (std::invalid_argument) or by
// runtime::create (errc::invalid).
#pragma once

#include <weir/error.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory_resource>
#include <stop_token>

namespace weir {
inline namespace v0 {

using clock_type = std::chrono::steady_clock;
using time_point = clock_type::time_point;
using duration = clock_type::duration;

enum class lane : std::uint8_t { high, normal, low };

/// What submit and spawn do when the runtime holds `capacity` accepted, unstarted tasks; try_submit and bulk answer `full`.
///   block        waits for room, a stop token or start_by, first come first served
///   reject       full; the callable is not touched
///   caller_runs  runs the task before it returns, and answers ok. reject for what cannot run there: a task bound to a worker, of a
///                strand, a limit or a group. (A limit may have this policy itself: see there.)
///   drop_oldest  the oldest task of the lane that still lies in the queue ends as `dropped`: its callable is destroyed on this
///                thread. full if there is none; those in strands and limits, and those bound to a worker, are not taken. Workers claim
///                tasks one by one, so throughput is lower than with the others.
///   discard      the new task ends as `dropped`: that is the answer, and the callable is not touched
/// On a worker, on the thread that tells the time, and in a task that caller_runs runs, `block` and `caller_runs` become `reject`; in a
/// task of blocking(), and for a result_stream, only caller_runs does.
enum class on_full : std::uint8_t { block, reject, caller_runs, drop_oldest, discard };

/// automatic: one worker is pinned to each allowed core. No pinning under a fractional CPU quota, when the number of
/// workers differs from the number of allowed cores, or in a second runtime of one process. The caller is never pinned.
/// Threads that are not pinned get the CPUs that were allowed to whoever made the runtime, whichever thread makes them start. If the
/// process's affinity is changed later (taskset -ap), threads that run follow, pinned ones included; threads that start after that
/// (stand-ins, a larger resize, a restart, the first timer, blocking calls) do not: a cpuset cgroup binds those, too.
enum class pinning : std::uint8_t { automatic, none, core };

/// A task that throws runs again, with the same callable, after a wait that is uniform over 0 … min(cap, base · 2^n), n from 0:
/// full jitter. It holds no worker while it waits, it has been accepted and is counted once, and its result is that of its last
/// attempt. A stop token, cancel() and a shutdown end the wait; what would come after the deadline is not waited for.
struct retry_policy {
  unsigned max_attempts = 3;  ///< in all; 0 is 1
  std::chrono::nanoseconds base{10'000'000}, cap{5'000'000'000};  ///< negative: the task is refused with invalid
  bool (*retryable)(const error&) noexcept = nullptr;  ///< asked on the worker; error::attempts counts this one. Null: always
};

struct task_options {
  lane prio = lane::normal;
  std::stop_token stop{};                    ///< stop before the start: the task never starts, its callable is freed at once
  time_point start_by = time_point::max();   ///< not started by then: expired at once; a blocked submit waits no longer than this
  time_point deadline = time_point::max();   ///< then its stop token fires and a waiter gets timeout, once; it runs on
  int worker = -1;                           ///< >= 0: that worker only
  const char* name = nullptr;                ///< outlives the runtime
  const retry_policy* retry = nullptr;       ///< copied; null: it is tried once
};

/// Ids and times are those of a runtime with an observer or with stall_after; elsewhere they are 0.
struct task_info {
  std::uint64_t id = 0;      ///< unique in the process, never 0; a retry keeps its id, each occurrence of a series has its own
  std::uint64_t parent = 0;  ///< the task that submitted it, of whichever runtime that has ids; 0: from outside
  const char* name = nullptr;
  time_point queued{};       ///< when it was accepted; of a timer: when it was due
  time_point started{};      ///< of this attempt; not set: it has not started
  int worker = -1;           ///< where it runs, or where it was discarded; -1: outside any worker
  void* context = nullptr;   ///< options::context of the runtime
  void* captured = nullptr;  ///< what observer::capture() gave for it
};

/// Is told what becomes of tasks, and carries a context (a trace id, say) from whoever submits a task to the task.
///
/// A task is what submit, a bulk, spawn, run() from outside, blocking(), groups, streams, strands, limits and timers accept, and
/// whatever on_full::caller_runs runs. A fork is none: it is a part of the task that forks. At rest there was, for each that the
/// metrics count as submitted, one on_start and one on_end, or one on_discard. Of a task with retries each attempt starts and ends
/// (`failed`), with the same id; if it ends while it waits for another attempt, an on_discard says so. Each occurrence of every()
/// is a task.
///
/// Calls come on the thread where the event happens, from many threads at once. None holds a lock of weir's: an observer may
/// submit, cancel and read metrics, and waits as little as what it interrupts. It outlives the runtime; one that is destroyed in
/// a task of its own, the runtime's threads, too. In the child of a fork() nothing is called for the parent's runtimes.
///
/// Context. capture() runs in the call that submits, on its thread. The word that it gives travels with the task: restore(word)
/// before on_start and the body, on the thread that runs it, also for each retry and each occurrence, and for a fork that
/// another worker has taken. After on_end, restore() puts back what was there before: null on a thread of the runtime that
/// was in no task; inside another task, or on a caller of caller_runs, what capture() gives just before. So a context never
/// leaks to what runs next. A coroutine starts and ends once; each time that it goes on its word is restored, and put back as after an end
/// when it is suspended. release() tells when a word is not used any more: once for each that capture() gave.
///
/// Cost. Without one, and without stall_after, nothing. With one, each task is a node: two clocks, a shared counter, a block
/// of 40 bytes more, or of some 90 for a plain submit, and these calls; a fork that is not taken pays nothing.
struct observer {
  virtual ~observer() = default;
  /// Before the body. A task that was accepted and finds its group, stream or series cancelled does not start.
  virtual void on_start(const task_info&) noexcept {}
  /// After the body, the callable destroyed; before whoever waits for the task goes on. errc{}: ok. run(): ok, its exception is the caller's.
  virtual void on_end(const task_info&, errc) noexcept {}
  /// An accepted task that will not run (again), before its callable is destroyed or handed out: cancelled, expired, dropped,
  /// stopped; failed: no memory for its ticket, or a retry that a shutdown cuts short.
  virtual void on_discard(const task_info&, errc) noexcept {}
  /// A task runs for longer than options::stall_after: once, on the thread that tells the time. It may have ended meanwhile. Of a
  /// coroutine each stretch between two suspensions counts by itself.
  virtual void on_stall(const task_info&) noexcept {}
  virtual void on_park(int) noexcept {}                ///< a worker goes to sleep: its slot
  virtual void* capture() noexcept { return nullptr; }  ///< the context of the calling thread, as a word
  virtual void restore(void*) noexcept {}              ///< makes it the calling thread's context; null: none
  virtual void release(void*) noexcept {}              ///< on any thread, before the task is counted as ended (a coroutine: perhaps just after); null, too
};

struct options {
  unsigned workers = 0;                       ///< 0: min(affinity mask, cgroup CPU quota over all ancestors), at least 1
  /// More than `workers`: elastic. While every worker on duty is busy, in a system call or with long tasks, and something that any of
  /// them might run has waited for a millisecond, another comes, one by one, until so many are on duty; it goes when it has found
  /// nothing for a second, and its thread is kept. Nobody looks while nothing waits. Not more than workers (or 0): off; at most 1024.
  /// They are not pinned and may be more than the CPU quota allows: tasks that compute get no faster by them. As stand-ins do, they
  /// have numbers from 1024 on, in task_info, this_task::worker(), on_thread_start and on_thread_stop; no task can be bound to them.
  /// Forks alone bring none. A thread that cannot be had is asked for again after 100 ms.
  unsigned max_workers = 0;
  std::size_t capacity = 1u << 16;            ///< tasks accepted from outside and not yet started; exact
  std::size_t max_outstanding = 1u << 22;     ///< accepted tasks, children included; may be overshot by 64 × (threads that run tasks + 1); not for blocking()
  on_full full = on_full::block;
  pinning pin = pinning::automatic;
  std::chrono::microseconds spin{50};         ///< upper bound of the adaptive spin before parking; 0: park at once
  unsigned starvation_bound = 64;             ///< of so many outermost starts of a worker at least one serves a waiting lane
  unsigned max_spares = 64;                   ///< threads that may stand in at once for workers parked in a wait
  unsigned max_blocking = 64;                 ///< threads for blocking(), made when they are needed; 1 to 65536
  std::size_t blocking_capacity = 1024;       ///< calls that wait for one of them
  std::size_t stack_size = 0;                 ///< bytes of each thread's stack; 0: the system's default
  /// Overload control by queue wait (CoDel; milliseconds, folly takes 5; 0: off; at most a minute). When over 100 ms (or the target, if that
  /// is longer) no task waited less than the target before a worker took it, the runtime is overloaded for the next 100 ms: tasks that have
  /// waited more than twice the target end as `expired` then, unrun, and their callables are destroyed on the worker that takes them. Subject to
  /// it is what outside threads submit, spawn or give to groups and streams in the lanes normal and low, through strands and limits, too; wait
  /// counts from submission, of a group's child from when its limit lets it begin, of a retry from when it is due. Exempt: the high lane, what
  /// is bound to a worker (broadcast), what tasks submit, timers, run() and blocking(). A pause counts as waiting.
  /// Costs two readings of the clock a task, and 24 bytes and their allocation for one without a handle or conditions (32 in a strand or limit).
  std::chrono::microseconds codel_target{0};
  /// A task that runs for longer, its waits included, is counted in the metrics (stalled), named there while it runs (stalling), and
  /// told to the observer, if there is one. At most a wake-up of the thread that tells the time late, which the constructor then
  /// starts. That thread looks once in each such time while tasks run, and once more after them; each task pays for ids
  /// and a short lock that all share. 0: off
  std::chrono::microseconds stall_after{0};
  std::pmr::memory_resource* memory = nullptr;  ///< jobs and frames, not the inject queue's blocks; null: new/delete
  void (*on_unhandled)(const task_info&, std::exception_ptr) = nullptr;  ///< null: one line on stderr, rate limited
  void (*on_thread_start)(int) = nullptr;
  void (*on_thread_stop)(int) = nullptr;
  void* context = nullptr;
  observer* obs = nullptr;                    ///< outlives the runtime; null: none
  const char* name = "weir";                  ///< worker threads are named "NAME/w0", "NAME/w1", …
};

}  // namespace v0
}  // namespace weir
