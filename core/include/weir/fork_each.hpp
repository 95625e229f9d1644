// fork_each: forks as many calls as a node has children, a number that is known only when it runs. Layer 6.
//
// For up to 16 calls there is one job, on the caller's stack: it offers all that have not begun. Whoever takes it goes on in
// the same way, so that every call but the last is a fork. More are first cut into halves.
// Cost on a worker when nobody takes any: one to two nanoseconds a fork; n == 1 is a plain call. No allocation.
// Errors: if one throws, the call rethrows once all that others have taken has ended; what nobody has taken, all of it of a
// later index, does not start. When several throw, the exception of the lowest index wins and the others are dropped.
// No stop token is looked at. For the iterations of a loop there is parallel_for, which cuts by time and stops early.
// Thread safety: call from anywhere; on a worker the calls may run at the same time, on other threads, and must not wait for
// each other; on any other thread they run serially, in order. Depth: as of fork_join.
#pragma once

#include <weir/fork_join.hpp>

#include <cstddef>
#include <functional>
#include <type_traits>

namespace weir {
inline namespace v0 {
namespace detail {

// A small closure is copied, once for others and once for the caller alone, which then has in registers what was captured
// (core/README, "How fork_each is spelt").
template <class F>
inline constexpr bool forked_by_copy = std::is_trivially_copyable_v<F>&& std::is_trivially_copy_constructible_v<F> &&
                                       sizeof(F) <= 64 && std::is_invocable_v<const F&, std::size_t>;
template <class F>
using forked_callable = std::conditional_t<forked_by_copy<F>, const F, F&>;

inline constexpr std::size_t few_calls = 16;

// What has not begun: [first, last), not empty.
template <class F>
struct forked_calls {
  forked_callable<F> f;
  std::size_t first, last;
  void operator()();
};

template <class F>
WEIR_NOINLINE void call_each(F& f, std::size_t first, std::size_t last) {
  for (; first != last; ++first) std::invoke(f, std::size_t{first});
}

// At least one call. The one of a node with a single child has its own code: there are many of those, and no jump is free.
template <class F>
WEIR_ALWAYS_INLINE void fork_calls(forked_callable<F>& f, std::size_t first, std::size_t last) {
  forked_callable<F> mine = f;
  if (first + 1 == last) return std::invoke(mine, std::size_t{first});
  forked_calls<F> rest{f, first, last};
  worker_base* const w = this_worker;
  if (w == nullptr) [[unlikely]]
    return detail::call_each(rest.f, first, last);
  fork_job_of<forked_calls<F>&> job(rest);
  const auto h = w->forks.head();
  do {
    rest.first = first + 1;
    if (w->forks.push(h, &job)) [[unlikely]] {
      if (!fork_slow(*w, h, job)) return detail::call_each(rest.f, first, last);
    }
    // The spelling that clang needs in fork_join; here it is gcc's, too.
    bool threw = false;
    WEIR_TRY { std::invoke(mine, std::size_t{first}); }
    WEIR_CATCH_ALL {
      threw = true;
      job.stash();
    }
    if (threw) [[unlikely]]
      detail::unwind_fork(*w, h, job);
    if (!w->forks.pop(h) && !join_slow(*w, h, job)) [[unlikely]]
      return static_cast<void>(job.take());
  } while (++first + 1 != last);
  std::invoke(mine, std::size_t{first});
}

template <class F>
void forked_calls<F>::operator()() {
  detail::fork_calls<F>(f, first, last);
}

template <class F>
WEIR_NOINLINE void fork_halves(forked_callable<F>& f, std::size_t first, std::size_t last) {
  if (last - first <= few_calls) return detail::fork_calls<F>(f, first, last);
  const std::size_t middle = first + (last - first) / 2;
  weir::fork_join([&] { detail::fork_halves<F>(f, first, middle); }, [&] { detail::fork_halves<F>(f, middle, last); });
}

}  // namespace detail

/// Runs f(0) … f(n - 1) on the caller, and offers those that have not begun to idle workers meanwhile. f returns nothing. If it
/// is trivially copyable, at most 64 bytes long and callable when const, copies of it are called, as const; else, and of
/// std::ref(f) in any case, f itself is, by all. O(n) calls and forks; stack O(log n).
template <class F>
requires std::is_invocable_v<F&, std::size_t> WEIR_ALWAYS_INLINE void fork_each(std::size_t n, F&& f) {
  static_assert(std::is_void_v<std::invoke_result_t<F&, std::size_t>>,
                "nobody would look at what f returns: let it return void");
  using named = std::remove_reference_t<F>;
  using callable = std::conditional_t<std::is_function_v<named>, named*, named>;
  if (n > detail::few_calls) [[unlikely]]
    return detail::fork_halves<callable>(f, 0, n);
  if (n != 0) detail::fork_calls<callable>(f, 0, n);
}

}  // namespace v0
}  // namespace weir
