// Getting a place in a runtime, then queueing into it. Layer 5 as templates see it.
#pragma once

#include <weir/detail/job.hpp>

#include <limits>

namespace weir {
inline namespace v0 {
namespace detail {

// What a full queue may do to the caller: what options::full says; nothing, it is told at once; or what options::full says, but it
// cannot run the task itself, for something else comes first.
enum class patience : std::uint8_t { by_policy, never, elsewhere };

// One accepted place in a runtime, between admit() and enqueue().
struct admission {
  void* place = nullptr;   // the caller's lease, or the worker it runs on
  std::uintptr_t tag = 0;  // 1: counted against capacity, or-ed into job::tagged_ops; 2, too: with_time
  lane prio = lane::normal;
  bool on_worker = false;
  bool capacity_held = true;  // false: a node holds it, and gives it back when it is claimed
  int target = -1;            // >= 0: that worker only, or one of those below
  bool room_held = true;      // the same of the rooms of the gates that it goes through
  std::uint32_t node_flags = 0;  // of a task's node: node_state::observed, or nothing
};
inline constexpr int on_caller = std::numeric_limits<int>::max();  // on_full::caller_runs: enqueue() runs it
inline constexpr int with_time = on_caller - 1;  // anybody's; it is queued with the time, for CoDel (core/src/queue_time.hpp)

// outcome_ok, or why not. A job that fits in a value, in one call.
// In registers: what was just written to memory in words is slow to read in wider pieces (see queued_job).
WEIR_API outcome submit_job(core& c, std::uintptr_t ops, job_words w, patience p) noexcept;
// The same in steps, so that a refused callable is never touched. Every admit() that answered ok is followed by
// exactly one enqueue() or unadmit(). enqueue fails with errc::failed (no memory): then nothing was accepted.
WEIR_API outcome admit(core& c, const task_options* opts, patience p, admission& a, std::size_t n = 1) noexcept;
WEIR_API outcome enqueue(core& c, const admission& a, const job* jobs, std::size_t n = 1) noexcept;
WEIR_API void unadmit(core& c, const admission& a, std::size_t n = 1) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
