// Entries that wait for one of a few turns: the queue of a strand or limit. Layer 3.
//
//   push ─► inbox ─► list ─► next, asked by a turn
//
// A turn takes entries one after the other until there are none. Whoever pushes while a turn more could run is told to start
// it; what starting means is the caller's business.
//
// State
//   inbox_          what was pushed and nobody has looked at yet; lock-free (inbox.hpp)
//   first_, last_   the list, oldest first; under the lock
//   turns_          started and not over; counted only where there may be several; under the lock
//
// Invariants
//   I1  an entry leaves the list once, under the lock.
//   I2  while inbox or list hold something there is a turn, or a push is about to start one.
//   I3  at most `most` turns. hungry ⇔ turns_ < most, but for the moment between a push that took it away and its launch().
//   I4  an entry that comes while a turn more could run gets one: launch() counts entries, not pushes, and when it sets
//       hungry again, it looks whether something came that found it missing.
//
// Edges: the lock's and the inbox's. What one turn of a single one did is visible to the next, see inbox.hpp.
#pragma once

#include "inbox.hpp"

#include <algorithm>
#include <mutex>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class Entry>
class turnstile {
 public:
  explicit turnstile(unsigned most) noexcept : most_(most) {}
  unsigned most() const noexcept { return most_; }

  /// Anybody: `newest`, and what is linked behind it down to `oldest`. So many turns the caller is to start.
  unsigned push(Entry& newest, Entry& oldest) noexcept {
    if (!inbox_.push(newest, oldest)) return 0;
    return most_ == 1 ? 1 : launch();
  }

  // ---- a turn ----

  /// The oldest entry; null: there is none, and the turn is over. Or `goes_on`, which is asked when there is one, and sees what came
  /// before it was pushed, says no: then it is not over.
  template <class GoesOn>
  Entry* next(GoesOn&& goes_on) noexcept {
    const std::lock_guard lock(mutex_);
    if (over() || !goes_on()) return nullptr;
    return pop();
  }
  /// The turn is over if nothing is left. Otherwise it is to go on, there or elsewhere.
  bool over_if_empty() noexcept {
    const std::lock_guard lock(mutex_);
    return over();
  }

  /// Does anything wait that nobody has taken yet?
  bool any() noexcept {
    const std::lock_guard lock(mutex_);
    return first_ != nullptr || !inbox_.empty();
  }

  // ---- who shuts down, or takes not everything ----

  /// The oldest entry that `wanted` says, or null. No turn begins or ends.
  template <class Wanted>
  Entry* take_if(Wanted&& wanted) noexcept {
    const std::lock_guard lock(mutex_);
    collect();
    Entry* before = nullptr;
    for (Entry* e = first_; e != nullptr; before = e, e = e->next.load(relaxed)) {
      if (!wanted(*e)) continue;
      Entry* const after = e->next.load(relaxed);
      if (before != nullptr) before->next.store(after, relaxed);
      else first_ = after;
      if (last_ == e) last_ = before;
      --size_;
      return e;
    }
    return nullptr;
  }
  /// A turn is over though something may be left: another one has it.
  void end_turn() noexcept {
    const std::lock_guard lock(mutex_);
    --turns_;
    inbox_.ask();
  }

  /// Takes out whatever `unwanted` says, linked; `left` so many stay.
  template <class Unwanted>
  Entry* sweep(Unwanted&& unwanted, std::size_t& left) noexcept {
    const std::lock_guard lock(mutex_);
    collect();
    Entry* const out = remove(unwanted);
    left = size_;
    return out;
  }

 private:
  friend class diagnosis;

  bool over() noexcept {
    while (first_ == nullptr) {
      if (inbox_.rest()) {
        if (most_ > 1) --turns_;
        return true;
      }
      collect();
    }
    return false;
  }
  Entry* pop() noexcept {
    Entry* const e = first_;
    first_ = e->next.load(relaxed);
    if (first_ == nullptr) last_ = nullptr;
    --size_;
    return e;
  }
  void collect() noexcept { append(inbox_.take()); }
  void append(const typename inbox<A, Entry>::chain& c) noexcept {
    if (c.first == nullptr) return;
    if (last_ != nullptr) last_->next.store(c.first, relaxed);
    else first_ = c.first;
    last_ = c.last;
    size_ += c.size;
  }
  // What was taken out, oldest first.
  template <class Unwanted>
  Entry* remove(Unwanted&& unwanted) noexcept {
    typename inbox<A, Entry>::chain kept, out;
    for (Entry *e = first_, *next; e != nullptr; e = next) {
      next = e->next.load(relaxed);
      auto& to = unwanted(*e) ? out : kept;
      e->next.store(nullptr, relaxed);
      if (to.last != nullptr) to.last->next.store(e, relaxed);
      else to.first = e;
      to.last = e;
      ++to.size;
    }
    first_ = kept.first;
    last_ = kept.last;
    size_ = kept.size;
    return out.first;
  }
  // After a push that took hungry away.
  unsigned launch() noexcept {
    const std::lock_guard lock(mutex_);
    unsigned more = 0;
    for (;;) {
      collect();
      const auto wanted = std::min<std::size_t>(most_ - turns_, size_ > more ? size_ - more : 0);
      turns_ += static_cast<unsigned>(wanted);
      more += static_cast<unsigned>(wanted);
      if (turns_ == most_) return inbox_.hush(), more;
      if (inbox_.ask()) return more;
    }
  }

  inbox<A, Entry> inbox_;
  const unsigned most_;
  alignas(cache_line) typename A::mutex mutex_;
  Entry *first_ = nullptr, *last_ = nullptr;
  std::size_t size_ = 0;  // of the list
  unsigned turns_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
