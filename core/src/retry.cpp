// Tasks that are tried again. Layer 6.
//
// A task that has thrown and may be tried again keeps its callable. Its worker goes on; the task waits as a ticket in the
// timekeeper's wheel, unstarted as before its first attempt, so a stop token, a handle and a shutdown end it as they end any
// other, with the last attempt's cause. It has been admitted and counted once; only its end is counted.
//
// The wait is uniform over 0 … min(cap, base · 2^n), n from 0: full jitter (Brooker, "Exponential Backoff And Jitter", 2015).
#include "node_conditions.hpp"
#include "task_state.hpp"

#include <weir/timer.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

using namespace node_state;
using states = task_state<os_atomics>;

namespace {

std::uint64_t longest_wait(const retry_policy& p, std::uint32_t attempts) noexcept {
  const auto cap = static_cast<std::uint64_t>(p.cap.count());
  auto wait = static_cast<std::uint64_t>(p.base.count());
  for (std::uint32_t i = 1; i < attempts && wait != 0 && wait < cap; ++i) wait *= 2;  // both are below 2^63
  return std::min(wait, cap);
}

bool asked_to_stop(const node_conditions& k) noexcept {
  if (k.hub != nullptr && k.hub->token().stop_requested()) return true;
  const node_source* const s = look(k.source);
  return s != nullptr && s->source.stop_requested();
}

}  // namespace

bool node_tries_again(task_node& n, weir::error& e) noexcept {
  node_conditions* k = nullptr;
  WEIR_TRY { k = &node_conditions_of(n); }
  WEIR_CATCH_ALL { return false; }  // no memory to count in: it was tried once
  e.attempts = ++k->attempts;
  const retry_policy& p = k->terms->policy;
  if (k->attempts >= p.max_attempts || (p.retryable != nullptr && !p.retryable(e)) || asked_to_stop(*k) || node_owner(n)->closed())
    return false;
  k->cause = e.cause;
  return true;
}

weir::error node_last_error(task_node& n, errc e) noexcept {
  node_conditions* const k = conditions_or_null(n);
  if (k == nullptr || k->attempts == 0) return unrun_error(e);
  return {e, std::move(k->cause), k->attempts};
}

outcome node_wait_again(task_node& n) noexcept {
  core& c = *node_owner(n);
  const node_conditions& k = *conditions_or_null(n);
  const std::uint64_t ns = c.time.random(longest_wait(k.terms->policy, k.attempts));
  const time_point when = timer_due(std::chrono::nanoseconds(ns));
  if (when <= k.deadline) {
    node_set_entry(n, timekeeper::tick_of(when), due::retry);
    add_reference(n.refs);  // the next ticket's
    if (c.time.put(node_entry(n), due::retry, [&n] { return states::unclaim(n.state, again, counted | in_place | expires, 0); })) {
      if (stop_hub* const hub = hub_of(n); hub != nullptr) hub->add(n);
      return outcome_again;
    }
    drop_references(n.refs);
  }
  n.ops->fail(n, errc::failed);  // too late, or a shutdown
  node_after_run(n);
  return outcome_of(errc::failed);
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
