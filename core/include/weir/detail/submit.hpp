// From a callable to an accepted job: shared by every executor's verbs. Layer 6.
#pragma once

#include <weir/detail/admission.hpp>
#include <weir/detail/task_node.hpp>
#include <weir/join_handle.hpp>

#include <ranges>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

inline weir::error allocation_failure() noexcept {
#if WEIR_EXCEPTIONS
  return {errc::failed, std::make_exception_ptr(std::bad_alloc()), 1};
#else
  return {errc::failed, {}, 1};
#endif
}
inline status to_status(outcome o) noexcept {
  if (o == outcome_ok) return {};
  if (o == outcome_of(errc::failed)) return allocation_failure();
  return static_cast<errc>(o);
}

// True when something but a worker may decide what becomes of the task.
inline bool needs_node(const task_options& o) noexcept {
  return o.stop.stop_possible() || o.start_by != time_point::max() || o.deadline != time_point::max() || o.retry != nullptr;
}
// True when the options say anything at all.
inline bool says_something(const task_options& o) noexcept {
  return o.prio != lane::normal || o.worker != -1 || o.name != nullptr || needs_node(o);
}

template <class F>
status submit_plain(core& c, F&& f, patience p, const task_options* opts) {
  using D = std::decay_t<F>;
  if (is_null_callable(f)) return errc::invalid;
  if constexpr (fits_in_job<D>) {
    if (opts == nullptr) [[likely]] return to_status(submit_job(c, inline_job<D>::make(f), p));
  }
  admission a;
  if (const outcome o = admit(c, opts, p, a); o != outcome_ok) return to_status(o);
  job j;
  WEIR_TRY {
    if (opts != nullptr && opts->name != nullptr) {
      j = boxed_job<D, true>::make(c, std::forward<F>(f), opts->name);
    } else {
      if constexpr (fits_in_job<D>) j = inline_job<D>::make(f);
      else j = boxed_job<D>::make(c, std::forward<F>(f));
    }
  }
  WEIR_CATCH_ALL {
    unadmit(c, a);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  const outcome o = enqueue(c, a, &j);
  if (o != outcome_ok) [[unlikely]] j.ops().drop(j, static_cast<errc>(o));
  return to_status(o);
}

// references: 1 = the ticket alone (submit with conditions), 2 = a handle too.
template <class R, class F>
result<task_node*> submit_node(core& c, F&& f, patience p, const task_options* opts, std::uint32_t references) {
  using D = std::decay_t<F>;
  using node = task_node_of<D, R>;
  static_assert(!std::is_reference_v<R>, "return a pointer or a std::reference_wrapper");
  if (is_null_callable(f)) return errc::invalid;
  admission a;
  if (const outcome o = admit(c, opts, p, a); o != outcome_ok) return to_status(o).error();
  node* n = nullptr;
  WEIR_TRY {
    const std::uint32_t flags = (a.tag != 0 ? node_state::counted : 0) | (references == 1 ? node_state::detached : 0) |
                                (opts != nullptr && opts->worker >= 0 ? 0 : node_state::in_place);
    n = node::make(c, std::forward<F>(f), flags, references + 1, opts);
  }
  WEIR_CATCH_ALL {
    unadmit(c, a);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  job ticket = node_ticket(*n);
  a.tag = 0;
  a.capacity_held = false;
  if (const outcome o = enqueue(c, a, &ticket); o != outcome_ok) [[unlikely]] {
    node_abandon(*n, references + 1);
    return to_status(o).error();
  }
  node_arm(*n);
  node_release(*n);
  return static_cast<task_node*>(n);
}

template <class F>
status submit_any(core& c, F&& f, patience p, const task_options& opts) {
  if (!needs_node(opts)) return submit_plain(c, std::forward<F>(f), p, says_something(opts) ? &opts : nullptr);
  auto n = submit_node<void>(c, std::forward<F>(f), p, &opts, 1);  // nobody reads what it returns
  return n ? status{} : status{std::move(n).error()};
}

struct spawn_access {
  template <class F>
  static auto spawn(core* c, F&& f, const task_options* opts) {
    using D = std::decay_t<F>;
    using R = std::remove_cv_t<task_result_t<D>>;
    if (opts != nullptr && !says_something(*opts)) opts = nullptr;
    if (c == nullptr) return join_handle<R>(weir::error{errc::stopped, {}, 1});
    auto n = submit_node<R>(*c, std::forward<F>(f), patience::by_policy, opts, 2);
    if (!n) return join_handle<R>(std::move(n).error());
    return join_handle<R>(*n, [](task_node& t) -> result<R> { return std::move(task_node_of<D, R>::self(t).s.value); });
  }
};

// The elements of an rvalue container are moved from, those of anything else are copied.
template <class R>
using bulk_element = std::conditional_t<std::is_rvalue_reference_v<R&&> && !std::ranges::view<std::remove_cvref_t<R>>,
                                        std::remove_reference_t<std::ranges::range_reference_t<R>>&&,
                                        std::ranges::range_reference_t<R>>;

// All or nothing: a range of callables that are moved from only when all are admitted.
template <class Range>
status submit_range(core& c, Range&& range, const task_options* opts) {
  using D = std::decay_t<std::ranges::range_reference_t<Range>>;
  const auto n = static_cast<std::size_t>(std::ranges::distance(range));
  if (n == 0) return {};
  for (auto&& f : range)
    if (is_null_callable(f)) return errc::invalid;
  std::vector<job> jobs;
  WEIR_TRY { jobs.reserve(n); }
  WEIR_CATCH_ALL { return allocation_failure(); }
  admission a;
  if (const outcome o = admit(c, opts, patience::never, a, n); o != outcome_ok) return to_status(o);
  outcome o = outcome_ok;
  WEIR_TRY {
    for (auto&& f : range) {
      if constexpr (fits_in_job<D>) jobs.push_back(inline_job<D>::make(f));
      else jobs.push_back(boxed_job<D>::make(c, static_cast<bulk_element<Range>>(f)));
    }
  }
  WEIR_CATCH_ALL {
    for (job& j : jobs) j.ops().drop(j, errc::failed);
    unadmit(c, a, n);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  o = enqueue(c, a, jobs.data(), n);
  if (o != outcome_ok)
    for (job& j : jobs) j.ops().drop(j, static_cast<errc>(o));
  return to_status(o);
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
