// The model seam: weir's atomics, fences, mutex and futex as Relacy's. Included in the middle of <weir/detail/atomics.hpp>
// (WEIR_SEAM); a model includes "relacy.hpp", which says how to write one.
//
// What is modelled, and how it differs from C++20
//   - Each operation is a point where another thread may go on; a load may return any older value that coherence and
//     happens-before allow (Relacy). No thread reads a value that was not written yet (no load buffering).
//   - C++20 took a thread's own relaxed stores out of the release sequence; Relacy follows C++11 there, so a plain store
//     cuts the sequence here (release_cut).
//   - A compare-exchange that fails is a load, and may be a stale one; Relacy's is not, so this seam adds it.
//   - seq_cst fences: Relacy makes the later one synchronise with the earlier one, which is more than C++20 says, so a
//     data race between two fences can hide. seq_cst operations that are no fences count as acq_rel ones.
//   - Asymmetric fences, by fence_mode: two seq_cst fences; or nothing and a fence of every thread, as membarrier(2) does
//     it; or nothing and a seq_cst fence, where there is no membarrier and asymmetric() is false.
//   - The futex compares with the newest value and queues the sleeper in one step, as the kernel does under its lock. It
//     orders no memory. A sleep may end for no reason, and a timed one at any moment.
//
// Mutants: every operation knows where it was written, so one binary can weaken any of them: see relacy.hpp.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

// A longer memory of old values than Relacy's own three.
#define atomic_history_size relacy_history_size
#include <relacy/base.hpp>
#undef atomic_history_size
namespace rl {
inline constexpr std::size_t atomic_history_size = 6;
}
// Not <relacy/relacy.hpp>: it puts macros in the place of new, malloc, pthread and much else.
#include <relacy/context.hpp>
#include <relacy/context_base_impl.hpp>
#include <relacy/atomic_fence.hpp>
#include <relacy/atomic.hpp>
#include <relacy/var.hpp>
#include <relacy/thread_local.hpp>
#include <relacy/test_suite.hpp>
#include <relacy/dyn_thread.hpp>
#include <relacy/stdlib/mutex.hpp>
#include <relacy/stdlib/condition_variable.hpp>
#include <relacy/stdlib/semaphore.hpp>
#include <relacy/stdlib/event.hpp>
#if defined(__clang__)
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wdollar-in-identifier-extension"
#endif
#undef $
#if defined(__clang__)
#pragma clang diagnostic pop
#endif

