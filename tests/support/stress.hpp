// Seeds and sizes of stress tests.
//   WEIR_STRESS_SCALE  multiplies the rounds (default 1: each test takes at most about 2 s)
//   WEIR_STRESS_SEED   repeats a run as far as a schedule can be repeated
#pragma once

#include <sanitizers.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

#include <gtest/gtest.h>

namespace test {

inline double scale() {
  static const double s = [] {
    const char* text = std::getenv("WEIR_STRESS_SCALE");
    const double v = text == nullptr ? 1.0 : std::strtod(text, nullptr);
    return v > 0 ? v : 1.0;
  }();
  return s;
}

inline std::uint64_t seed() {
  static const std::uint64_t s = [] {
    if (const char* text = std::getenv("WEIR_STRESS_SEED"); text != nullptr) return static_cast<std::uint64_t>(std::strtoull(text, nullptr, 0));
    std::random_device device;
    return (static_cast<std::uint64_t>(device()) << 32) | device();
  }();
  return s;
}

/// n at scale 1; a tenth of it under a sanitizer, at least one.
inline std::size_t rounds(std::size_t n) {
  return std::max<std::size_t>(1, static_cast<std::size_t>(static_cast<double>(n) * scale() / (sanitized ? 10.0 : 1.0)));
}

/// splitmix64: small, and each stream of a seed is as good as another.
class random_numbers {
 public:
  explicit random_numbers(std::uint64_t stream) noexcept : state_(seed() + stream * 0x9e3779b97f4a7c15u) { next(); }
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) noexcept { return n == 0 ? 0 : next() % n; }
  bool one_in(std::uint64_t n) noexcept { return below(n) == 0; }

 private:
  std::uint64_t state_;
};

/// The fixture of every stress test: says with which seed to run it again.
class stress : public ::testing::Test {
 protected:
  void SetUp() override {
    std::printf("WEIR_STRESS_SEED=%llu WEIR_STRESS_SCALE=%g\n", static_cast<unsigned long long>(seed()), scale());
    std::fflush(stdout);
  }
};

}  // namespace test
