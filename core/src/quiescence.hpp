// Rest: all that was accepted has ended. Who waits for it, and who tells. Layer 3.
//
// No shared counter is written for a task. Each thread counts in words of its own what it submitted and what it ended; at
// rest the sums are equal. The callable `at_rest` sums up, ends first: each of them was submitted before, so equal sums
// were equal at the instant between.
//
// State
//   a bit in the attention word   somebody waits: whoever has ended something looks at the sums
//   waiters_                      how many do
//   word_                         the futex of the waiters: counts how often rest was seen
//
// Invariants
//   I1  while waiters_ != 0 the bit is set, but for the moment between one waiter's lowering it and his look back.
//   I2  when nobody waits any more the bit is clear. Nobody's wake-up hangs on it; but each end would go on summing up.
//
// Edges
//   [quiesce]  an end's count, light or full fence, look at the bit (asked) ↔ enlist's bit, heavy fence, sums: either the
//              one who ended sees that somebody waits, or the waiter sees the end. The same between two that end at the
//              same time, by the fence in tell: one of them sees both. What a lowered bit has hidden is looked up again,
//              again behind a heavy fence.
//   [rest]     pass_on's fetch_add → wait's load of word_: a waiter that knows of this rest also sees the sums that made it.
//   [lowered]  enlist's count, fetch_or ↔ leave's fetch_and, look at waiters_: who comes while the bit is lowered either
//              sets it again, or is seen. And who comes after it sees what the leaver saw: the threads that ended
//              something may be gone without a fence, stopped by whoever saw the rest. The same between two leavers, the one's
//              count and fetch_and ↔ the other's fetch_or and heavy fence, look at waiters_: who raises the bit for somebody that has
//              lowered it before, and will not again, sees that he has gone.
#pragma once

#include "futex.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class quiescence {
 public:
  using word = typename A::template atomic<std::uint32_t>;

  quiescence(word& attention, std::uint32_t bit) noexcept : attention_(attention), bit_(bit) {}

  /// After the count of an end, or of a submit that was taken back: must the caller tell()?
  bool asked() const noexcept {
    A::light_or_full_fence();  // [quiesce] ↔ enlist
    return (attention_.load(relaxed) & bit_) != 0;
  }

  /// Wakes the waiters if it is so. Whether it is.
  template <class AtRest>
  bool tell(AtRest&& at_rest) noexcept {
    A::fence_seq_cst();  // [quiesce] ↔ another tell, enlist
    if (!at_rest()) return false;
    pass_on();
    return true;
  }

  /// From here on whoever ends something tells. Without a leave() it stays so.
  void enlist() noexcept {
    waiters_.fetch_add(1, relaxed);
    attention_.fetch_or(bit_, release);  // [lowered] not only where the bit seems clear: an old view of it would lose it
    A::heavy_fence();                    // [quiesce] ↔ asked  [lowered] acquires what fetch_or has read
  }

  /// Makes the waiters ask left() again.
  void look_again() noexcept { pass_on(); }

  /// Sleeps until there is rest, or left() says 0 (nanoseconds; forever). True: there was.
  template <class AtRest, class Left>
  bool wait(AtRest&& at_rest, Left&& left) noexcept {
    enlist();
    bool rest = false;
    for (;;) {
      const std::uint32_t seen = word_.load(acquire);  // [rest] ← tell
      if ((rest = at_rest())) break;
      const std::int64_t ns = left();
      if (ns == 0) break;
      A::wait(word_, seen, ns);
    }
    leave(at_rest, rest);
    return rest;
  }

 private:
  friend class diagnosis;
  void pass_on() noexcept {
    word_.fetch_add(1, release);  // [rest] → wait
    A::wake(&word_, 1 << 30);
  }
  template <class AtRest>
  void leave(AtRest&& at_rest, bool rest) noexcept {
    if (waiters_.fetch_sub(1, relaxed) != 1) {
      if (rest) pass_on();  // the threads that would tell the others may be stopped by whoever has seen it
      return;
    }
    for (;;) {
      attention_.fetch_and(~bit_, acq_rel);  // [lowered] ↔ enlist, another leave
      if (waiters_.load(relaxed) == 0) return;
      attention_.fetch_or(bit_, relaxed);  // somebody came meanwhile, and who ended something then may have missed him
      A::heavy_fence();                    // [quiesce] ↔ asked  [lowered] acquires what fetch_or has read
      tell(at_rest);
      if (waiters_.load(relaxed) != 0) return;  // he lowers it
    }
  }

  word& attention_;
  const std::uint32_t bit_;
  word word_{0}, waiters_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
