// Whether a thread is still inside a call, for whoever destroys what it called. Layer 1.
//
// A job that was handed on may be the last thing that keeps the runtime: a task that owns it, or whose end makes somebody
// else destroy it. The caller of submit() cannot know, and it still has somebody to wake. So the destroyer waits until it has left.
//
// State
//   inside_   written by the calling thread alone
//
// Edges
//   [inside]  enter's store comes before the job's publication, whose edge (its queue's) leads to the job and from there to
//             the destroyer: it sees the caller inside, or what came later. leave's store → wait_gone's load: the
//             caller's last use comes before the destruction. Who destroys for another reason than that job has to know by himself
//             that nobody calls, as everywhere in C++.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class presence {
 public:
  void enter() noexcept { inside_.store(true, relaxed); }
  /// The thread's last use of what it called.
  void leave() noexcept { inside_.store(false, release); }  // [inside] → wait_gone
  /// As long as the caller is kept from running. `pass` lets others run.
  template <class Pass>
  void wait_gone(Pass&& pass) const noexcept {
    while (inside_.load(acquire)) pass();  // [inside] ← leave
  }

 private:
  typename A::template atomic<bool> inside_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
