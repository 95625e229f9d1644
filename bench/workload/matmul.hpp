// Bound by compute and caches: recursive multiplication of integer matrices, four quarters at a time, twice; 32 × 32 is
// multiplied by plain loops. After the public runtime-benchmarks suite, which has it from coros.
#pragma once

#include "common.hpp"

#include <cstddef>
#include <vector>

namespace bench {

// Unsigned, so that a wrong product cannot be undefined; `pitch` is the width of the whole matrix.
BENCH_NOINLINE inline void matmul_small(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* c, std::size_t n,
                                        std::size_t pitch) {
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t k = 0; k < n; ++k)
      for (std::size_t j = 0; j < n; ++j) c[i * pitch + j] += a[i * pitch + k] * b[k * pitch + j];
}

template <class Peer>
BENCH_NOINLINE void matmul_of(const std::uint32_t* a, const std::uint32_t* b, std::uint32_t* c, std::size_t n,
                              std::size_t pitch) {
  if (n <= 32) return matmul_small(a, b, c, n, pitch);
  const std::size_t k = n / 2, down = k * pitch;
  Peer::fork([=] { matmul_of<Peer>(a, b, c, k, pitch); },                //
             [=] { matmul_of<Peer>(a, b + k, c + k, k, pitch); },        //
             [=] { matmul_of<Peer>(a + down, b, c + down, k, pitch); },  //
             [=] { matmul_of<Peer>(a + down, b + k, c + down + k, k, pitch); });
  Peer::fork([=] { matmul_of<Peer>(a + k, b + down, c, k, pitch); },          //
             [=] { matmul_of<Peer>(a + k, b + down + k, c + k, k, pitch); },  //
             [=] { matmul_of<Peer>(a + down + k, b + down, c + down, k, pitch); },
             [=] { matmul_of<Peer>(a + down + k, b + down + k, c + down + k, k, pitch); });
}

class matmul {
 public:
  static constexpr const char* name = "matmul";

  // size: a power of two, at least 32
  explicit matmul(unsigned size) : n_(size), a_(n_ * n_), b_(n_ * n_), c_(n_ * n_) {
    for (std::size_t i = 0; i < n_ * n_; ++i) {
      a_[i] = static_cast<std::uint32_t>(mix(i) & 15);
      b_[i] = static_cast<std::uint32_t>(mix(~i) & 15);
    }
  }
  template <class Peer>
  std::uint64_t run() {
    matmul_of<Peer>(a_.data(), b_.data(), c_.data(), n_, n_);
    return ++runs_;
  }
  template <class Peer>
  void warm() {
    matmul_of<Peer>(a_.data(), b_.data(), c_.data(), n_ >= 256 ? n_ / 4 : n_, n_);
    c_.assign(n_ * n_, 0);
  }
  // Each run adds the product once more. Freivalds: c·v = runs × a·(b·v) for a random v, modulo 2^32.
  bool check(std::uint64_t answer) const {
    std::vector<std::uint32_t> v(n_);
    for (std::size_t i = 0; i < n_; ++i) v[i] = static_cast<std::uint32_t>(mix(i * 3 + 1)) | 1u;
    std::vector<std::uint32_t> expected = times(a_, times(b_, v));
    for (std::uint32_t& x : expected) x *= static_cast<std::uint32_t>(answer);
    return answer == runs_ && times(c_, v) == expected;
  }

 private:
  std::vector<std::uint32_t> times(const std::vector<std::uint32_t>& m, const std::vector<std::uint32_t>& v) const {
    std::vector<std::uint32_t> r(n_);
    for (std::size_t i = 0; i < n_; ++i)
      for (std::size_t j = 0; j < n_; ++j) r[i] += m[i * n_ + j] * v[j];
    return r;
  }
  std::size_t n_;
  std::vector<std::uint32_t> a_, b_, c_;
  std::uint64_t runs_ = 0;
};

}  // namespace bench
