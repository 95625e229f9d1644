// One thread at a time does what several ask for; the others wait until it is over. Layer 3.
//
// State    led_, word_: under the lock of whoever owns this; word_ is also the futex of those who wait, and counts how often it was over
// Edges: the lock's. Who waits has read the word under the lock while what he waits for was not so (somebody led; or, for the leader,
// others were at work for him); who changes that changes the word under the lock: so the one who waits expects an old value, and never sleeps past the change.
#pragma once

#include "futex.hpp"

#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class leader {
 public:
  // All of these under the lock.
  bool led() const noexcept { return led_; }
  /// True: the caller leads, and calls leave() when it is over.
  bool take() noexcept { return !std::exchange(led_, true); }
  template <class Lock>
  void leave(Lock& held) noexcept {  // lets go of the lock
    led_ = false;
    word_.fetch_add(1, relaxed);
    held.unlock();
    A::wake(&word_, 1 << 30);
  }
  /// Who waits looks again.
  void tell() noexcept {
    word_.fetch_add(1, relaxed);
    A::wake(&word_, 1 << 30);
  }
  /// Until somebody has left, or so many nanoseconds, or for no reason; without the lock meanwhile.
  template <class Lock>
  void wait(Lock& held, std::int64_t ns) noexcept {
    const std::uint32_t seen = word_.load(relaxed);
    held.unlock();
    A::wait(word_, seen, ns);
    held.lock();
  }

 private:
  bool led_ = false;
  typename A::template atomic<std::uint32_t> word_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
