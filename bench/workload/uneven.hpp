// A loop whose iterations differ: most take 30 ns, one in 64 takes a hundred times as long, and they come in clusters.
#pragma once

#include "common.hpp"

#include <cstddef>
#include <vector>

namespace bench {

class uneven {
 public:
  static constexpr const char* name = "uneven";

  explicit uneven(unsigned indices) : out_(indices) {}
  template <class Peer>
  std::uint64_t run() {
    Peer::for_range(std::size_t{0}, out_.size(), 0, [this](std::size_t i) { out_[i] = cost(i); });
    std::uint64_t sum = 0;
    for (const std::uint64_t x : out_) sum ^= x;
    return sum;
  }
  template <class Peer>
  void warm() {
    static_cast<void>(run<Peer>());
  }
  bool check(std::uint64_t answer) const {
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < out_.size(); ++i) sum ^= cost(i);
    return answer == sum;
  }

 private:
  BENCH_NOINLINE static std::uint64_t cost(std::size_t i) noexcept {
    const bool heavy = mix(i / 32) % 64 == 0;
    std::uint64_t s = i;
    for (int round = heavy ? 1200 : 12; round > 0; --round) s = mix(s + 0x9e3779b97f4a7c15u);
    return s;
  }
  std::vector<std::uint64_t> out_;
};

}  // namespace bench
