// fork_join and invoke: run callables in parallel, wait for all of them. Layer 6.
//
// Jobs live on the caller's stack: no allocation, no reference count. On a worker the later callables may be taken by
// idle workers; outside any runtime everything runs serially on the caller, so library code may fork freely.
// Cost on a worker when nobody steals: one to two nanoseconds over the plain calls. Depth: beyond 4095 nested forks a
// worker runs them inline.
// Errors: if one throws, the call rethrows once every started callable has ended; an unstarted one does not start.
// When both throw, the first argument's exception wins and the other is dropped.
// Thread safety: call from anywhere; the callables may run at the same time, on other threads.
#pragma once

#include <weir/detail/worker.hpp>

#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

namespace weir {
inline namespace v0 {
namespace detail {

template <class R>
using value_of = std::conditional_t<std::is_void_v<R>, std::monostate, R>;

template <class F>
WEIR_ALWAYS_INLINE value_of<std::invoke_result_t<F>> call(F&& f) {
  if constexpr (std::is_void_v<std::invoke_result_t<F>>) {
    std::invoke(std::forward<F>(f));
    return {};
  } else {
    return std::invoke(std::forward<F>(f));
  }
}

// The value that a call returns; of a reference the pair would hold, at best, one to a copy.
template <class F>
struct forked_value {
  using type = value_of<std::invoke_result_t<F>>;
  static_assert(!std::is_reference_v<type>, "return a pointer or a std::reference_wrapper");
};
template <class F>
using forked_value_t = typename forked_value<F>::type;

template <class G>
struct fork_job_of final : fork_job {
  using value = forked_value_t<G>;

  explicit fork_job_of(std::remove_reference_t<G>& g) noexcept : callable(std::addressof(g)) {
    word.store(reinterpret_cast<std::uintptr_t>(static_cast<run_fn>(&run)), relaxed);
  }
  fork_job_of(const fork_job_of&) = delete;
  ~fork_job_of() = default;

  // What a thief does.
  static void run(fork_job& base) noexcept {
    auto& self = static_cast<fork_job_of&>(base);
    bool threw = false;
    WEIR_TRY { ::new (static_cast<void*>(self.storage)) value(call(static_cast<G&&>(*self.callable))); }
    WEIR_CATCH_ALL {
      ::new (static_cast<void*>(self.storage)) std::exception_ptr(std::current_exception());
      threw = true;
    }
    fork_finish(self, threw);
  }

  // After join_slow() said that a thief ran it.
  value take() {
    if (fork_threw(*this)) [[unlikely]] {
      auto* p = std::launder(reinterpret_cast<std::exception_ptr*>(storage));
      std::exception_ptr e = std::move(*p);
      p->~exception_ptr();
      std::rethrow_exception(std::move(e));
    }
    auto* p = std::launder(reinterpret_cast<value*>(storage));
    struct guard {
      value* v;
      ~guard() { v->~value(); }
    } g{p};
    return std::move(*p);
  }
  // The forking side's own exception waits here while the thief may still write `storage`.
  void stash() noexcept { ::new (static_cast<void*>(thrown)) std::exception_ptr(std::current_exception()); }
  std::exception_ptr stashed() noexcept {
    auto* p = std::launder(reinterpret_cast<std::exception_ptr*>(thrown));
    std::exception_ptr e = std::move(*p);
    p->~exception_ptr();
    return e;
  }
  void discard() noexcept {
    if (fork_threw(*this)) std::launder(reinterpret_cast<std::exception_ptr*>(storage))->~exception_ptr();
    else std::launder(reinterpret_cast<value*>(storage))->~value();
  }

  std::remove_reference_t<G>* callable;
  alignas(value) alignas(std::exception_ptr) std::byte
      storage[sizeof(value) > sizeof(std::exception_ptr) ? sizeof(value) : sizeof(std::exception_ptr)];
  alignas(std::exception_ptr) std::byte thrown[sizeof(std::exception_ptr)];
};

// f() threw: ends the fork before the frame goes away.
template <class J>
WEIR_COLD void join_discard(worker_base& w, fork_deque::index h, J& j) noexcept {
  if (!w.forks.pop(h) && !join_slow(w, h, j)) j.discard();
}
// The same, then goes on with the exception.
template <class J>
WEIR_COLD void unwind_fork(worker_base& w, fork_deque::index h, J& j) {
  std::exception_ptr e = j.stashed();
  join_discard(w, h, j);
  fork_rethrow(e);
}

}  // namespace detail

/// Runs f() on the caller and offers g() to idle workers meanwhile; returns both values (void: std::monostate), so neither may be a reference.
template <class F, class G>
WEIR_ALWAYS_INLINE auto fork_join(F&& f, G&& g) {
  using namespace detail;
  using result_pair = std::pair<forked_value_t<F>, forked_value_t<G>>;
  worker_base* const w = this_worker;
  if (w == nullptr) [[unlikely]] {
    auto first = call(std::forward<F>(f));
    return result_pair(std::move(first), call(std::forward<G>(g)));
  }
  fork_job_of<G> job(g);
  const auto h = w->forks.head();
  if (w->forks.push(h, &job)) [[unlikely]] {
    if (!fork_slow(*w, h, job)) {
      auto first = call(std::forward<F>(f));
      return result_pair(std::move(first), call(std::forward<G>(g)));
    }
  }
  // Inlined by order: left out of line, gcc packs the captures in memory for the call (fib over serial 1.76, inlined 1.12).
  const auto joined = [&]() __attribute__((always_inline)) -> value_of<std::invoke_result_t<G>> {
    if (w->forks.pop(h) || join_slow(*w, h, job)) [[likely]] return call(std::forward<G>(g));
    return job.take();
  };
  // Two spellings of one thing, since a caller whose leaf is not shrink-wrapped pays more for that than for the fork
  // (fork_join/fib over serial: clang 2.05 with the first, 1.3 with the second; gcc 1.2 with the first, 1.45 with the
  // second): clang gives up where a landing pad resumes, gcc where it joins the normal path.
#if WEIR_EXCEPTIONS && !defined(__clang__)
  const auto guarded = [&]() __attribute__((always_inline)) -> value_of<std::invoke_result_t<F>> {
    try {
      return call(std::forward<F>(f));
    } catch (...) {
      join_discard(*w, h, job);
      throw;
    }
  };
  auto first = guarded();
  return result_pair(std::move(first), joined());
#else
  std::optional<value_of<std::invoke_result_t<F>>> first;
  bool threw = false;
  WEIR_TRY { first.emplace(call(std::forward<F>(f))); }
  WEIR_CATCH_ALL {
    threw = true;
    job.stash();
  }
  if (threw) [[unlikely]] unwind_fork(*w, h, job);
  return result_pair(*std::move(first), joined());
#endif
}

/// Runs all of them, the first on the caller; returns a tuple of their values in order.
template <class F>
auto invoke(F&& f) {
  return std::tuple<detail::forked_value_t<F>>(detail::call(std::forward<F>(f)));
}
template <class F, class G, class... More>
auto invoke(F&& f, G&& g, More&&... more) {
  auto both = fork_join(std::forward<F>(f), [&] { return weir::invoke(std::forward<G>(g), std::forward<More>(more)...); });
  return std::tuple_cat(std::tuple<typename decltype(both)::first_type>(std::move(both.first)), std::move(both.second));
}

}  // namespace v0
}  // namespace weir
