// Blocking on a word, and the policy that the shipped primitives are built with. Layer 0.
//
// Raw futexes: libc's condition variables and library atomic waits have lost wake-ups in the field, and they spin on
// their own account. Every wait may return spuriously; every caller loops.
#pragma once

#include <weir/detail/atomics.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>

namespace weir {
inline namespace v0 {
namespace detail {

inline constexpr std::int64_t forever = -1;  // nanoseconds

// Sleeps while word == expected, at most `nanoseconds`. Returns on a wake, a signal, a changed word, or the time.
void futex_wait(const std::atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t nanoseconds) noexcept;
// Wakes at most n sleepers. The address is only a key: the word may be gone.
void futex_wake(const std::atomic<std::uint32_t>* word, int n) noexcept;

struct os_atomics : std_atomics {
  using mutex = std::mutex;
  static void wait(const std::atomic<std::uint32_t>& w, std::uint32_t expected, std::int64_t ns) noexcept {
    futex_wait(w, expected, ns);
  }
  static void wake(const std::atomic<std::uint32_t>& w) noexcept { futex_wake(&w, 1); }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
