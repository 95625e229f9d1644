// A worker's place to sleep: a parker, and the word of whoever claimed the worker among the idle. Layer 3.
//
// A claim counts the worker as searching on its behalf (idle.hpp), and its search may end only after that count. So a worker that
// wakes up, for whatever reason, and finds itself claimed waits until its waker says that he has counted.
//
// Edges
//   [rouse]  rouse's store → await_waker's exchange: what the waker did before is done. The token that ends the sleep is
//            left after the store, and may be taken before it was meant: so the flag says it, not the token.
#pragma once

#include "parker.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class sleeper : public parker<A> {
 public:
  /// Whoever claimed it, once.
  void rouse() noexcept {
    roused_.store(true, release);  // [rouse] → await_waker
    this->unpark();
  }
  /// The owner, after it has found itself claimed.
  void await_waker() noexcept {
    while (!roused_.exchange(false, acquire)) this->park();  // [rouse] ← rouse
  }
  bool roused() const noexcept { return roused_.load(relaxed); }

 private:
  typename A::template atomic<bool> roused_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
