// Whether callers of run() may still come in, and how many have. Layer 3.
//
// State
//   phase_     running → closing → stopped; written under the lock of the runtime's life
//   entered_   who came in, for the sum of what was submitted
//
// Edges
//   [close]  enter's count, fence, look at the phase ↔ close's store, fence: either the caller sees that it is closed, or whoever
//            closed it sees him in the sum.
//   That who has seen an entry's end sees it counted is the counter's edge.
#pragma once

#include "counter.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

enum class phase : std::uint8_t { running, closing, stopped };

template <class A>
class doors {
 public:
  /// False: closed. The caller is counted all the same until undo(), after which it tells who waits for rest.
  bool enter() noexcept {
    entered_.add();
    A::fence_seq_cst();  // [close] ↔ close
    return !closed();
  }
  void undo() noexcept { entered_.sub(); }
  std::uint64_t entered() const noexcept { return entered_.get(); }

  void close(phase p) noexcept {
    phase_.store(p, relaxed);
    A::fence_seq_cst();  // [close] ↔ enter
  }
  void open() noexcept { phase_.store(phase::running, relaxed); }  // again; those who find it closed yet are refused
  phase now() const noexcept { return phase_.load(relaxed); }
  bool closed() const noexcept { return now() != phase::running; }  // a hint, unless fenced by the caller

 private:
  shared_counter<A> entered_;
  typename A::template atomic<phase> phase_{phase::running};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
