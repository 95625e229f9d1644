// parallel_for and parallel_reduce: loops whose iterations may run at the same time. Layer 6.
//
// They run where they are called: on a worker idle workers take part; outside any runtime everything runs on the
// caller, in order, so library code may use them freely. The overloads that take a runtime first enter it with run().
//
// Splitting. A fork that nobody steals costs a few nanoseconds, so a loop first forks halves down to leaves of 1/8 of
// a worker's share: behind one slow iteration no more than its leaf is stuck. A leaf runs in chunks, and between two
// of them it splits further if idle workers would find nothing to take here, or one has asked (lazy binary splitting:
// Tzannes, Caragea, Barua, Vishkin, PPoPP 2010). Automatic chunks begin with one iteration, double while they take less
// than a microsecond, and shrink when they take longer. So uneven work balances down to single iterations, and tiny
// bodies pay for a check only once a microsecond or a leaf.
//
// Errors are values: the first one to happen is reported, once every started chunk has ended; after it, and after a
// stop request, no further chunk starts (looked at once a chunk). An error outranks a cancellation.
//   failed     a callable threw (the cause says what); a body that returns status may report any code
//   cancelled  stop was requested, and at least one iteration did not run
//   invalid    first > last; a negative bound with an unsigned index type
//   stopped    only with a runtime: it is draining or stopped; nothing ran
// Thread safety: call from anywhere. The callables are shared, not copied, and run on several threads at once.
// Complexity: n calls; O(chunks) checks of about 2 ns; no allocation; stack O(log n).
#pragma once

#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <algorithm>
#include <concepts>
#include <iterator>
#include <optional>
#include <stop_token>
#include <system_error>

