// Whether a worker is needed: spares, and workers that a smaller runtime does without. Layer 3.
//
// State    word_: none (the owner waits to be needed) | on | dismissed (it has not stood down yet)
// I1       only the owner leaves dismissed for none. One at a time calls or dismisses: under a lock, or because the spare is
//          his.
// Edges: none of its own. Each change is followed by a token for the owner's bed, and the token brings it: an owner that sleeps
// wakes up to it, one that does not looks at the word before it goes on. What it may do then it learns elsewhere.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class duty {
 public:
  enum state : std::uint8_t { none, on, dismissed };

  state now() const noexcept { return word_.load(relaxed); }

  // ---- whoever needs it, or no longer does ----
  void set(state s) noexcept { word_.store(s, relaxed); }  // while its thread does not run
  template <class Bed>
  void call(Bed& bed) noexcept {
    set(on);
    bed.unpark();
  }
  template <class Bed>
  void dismiss(Bed& bed) noexcept {
    set(dismissed);
    bed.unpark();
  }

  // ---- the owner ----
  /// After it has seen `dismissed`. False: it is needed again.
  bool stand_down() noexcept {
    state seen = dismissed;
    return word_.compare_exchange_strong(seen, none, relaxed, relaxed);
  }

 private:
  typename A::template atomic<state> word_{none};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
