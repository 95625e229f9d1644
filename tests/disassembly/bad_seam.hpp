// Seams that are wrong on purpose, one at a time (WEIR_BAD), so that disassembly.py can show that it notices.
#pragma once

namespace weir {
inline namespace v0 {
namespace detail {

#define WEIR_BAD_full_fence 1     // the light fence is a full one, as weir's own
#define WEIR_BAD_std_fence 2      // the same, as the compiler's
#define WEIR_BAD_seq_cst_store 3  // each store is sequentially consistent
#define WEIR_BAD_counted 4        // the light fence counts in a shared word
#define WEIR_BAD_relaxed 5        // nothing is ordered
#define WEIR_BAD_NUMBER_OF(x) WEIR_BAD_##x
#define WEIR_BAD_NUMBER(x) WEIR_BAD_NUMBER_OF(x)
#define WEIR_BAD_NOW WEIR_BAD_NUMBER(WEIR_BAD)

inline std::atomic<unsigned> bad_counter{0};

template <class T>
struct bad_atomic : std::atomic<T> {
  using std::atomic<T>::atomic;
  static constexpr std::memory_order of([[maybe_unused]] std::memory_order m) noexcept {
    return WEIR_BAD_NOW == WEIR_BAD_relaxed ? std::memory_order_relaxed : m;
  }
  T load(std::memory_order m) const noexcept { return std::atomic<T>::load(of(m)); }
  void store(T v, [[maybe_unused]] std::memory_order m) noexcept {
    std::atomic<T>::store(v, WEIR_BAD_NOW == WEIR_BAD_seq_cst_store ? std::memory_order_seq_cst : of(m));
  }
  bool compare_exchange_strong(T& e, T v, std::memory_order s, std::memory_order f) noexcept {
    return std::atomic<T>::compare_exchange_strong(e, v, of(s), of(f));
  }
  bool compare_exchange_weak(T& e, T v, std::memory_order s, std::memory_order f) noexcept {
    return std::atomic<T>::compare_exchange_weak(e, v, of(s), of(f));
  }
};

struct seam : std_atomics {
  template <class T>
  using atomic = bad_atomic<T>;
  static void light_fence() noexcept {
    if constexpr (WEIR_BAD_NOW == WEIR_BAD_full_fence) fence_seq_cst();
    else if constexpr (WEIR_BAD_NOW == WEIR_BAD_std_fence) std::atomic_thread_fence(std::memory_order_seq_cst);
    else if constexpr (WEIR_BAD_NOW == WEIR_BAD_counted) bad_counter.fetch_add(1, std::memory_order_relaxed);
    else std_atomics::light_fence();
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
