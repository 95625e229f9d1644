// What every other header may assume about the compiler and the machine. Layer 0.
#pragma once

#include <cstddef>
#include <cstdint>

// Older ones lack what these headers use of C++20.
#if !defined(__GNUC__) || __cplusplus < 202002L
#error "weir needs gcc 12 or clang 14 (or newer), and -std=c++20"
#endif
#define WEIR_ALWAYS_INLINE inline __attribute__((always_inline))
#define WEIR_NOINLINE __attribute__((noinline))
#define WEIR_COLD __attribute__((noinline, cold))
#define WEIR_API __attribute__((visibility("default")))

// One switch for builds without exceptions: WEIR_TRY … WEIR_CATCH_ALL compiles to the try block alone.
#if defined(__cpp_exceptions)
#define WEIR_EXCEPTIONS 1
#define WEIR_TRY try
#define WEIR_CATCH_ALL catch (...)
#define WEIR_RETHROW throw
#else
#define WEIR_EXCEPTIONS 0
#define WEIR_TRY if (true)
#define WEIR_CATCH_ALL else
#define WEIR_RETHROW static_cast<void>(0)
#endif

namespace weir {
inline namespace v0 {
namespace detail {

// Two lines: the adjacent-line prefetcher of x86-64 pulls them in pairs.
inline constexpr std::size_t cache_line = 128;

#if defined(WEIR_SIM)
// A simulation (weir/sim.hpp) brings its own time: a pause may let another thread run, ticks are its nanoseconds.
void cpu_relax(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept;
std::uint64_t ticks() noexcept;
#else
inline void cpu_relax() noexcept {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("isb" ::: "memory");
#endif
}

// A cheap monotonic tick: the unit differs by machine, so it is only ever compared with spans calibrated at start.
inline std::uint64_t ticks() noexcept {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
  std::uint64_t t;
  asm volatile("mrs %0, cntvct_el0" : "=r"(t));
  return t;
#else
#error "weir needs a tick counter for this architecture"
#endif
}
#endif

}  // namespace detail
}  // namespace v0
}  // namespace weir
