// The atomics seam. Layer 0.
//
// Every lock-free primitive of weir is a template on a policy A that names its atomics, fences and futex calls. The
// shipped policy is std_atomics; the model checker, the simulator and the chaos tests bring their own, so what they
// check is the shipped source.
//
// Asymmetric fences. light_fence() ↔ heavy_fence() order like two seq_cst fences: of two threads that each write one
// word, fence, and read the other's, at least one sees the other's write. The light side costs a compiler barrier;
// the heavy side is membarrier(2), which makes every running thread of the process pass a full barrier. This is an
// axiom about the kernel, not about C++. Where membarrier is not to be had asymmetric() is false and each user of the
// pair takes its slow path instead, which never relies on it.
#pragma once

#include <weir/detail/platform.hpp>

#include <atomic>
#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

inline constexpr auto relaxed = std::memory_order_relaxed;
inline constexpr auto acquire = std::memory_order_acquire;
inline constexpr auto release = std::memory_order_release;
inline constexpr auto acq_rel = std::memory_order_acq_rel;
inline constexpr auto seq_cst = std::memory_order_seq_cst;

WEIR_API void heavy_fence() noexcept;       // membarrier; a plain seq_cst fence where that is not to be had
WEIR_API bool asymmetric_fences() noexcept;  // decided once, at the first runtime of the process

#if defined(__SANITIZE_THREAD__)
#define WEIR_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TSAN 1
#endif
#endif

struct std_atomics {
  template <class T>
  using atomic = std::atomic<T>;

  static void fence_seq_cst() noexcept {
#if defined(WEIR_TSAN)
    // Thread sanitizers do not model fences; an RMW on one word orders at least as much, so they cannot cry wolf.
    static std::atomic<unsigned> word{0};
    word.fetch_add(0, seq_cst);
#elif defined(__x86_64__)
    // Cheaper than the mfence that clang emits (peers.md: 4.7 against 19 ns) and as strong for write-back memory.
    asm volatile("lock; orl $0, (%%rsp)" ::: "memory", "cc");
#else
    std::atomic_thread_fence(seq_cst);
#endif
  }
  static void light_fence() noexcept { std::atomic_signal_fence(seq_cst); }
  static void heavy_fence() noexcept { detail::heavy_fence(); }
  static bool asymmetric() noexcept { return asymmetric_fences(); }
  static void pause() noexcept { cpu_relax(); }
  static void foreign_call() noexcept {}  // before a call into a library that has no seam of its own
};

// The seam that this build of the library stands on. A build for simulation or chaos names a header of its own that
// defines `seam` in the place of the standard atomics; every program links one of these builds.
#if defined(WEIR_SIM) && !defined(WEIR_SEAM)
#define WEIR_SEAM <weir/detail/sim_atomics.hpp>
#endif
#if defined(WEIR_SEAM)
}  // namespace detail
}  // namespace v0
}  // namespace weir
#include WEIR_SEAM
namespace weir {
inline namespace v0 {
namespace detail {
#else
using seam = std_atomics;
#endif

template <class T>
using atomic = typename seam::template atomic<T>;

}  // namespace detail
}  // namespace v0
}  // namespace weir
