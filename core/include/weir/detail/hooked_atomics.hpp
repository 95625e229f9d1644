// Atomics that ask before they act: what a seam for simulation or chaos is made of. Layer 0.
//
// hooked_atomics<Hook> has the shape of std_atomics. Each operation on an atomic, each fence and each pause first calls
//
//   static void Hook::before(atomic_op kind, const void* word, const char* file, int line) noexcept;
//
// and then does what the standard atomics do. `word` is null for fences and pauses; file and line are where the caller
// wrote the operation. The hook may yield, sleep, switch to another fiber or count; it must not touch weir itself.
//
//   static bool Hook::fails_weakly() noexcept;     may be absent
//
// says whether this compare_exchange_weak is one that fails for no reason, as they may everywhere but do not on x86.
//
// Only a seam header includes this file, and it is itself included in the middle of atomics.hpp (WEIR_SEAM):
//
//   #include <weir/detail/hooked_atomics.hpp>
//   namespace weir { inline namespace v0 { namespace detail {
//   struct my_hook { static void before(atomic_op, const void*, const char*, int) noexcept; };
//   using seam = hooked_atomics<my_hook>;
//   }}}
//
// A hooked atomic has the size, alignment and address of the std::atomic in it, so the kernel can wait on it. There are no
// operators: every use of an atomic in weir names its order.
#pragma once

#include <weir/detail/atomics.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>

namespace weir {
inline namespace v0 {
namespace detail {

enum class atomic_op : std::uint8_t { load, store, exchange, compare_exchange, fetch, fence, light_fence, heavy_fence, pause, foreign_call };

template <class Hook>
struct hooked_atomics {
  template <class T>
  class atomic {
   public:
    using value_type = T;
    using difference_type = std::conditional_t<std::is_pointer_v<T>, std::ptrdiff_t, T>;
    static constexpr bool is_always_lock_free = std::atomic<T>::is_always_lock_free;

    constexpr atomic() noexcept = default;
    constexpr atomic(T v) noexcept : word_(v) {}  // not explicit, as in std::atomic
    atomic(const atomic&) = delete;
    atomic& operator=(const atomic&) = delete;

    bool is_lock_free() const noexcept { return word_.is_lock_free(); }

    T load(std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
           int line = __builtin_LINE()) const noexcept {
      Hook::before(atomic_op::load, this, file, line);
      return word_.load(order);
    }
    void store(T v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::store, this, file, line);
      word_.store(v, order);
    }
    T exchange(T v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::exchange, this, file, line);
      return word_.exchange(v, order);
    }

    bool compare_exchange_weak(T& expected, T v, std::memory_order success, std::memory_order failure,
                               const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::compare_exchange, this, file, line);
      if (fails_weakly()) return expected = word_.load(failure), false;
      return word_.compare_exchange_weak(expected, v, success, failure);
    }
    bool compare_exchange_weak(T& expected, T v, std::memory_order order = std::memory_order_seq_cst,
                               const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::compare_exchange, this, file, line);
      if (fails_weakly()) return expected = word_.load(std::memory_order_seq_cst), false;
      return word_.compare_exchange_weak(expected, v, order);
    }
    bool compare_exchange_strong(T& expected, T v, std::memory_order success, std::memory_order failure,
                                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::compare_exchange, this, file, line);
      return word_.compare_exchange_strong(expected, v, success, failure);
    }
    bool compare_exchange_strong(T& expected, T v, std::memory_order order = std::memory_order_seq_cst,
                                 const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::compare_exchange, this, file, line);
      return word_.compare_exchange_strong(expected, v, order);
    }

    T fetch_add(difference_type v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::fetch, this, file, line);
      return word_.fetch_add(v, order);
    }
    T fetch_sub(difference_type v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::fetch, this, file, line);
      return word_.fetch_sub(v, order);
    }
    T fetch_and(T v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::fetch, this, file, line);
      return word_.fetch_and(v, order);
    }
    T fetch_or(T v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
               int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::fetch, this, file, line);
      return word_.fetch_or(v, order);
    }
    T fetch_xor(T v, std::memory_order order = std::memory_order_seq_cst, const char* file = __builtin_FILE(),
                int line = __builtin_LINE()) noexcept {
      Hook::before(atomic_op::fetch, this, file, line);
      return word_.fetch_xor(v, order);
    }

   private:
    static bool fails_weakly() noexcept {
      if constexpr (requires { Hook::fails_weakly(); }) return Hook::fails_weakly();
      else return false;
    }
    std::atomic<T> word_{};
  };

  static void fence_seq_cst(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    Hook::before(atomic_op::fence, nullptr, file, line);
    std_atomics::fence_seq_cst();
  }
  static void light_fence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    Hook::before(atomic_op::light_fence, nullptr, file, line);
    std_atomics::light_fence();
  }
  static void heavy_fence(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    Hook::before(atomic_op::heavy_fence, nullptr, file, line);
    std_atomics::heavy_fence();
  }
  static bool asymmetric() noexcept { return std_atomics::asymmetric(); }
  static void pause(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    Hook::before(atomic_op::pause, nullptr, file, line);
    std_atomics::pause();
  }
  static void foreign_call(const char* file = __builtin_FILE(), int line = __builtin_LINE()) noexcept {
    Hook::before(atomic_op::foreign_call, nullptr, file, line);
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
