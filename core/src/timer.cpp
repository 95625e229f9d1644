// Timers: tickets that lie in the timekeeper's wheel until they are due. Layer 6.
//
// A series is one node that is queued again after each run, so no occurrence can run beside another. It ends when the bit
// `over` is set: by cancel(), whose true means that no run begins from then on. A run begins by setting `begun`; these two
// meet in one word, so one of them comes first.
#include <weir/timer.hpp>

#include "gate_state.hpp"
#include "node_conditions.hpp"
#include "task_state.hpp"

#include <cerrno>

namespace weir {
inline namespace v0 {
namespace detail {

using namespace node_state;
using states = task_state<os_atomics>;

namespace {

// The next time of a series, after the run that was due at n.due.
time_point next_time(const timer_node& n, time_point now) noexcept {
  const duration::rep passed = (now - n.due) / n.period;
  duration::rep periods = 1;
  if (n.how == overlap::skip) periods = passed + 1;
  else if (n.how == overlap::coalesce) periods = std::max<duration::rep>(passed, 1);
  return (time_point::max() - n.due) / n.period < periods ? time_point::max() : n.due + periods * n.period;
}

void set_entry(timer_node& n) noexcept {
  if (is_observed(n)) [[unlikely]] node_record(n).queued = std::max(node_record(n).queued, n.due);
  node_set_entry(n, timekeeper::tick_of(n.due), n.period == duration::zero() ? due::once : due::series);
}

status no_thread(int error) noexcept {
  if (error == ECANCELED) return errc::stopped;
  if (error == ENOMEM) return allocation_failure();
  return system_failure(error, "weir: cannot start the timekeeper");
}

}  // namespace

time_point timer_due(duration d) noexcept {
  const time_point now = clock_type::now();
  return d > time_point::max() - now ? time_point::max() : now + d;
}

time_point node_deadline(const task_node& n) noexcept {
  if ((n.state.load(relaxed) & dated) != 0) {
    const std::int64_t ns = timer_wheel::begin_of(node_entry(const_cast<task_node&>(n)).tick());
    return time_point(std::chrono::duration_cast<duration>(std::chrono::nanoseconds(ns)));
  }
  const node_conditions* const k = conditions_or_null(n);
  return k != nullptr ? k->deadline : time_point::max();
}

status node_time_ready(core& c, const task_options& o) noexcept {
  if (o.retry != nullptr && (o.retry->base.count() < 0 || o.retry->cap.count() < 0)) return errc::invalid;
  if (c.dead()) return errc::stopped;
  const int error = c.time.ensure();
  return error == 0 ? status{} : no_thread(error);
}

status timer_admit(core& c, bool series) noexcept {
  if (c.dead()) return errc::stopped;
  int error = 0;
  switch (c.time.admit(series, error)) {
    case timekeeper::answer::ok: return {};
    case timekeeper::answer::full: return errc::full;
    case timekeeper::answer::no_thread: return no_thread(error);
    default: return errc::stopped;
  }
}

void timer_unadmit(core& c, bool series) noexcept {
  c.time.unadmit(series);
  c.tell_if_asked();
}

void timer_start(timer_node& n) noexcept {
  set_entry(n);
  core& c = *node_owner(n);
  if (c.time.put(node_entry(n), due::kind_of(node_entry(n)), [] { return true; })) return;
  if (n.period != duration::zero()) c.time.count_occurrence();  // a shutdown came in between
  node_drop_waiting(node_entry(n));
}

bool timer_cancel(task_node& n) noexcept {
  if (node_owner(n)->dead()) return false;
  if ((n.state.load(relaxed) & repeats) == 0) return node_cancel(n);
  const std::uint32_t before = n.state.fetch_or(over, relaxed);
  if ((before & over) != 0 || (before & node_state::phase) == done) return false;
  node_cancel(n);
  return true;
}

bool series_begins(task_node& n) noexcept {
  const bool begins = (n.state.fetch_or(begun, relaxed) & over) == 0;
  if (is_observed(n)) [[unlikely]] observe_begin(n, begins);
  return begins;
}

bool series_goes_on(task_node& node) noexcept {
  auto& n = static_cast<timer_node&>(node);
  n.due = next_time(n, clock_type::now());
  if (is_observed(n)) [[unlikely]] node_owner(n)->seen->record_again(node_record(n), n.due);
  set_entry(n);
  add_reference(n.refs);  // the next ticket's
  if (node_owner(n)->time.put(node_entry(n), due::series, [&n] { return states::unclaim(n.state, 0, begun, over); })) return true;
  drop_references(n.refs);
  return false;
}

void node_due(core& c, task_node& n, std::uint8_t kind) noexcept {
  if (kind == due::start_by) {
    node_fail(n, errc::expired, true, again);  // unless it has started; who waits for another attempt has
    return node_release(n);
  }
  if (kind == due::deadline) {
    if (!node_state::is_done(n.state)) node_tell_to_stop(n);
    return node_release(n);
  }
  job ticket = node_ticket(n, true);
  const node_conditions* const k = conditions_or_null(n);
  if ((n.state.load(relaxed) & beside) != 0) {
    if (!c.side.put_again(ticket)) ticket.ops().drop(ticket, errc::failed);
    return;
  }
  if (this_keeper == &c) {  // else somebody shuts down
    if (is_gated(n)) {
      if (gate_state& g = state_of(*ticket_of(n).via); g.wants_sweep()) g.sweep();
    }
    c.sweep_posted();
    if (c.dead()) return;
  }
  if (k != nullptr ? node_post(n, true, k->prio, k->bound) : node_post(n, true)) return;
  // No memory for it: the task fails, of a series only this occurrence.
  if (kind != due::series || !node_claim(n)) return ticket.ops().drop(ticket, errc::failed);
  report_unhandled(&c, unrun_error(errc::failed).cause, nullptr);
  if (is_observed(n)) c.seen->discard(node_record(n), errc::failed);
  node_after_run(n);
  c.ended_elsewhere[outcome_of(errc::failed)].add();
  c.tell_if_asked();
  node_release(n);
}

void node_drop_waiting(timer_entry& e) noexcept {
  if (due::kind_of(e) == due::sleep) return sleep_ends(e, errc::stopped);
  const bool retry = due::kind_of(e) == due::retry;
  job ticket = node_ticket(node_of(e), true);
  ticket.ops().drop(ticket, retry ? errc::failed : errc::cancelled);  // a retry: with its last error
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
