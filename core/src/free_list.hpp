// A stack of freed blocks that any thread pushes to and one thread empties. Layer 1.
//
// State    head_: the newest block, each block's first word points at the next
// Edges
//   [block]  push's compare-exchange ↔ take_all's exchange: who gets a block sees the last user's writes to it.
// No ABA: blocks leave only all at once.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class free_list {
 public:
  struct block {
    typename A::template atomic<block*> next;
  };

  void push(block* b) noexcept {
    block* head = head_.load(relaxed);
    do b->next.store(head, relaxed);
    while (!head_.compare_exchange_weak(head, b, release, relaxed));  // [block] → take_all
  }
  block* take_all() noexcept {
    if (head_.load(relaxed) == nullptr) return nullptr;
    return head_.exchange(nullptr, acquire);  // [block] ← push
  }

 private:
  typename A::template atomic<block*> head_{nullptr};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
