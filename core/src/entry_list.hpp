// Callers of run(): jobs on their stacks, in one list that goes ahead of all lanes. Layer 3.
//
// State
//   head_      the waiting entries, the newest first
//   a bit in the attention word   there may be some
//   Entry::latch   0 | asleep (its caller sleeps) | done, refused: over, the caller may take its frame away
//
// Invariants
//   I1  while the list is not empty the bit is set, or somebody is about to set it or to take the list.
//   I2  finish()'s exchange is the last use of the entry: the wake that may follow needs its address only.
//
// Edges
//   [entry]  push's compare-exchange → take's exchange: the job. finish's exchange → the acquire loads of its caller: the
//            result. push's fetch_or ↔ take's fetch_and, which comes before its looks at the list: either the bit stays set, or
//            the taker sees the entry.
#pragma once

#include "futex.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

// Entry::latch
inline constexpr std::uint32_t entry_asleep = 1, entry_done = 2, entry_refused = 3;

template <class A, class Entry>
class entry_list {
 public:
  using word = typename A::template atomic<std::uint32_t>;

  entry_list(word& attention, std::uint32_t bit) noexcept : attention_(attention), bit_(bit) {}

  void push(Entry& e) noexcept {
    Entry* seen = head_.load(relaxed);
    do e.next = seen;
    while (!head_.compare_exchange_weak(seen, &e, release, relaxed));  // [entry] → take
    attention_.fetch_or(bit_, release);  // [entry] not only where the bit seems clear: an old view of it would lose it
  }

  /// The oldest of them, or null; `others`: whether some went back. Who holds the list is awake, and looks again.
  Entry* take(bool& others) noexcept {
    others = false;
    attention_.fetch_and(~bit_, acquire);  // [entry] ← push
    if (empty()) return nullptr;           // another has taken them: no need to write the line of the callers' list
    Entry* newest_first = head_.exchange(nullptr, acquire);  // [entry] ← push
    Entry* list = nullptr;
    while (newest_first != nullptr) {
      Entry* const next = newest_first->next;
      newest_first->next = list;
      list = newest_first;
      newest_first = next;
    }
    Entry* const oldest = list;
    others = oldest != nullptr && oldest->next != nullptr;
    if (others)
      for (Entry* e = oldest->next; e != nullptr;) {
        Entry* const next = e->next;
        push(*e);
        e = next;
      }
    return oldest;
  }
  bool empty() const noexcept { return head_.load(relaxed) == nullptr; }  // a hint, unless fenced by the caller

  // ---- the latch ----
  static void finish(Entry& e, std::uint32_t how) noexcept {
    word* const latch = &e.latch;
    if (latch->exchange(how, release) == entry_asleep) A::wake(latch, 1);  // [entry] → is_over, sleep
  }
  static bool is_over(const Entry& e) noexcept { return e.latch.load(acquire) >= entry_done; }  // [entry] ← finish

  /// Its caller: sleeps until it is over, or left() says 0 (nanoseconds; forever). True: it is over.
  template <class Left>
  static bool sleep(Entry& e, Left&& left) noexcept {
    for (;;) {
      std::uint32_t seen = e.latch.load(acquire);  // [entry] ← finish
      if (seen >= entry_done) return true;
      if (seen == 0 && !e.latch.compare_exchange_weak(seen, entry_asleep, relaxed, relaxed)) continue;
      const std::int64_t ns = left();
      if (ns == 0) return false;
      A::wait(e.latch, entry_asleep, ns);
    }
  }

 private:
  word& attention_;
  const std::uint32_t bit_;
  typename A::template atomic<Entry*> head_{nullptr};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
