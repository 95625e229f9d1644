// A number of places, exact, and a line of those who wait for one. Layer 3.
//
// State, under the lock
//   used_            of capacity_
//   first_, last_    the line: nodes on the stacks of those who wait, served in order
//   waiter::said     what the waiter was told; waiter::word its futex
//
// Invariants
//   I1  while somebody waits nobody else is let in: newcomers do not pass the line.
//   I2  a waiter leaves the line when it is answered, under the lock; it returns only after it has seen the answer under the
//       lock, so nobody uses its node afterwards but for the address, as a key.
//
// Edges: the lock's. [word] is the one look that takes no lock.
//   [word]  tell's store ↔ await's look under the lock, which the futex compares with: it sleeps only while nothing was said.
#pragma once

#include "futex.hpp"

#include <weir/error.hpp>

#include <mutex>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class room {
 public:
  struct waiter {
    waiter* next = nullptr;
    errc said{};           // none: nothing yet
    bool served = false;
    typename A::template atomic<std::uint32_t> word{0};
  };

  explicit room(std::size_t capacity) noexcept : capacity_(capacity) {}
  std::size_t capacity() const noexcept { return capacity_; }
  std::size_t used() const noexcept {
    const std::lock_guard lock(mutex_);
    return used_;
  }

  /// All n or none. False: so much is not free, or others wait for it.
  bool take(std::size_t n = 1) noexcept {
    const std::lock_guard lock(mutex_);
    if (first_ != nullptr || n > capacity_ - used_) return false;
    used_ += n;
    return true;
  }
  void give(std::size_t n = 1) noexcept {
    const std::lock_guard lock(mutex_);
    used_ -= n;
    while (first_ != nullptr && used_ < capacity_) {
      ++used_;
      first_->served = true;
      answer_first(errc{});
    }
  }

  /// True: the caller has one at once. False: it stands in the line, and must await().
  bool line_up(waiter& w) noexcept {
    const std::lock_guard lock(mutex_);
    if (shut_ != errc{}) return w.said = shut_, false;
    if (first_ == nullptr && used_ < capacity_) return ++used_, w.served = true;
    (last_ != nullptr ? last_->next : first_) = &w;
    last_ = &w;
    return false;
  }
  /// Until it is served (errc{}), turned away (what it was told), or left() says 0 (nanoseconds; forever): expired.
  template <class Left>
  errc await(waiter& w, Left&& left) noexcept {
    for (;;) {
      const std::int64_t ns = left();
      std::uint32_t seen;
      {
        const std::lock_guard lock(mutex_);
        if (w.served || w.said != errc{}) return w.said;
        if (ns == 0) return unlink(w), errc::expired;
        seen = w.word.load(relaxed);  // [word]
      }
      A::wait(w.word, seen, ns);
    }
  }
  /// Answers one that waits; false: it was answered before.
  bool turn_away(waiter& w, errc why) noexcept {
    const std::lock_guard lock(mutex_);
    if (w.served || w.said != errc{}) return false;
    unlink(w);
    w.said = why;
    tell(w);
    return true;
  }
  void turn_all_away(errc why) noexcept {
    const std::lock_guard lock(mutex_);
    while (first_ != nullptr) answer_first(why);
  }
  /// The same, for good: nobody waits any more.
  void shut(errc why) noexcept {
    const std::lock_guard lock(mutex_);
    shut_ = why;
    while (first_ != nullptr) answer_first(why);
  }

 private:
  void answer_first(errc said) noexcept {
    waiter& w = *first_;
    first_ = w.next;
    if (first_ == nullptr) last_ = nullptr;
    w.said = said;
    tell(w);
  }
  void tell(waiter& w) noexcept {
    w.word.store(1, relaxed);  // [word] ↔ await
    A::wake(&w.word, 1);
  }
  void unlink(waiter& w) noexcept {
    waiter* previous = nullptr;
    for (waiter* at = first_; at != nullptr; previous = at, at = at->next)
      if (at == &w) {
        (previous != nullptr ? previous->next : first_) = w.next;
        if (last_ == &w) last_ = previous;
        return;
      }
  }

  mutable typename A::mutex mutex_;
  const std::size_t capacity_;
  std::size_t used_ = 0;
  errc shut_{};  // why nobody may wait
  waiter *first_ = nullptr, *last_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
