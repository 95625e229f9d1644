// What comes to the queues of a runtime whose workers have gone: somebody still lets go of it. Layer 3.
//
// Stale tickets and empty turns hold references, and nobody takes them out of the queues of a runtime that has stopped. Those
// that are queued meanwhile belong to who stopped it, and later ones to who queues them.
//
// State, under the lock of the runtime's life
//   late_    something was queued while somebody led, after he had begun to look
//   and the phase, and who leads: doors.hpp, leader.hpp
//
// Invariant: only who leads lets go of anything, and whoever came late is seen by the leader's last look, or leads himself; where a
// restart leads, and succeeds, the workers of the next life let go of it: the marks that tell them are never taken down unseen.
//
// Edges
//   [late]  came_late's light or full fence, between the enqueue and the look at the phase ↔ let_go's heavy fence, between the
//           change of the phase and the look at the queues: what is queued after the last worker has gone is let go of by either.
#pragma once

#include "leader.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class aftermath {
 public:
  /// After something was queued. stopped(): the phase. True: the caller must call late().
  template <class Stopped>
  static bool came_late(Stopped&& stopped) noexcept {
    A::light_or_full_fence();  // [late] ↔ let_go
    return stopped();
  }
  /// Under the lock, with a `drain` that empties the queues without it: by who has stopped the runtime, and leads.
  template <class Lock, class Drain>
  void let_go(Lock& held, Drain&& drain) noexcept {
    do {
      late_ = false;
      held.unlock();
      A::heavy_fence();  // [late] ↔ came_late
      drain();
      held.lock();
    } while (late_);
  }
  /// Under the lock, which is let go of. By who came late.
  template <class Lock, class Stopped, class Drain>
  void late(Lock& held, leader<A>& who, Stopped&& stopped, Drain&& drain) noexcept {
    if (stopped()) {  // it may have been started again
      late_ = true;
      if (who.take()) {
        let_go(held, drain);
        return who.leave(held);
      }
    }
    held.unlock();
  }

 private:
  bool late_ = false;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
