// strand and limited: a few places in front of any executor. Layer 6.
#pragma once

#include <weir/executor.hpp>

namespace weir {
inline namespace v0 {

namespace detail {

// Holds a gate by count, and is its executor_ref.
class owned_gate : public executor_ref {
 public:
  owned_gate(const owned_gate& o) noexcept : executor_ref(o) { gate_acquire(*gate_); }
  owned_gate(owned_gate&& o) noexcept : executor_ref(o) {
    o.core_ = nullptr;
    o.gate_ = &gate_invalid;
  }
  owned_gate& operator=(owned_gate o) noexcept {
    std::swap(static_cast<executor_ref&>(*this), static_cast<executor_ref&>(o));
    return *this;
  }
  ~owned_gate() { gate_release(*gate_); }

 protected:
  owned_gate(executor_ref parent, const gate_shape& s) noexcept : executor_ref(parent) {
    gate_ = gate_open(core_, gate_, s);
    if (gate_->refusal != outcome_ok) core_ = nullptr;  // nothing holds it
  }
};

}  // namespace detail

/// Runs its tasks one after the other, in the order in which they were accepted, on the workers of the executor behind it: a
/// runtime, a limited or another strand. It has no thread; what one task wrote the next one sees, so what only the strand's
/// tasks touch needs no lock. A task that throws is dealt with as anywhere; the next one follows.
///
/// A strand is an executor_ref that owns: copies are the same strand, and the last one takes it along. It keeps the runtime's core
/// alive by count, but not the runtime: once that is drained or gone, every verb answers errc::stopped. The destructor never
/// blocks, and what was accepted still runs. Moved-from: errc::invalid. No memory when it was built: errc::failed. Behind an
/// executor_ref that refers to nothing: its answer.
///
/// Admission is the runtime's: a waiting task counts in options::capacity (and in that of each limited behind), is admitted
/// once, and is not refused later, neither by `full` nor while draining. task_options::prio is ignored, since first come is
/// first served; task_options::worker is errc::invalid. The handle of a task that was spawned through it never runs the task in
/// place; in a task of the strand itself it answers errc::starved when the awaited one is behind it. Two strands whose tasks
/// wait for each other wait for ever.
///
/// Fairness: a turn of a strand runs what is left of its worker's batch, at most three quarters of
/// options::starvation_bound (an eighth while several sources are in use), and begins nothing after about 16 µs (looked at after
/// 1, 2, 4, … tasks). Then it queues up behind whoever waits for the worker; while nobody does it goes on.
///
/// Cost: one compare-exchange a submit; a lock that nobody else wants and no other thread for each task that runs.
/// Thread safety: all verbs from any thread at once; moving and destroying it as for any object.
struct strand : detail::owned_gate {
  explicit strand(executor_ref parent) noexcept : owned_gate(parent, {.places = 1, .capacity = 0, .full = on_full::block}) {}
};

/// Lets at most n of its tasks run at once, and at most `capacity` wait, in front of any executor: a bulkhead without threads
/// of its own. Tasks start in the order in which they were accepted. For what it shares with strand see there; a task that
/// sleeps in a wait keeps its place, and one that waits for a task of the limit while all n places are held by such waits
/// answers errc::starved.
///
/// capacity is exact, whoever submits: what was accepted and has not started. Past it `full` decides, as options::full does for
/// the runtime (try_submit and bulk are told `full`); the runtime's own capacity and policy come after that:
///   block        waits in line off the workers (task_options::stop, start_by and a shutdown end the wait), rejects on them
///   reject       errc::full
///   caller_runs  runs the task on the caller, which holds none of the n places meanwhile: so many callers, so many more than n run.
///                Rejects on workers and where else options::full does, for groups and streams, and if the task came to this limit
///                through another one or a strand, which it would have to pass first
///   drop_oldest  the oldest unstarted task that was submitted to this limit itself ends as `dropped`: its callable is destroyed on the
///                calling thread, be that a worker. Not taken: what waits in a strand or limit in front of this one, timers, tasks that are tried
///                again. errc::full if there is none. O(those before it)
///   discard      errc::dropped for the new one, which is not touched
/// n of 0 or above 2^20, capacity of 0 or above 2^40, a policy that does not exist: every verb answers errc::invalid.
struct limited : detail::owned_gate {
  limited(executor_ref parent, unsigned n, std::size_t capacity, on_full full = on_full::reject) noexcept
      : owned_gate(parent, {.places = n, .capacity = capacity, .full = full, .limits = true}) {}
};

}  // namespace v0
}  // namespace weir
