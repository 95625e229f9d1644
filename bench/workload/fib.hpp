// The price of a fork: nothing is done but forking. fib(n) makes about 1.6 × fib(n) forks.
#pragma once

#include "common.hpp"

#include <utility>

namespace bench {

// Arguments and results of one width, as in the public suite: with a 32-bit n clang 19 keeps n in a saved register in front of
// the leaf's return, whose price (1.5 to 1.9 × serial in place of 1.25) has nothing to do with forks.
template <class Peer>
BENCH_NOINLINE std::uint64_t fib_of(std::uint64_t n) {
  if (n < 2) return n;
  const auto [x, y] = Peer::both([n] { return fib_of<Peer>(n - 1); }, [n] { return fib_of<Peer>(n - 2); });
  return x + y;
}

struct fib {
  static constexpr const char* name = "fib";
  unsigned n;

  explicit fib(unsigned size) : n(size) {}
  template <class Peer>
  std::uint64_t run() const {
    return fib_of<Peer>(n);
  }
  template <class Peer>
  void warm() const {
    static_cast<void>(fib_of<Peer>(n > 7 ? n - 5 : n));
  }
  bool check(std::uint64_t answer) const {
    std::uint64_t a = 0, b = 1;
    for (unsigned i = 0; i < n; ++i) a = std::exchange(b, a + b);
    return answer == a;
  }
};

}  // namespace bench
