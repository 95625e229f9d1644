// Waiting for a task, and what the calling thread is inside of. Layer 6. The sleep and the end: task_state.hpp.
#include "coroutine.hpp"
#include "gate_state.hpp"
#include "node_conditions.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <algorithm>
#include <optional>

namespace weir {
inline namespace v0 {
namespace detail {

using namespace node_state;
using states = task_state<os_atomics>;

namespace {

bool is_done(const task_node& n) noexcept { return states::is_done(n.state); }

std::int32_t node_bound(const task_node& n) noexcept {
  const node_conditions* c = conditions_or_null(n);
  return c != nullptr ? c->bound : -1;
}

}  // namespace

outcome node_wait(task_node& n, time_point until) noexcept {
  if (is_done(n)) return outcome_ok;
  core& c = *node_owner(n);
  if (c.dead()) return outcome_of(errc::stopped);
  if (node_try_run_beside(n) && is_done(n)) return outcome_ok;
  worker* const w = worker::current();
  if (w != nullptr && &w->owner == &c && node_try_run(n, in_place) && is_done(n)) return outcome_ok;
  // Nothing that the clock has to do happens while it waits.
  if (this_keeper == &c) return outcome_of(errc::starved);
  // Who waits when the deadline passes is told, once; who waits on after that waits for the end.
  const time_point deadline = (n.state.load(relaxed) & (timed | told)) == timed ? node_deadline(n) : time_point::max();
  const bool cut_short = deadline < until;
  if (cut_short) until = deadline;
  if (runner* const here = current_runner(); here != nullptr)
    for (const running_nodes::entry* r = here->running.top(); r != nullptr; r = r->outer)
      if (r->node == &n) return outcome_of(errc::starved);  // a task that waits for itself
  // Bound to a worker that is in the middle of this very wait: it could never start.
  if (w != nullptr && &w->owner == &c && node_bound(n) == static_cast<std::int32_t>(w->number) &&
      (states::is_unstarted(n.state) || (n.state.load(relaxed) & suspends) != 0))
    return outcome_of(errc::starved);
  std::optional<gated_wait> in_gate;
  if (w != nullptr && &w->owner == &c && is_gated(n)) {
    in_gate.emplace(*ticket_of(n).via, *w, &n, [](const void* p) noexcept { return is_done(*static_cast<const task_node*>(p)); });
    if (in_gate->starves()) return is_done(n) ? outcome_ok : outcome_of(errc::starved);
  }
  // Short: the usual task is over within a wake-up's time.
  for (const std::uint64_t end = ticks() + ticks_of(w != nullptr ? 5'000 : 2'000); ticks() < end; cpu_relax())
    if (is_done(n)) return outcome_ok;
  const auto park = [&](std::int64_t ns) {
    const time_point limit = ns == forever ? until : std::min(until, clock_type::now() + std::chrono::nanoseconds(ns));
    return states::sleep(n.state, [limit] { return until_ns(limit); }) || until_ns(until) == 0;
  };
  const std::int32_t bound = node_bound(n);
  if (w != nullptr && &w->owner == &c && bound >= 0) {
    // The task's worker may be in a wait itself, for something that needs this one: then neither would ever go on.
    bool starved = false;
    w->park_in_wait([&](std::int64_t ns) {
      if (ns != forever) return park(ns);
      for (std::int64_t slice = 1'000'000;; slice = std::min<std::int64_t>(slice * 2, 100'000'000)) {
        if (park(slice)) return true;
        starved = states::is_unstarted(n.state) && c.numbered(static_cast<unsigned>(bound))->waits.load(relaxed);
        if (starved) return true;
      }
    });
    if (starved && !is_done(n)) return outcome_of(errc::starved);
  } else if (w != nullptr) {
    w->park_in_wait(park);
  } else if (this_side != nullptr && &this_side->owner == &c && (n.state.load(relaxed) & beside) != 0) {
    // It waits for another attempt, which needs a thread of the pool: perhaps all of them wait as this one does.
    const blocking_pool::one_waits me(c.side);
    for (std::int64_t slice = 1'000'000; !park(slice); slice = std::min<std::int64_t>(slice * 2, 100'000'000))
      if (states::is_unstarted(n.state) && c.side.all_wait()) return outcome_of(errc::starved);
  } else {
    park(forever);
  }
  if (is_done(n)) return outcome_ok;
  if (cut_short) n.state.fetch_or(told, relaxed);
  return outcome_of(errc::timeout);
}

std::stop_token current_token() noexcept {
  if (runner* const here = current_runner(); here != nullptr)
    if (const running_nodes::entry* const n = here->running.top(); n != nullptr && n->node != nullptr) {
      const coroutine_segment* const s = entry_of(*n).segment;
      return s != nullptr ? segment_token(*s) : node_token(*n->node);
    }
  if (worker* const w = worker::current(); w != nullptr) return w->owner.end_source().get_token();
  return this_caller.owner != nullptr ? this_caller.owner->end_source().get_token() : std::stop_token();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
