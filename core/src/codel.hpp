// Whether tasks wait too long in the queue: CoDel (Nichols and Jacobson, "Controlling Queue Delay", ACM Queue 10(5), 2012), as
// folly::Codel applies it to tasks instead of packets. Layer 3.
//
// A queue that is long for a moment does its work; one in which even the shortest wait is long only adds latency. So the least wait
// of each interval is compared with the target: if it was above, the runtime is overloaded for the interval that follows, and
// meanwhile whatever has waited longer than twice the target is shed. (CoDel proper drops more and more often until the
// senders slow down; a task has no sender that would notice.) What folly does not do: an interval counts only if the first task that is taken after it
// was queued before its end. So an overload ends with the queue, and one of yesterday sheds nothing today.
//
// State
//   end_         when the interval is over; whoever moves it closes the interval
//   least_       the least wait of the interval
//   overloaded_  what the last interval came to
//
// Edges: none. Each word is a fact of its own and publishes nothing. A wait that is noted while another thread closes the interval may
// count in the wrong one of the two, which sheds less, or none; a closer that is held up for a whole interval judges by the next one's waits.
#pragma once

#include <weir/detail/atomics.hpp>

#include <algorithm>
#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class codel {
 public:
  static constexpr std::int64_t shortest_interval =
      100'000'000;  // ns, folly's; of the order of what a client waits before it gives up

  /// ns; 0: off.
  explicit codel(std::int64_t target) noexcept : target_(target), interval_(std::max(shortest_interval, target)) {}

  bool on() const noexcept { return target_ != 0; }

  /// A task that was queued at `queued` is taken at `now`. True: it has waited too long.
  bool sheds(std::int64_t queued, std::int64_t now) noexcept {
    const std::int64_t wait = std::max<std::int64_t>(0, now - queued);
    std::int64_t end = end_.load(relaxed);
    if (now >= end && end_.compare_exchange_strong(end, now + interval_, relaxed, relaxed)) {
      const std::int64_t least = least_.exchange(wait, relaxed);
      overloaded_.store(queued < end && least > target_, relaxed);
    } else {
      std::int64_t least = least_.load(relaxed);
      while (wait < least && !least_.compare_exchange_weak(least, wait, relaxed, relaxed)) {}
    }
    return overloaded_.load(relaxed) && wait > 2 * target_;
  }

  /// What the last interval came to, unless nothing has been taken for as long as one since then.
  bool overloaded(std::int64_t now) const noexcept {
    return overloaded_.load(relaxed) && now < end_.load(relaxed) + interval_;
  }

  /// As in the beginning.
  void reset() noexcept {
    overloaded_.store(false, relaxed);
    end_.store(0, relaxed);
  }

 private:
  template <class T>
  using atomic = typename A::template atomic<T>;
  const std::int64_t target_, interval_;
  alignas(cache_line) atomic<std::int64_t> end_{0};
  atomic<std::int64_t> least_{0};
  atomic<bool> overloaded_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
