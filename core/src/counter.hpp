// Counts that are summed up: tasks submitted, started, ended. Layer 3.
//
// Nobody adds to a count that another thread adds to for each task: each worker and each lease has its own. The few that
// come from anywhere share one.
//
// Edges
//   [done]  add's store or fetch_add → get's load: who has seen a task counted as ended sees what it did, and all that it
//           had counted as submitted before; who has seen a count of what was taken back (lease::returned) sees that it had been
//           counted. sub() publishes nothing, so it is relaxed: no reader relies on an order from a count that it lowers.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

/// Written by one thread, read by any.
template <class A>
class own_counter {
 public:
  void add(std::uint64_t n = 1) noexcept { n_.store(n_.load(relaxed) + n, release); }  // [done] → get
  void sub(std::uint64_t n = 1) noexcept { n_.store(n_.load(relaxed) - n, relaxed); }
  std::uint64_t get() const noexcept { return n_.load(acquire); }  // [done] ← add

 private:
  typename A::template atomic<std::uint64_t> n_{0};
};

/// Written by any thread: for what is rare.
template <class A>
class shared_counter {
 public:
  void add(std::uint64_t n = 1) noexcept { n_.fetch_add(n, release); }  // [done] → get
  void sub(std::uint64_t n = 1) noexcept { n_.fetch_sub(n, relaxed); }
  std::uint64_t get() const noexcept { return n_.load(acquire); }  // [done] ← add

 private:
  typename A::template atomic<std::uint64_t> n_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
