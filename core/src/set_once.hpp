// A word that is given a value once, by whoever is first; what it points at is made when somebody asks for it. Layer 1.
//
// Edges
//   [lazy]  set_once's compare-exchange → its own failure and look's load: what the value points at is built.
#pragma once

#include <weir/detail/atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class Word>
typename Word::value_type look(const Word& w) noexcept {
  return w.load(acquire);  // [lazy] ← set_once
}
/// True: `mine` is there now. False: somebody was quicker, and `seen` is what is there.
template <class Word>
bool set_once(Word& w, typename Word::value_type& seen, typename Word::value_type mine) noexcept {
  return w.compare_exchange_strong(seen, mine, release, acquire);  // [lazy] → look
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
