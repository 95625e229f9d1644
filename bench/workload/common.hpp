// A workload is written once, over a peer: a type whose static functions are the fork primitives of one library.
//   Peer::both(f, g)               runs both, returns the pair of their values
//   Peer::fork(f, g, …)            runs all, returns when all have ended
//   Peer::fork_each(n, f)          f(0) … f(n - 1)
//   Peer::for_range(a, b, g, f)    f(i) for i in [a, b), at least g indices a piece
// It offers
//   run<Peer>()    the answer; called where the peer's forks work
//   check(answer)  whether that is right
//   warm<Peer>()   a small run of the same code, to be thrown away
// Recursive functions are neither inlined nor cloned, for any peer: what is compared is the fork.
#pragma once

#include <cstdint>

#if defined(__clang__)
#define BENCH_NOINLINE [[gnu::noinline]]
#else
#define BENCH_NOINLINE [[gnu::noinline, gnu::noclone]]
#endif

namespace bench {

// A finaliser of splitmix64: every bit of the result depends on every bit of x.
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

}  // namespace bench
