// What a runtime tells of its tasks: to its observer, and of those that stall to its metrics. Layer 5.
//
// A runtime with an observer, or with stall_after, is observed. There each task is a node with a record in front: what
// submit queues by value elsewhere is put into a node by enqueue() and gate_push(), so all that becomes of a task becomes of a node,
// and this is where it is told: node_init (captured), run_claimed (start, end), node_fail and the like (discarded),
// node_after_run (over for good). A runtime that is not observed asks one flag where it asked another before.
//
// A run is told by an observed_run on its stack. this_run is the thread's innermost: whatever is submitted meanwhile is its
// child. A stolen fork borrows the run of its task, which waits for it.
#pragma once

#include <weir/detail/admission.hpp>
#include <weir/detail/task_node.hpp>
#include <weir/options.hpp>

#include <memory>

namespace weir {
inline namespace v0 {
namespace detail {

class core;
class observed_run;

extern constinit thread_local observed_run* this_run __attribute__((tls_model("initial-exec")));

class observation {
 public:
  explicit observation(core& c) noexcept;

  /// Of a task that is about to be accepted; `name` may be null.
  void record(task_record& r, const char* name) noexcept;
  /// Of another occurrence of it.
  void record_again(task_record& r, time_point queued) noexcept;
  void discard(const task_record& r, errc why) noexcept;
  void release(task_record& r) noexcept;    // the last that is told
  void dropped(const char* name) noexcept;  // on_full::discard: accepted and gone

  /// Tells of each run that has stalled and was not told of; the time of the next one that may, max: there is none.
  time_point look_for_stalls() noexcept;
  bool watches() const noexcept { return stall_after_ != duration::zero(); }
  bool has_stalled(const observed_run& r, time_point now) const noexcept;

 private:
  friend class observed_run;
  friend class borrowed_run;
  observer* heard() const noexcept;  // null: none, or in the child of a fork()
  std::uint64_t next_id() noexcept;

  core& core_;
  observer* const obs_;
  const duration stall_after_;
  alignas(cache_line) atomic<std::uint64_t> last_id_{0};
};

// From where a claimed task is about to run to where its end is told.
class observed_run {
 public:
  /// n: null for a caller of run().
  observed_run(core& c, const task_record& r, const task_node* n) noexcept;
  ~observed_run() { this_run = outer_; }
  observed_run(const observed_run&) = delete;
  observed_run& operator=(const observed_run&) = delete;

  void begin() noexcept;         // right before the body
  void go_on(time_point started) noexcept;  // instead of begin(): a coroutine that has started then
  void suspend() noexcept;                  // instead of end(): it goes on elsewhere
  void end(outcome o) noexcept;  // right after it; without begin() it never runs. Only the first call counts
  void watch() noexcept;         // it can be found among what its thread runs: somebody looks whether it stalls

  const task_info& info() const noexcept { return info_; }

 private:
  friend class observation;
  friend class borrowed_run;
  friend void observe_begin(const task_node& n, bool begins) noexcept;
  friend void observe_end(const task_node& n, outcome o) noexcept;

  observer* enter_context() noexcept;  // null: nobody hears of it
  void leave_context(observer& o) noexcept;

  observation& to_;
  task_info info_;
  const time_point since_;  // when it was put on this stack
  const task_node* const node_;
  observed_run* const outer_;
  void* before_ = nullptr;  // the context to go back to
  bool begun_ = false, ended_ = false, saved_ = false;
  bool told_ = false;  // that it stalls; the timekeeper's
};

// On a thief, while it runs a fork of that run.
class borrowed_run {
 public:
  explicit borrowed_run(observed_run* r) noexcept;  // null: nothing
  void give_back() noexcept;
  borrowed_run(const borrowed_run&) = delete;
  borrowed_run& operator=(const borrowed_run&) = delete;

 private:
  observed_run* const run_;
  observed_run* const outer_;
  void* before_ = nullptr;
};

// Of nodes that are observed.
// A child of a group or stream, and an occurrence of a series, learn late whether they begin; else they are cancelled. Of a child
// that nobody runs: nothing.
void observe_begin(const task_node& n, bool begins) noexcept;
void observe_end(const task_node& n, outcome o) noexcept;
void observe_init(task_node& n, core& c, const char* name) noexcept;
void observe_discard(task_node& n, errc why) noexcept;  // before its callable goes
void observe_over(task_node& n) noexcept;               // before it is counted as ended

/// A node around each plain job or entry; tickets pass. What has been wrapped is counted by its node. False: no memory, nothing is.
bool wrap(core& c, const job* jobs, job* out, std::size_t n, const admission& a) noexcept;
bool wrap(core& c, gate& via, gate_entry* const* all, gate_entry** out, std::size_t n, const admission& a) noexcept;
void unwrap(const job* wrapped, const job* were, std::size_t n) noexcept;
void unwrap(gate_entry* const* wrapped, gate_entry* const* were, std::size_t n) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
