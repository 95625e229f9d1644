// The words of a task that somebody can wait for: its phase, who holds it. Layer 1.
//
// State
//   state   phase: queued → claimed → done, and waited, awaited, detached, counted, in_place (task_node.hpp); back from claimed
//           to queued when a task is to run again
//   refs    holders: the ticket in the queue, the handle or group, whoever borrows it (references.hpp)
//
// Invariants
//   I1  one claim succeeds: its claimer alone touches the callable and stores the result, then says done.
//   I2  a finished task whose handle is gone has its error reported once: by the finisher, if it finds `detached`, or by
//       the handle, if it finds `done`.
//   I3  whoever drops the last reference destroys the node, after everybody else's last use.
//
// Edges
//   [claim]  claim's compare-exchange ↔ another's: one word, one winner. The callable itself came to each claimer by
//            another way (the queue, the handle's thread, the group's lock), so nothing is published here.
//   [again]  unclaim's compare-exchange, under the lock around the wheel → the next claim's: what the last run has left in the
//            callable is visible, for the next claimer takes that lock after his claim, or has got the ticket out of the wheel
//            from somebody who has. So a waiter that claims without the lock asks for `in_place`, which is gone by then;
//            and if he has tried the task in place, its first ticket still lies in a queue, and is told by `again` that it is stale.
//   [done]   finish's fetch_or → the acquire loads of is_done, sleep and detach, await's fetch_or: the result is visible.
//   [await]  await's fetch_or → finish's fetch_or: where the coroutine goes on is visible to whoever ends the task.
//
// Liveness of the wait: the waiter sets `waited` in the word that it sleeps on, so either finish's fetch_or sees the bit
// and wakes, or the futex sees a changed word and does not sleep. A coroutine that waits has set `awaited` in one step with its
// look at the phase: either it goes on by itself, or finish sees the bit, and its caller posts it.
#pragma once

#include "futex.hpp"
#include "references.hpp"

#include <weir/detail/task_node.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
struct task_state {
  using word = typename A::template atomic<std::uint32_t>;

  static bool is_done(const word& w) noexcept { return node_state::is_done(w); }
  static bool is_unstarted(const word& w) noexcept { return (w.load(relaxed) & node_state::phase) == node_state::queued; }

  /// True: the caller decides what becomes of the callable. `bits`: the state before, with all of `needed`, none of `excluded`.
  static bool claim(word& w, std::uint32_t& bits, std::uint32_t needed = 0, std::uint32_t excluded = 0) noexcept {
    bits = w.load(relaxed);  // [claim] an old value only costs another round
    do {
      if ((bits & (node_state::phase | needed | excluded)) != (node_state::queued | needed)) return false;
    } while (!w.compare_exchange_weak(bits, bits | node_state::claimed, relaxed, relaxed));  // [claim] [again]
    return true;
  }

  /// The claimer gives it back: it is unstarted again, with these bits and without those. False: one of `unless` was set, and
  /// he keeps it. Under the lock around the wheel.
  static bool unclaim(word& w, std::uint32_t with, std::uint32_t without, std::uint32_t unless) noexcept {
    std::uint32_t bits = w.load(relaxed);
    do {
      if ((bits & unless) != 0) return false;
    } while (!w.compare_exchange_weak(bits, (bits & ~(node_state::claimed | without)) | with, relaxed, relaxed));  // [claim] [again]
    return true;
  }

  /// After the result is stored. The bits before: with `detached` the handle is gone, and the caller reports what nobody will
  /// read; with `awaited` he posts the coroutine that waits.
  static std::uint32_t finish(word& w) noexcept {
    const std::uint32_t before = w.fetch_or(node_state::done, acq_rel);  // [done] → waiters, detach; [await] ← await
    if ((before & node_state::waited) != 0) A::wake(&w, 1 << 30);
    return before;
  }

  /// A coroutine waits; where it goes on has been stored. False: the task has ended before, and nobody will post it.
  static bool await(word& w) noexcept {
    return (w.fetch_or(node_state::awaited, acq_rel) & node_state::phase) != node_state::done;  // [await] → finish; [done] ← finish
  }

  /// The handle goes. True: the task had ended before, and the caller reports what nobody has read.
  static bool detach(word& w) noexcept {
    return (w.fetch_or(node_state::detached, acquire) & node_state::phase) == node_state::done;  // [done] ← finish
  }

  /// Sleeps until the task is done, or left() says 0 (nanoseconds; forever). What is_done says then.
  template <class Left>
  static bool sleep(word& w, Left&& left) noexcept {
    for (;;) {
      std::uint32_t seen = w.load(acquire);  // [done] ← finish
      if ((seen & node_state::phase) == node_state::done) return true;
      if ((seen & node_state::waited) == 0 && !w.compare_exchange_weak(seen, seen | node_state::waited, relaxed, relaxed)) continue;
      const std::int64_t ns = left();
      if (ns == 0) return is_done(w);
      A::wait(w, seen | node_state::waited, ns);
    }
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
