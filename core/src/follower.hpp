// Who waits for a job that a worker has stolen, and is told of what that worker exposes. Layer 3.
//
// At most one: others that wait for the same thief sleep until their own job has ended. A number that is read late costs
// somebody a token that he did not need.
//
// Edges: those of the deque. An exposure, fence, look at the number ↔ the number, the bell, heavy fence, look at the deque
// (split_deque's answer_bell() and ring_and_look()): either the thief sees its follower, or the follower sees the job.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class follower {
 public:
  static constexpr std::uint32_t nobody = ~std::uint32_t{0};

  /// False: somebody else follows already.
  bool begin(std::uint32_t me) noexcept {
    std::uint32_t seen = nobody;
    return who_.compare_exchange_strong(seen, me, relaxed, relaxed);
  }
  void end() noexcept { who_.store(nobody, relaxed); }
  std::uint32_t who() const noexcept { return who_.load(relaxed); }

 private:
  typename A::template atomic<std::uint32_t> who_{nobody};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