namespace weir {
inline namespace v0 {
namespace detail {
namespace model {

// Where an operation was written. Every operation takes it as its last argument, by default that of the call.
struct site {
  const char* file;
  unsigned line;
  constexpr site(const char* f = __builtin_FILE(), unsigned l = __builtin_LINE()) noexcept : file(f), line(l) {}
};
inline rl::debug_info info(site s) noexcept { return {"", s.file, s.line}; }

enum class op : std::uint8_t { load, store, exchange, cas, cas_failure, fetch, fence, light_fence, heavy_fence };

// The one operation that is weakened in this run, or the one step of a model that is left out.
struct mutant {
  std::string file;      // the end of its path; empty: none
  unsigned line = 0;
  op kind = op::load;
  bool removed = false;  // a fence
  std::memory_order order = std::memory_order_relaxed;
  std::string dropped;   // the name of a step
  std::uint64_t reached = 0;
};
inline mutant the_mutant;

inline bool is_mutated(op kind, site s) noexcept {
  mutant& m = the_mutant;
  if (m.line != s.line || m.kind != kind || m.file.empty()) return false;
  const std::size_t n = std::strlen(s.file);
  if (n < m.file.size() || m.file != s.file + (n - m.file.size())) return false;
  ++m.reached;
  return true;
}
/// A step of the protocol that a mutant may leave out: if (model::keeps("park: re-check") && has_work()) …
inline bool keeps(const char* step) noexcept {
  if (the_mutant.dropped != step) return true;
  ++the_mutant.reached;
  return false;
}
inline std::memory_order order_of(op kind, std::memory_order o, site s) noexcept {
  return is_mutated(kind, s) ? the_mutant.order : o;
}
inline rl::memory_order rl_order(std::memory_order o) noexcept {
  switch (o) {
    case std::memory_order_relaxed: return rl::mo_relaxed;
    case std::memory_order_consume: return rl::mo_consume;
    case std::memory_order_acquire: return rl::mo_acquire;
    case std::memory_order_release: return rl::mo_release;
    case std::memory_order_acq_rel: return rl::mo_acq_rel;
    default: return rl::mo_seq_cst;
  }
}

enum class fence_mode : std::uint8_t { pair, kernel, absent };
inline fence_mode fences = fence_mode::pair;

// Set by the runner for the number of threads of the current test: the thread that wrote an atomic last.
inline rl::thread_id_t& (*last_writer)(rl::atomic_data*) = nullptr;

// Sleepers on futex words. The address is only a key.
struct sleepers {
  static constexpr unsigned most = 8;
  const void* key[most]{};  // by thread
};
inline sleepers asleep;  // emptied at the start of each execution

class uninterrupted {
 public:
  enum when { here, at_once };
  explicit uninterrupted(rl::context& c, when w = here) noexcept : c_(c) {
    if (w == here) c_.sched();
    c_.disable_preemption();
  }
  ~uninterrupted() { c_.enable_preemption(); }
  uninterrupted(const uninterrupted&) = delete;

 private:
  rl::context& c_;
};

// The two types that all atomics are made of, so that Relacy's part of an atomic can be reached in one place.
using word32 = std::uint32_t;
using word64 = std::uint64_t;
struct impl32 {
  friend constexpr auto member(impl32) noexcept;
};
struct impl64 {
  friend constexpr auto member(impl64) noexcept;
};
template <class Key, auto Member>
struct impl_access {
  friend constexpr auto member(Key) noexcept { return Member; }
};
template struct impl_access<impl32, &rl::generic_atomic<word32, false>::impl_>;
template struct impl_access<impl64, &rl::generic_atomic<word64, false>::impl_>;
template <class Word>
using impl_of = std::conditional_t<sizeof(Word) == 4, impl32, impl64>;

// A plain store begins a new release sequence, also after the thread's own.
class release_cut {
 public:
  explicit release_cut(rl::atomic_data* d) noexcept : writer_(last_writer(d)), was_(std::exchange(writer_, -1)) {}
  ~release_cut() { writer_ = was_; }
  release_cut(const release_cut&) = delete;

 private:
  rl::thread_id_t& writer_;
  const rl::thread_id_t was_;
};

template <class T>
class atomic {
  using word = std::conditional_t<(sizeof(T) > 4), word64, word32>;
  static constexpr bool countable = sizeof(T) == sizeof(word) && std::is_integral_v<T>;
  static word in(T v) noexcept {
    word w{};
    std::memcpy(&w, &v, sizeof v);
    return w;
  }
  static T out(word w) noexcept {
    T v;
    std::memcpy(&v, &w, sizeof v);
    return v;
  }

 public:
  using value_type = T;
  atomic(T v = T{}, site s = {}) { a_.store(in(v), rl::mo_relaxed, info(s)); }
  atomic(const atomic&) = delete;
  atomic& operator=(const atomic&) = delete;

  T load(std::memory_order o, site s = {}) const noexcept { return out(a_.load(rl_order(order_of(op::load, o, s)), info(s))); }
  void store(T v, std::memory_order o, site s = {}) noexcept {
    const uninterrupted u(rl::ctx());
    const release_cut cut(a_.*member(impl_of<word>{}));
    a_.store(in(v), rl_order(order_of(op::store, o, s)), info(s));
  }
  T exchange(T v, std::memory_order o, site s = {}) noexcept {
    return out(a_.exchange(in(v), rl_order(order_of(op::exchange, o, s)), info(s)));
  }
  bool compare_exchange_weak(T& e, T v, std::memory_order success, std::memory_order failure, site s = {}) noexcept {
    return change<true>(e, v, success, failure, s);
  }
  bool compare_exchange_strong(T& e, T v, std::memory_order success, std::memory_order failure, site s = {}) noexcept {
    return change<false>(e, v, success, failure, s);
  }
  T fetch_add(T v, std::memory_order o, site s = {}) noexcept {
    static_assert(countable);
    return out(a_.fetch_add(in(v), rl_order(order_of(op::fetch, o, s)), info(s)));
  }
  T fetch_sub(T v, std::memory_order o, site s = {}) noexcept {
    static_assert(countable);
    return out(a_.fetch_sub(in(v), rl_order(order_of(op::fetch, o, s)), info(s)));
  }
  T fetch_and(T v, std::memory_order o, site s = {}) noexcept {
    return out(a_.fetch_and(in(v), rl_order(order_of(op::fetch, o, s)), info(s)));
  }
  T fetch_or(T v, std::memory_order o, site s = {}) noexcept {
    return out(a_.fetch_or(in(v), rl_order(order_of(op::fetch, o, s)), info(s)));
  }
  T fetch_xor(T v, std::memory_order o, site s = {}) noexcept {
    return out(a_.fetch_xor(in(v), rl_order(order_of(op::fetch, o, s)), info(s)));
  }
  /// The newest value, by nobody's reading: for the futex, and for a test once all threads have ended.
  T newest() const noexcept { return out(a_.debug_value()); }

 private:
  template <bool Weak>
  bool change(T& e, T v, std::memory_order success, std::memory_order failure, site s) noexcept {
    const bool weakened = is_mutated(op::cas, s);
    if (weakened) success = the_mutant.order;
    failure = order_of(op::cas_failure, failure, s);
    rl::context& c = rl::ctx();
    if (c.is_random_sched() && rl::rand(4) == 0) {
      const T seen = out(a_.load(rl::mo_relaxed, info(s)));
      if (in(seen) != in(e)) {
        if (failure != std::memory_order_relaxed) rl::atomic_thread_fence(rl::mo_acquire, info(s));
        return e = seen, false;
      }
    }
    // Relacy follows C++11: the failure order may not exceed the success order. An acquire fence makes up for it.
    const bool apart = failure != std::memory_order_relaxed &&
                       (success == std::memory_order_relaxed || success == std::memory_order_release);
    word expected = in(e);
    const rl::memory_order on_success = rl_order(success), on_failure = apart ? rl::mo_relaxed : rl_order(failure);
    const bool done = a_.compare_exchange(rl::bool_t<Weak>(), expected, in(v), on_success, on_failure, info(s));
    if (!done && apart) rl::atomic_thread_fence(rl::mo_acquire, info(s));
    e = out(expected);
    return done;
  }
  rl::atomic<word> a_;
};

// Data that is no atomic: two accesses, one of them a write, that nothing orders are a failure.
template <class T>
class plain {
 public:
  plain() = default;
  explicit plain(T v, site s = {}) { v_(info(s)).store(v); }
  T get(site s = {}) const { return const_cast<rl::var<T>&>(v_)(info(s)).load(); }
  void set(T v, site s = {}) { v_(info(s)).store(v); }

 private:
  rl::var<T> v_;
};

class mutex {
 public:
  void lock(site s = {}) { m_.lock(info(s)); }
  void unlock(site s = {}) { m_.unlock(info(s)); }

 private:
  rl::mutex m_;
};

}  // namespace model

struct model_atomics {
  template <class T>
  using atomic = model::atomic<T>;
  using mutex = model::mutex;

  static void fence_seq_cst(model::site s = {}) noexcept { fence(model::op::fence, s); }
  static void light_fence(model::site s = {}) noexcept {
    if (model::fences == model::fence_mode::pair) fence(model::op::light_fence, s);
  }
  static void heavy_fence(model::site s = {}) noexcept {
    if (model::fences != model::fence_mode::kernel) return fence(model::op::heavy_fence, s);
    if (model::is_mutated(model::op::heavy_fence, s)) return;
    rl::ctx().sched();
    rl::systemwide_fence(model::info(s));
    rl::atomic_thread_fence(rl::mo_seq_cst, model::info(s));
  }
  static void light_or_full_fence(model::site s = {}) noexcept {
    if (asymmetric()) light_fence(s);
    else fence(model::op::light_fence, s);
  }
  static void foreign_call() noexcept {}
  static bool asymmetric() noexcept { return model::fences != model::fence_mode::absent; }
  static void pause(model::site s = {}) noexcept { rl::ctx().yield(1, model::info(s)); }

  static void wait(const atomic<std::uint32_t>& w, std::uint32_t expected, std::int64_t ns, model::site s = {}) noexcept {
    rl::context& c = rl::ctx();
    c.sched();
    if (w.newest() != expected) return pause(s);  // the thread has seen that it changed
    const model::uninterrupted u(c, model::uninterrupted::at_once);
    const rl::thread_id_t me = c.current_thread();
    model::asleep.key[me] = &w;
    c.park_current_thread(ns >= 0, c.is_random_sched(), false, model::info(s));
    model::asleep.key[me] = nullptr;
  }
  static void wake(const atomic<std::uint32_t>& w, model::site s = {}) noexcept { wake(&w, 1, s); }
  static void wake(const void* key, int n, model::site s = {}) noexcept {
    rl::context& c = rl::ctx();
    const model::uninterrupted u(c);
    for (; n > 0; --n) {
      unsigned found = 0, chosen = 0;
      for (unsigned i = 0; i < model::sleepers::most; ++i)
        if (model::asleep.key[i] == key && rl::rand(++found) == 0) chosen = i;
      if (found == 0) return;
      model::asleep.key[chosen] = nullptr;
      c.unpark_thread(static_cast<rl::thread_id_t>(chosen), false, model::info(s));
    }
  }

 private:
  static void fence(model::op kind, model::site s) noexcept {
    if (model::is_mutated(kind, s)) {
      if (model::the_mutant.removed) return;
      return rl::atomic_thread_fence(model::rl_order(model::the_mutant.order), model::info(s));
    }
    rl::atomic_thread_fence(rl::mo_seq_cst, model::info(s));
  }
};

using seam = model_atomics;

}  // namespace detail
}  // namespace v0
}  // namespace weir
