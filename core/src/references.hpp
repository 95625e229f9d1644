// How many hold a thing; the last one destroys it. Layer 1.
//
// Edges
//   [refs]  a holder's fetch_sub ↔ the last one's: every holder's last use comes before the destruction.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

/// The caller holds one already, or borrows somebody's.
template <class Word>
void add_reference(Word& refs) noexcept {
  refs.fetch_add(1, relaxed);
}
/// False: there are none any more, the thing is going. The caller sees to it that the word is still there.
template <class Word>
bool try_add_reference(Word& refs) noexcept {
  typename Word::value_type n = refs.load(relaxed);
  while (n != 0)
    if (refs.compare_exchange_weak(n, n + 1, relaxed, relaxed)) return true;
  return false;
}
/// Lets go of n. True: they were the last ones.
template <class Word>
bool drop_references(Word& refs, typename Word::value_type n = 1) noexcept {
  return refs.fetch_sub(n, acq_rel) == n;  // [refs]
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
