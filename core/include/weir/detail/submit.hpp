// From a callable to an accepted job: shared by every executor's verbs. Layer 6.
#pragma once

#include <weir/detail/gate.hpp>
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
    if (opts == nullptr) [[likely]] {
      return to_status(submit_job(c, reinterpret_cast<std::uintptr_t>(&inline_job<D>::ops), inline_job<D>::words(f), p));
    }
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

// Through a strand or limit. c is null where the gate refuses everything.
template <class F>
status submit_gated(core* c, gate& g, F&& f, patience p, const task_options* opts) {
  if (g.refusal != outcome_ok) return to_status(g.refusal);
  if (is_null_callable(f)) return errc::invalid;
  admission a;
  if (const outcome o = gate_admit(g, opts, p, a); o != outcome_ok) return to_status(o);
  gate_entry* e = nullptr;
  WEIR_TRY { e = gated_box<std::decay_t<F>>::make(*c, std::forward<F>(f)); }
  WEIR_CATCH_ALL {
    gate_unadmit(g, a);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  const outcome o = gate_push(g, a, &e);
  if (o != outcome_ok) [[unlikely]] {
    job j = e->as_job();
    j.ops().drop(j, static_cast<errc>(o));
  }
  return to_status(o);
}

// references: 1 = the ticket alone (submit with conditions), 2 = a handle too. via: null, or a strand or limit.
template <class R, class F, class Node = task_node_of<std::decay_t<F>, R>>
result<task_node*> submit_node(core* c, gate* via, F&& f, patience p, const task_options* opts, std::uint32_t references) {
  static_assert(!std::is_reference_v<R>, "return a pointer or a std::reference_wrapper");
  if (via != nullptr && via->refusal != outcome_ok) return to_status(via->refusal).error();
  if (is_null_callable(f)) return errc::invalid;
  if (opts != nullptr && (node_flags(opts) & node_state::timed) != 0)
    if (status s = node_time_ready(*c, *opts); !s) return std::move(s).error();
  admission a;
  const outcome admitted = via == nullptr ? admit(*c, opts, p, a) : gate_admit(*via, opts, p, a);
  if (admitted != outcome_ok) return to_status(admitted).error();
  Node* n = nullptr;
  WEIR_TRY {
    const std::uint32_t flags = a.node_flags | node_state::of_tag(a.tag) | (references == 1 ? node_state::detached : 0) |
                                (via != nullptr                              ? (a.room_held ? 0 : node_state::again)
                                 : opts != nullptr && opts->worker >= 0 ? 0
                                                                        : node_state::in_place);
    n = Node::make(*c, std::forward<F>(f), flags, references + 1, opts, via);
  }
  WEIR_CATCH_ALL {
    if (via == nullptr) unadmit(*c, a);
    else gate_unadmit(*via, a);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  a.tag = 0;
  a.capacity_held = a.room_held = false;
  outcome queued;
  if (via == nullptr) {
    const job ticket = node_ticket(*n);
    queued = enqueue(*c, a, &ticket);
  } else {
    gate_entry* const ticket = &ticket_of(*n);
    queued = gate_push(*via, a, &ticket);
  }
  if (queued != outcome_ok) [[unlikely]] {
    node_abandon(*n, references + 1);
    return to_status(queued).error();
  }
  node_arm(*n);
  node_release(*n);
  return static_cast<task_node*>(n);
}

template <class F>
status submit_any(core* c, gate* via, F&& f, patience p, const task_options& opts) {
  if (!needs_node(opts) && (via == nullptr || opts.name == nullptr)) {
    const task_options* const o = says_something(opts) ? &opts : nullptr;
    return via == nullptr ? submit_plain(*c, std::forward<F>(f), p, o) : submit_gated(c, *via, std::forward<F>(f), p, o);
  }
  auto n = submit_node<void>(c, via, std::forward<F>(f), p, &opts, 1);  // nobody reads what it returns
  return n ? status{} : status{std::move(n).error()};
}

struct spawn_access {
  template <class F>
  static auto spawn(core* c, gate* via, F&& f, const task_options* opts) {
    using D = std::decay_t<F>;
    using R = std::remove_cv_t<task_result_t<D>>;
    if (opts != nullptr && !says_something(*opts)) opts = nullptr;
    return handle_of<D, R>(submit_node<R>(c, via, std::forward<F>(f), patience::by_policy, opts, 2));
  }
  template <class D, class R, class Node = task_node_of<D, R>>
  static join_handle<R> handle_of(result<task_node*> n) {
    if (!n) return join_handle<R>(std::move(n).error());
    return join_handle<R>(*n, [](task_node& t) -> result<R> { return std::move(Node::self(t).s.value); });
  }
};

// The elements of an rvalue container are moved from, those of anything else are copied.
template <class R>
using bulk_element = std::conditional_t<std::is_rvalue_reference_v<R&&> && !std::ranges::view<std::remove_cvref_t<R>>,
                                        std::remove_reference_t<std::ranges::range_reference_t<R>>&&,
                                        std::ranges::range_reference_t<R>>;

// All or nothing: a range of callables that are moved from only when all are admitted. `jobs` holds what `make` makes of
// them: jobs, or entries of a gate.
template <class Job, class Range, class Admit, class Make, class Enqueue, class Unadmit, class Drop>
status submit_all(Range& range, Admit&& admit_all, Make&& make, Enqueue&& enqueue_all, Unadmit&& unadmit_all, Drop&& drop) {
  const auto n = static_cast<std::size_t>(std::ranges::distance(range));
  if (n == 0) return {};
  for (auto&& f : range)
    if (is_null_callable(f)) return errc::invalid;
  std::vector<Job> jobs;
  WEIR_TRY { jobs.reserve(n); }
  WEIR_CATCH_ALL { return allocation_failure(); }
  admission a;
  if (const outcome o = admit_all(a, n); o != outcome_ok) return to_status(o);
  WEIR_TRY {
    for (auto&& f : range) jobs.push_back(make(f));
  }
  WEIR_CATCH_ALL {
    for (Job& j : jobs) drop(j, errc::failed);
    unadmit_all(a, n);
    return weir::error{errc::failed, std::current_exception(), 1};
  }
  const outcome o = enqueue_all(a, jobs.data(), n);
  if (o != outcome_ok)
    for (Job& j : jobs) drop(j, static_cast<errc>(o));
  return to_status(o);
}

template <class Range>
status submit_range(core* c, gate* via, Range&& range, const task_options* opts) {
  using D = std::decay_t<std::ranges::range_reference_t<Range>>;
  if (via == nullptr)
    return submit_all<job>(
        range, [&](admission& a, std::size_t n) { return admit(*c, opts, patience::never, a, n); },
        [&](auto& f) {
          if constexpr (fits_in_job<D>) return inline_job<D>::make(f);
          else return boxed_job<D>::make(*c, static_cast<bulk_element<Range>>(f));
        },
        [&](const admission& a, const job* jobs, std::size_t n) { return enqueue(*c, a, jobs, n); },
        [&](const admission& a, std::size_t n) { unadmit(*c, a, n); }, [](job& j, errc e) { j.ops().drop(j, e); });
  if (via->refusal != outcome_ok) return to_status(via->refusal);
  return submit_all<gate_entry*>(
      range, [&](admission& a, std::size_t n) { return gate_admit(*via, opts, patience::never, a, n); },
      [&](auto& f) { return gated_box<D>::make(*c, static_cast<bulk_element<Range>>(f)); },
      [&](const admission& a, gate_entry* const* all, std::size_t n) { return gate_push(*via, a, all, n); },
      [&](const admission& a, std::size_t n) { gate_unadmit(*via, a, n); },
      [](gate_entry* e, errc why) {
        job j = e->as_job();
        j.ops().drop(j, why);
      });
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
