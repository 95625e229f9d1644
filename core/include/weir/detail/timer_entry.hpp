// A place in the timer wheel, as its owner embeds it. Layer 1; the wheel is core/src/timer_wheel.hpp.
#pragma once

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

struct timer_links {
  timer_links* next = nullptr;
  timer_links* previous = nullptr;
};

/// 24 bytes. Its owner sets it while it is not linked; `kind` is for the owner. All else is under the wheel's lock.
struct timer_entry : timer_links {
  static constexpr unsigned tick_bits = 54;

  bool linked() const noexcept { return previous != nullptr; }
  std::uint64_t tick() const noexcept { return word_ & ((std::uint64_t{1} << tick_bits) - 1); }
  std::uint8_t kind() const noexcept { return static_cast<std::uint8_t>(word_ >> 56); }
  void set(std::uint64_t tick, std::uint8_t kind) noexcept { word_ = tick | std::uint64_t{kind} << 56; }

 private:
  std::uint64_t word_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
