// The threads of a runtime, and who takes it down when nobody waits for them. Layer 3.
//
// A runtime whose destructor runs on one of its own threads cannot join them: it is orphaned, they end by themselves, and the
// last one to leave finishes what the destructor began.
//
// Edges
//   [orphan]  left's fetch_sub ↔ the last one's: it sees every other thread's last act, and that the runtime is orphaned if it
//             is, for that was one of these threads' doing; or that of a caller who runs a task, and then the attention word, by which the
//             threads are told to leave, has published it.
//   Whoever sees rest needs no edge of its own to see the orphan: the task that orphaned the runtime was counted as ended
//   after that.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class crew {
 public:
  void joins() noexcept { threads_.fetch_add(1, relaxed); }
  void never_joined() noexcept { threads_.fetch_sub(1, relaxed); }  // the thread could not be started
  /// One of the threads before it leaves, or who runs a task and has not counted its end yet.
  void orphan() noexcept { orphan_.store(true, relaxed); }
  bool orphaned() const noexcept { return orphan_.load(relaxed); }
  /// A thread's last act. True: it is the last one of an orphan.
  bool left() noexcept { return threads_.fetch_sub(1, acq_rel) == 1 && orphaned(); }  // [orphan]

 private:
  friend class diagnosis;
  typename A::template atomic<unsigned> threads_{0};
  typename A::template atomic<bool> orphan_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
