// Who waits for a job that a worker has stolen, and is told of what that worker exposes. Layer 3.
//
// At most one: others that wait for the same thief sleep until their own job has ended. A number that is read late costs
// somebody a token that he did not need.
//
// Edges
//   [bell]  split_deque.hpp's: silence, exposure, fence, look at the number ↔ the number, fence, the bell, heavy fence, look at the deque. Either
//           the thief sees its follower; or the follower sees the job, or that the bell is silent, and rings.
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
    const bool leads = who_.compare_exchange_strong(seen, me, relaxed, relaxed);
    A::fence_seq_cst();  // [bell] ↔ answer_bell
    return leads;
  }
  void end() noexcept { who_.store(nobody, relaxed); }
  std::uint32_t who() const noexcept { return who_.load(relaxed); }

 private:
  typename A::template atomic<std::uint32_t> who_{nobody};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
