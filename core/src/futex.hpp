// Blocking on a word, and the policy that the shipped primitives are built with. Layer 0.
//
// Edges
//   [ask] ↔ attention.hpp: the light side of an asymmetric pair, full where there is no membarrier.
//   [quiesce] ↔ quiescence.hpp: the same.
//   [late] ↔ aftermath.hpp: the same.
//
// Raw futexes: libc's condition variables and library atomic waits have lost wake-ups in the field, and they spin on
// their own account. Every wait may return spuriously; every caller loops.
#pragma once

#include <weir/detail/atomics.hpp>

#include <atomic>
#include <cstdint>
#include <mutex>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace detail {

inline constexpr std::int64_t forever = -1;  // nanoseconds

// Sleeps while word == expected, at most `nanoseconds`. Returns on a wake, a signal, a changed word, or the time.
void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t nanoseconds) noexcept;
// Wakes at most n sleepers. The address is only a key: the word may be gone.
void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept;

extern bool asymmetric_fences_known;  // asymmetric_fences(), once it was asked; false before

#if defined(PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP)
// Looks again for about a microsecond before it sleeps: what weir holds a lock for takes some 20 ns, and a sleep and the wake-up
// from it several microseconds, paid by both (fork/group).
class adaptive_mutex {
 public:
  constexpr adaptive_mutex() noexcept = default;
  adaptive_mutex(const adaptive_mutex&) = delete;
  void lock() noexcept { pthread_mutex_lock(&mutex_); }
  bool try_lock() noexcept { return pthread_mutex_trylock(&mutex_) == 0; }
  void unlock() noexcept { pthread_mutex_unlock(&mutex_); }

 private:
  pthread_mutex_t mutex_ = PTHREAD_ADAPTIVE_MUTEX_INITIALIZER_NP;
};
#else
using adaptive_mutex = std::mutex;
#endif

struct os_atomics : seam {
  using mutex = adaptive_mutex;
  // For a light side that has no slow path of its own.
  static void light_or_full_fence() noexcept {
    if (asymmetric_fences_known) light_fence();  // [ask] [quiesce] [late]
    else fence_seq_cst();                        // [ask] [quiesce] [late]
  }
  static void wait(const atomic<std::uint32_t>& w, std::uint32_t expected, std::int64_t ns) noexcept {
    futex_wait(w, expected, ns);
  }
  static void wake(const atomic<std::uint32_t>& w) noexcept { futex_wake(&w, 1); }
  static void wake(const atomic<std::uint32_t>* w, int n) noexcept { futex_wake(w, n); }  // the word may be gone
};
using mutex = os_atomics::mutex;

}  // namespace detail
}  // namespace v0
}  // namespace weir