namespace weir {
inline namespace v0 {

struct parallel_options {
  std::size_t grain = 0;       ///< iterations a chunk; a smaller part is never split; 0: automatic
  std::stop_token stop{};      ///< requested: no further chunk starts
  bool deterministic = false;  ///< parallel_reduce: the result depends on the values, their number and grain alone
};

namespace detail {

WEIR_API unsigned current_workers() noexcept;  // of the runtime whose worker is calling; 0 outside of any

template <class A, class B>
struct loop_index_of {};
template <class A>
struct loop_index_of<A, A> {
  using type = A;
};
template <class A, class B>
  requires(!std::same_as<A, B> && std::integral<A> && std::integral<B>)
struct loop_index_of<A, B> {
  using type = std::common_type_t<A, B>;
};
template <class A, class B>
using loop_index = typename loop_index_of<A, B>::type;

// Two integers (their common type counts, so that 0 and v.size() go together) or two random-access iterators.
template <class A, class B>
concept loop_bounds = requires { typename loop_index<A, B>; } &&
                      ((std::integral<A> && !std::same_as<A, bool> && !std::same_as<B, bool>) ||
                       std::random_access_iterator<A>);

// The iterations of a loop, numbered from 0, so that no index type overflows.
template <class I>
class iterations {
 public:
  template <class A, class B>
  iterations(const A& first, const B& last) : first_(static_cast<I>(first)) {
    if constexpr (std::integral<I>) {
      static_assert(sizeof(I) <= sizeof(std::size_t));
      valid_ = !(lost(first) || lost(last)) && first_ <= static_cast<I>(last);
      if (valid_) size_ = static_cast<size_type>(static_cast<size_type>(last) - static_cast<size_type>(first_));
    } else {
      const auto n = last - first;
      valid_ = n >= 0;
      if (valid_) size_ = static_cast<std::size_t>(n);
    }
  }
  bool valid() const noexcept { return valid_; }
  std::size_t size() const noexcept { return size_; }

  // f(iteration) for [b, e) until it returns false.
  template <class F>
  WEIR_ALWAYS_INLINE void each(std::size_t b, std::size_t e, F&& f) const {
    if constexpr (std::integral<I>) {
      const I end = at(e);
      for (I i = at(b); i != end; ++i)
        if (!f(static_cast<I>(i))) return;
    } else {
      const I end = at(e);
      for (I i = at(b); i != end; ++i)
        if (!f(*i)) return;
    }
  }

 private:
  static constexpr auto size_type_of() {
    if constexpr (std::integral<I>) return std::make_unsigned_t<I>{};
    else return std::size_t{};
  }
  using size_type = decltype(size_type_of());

  template <class A>
  static bool lost(const A& bound) noexcept {
    if constexpr (std::signed_integral<A> && std::unsigned_integral<I>) return bound < 0;
    else return false;
  }
  I at(std::size_t k) const {
    using U = size_type;  // wraps where I must not
    if constexpr (std::integral<I>) return static_cast<I>(static_cast<U>(static_cast<U>(first_) + static_cast<U>(k)));
    else return first_ + static_cast<std::iter_difference_t<I>>(k);
  }

  I first_;
  std::size_t size_ = 0;
  bool valid_ = false;
};

// Why a loop ends early. One for a whole loop; everything is published by the joins.
class loop_outcome {
 public:
  explicit loop_outcome(std::stop_token&& stop) noexcept : stop_(std::move(stop)) {}

  // Asked before each chunk: true, and from then on always, if it must not start.
  bool over() noexcept {
    if (why_.load(relaxed) != nothing) [[unlikely]] return true;
    if (!stop_.stop_requested()) [[likely]] return false;
    auto expected = nothing;
    why_.compare_exchange_strong(expected, stopping, relaxed, relaxed);
    return true;
  }
  WEIR_COLD void fail(weir::error e) noexcept {
    if (why_.exchange(failing, relaxed) != failing) error_ = std::move(e);
  }
  bool complete() const noexcept { return why_.load(relaxed) == nothing; }
  // After the last join, if it is not complete.
  weir::error take() noexcept {
    if (why_.load(relaxed) == stopping) return {errc::cancelled, {}, 1};
    return std::move(error_);
  }

 private:
  enum reason : std::uint8_t { nothing, stopping, failing };
  std::stop_token stop_;
  atomic<reason> why_{nothing};
  weir::error error_{};
};

// What happens to the iterations. A partial is what a part of the loop has come to so far.
template <class I, class Body>
struct for_each_fold {
  struct partial {};
  const iterations<I>& range;
  Body& body;
  loop_outcome& outcome;

  void chunk(std::size_t b, std::size_t e, partial&) noexcept {
    WEIR_TRY {
      range.each(b, e, [this](auto&& x) {
        using R = std::invoke_result_t<Body&, decltype(x)>;
        if constexpr (std::is_same_v<R, status>) {
          status s = std::invoke(body, std::forward<decltype(x)>(x));
          if (s) [[likely]] return true;
          outcome.fail(std::move(s).error());
          return false;
        } else {
          static_cast<void>(std::invoke(body, std::forward<decltype(x)>(x)));
          return true;
        }
      });
    }
    WEIR_CATCH_ALL { outcome.fail({errc::failed, std::current_exception(), 1}); }
  }
  void merge(partial&, partial&) noexcept {}
};

template <class I, class T, class Map, class Combine>
struct reduce_fold {
  using partial = std::optional<T>;  // empty: no iteration yet
  const iterations<I>& range;
  Map& map;
  Combine& combine;
  loop_outcome& outcome;

  void chunk(std::size_t b, std::size_t e, partial& acc) noexcept {
    WEIR_TRY {
      if (!acc) {
        range.each(b, b + 1, [&](auto&& x) {
          acc.emplace(static_cast<T>(std::invoke(map, std::forward<decltype(x)>(x))));
          return true;
        });
        ++b;
      }
      T sum = std::move(*acc);
      range.each(b, e, [&](auto&& x) {
        T next = static_cast<T>(
            std::invoke(combine, std::move(sum), static_cast<T>(std::invoke(map, std::forward<decltype(x)>(x)))));
        sum = std::move(next);
        return true;
      });
      *acc = std::move(sum);
    }
    WEIR_CATCH_ALL { outcome.fail({errc::failed, std::current_exception(), 1}); }
  }
  void merge(partial& left, partial& right) noexcept {
    if (!outcome.complete()) return;
    WEIR_TRY {
      T next = static_cast<T>(std::invoke(combine, std::move(*left), std::move(*right)));
      *left = std::move(next);
    }
    WEIR_CATCH_ALL { outcome.fail({errc::failed, std::current_exception(), 1}); }
  }
};

// The first half of n iterations, in whole units; n > unit.
inline std::size_t first_half(std::size_t n, std::size_t unit) noexcept {
  const std::size_t units = n / unit + (n % unit != 0 ? 1 : 0);
  return (units - units / 2) * unit;
}

// Would an idle worker go away empty-handed, or has one asked? Never outside a worker.
inline bool wants_split() noexcept {
  const worker_base* const w = this_worker;
  return w != nullptr && (w->forks.rung() || !w->forks.visible());
}

// How a loop is cut, in iterations.
struct loop_cut {
  std::size_t unit;  // no part is smaller by choice
  std::size_t leaf;  // larger parts are split in any case
  bool automatic;    // chunks follow the clock; else they are units

  loop_cut(std::size_t n, std::size_t grain) noexcept : unit(grain == 0 ? 1 : grain), leaf(n), automatic(grain == 0) {
    if (const std::size_t workers = current_workers(); workers > 1) leaf = std::max(unit, n / (8 * workers) + 1);
  }
};

// About a microsecond of ticks(); only the order of magnitude matters.
inline std::uint64_t chunk_ticks() noexcept {
#if defined(__aarch64__)
  std::uint64_t frequency;
  asm("mrs %0, cntfrq_el0" : "=r"(frequency));
  return frequency / 1'000'000;
#else
  return 3'000;
#endif
}

// The size of the automatic chunks of one worker in one loop.
class loop_pace {
 public:
  std::size_t chunk() const noexcept { return chunk_; }
  void took(std::uint64_t t) noexcept {
    const std::uint64_t goal = chunk_ticks();
    if (t < goal / 2) chunk_ = std::min(2 * chunk_, most);
    else if (t > goal) chunk_ = std::max<std::size_t>(1, static_cast<std::size_t>(chunk_ * goal / t));
  }

 private:
  static constexpr std::size_t most = std::size_t{1} << 20;
  std::size_t chunk_ = 1;
};

// [b, e) into acc.
template <class Fold>
void run_lazily(Fold& fold, const loop_cut& cut, std::size_t b, std::size_t e, loop_pace& pace,
                typename Fold::partial& acc) noexcept {
  std::uint64_t before = 0;
  while (b != e && !fold.outcome.over()) {
    const std::size_t left = e - b;
    if (left > cut.unit && (left > cut.leaf || wants_split())) {
      const std::size_t mid = b + first_half(left, cut.unit);
      const worker_base* const here = this_worker;
      typename Fold::partial right{};
      fork_join([&]() noexcept { run_lazily(fold, cut, b, mid, pace, acc); },
                [&]() noexcept {
                  loop_pace own;  // a thief begins anew
                  run_lazily(fold, cut, mid, e, this_worker == here ? pace : own, right);
                });
      fold.merge(acc, right);
      return;
    }
    const std::size_t size = std::min(cut.automatic ? pace.chunk() : cut.unit, left);
    const bool timed = cut.automatic && size < left;
    if (timed && before == 0) before = ticks();
    fold.chunk(b, b + size, acc);
    if (timed) {
      const std::uint64_t now = ticks();
      pace.took(now - before);
      before = now;
    }
    b += size;
  }
}

// The same with a tree whose shape depends on n and unit alone.
template <class Fold>
void run_fixed(Fold& fold, std::size_t b, std::size_t e, std::size_t unit, typename Fold::partial& acc) noexcept {
  if (b == e || fold.outcome.over()) return;
  if (e - b <= unit) return fold.chunk(b, e, acc);
  const std::size_t mid = b + first_half(e - b, unit);
  typename Fold::partial right{};
  fork_join([&]() noexcept { run_fixed(fold, b, mid, unit, acc); },
            [&]() noexcept { run_fixed(fold, mid, e, unit, right); });
  fold.merge(acc, right);
}

// f() on a worker of rt; what keeps it from starting becomes a value.
template <class F>
status enter(runtime& rt, F&& f) {
#if WEIR_EXCEPTIONS
  try {
    rt.run(f);
    return {};
  } catch (const std::system_error& e) {
    if (e.code() == make_error_code(errc::stopped)) return errc::stopped;
    return weir::error{errc::failed, std::current_exception(), 1};
  } catch (...) {
    return weir::error{errc::failed, std::current_exception(), 1};
  }
#else
  rt.run(f);
  return {};
#endif
}

}  // namespace detail

/// body(i) for each integer i of [first, last), or body(*it) for each iterator, in any order and at the same time.
/// The body may return status: a failure counts like an exception. deterministic has no effect.
template <class First, class Last, class Body>
  requires detail::loop_bounds<First, Last>
status parallel_for(First first, Last last, Body&& body, parallel_options o = {}) {
  using I = detail::loop_index<First, Last>;
  const detail::iterations<I> range(first, last);
  if (!range.valid()) [[unlikely]] return errc::invalid;
  detail::loop_outcome outcome(std::move(o.stop));
  detail::for_each_fold<I, std::remove_reference_t<Body>> fold{range, body, outcome};
  typename decltype(fold)::partial none;
  detail::loop_pace pace;
  detail::run_lazily(fold, {range.size(), o.grain}, 0, range.size(), pace, none);
  if (!outcome.complete()) [[unlikely]] return outcome.take();
  return {};
}

/// The same on a worker of rt; the caller waits. Ahead of all lanes, not counted in capacity.
template <class First, class Last, class Body>
  requires detail::loop_bounds<First, Last>
status parallel_for(runtime& rt, First first, Last last, Body&& body, parallel_options o = {}) {
  status out;
  if (status s = detail::enter(rt, [&] { out = weir::parallel_for(first, last, body, std::move(o)); }); !s) return s;
  return out;
}

/// combine(… combine(combine(init, map(a)), map(b)) …) over the integers or elements of [first, last), from left to
/// right, bracketed in any way: combine(T&&, T&&) must be associative, it need not commute. init is used once; an empty
/// range gives init. What map returns is converted to T, which must be movable.
/// deterministic: the bracketing depends on the length and grain alone, so a floating-point result is the same to the
/// last bit for any number of workers; costs one fork a chunk (at most 512 chunks when automatic).
template <class First, class Last, std::movable T, class Map, class Combine>
  requires detail::loop_bounds<First, Last>
result<T> parallel_reduce(First first, Last last, T init, Map&& map, Combine&& combine, parallel_options o = {}) {
  using I = detail::loop_index<First, Last>;
  const detail::iterations<I> range(first, last);
  if (!range.valid()) [[unlikely]] return errc::invalid;
  detail::loop_outcome outcome(std::move(o.stop));
  detail::reduce_fold<I, T, std::remove_reference_t<Map>, std::remove_reference_t<Combine>> fold{range, map, combine,
                                                                                                 outcome};
  const std::size_t n = range.size();
  WEIR_TRY {
    std::optional<T> acc(std::move(init));
    detail::loop_pace pace;
    if (o.deterministic) detail::run_fixed(fold, 0, n, o.grain != 0 ? o.grain : n / 512 + 1, acc);
    else detail::run_lazily(fold, {n, o.grain}, 0, n, pace, acc);
    if (outcome.complete()) [[likely]] return result<T>(std::move(*acc));
    return outcome.take();
  }
  WEIR_CATCH_ALL { return weir::error{errc::failed, std::current_exception(), 1}; }  // a move of T threw
}

/// The same on a worker of rt; the caller waits. Ahead of all lanes, not counted in capacity.
template <class First, class Last, std::movable T, class Map, class Combine>
  requires detail::loop_bounds<First, Last>
result<T> parallel_reduce(runtime& rt, First first, Last last, T init, Map&& map, Combine&& combine,
                          parallel_options o = {}) {
  std::optional<result<T>> out;
  status s = detail::enter(
      rt, [&] { out.emplace(weir::parallel_reduce(first, last, std::move(init), map, combine, std::move(o))); });
  if (!s) return std::move(s).error();
  return std::move(*out);
}

}  // namespace v0
}  // namespace weir
