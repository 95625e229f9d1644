// The workers of a runtime by their number: added one by one, never taken away, looked up by anybody. Layer 3.
//
// State
//   count_    those that there are
//   on_duty_  those below are on duty: what others may be told by number. It falls again when some are let go.
//
// Invariant   a slot is set before either number covers it, and for good.
// Edges
//   [slot]  add's two stores → at's and count's loads: what lies in a slot is built, for those who count the slots as for those
//           who were told a number by somebody else.
//   [duty]  set_on_duty → on_duty: whoever finds a number on duty finds its slot set.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class T, unsigned Max>
class slot_table {
 public:
  /// One thread at a time; i is the count.
  void add(unsigned i, T& t) noexcept {
    slots_[i].store(&t, release);   // [slot] → at
    count_.store(i + 1, release);   // [slot] → count
  }
  T* at(unsigned i) const noexcept { return slots_[i].load(acquire); }  // [slot] ← add
  unsigned count() const noexcept { return count_.load(acquire); }      // [slot] ← add
  void set_on_duty(unsigned n) noexcept { on_duty_.store(n, release); }      // [duty] → on_duty
  unsigned on_duty() const noexcept { return on_duty_.load(acquire); }  // [duty] ← set_on_duty

 private:
  typename A::template atomic<T*> slots_[Max]{};
  typename A::template atomic<unsigned> count_{0}, on_duty_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
