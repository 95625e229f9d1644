// The tasks that a worker runs inside of each other, as other threads look at them to ask them to stop. Layer 3.
//
// State    top_          innermost entry; entries lie on the stacks of the runs
//          inspectors_   threads that look at the list
// Invariant   the owner goes on from leave() only when nobody can look at the entry any more: its node, and what the node
//             refers to, may go away then. So whoever inspects runs no foreign code, and waits for nothing that the owner may hold.
// Edges
//   [inspect]  leave's store, fence, look at inspectors_ ↔ inspect's count, fence, look at top_: either the owner sees the
//              inspector and waits for him, or he does not see the entry. enter's store → inspect's load: the entry's
//              fields. inspect's fetch_sub → leave's load: his last use is over.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class Node>
class running_list {
 public:
  struct entry {
    Node* node;  // null: one that has none
    entry* outer = nullptr;
  };

  // ---- owner ----
  void enter(entry& e) noexcept {
    e.outer = top_.load(relaxed);
    top_.store(&e, release);  // [inspect] → inspect
  }
  /// `e` is the innermost one. Returns when nobody looks at it any more.
  void leave(entry& e) noexcept {
    top_.store(e.outer, release);  // [inspect] what lies below is looked at through this one now
    A::fence_seq_cst();            // [inspect] ↔ inspect
    while (inspectors_.load(acquire) != 0) A::pause();  // [inspect] ← inspect
  }
  entry* top() const noexcept { return top_.load(relaxed); }

  // ---- anybody ----
  template <class F>
  void inspect(F&& f) noexcept {
    inspectors_.fetch_add(1, relaxed);
    A::fence_seq_cst();  // [inspect] ↔ leave
    for (const entry* e = top_.load(acquire); e != nullptr; e = e->outer) f(*e);  // [inspect] ← enter
    inspectors_.fetch_sub(1, release);  // [inspect] → leave
  }
  std::uint32_t inspectors() const noexcept { return inspectors_.load(relaxed); }

 private:
  typename A::template atomic<entry*> top_{nullptr};
  typename A::template atomic<std::uint32_t> inspectors_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
