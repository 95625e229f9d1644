// Wide forks: a tree in which every node forks ten, and 10^depth leaves return their number.
#pragma once

#include "common.hpp"

#include <array>
#include <cstddef>

namespace bench {

template <class Peer>
BENCH_NOINLINE std::uint64_t skynet_of(std::uint64_t base, std::uint64_t leaves) {
  if (leaves == 1) return base;
  const std::uint64_t part = leaves / 10;
  std::array<std::uint64_t, 10> sums;
  Peer::fork_each(10, [&sums, base, part](std::size_t i) { sums[i] = skynet_of<Peer>(base + part * i, part); });
  std::uint64_t sum = 0;
  for (const std::uint64_t s : sums) sum += s;
  return sum;
}

struct skynet {
  static constexpr const char* name = "skynet";
  std::uint64_t leaves = 1;

  explicit skynet(unsigned depth) {
    for (unsigned i = 0; i < depth; ++i) leaves *= 10;
  }
  template <class Peer>
  std::uint64_t run() const {
    return skynet_of<Peer>(0, leaves);
  }
  template <class Peer>
  void warm() const {
    static_cast<void>(skynet_of<Peer>(0, leaves >= 10 ? leaves / 10 : leaves));
  }
  bool check(std::uint64_t answer) const { return answer == leaves * (leaves - 1) / 2; }
};

}  // namespace bench
