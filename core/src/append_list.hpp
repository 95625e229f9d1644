// What is made when it is needed, up to a number that is known, and stays: one at a time appends, anybody goes through it without
// a lock. Layer 3.
//
// State    things_   room for all, made by the first append; never moves
//          count_    how many there are; written under the lock of whoever owns the list
// Edges
//   [append]  append's store of the count → each's load: what it looks at is built, and so is the place where it lies.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstddef>
#include <memory>
#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class T>
class append_list {
 public:
  // ---- under the lock ----
  /// Throws std::bad_alloc. There will never be more than `most`, which is the same each time.
  T& append(std::size_t most, std::unique_ptr<T> t) {
    if (things_ == nullptr) things_ = std::make_unique<std::unique_ptr<T>[]>(most);
    const std::size_t n = size();
    things_[n] = std::move(t);
    count_.store(n + 1, release);  // [append] → each
    return *things_[n];
  }
  std::size_t size() const noexcept { return count_.load(relaxed); }
  T& operator[](std::size_t i) const noexcept { return *things_[i]; }

  // ---- anybody ----
  template <class F>
  void each(F&& f) const {
    for (std::size_t i = 0, e = count_.load(acquire); i < e; ++i) f(*things_[i]);  // [append] ← append
  }

 private:
  std::unique_ptr<std::unique_ptr<T>[]> things_;
  typename A::template atomic<std::size_t> count_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
