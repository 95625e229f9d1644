// Strands and limits: tasks that have been admitted wait here for one of a few places. Layer 5.
//
//   push ─► turnstile ◄─ a turn, which is a job of the runtime, or an entry of the gate behind this one ─► run
//
// Whoever pushes into a gate with a free place starts a turn: a job without a callable, which takes entries and runs them on
// its worker, one after the other. A strand has one place, so its tasks follow each other; a limit has several. A turn takes
// what is left of its worker's batch, and then makes room for others if somebody waits, in the runtime or in a gate behind this one: it
// queues itself again (P38: past all admission). When nothing is left it is over.
//
// State
//   queue_          what waits, and how many turns there are (turnstile.hpp)
//   waits_          the waits of tasks that hold a place, for tasks of this gate; under wait_mutex_
//   stale_          tickets in the queue whose task was claimed without them
//   holders (dependant.hpp): the strand or limit itself, each turn, each gate in front, each task with a ticket
//   room_           of a limit: its capacity (room.hpp)
//   resumptions_    coroutines that wait in the queue, or in that of a gate in front: what a halted runtime still runs
//   spare_turn_     a turn that no queue has memory for, or that goes on in a halted runtime, is this one; under spare_mutex_
//
// Invariants
//   I1  an entry leaves the queue once: by a turn, a shutdown's flush, or a sweep (stale ones).
//   I2  while the queue holds something there is a turn, or a push is about to start one.
//   I3  in a halted runtime turns take resumptions, and its flush takes everything else. Whoever of them finds the other's
//       hands the turn on to him.
//   I4  a turn that finds the spare one under way may end: that one has not looked at the queue yet.
//   I5  a spare turn that is kept when the runtime stops has nothing to do any more: the last flush lets go of it.
#pragma once

#include "core.hpp"
#include "dependant.hpp"
#include "room.hpp"
#include "turnstile.hpp"

#include <weir/detail/gate.hpp>
#include <weir/detail/resumption.hpp>

#include <optional>

namespace weir {
inline namespace v0 {
namespace detail {

class gate_state;

// A turn of a gate where an entry is wanted: in front of another gate, or past the queues.
struct turn_entry : gate_entry {
  gate_state* of = nullptr;
};

// A turn's place in a gate, on the stack of its worker; and what its task sleeps for, while that is something of the same gate.
struct held_place {
  gate_state* of;
  held_place* outer;
  const void* awaited = nullptr;
  bool (*over)(const void*) noexcept = nullptr;
  held_place* next_wait = nullptr;
};

class gate_state final : public gate, public dependant {
 public:
  gate_state(core& c, gate_state* in_front_of, const gate_shape& s) noexcept;
  gate_state(const gate_state&) = delete;
  gate_state& operator=(const gate_state&) = delete;

  // ---- admission ----
  // Of this one and those behind it. on_caller: the policy of this one lets the caller run the task, and no room is taken.
  outcome enter_rooms(const task_options* o, patience p, std::size_t n, admission& a) noexcept;
  void leave_rooms(std::size_t n = 1) noexcept;
  void closing() noexcept override;
  bool has_room() const noexcept { return room_.has_value(); }

  // ---- the queue ----
  void push(gate_entry* const* all, std::size_t n) noexcept;
  void push_resumption(resume_point& p) noexcept;
  bool take_unstarted(job& j) noexcept override;  // its place in the rooms is given back
  void flushed() noexcept;  // a turn, taken out of its queue, behind which nothing unstarted was found
  void hand_on() noexcept;  // a turn goes to a queue
  void spare_turn_taken() noexcept;
  void run_turn(worker& w) noexcept;
  void sweep() noexcept;
  void note_stale(std::int64_t n) noexcept { stale_.fetch_add(n, relaxed); }
  bool wants_sweep() const noexcept { return stale_.load(relaxed) > sweep_at_.load(relaxed); }

  // ---- waits of who holds a place ----
  bool begin_wait(held_place& p) noexcept;  // false: then nothing of this gate could ever start
  void end_wait(held_place& p) noexcept;

  core& owner;
  gate_state* const parent;  // null: the runtime itself
  const on_full full;
  const bool bounded;  // this one or one further on has a capacity of its own

 private:
  friend class diagnosis;
  ~gate_state() override;
  outcome enter_room(const task_options* o, patience p, std::size_t n, admission& a) noexcept;
  bool drop_oldest() noexcept;
  void end_unstarted(job& j, errc e) noexcept;
  void use_spare_turn() noexcept;
  bool somebody_waits_behind() noexcept;
  static bool goes_on(const gate_entry& e) noexcept;
  void count_resumption(std::int64_t more) noexcept;

  alignas(cache_line) turnstile<os_atomics, gate_entry> queue_;
  atomic<std::int64_t> stale_{0}, sweep_at_{0};
  mutex wait_mutex_;
  held_place* waits_ = nullptr;
  unsigned waiting_ = 0;
  std::optional<room<os_atomics>> room_;
  atomic<std::int64_t> resumptions_{0};
  mutex spare_mutex_;
  turn_entry spare_turn_;
  bool spare_turn_out_ = false;
};

inline gate_state& state_of(gate& g) noexcept { return static_cast<gate_state&>(g); }
inline const gate_state& state_of(const gate& g) noexcept { return static_cast<const gate_state&>(g); }

// Room for n in what a limit or a stream may hold, or why not. As the policy says it waits: never on a worker (P13).
outcome enter(room<os_atomics>& r, core& c, on_full full, const task_options* o, patience p, std::size_t n) noexcept;
// gate_push(), of a runtime that is observed (submit.cpp).
outcome gate_push_observed(gate& g, const admission& a, gate_entry* const* all, std::size_t n) noexcept;
// What an executor does when it is full: that of the nearest limit, else that of the runtime.
on_full policy_of(const core& c, const gate* via) noexcept;

bool is_turn(const job& j) noexcept;
gate_state& gate_of_turn(const job& j) noexcept;
void end_turn(job& j) noexcept;  // taken out of a queue by a shutdown, as was what waits behind it; kept, if it has resumptions

// While it lives, the worker sleeps until over(what), which is about something that goes through `via`.
class gated_wait {
 public:
  gated_wait(gate& via, worker& w, const void* what, bool (*over)(const void*) noexcept) noexcept;
  ~gated_wait();
  gated_wait(const gated_wait&) = delete;
  gated_wait& operator=(const gated_wait&) = delete;
  /// All places are held by tasks that wait for the gate's own tasks, the caller among them: it would never be over.
  bool starves() const noexcept { return starves_; }

 private:
  void leave() noexcept;
  worker& worker_;
  bool starves_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
