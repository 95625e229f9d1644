// One thread's place to sleep: a binary token, as in std::thread::park of Rust. Layer 3.
//
// State    word_: empty | parked (the owner sleeps or is about to) | notified (a token waits)
// I1       only the owner leaves empty for parked and notified for empty.
// Edges
//   [token]  unpark's exchange ↔ park's exchange and compare-exchange: what the waker wrote before is visible after.
// Liveness: an unpark before the owner's compare-exchange makes it fail; one after it finds parked and wakes the futex,
// whose kernel-side check of the word closes the gap to the sleep. Tokens may be stale: every caller loops.
#pragma once

#include "futex.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class parker {
 public:
  /// Owner: returns once a token is there, and takes it; false when `nanoseconds` passed first.
  bool park(std::int64_t nanoseconds = forever) noexcept {
    std::uint32_t seen = empty;
    if (word_.compare_exchange_strong(seen, parked, relaxed, relaxed)) {
      A::wait(word_, parked, nanoseconds);
      while (nanoseconds == forever && word_.load(relaxed) == parked) A::wait(word_, parked, forever);
    }
    return word_.exchange(empty, acquire) == notified;  // [token] ← unpark
  }

  /// Anybody: leaves a token, wakes the owner if it sleeps. True when that took a system call.
  bool unpark() noexcept {
    if (word_.exchange(notified, release) != parked) return false;  // [token] → park
    A::wake(word_);
    return true;
  }

 private:
  friend class diagnosis;
  static constexpr std::uint32_t empty = 0, parked = 1, notified = 2;
  typename A::template atomic<std::uint32_t> word_{empty};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
