// Time for measuring: a tick counter that is cheaper and finer than the clock, and work of a known length.
#pragma once

#include <chrono>
#include <cstdint>

namespace bench {

inline void relax() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

inline double seconds_now() noexcept {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Invariant and synchronous over cores on the machines that this runs on; 9 ns instead of the clock's 21.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t t;
  asm volatile("isb; mrs %0, cntvct_el0" : "=r"(t)::"memory");
  return t;
#else
  return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
#endif
}

// Measured once, in 20 ms; call it before the first measurement.
inline double ticks_per_us() noexcept {
  static const double rate = [] {
    const double s = seconds_now();
    const std::uint64_t t = ticks();
    double e = s;
    while (e - s < 0.02) e = seconds_now();
    return static_cast<double>(ticks() - t) / ((e - s) * 1e6);
  }();
  return rate;
}

// 0 when `to` lies before `from`: two cores may disagree by a few ticks.
inline double us_between(std::uint64_t from, std::uint64_t to) noexcept {
  return to > from ? static_cast<double>(to - from) / ticks_per_us() : 0.0;
}

// Keeps the core busy until so much wall time has passed.
inline void busy_us(double us) noexcept {
  const std::uint64_t end = ticks() + static_cast<std::uint64_t>(us * ticks_per_us());
  while (ticks() < end) relax();
}

// A chain of dependent multiplications: its time scales with the core's clock and with nothing else.
[[gnu::noinline]] inline void burn(std::uint64_t steps) noexcept {
  std::uint64_t x = 3;
  for (std::uint64_t i = 0; i < steps; ++i) {
    x *= x;
    asm volatile("" : "+r"(x));
  }
}

// Steps of burn() that take so many microseconds on an undisturbed core: the fastest of several tries.
inline std::uint64_t burn_steps(double us) noexcept {
  constexpr std::uint64_t tried = 1'000'000;
  burn(tried);
  double best = 1e9;
  for (int i = 0; i < 5; ++i) {
    const std::uint64_t t = ticks();
    burn(tried);
    const double took = us_between(t, ticks());
    best = took < best ? took : best;
  }
  return static_cast<std::uint64_t>(us * static_cast<double>(tried) / best);
}

}  // namespace bench
