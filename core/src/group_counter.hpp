// How many children of a group have not ended, and the sleep of who waits for them. Layer 3.
//
// State, under the group's lock
//   alive_    children that were added, and whose end the group has not been told of
//   waits_    somebody sleeps who would also take a child that becomes startable
//   word_     the futex; counts the rests, and the starts while somebody sleeps. Read and written under the lock only,
//             but for the futex's own look.
//
// Invariants
//   I1  a sleeper's expected value was read under the lock while children were alive; whoever changes what the sleeper
//       waits for changes the word under the lock, and wakes before or after: so it never sleeps past the change.
//   I2  ended()'s caller keeps the group alive until ended() has returned; the waiter may free its own share as soon as it
//       has seen the rest.
//
// Edges: the lock's. What a child wrote is visible to whoever has seen under the lock that it has ended. [rest] is the one
// look that takes no lock.
//   [rest]  ended's fetch_add ↔ sleep's look at the word under the lock, which the futex compares with.
#pragma once

#include "futex.hpp"

#include <mutex>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class group_counter {
 public:
  using mutex_type = typename A::mutex;
  explicit group_counter(mutex_type& m) noexcept : mutex_(m) {}

  // ---- under the lock ----
  /// True: the first one of a new round.
  bool add() noexcept { return ++alive_ == 1; }
  std::size_t alive() const noexcept { return alive_; }
  /// A child has become startable: whoever waits on a worker may run it.
  void startable() noexcept {
    if (!waits_) return;
    waits_ = false;
    change();
  }
  /// True: that was the last one.
  bool ended() noexcept {
    if (--alive_ != 0) return false;
    change();
    return true;
  }

  // ---- anybody ----
  bool over() const noexcept {
    const std::lock_guard lock(mutex_);
    return alive_ == 0;
  }
  /// Sleeps once, unless all have ended or take() (asked under the lock) has something to run; then: false.
  template <class Take>
  bool sleep(std::int64_t ns, Take&& take) noexcept {
    std::uint32_t seen;
    {
      const std::lock_guard lock(mutex_);
      if (alive_ == 0 || take()) return false;
      waits_ = true;
      seen = word_.load(relaxed);  // [rest]
    }
    A::wait(word_, seen, ns);
    return true;
  }

 private:
  void change() noexcept {
    word_.fetch_add(1, relaxed);  // [rest] → sleep
    A::wake(&word_, 1 << 30);
  }

  mutex_type& mutex_;
  std::size_t alive_ = 0;
  bool waits_ = false;
  typename A::template atomic<std::uint32_t> word_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
