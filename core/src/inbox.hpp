// What any thread gives to a gate, and one at a time takes out. Layer 2.
//
// State
//   head_   the newest entry; each points at the one before it. Bit 0: hungry, whoever pushes next is to start a turn
//
// Invariants
//   I1  only who holds the gate's lock takes entries or sets hungry. Anybody pushes, and a push takes hungry away.
//   I2  rest() sets hungry in the same step in which it sees that there is nothing. So of a gate without a turn the first
//       push is told, and no other before that turn is over.
//
// Edges
//   [inbox]  push's compare-exchange → take's: the entries, those of earlier pushes, too (all changes of the word between are
//            read-modify-writes, so they continue the release sequence).
// hungry publishes nothing: what one turn did is visible to the next, because both hold the gate's lock, the next one after
// it was started, that is after the push that read hungry, which comes after rest().
// No ABA: entries leave only all at once.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

// Entry::next is an atomic pointer; entries are aligned to 2 at least.
template <class A, class Entry>
class inbox {
 public:
  struct chain {
    Entry *first = nullptr, *last = nullptr;  // the oldest, the newest
    std::size_t size = 0;
  };

  /// Anybody: `newest`, and what was linked behind it down to `oldest`. True: the caller starts a turn.
  bool push(Entry& newest, Entry& oldest) noexcept {
    std::uintptr_t seen = head_.load(relaxed);
    do oldest.next.store(entry_of(seen), relaxed);
    while (!head_.compare_exchange_weak(seen, reinterpret_cast<std::uintptr_t>(&newest), release, relaxed));  // [inbox] → take
    return (seen & hungry) != 0;
  }

  // ---- under the lock ----

  /// All there is, oldest first. Leaves hungry as it is.
  chain take() noexcept {
    std::uintptr_t seen = head_.load(relaxed);
    do
      if (entry_of(seen) == nullptr) return {};
    while (!head_.compare_exchange_weak(seen, seen & hungry, acquire, relaxed));  // [inbox] ← push
    chain c;
    for (Entry* e = entry_of(seen); e != nullptr;) {
      Entry* const older = e->next.load(relaxed);
      e->next.store(c.first, relaxed);
      if (c.first == nullptr) c.last = e;
      c.first = e;
      ++c.size;
      e = older;
    }
    return c;
  }
  /// True: there was nothing, and the next push is told so. False: take().
  bool rest() noexcept {
    std::uintptr_t seen = head_.load(relaxed);
    while (entry_of(seen) == nullptr)
      if (seen == hungry || head_.compare_exchange_weak(seen, hungry, relaxed, relaxed)) return true;
    return false;
  }
  /// For gates with several turns: one more may be started, or not. What ask() finds came unasked: it is for the caller, or for the
  /// turns that there are.
  bool ask() noexcept { return entry_of(head_.fetch_or(hungry, relaxed)) == nullptr; }
  void hush() noexcept { head_.fetch_and(~hungry, relaxed); }

  bool empty() const noexcept { return entry_of(head_.load(relaxed)) == nullptr; }  // a hint

 private:
  static constexpr std::uintptr_t hungry = 1;
  static Entry* entry_of(std::uintptr_t w) noexcept { return reinterpret_cast<Entry*>(w & ~hungry); }
  typename A::template atomic<std::uintptr_t> head_{hungry};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
