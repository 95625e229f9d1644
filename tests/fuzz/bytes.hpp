// An input as a source of small decisions. Past its end everything is 0, so each prefix of an input is an input.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace fuzz {

class bytes {
 public:
  bytes() = default;
  bytes(const std::uint8_t* data, std::size_t size) noexcept : at_(data), end_(data + size) {}

  bool empty() const noexcept { return at_ == end_; }
  std::size_t left() const noexcept { return static_cast<std::size_t>(end_ - at_); }
  unsigned byte() noexcept { return empty() ? 0 : *at_++; }
  unsigned below(unsigned n) noexcept { return byte() % n; }
  std::uint32_t word() noexcept {
    const std::uint32_t low = byte();
    return low | (byte() << 8);
  }
  /// The next n bytes (or what is left of them) as an input of their own.
  bytes part(std::size_t n) noexcept {
    if (n > left()) n = left();
    bytes p(at_, n);
    at_ += n;
    return p;
  }
  const char* text() const noexcept { return reinterpret_cast<const char*>(at_); }

 private:
  const std::uint8_t* at_ = nullptr;
  const std::uint8_t* end_ = nullptr;
};

/// A fact that does not hold ends the process: the fuzzer keeps the input, a replay fails.
inline void require(bool fact, const char* what, unsigned long long a = 0, unsigned long long b = 0) {
  if (fact) return;
  std::fprintf(stderr, "\nORACLE: %s (%llu, %llu)\n", what, a, b);
  std::fflush(stderr);
  std::abort();
}

}  // namespace fuzz
