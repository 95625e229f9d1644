// Tasks that can be waited for: claim, end, wait. Layer 6.
//
// Edges
//   The phase and the references: see task_state.hpp.
//   [lazy]   the compare-exchange that gives a node its conditions ↔ acquire loads of them.
#include "task_state.hpp"
#include "worker.hpp"

#include <weir/detail/submit.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

using namespace node_state;
using states = task_state<os_atomics>;

struct node_conditions {
  struct canceller {
    task_node* node;
    void operator()() const noexcept { node_cancel(*node); }
  };
  std::stop_token parent;
  time_point start_by = time_point::max();
  time_point deadline = time_point::max();
  const char* name = nullptr;
  std::int32_t bound = -1;  // to this worker
  std::stop_source source;
  std::optional<std::stop_callback<canceller>> on_stop;
};

namespace {

bool is_done(const task_node& n) noexcept { return states::is_done(n.state); }

const char* name_of(const task_node& n) noexcept {
  const node_conditions* c = n.conditions.load(acquire);  // [lazy]
  return c != nullptr ? c->name : nullptr;
}

std::int32_t bound_to(const task_node& n) noexcept {
  const node_conditions* c = n.conditions.load(acquire);  // [lazy]
  return c != nullptr ? c->bound : -1;
}

// After result or error are stored. Frees the waiters; the last use of the node but for the ticket's reference.
void finish(task_node& n) noexcept {
  if (states::finish(n.state))
    if (std::exception_ptr e = n.ops->unread(n); e) report_unhandled(n.owner, std::move(e), name_of(n));
}

void count_elsewhere_end(core& c, outcome o) noexcept {
  c.ended_elsewhere[o].add();
  c.tell_if_asked();
}

void count_end(core& c, outcome o) noexcept {
  if (worker* w = worker::current_of(c); w != nullptr) w->count_end(o);
  else count_elsewhere_end(c, o);
}

// Runs a claimed task on the current worker; the outcome is the caller's to count.
outcome run_claimed(task_node& n) noexcept {
  worker* const w = worker::current();
  running_nodes::entry me{&n};
  w->running.enter(me);
  node_conditions* const c = n.conditions.load(acquire);  // [lazy]
  const char* const outer_name = w->current_name.load(relaxed);
  w->current_name.store(c != nullptr ? c->name : nullptr, relaxed);
  const outcome o = n.ops->run(n);
  w->current_name.store(outer_name, relaxed);
  if (w->running.top() == &me) w->running.leave(me);  // a group's child has done so: see group_ended()
  finish(n);
  return o;
}

outcome run_in_time(task_node& n) noexcept {
  node_conditions* const c = n.conditions.load(acquire);  // [lazy]
  if (c != nullptr && c->start_by != time_point::max() && clock_type::now() > c->start_by) {
    n.ops->fail(n, errc::expired);
    finish(n);
    return outcome_of(errc::expired);
  }
  if (c != nullptr && c->deadline != time_point::max() && clock_type::now() > c->deadline) c->source.request_stop();
  return run_claimed(n);
}

outcome run_ticket(job& j) noexcept {
  task_node& n = *static_cast<task_node*>(j.pointer());
  outcome o = outcome_stale;
  if (!node_claim(n)) {
    n.owner->stale_tickets.fetch_sub(1, relaxed);
  } else {
    o = run_in_time(n);
  }
  node_release(n);
  return o;
}

void drop_ticket(job& j, errc e) noexcept {
  task_node& n = *static_cast<task_node*>(j.pointer());
  node_fail(n, e);
  n.owner->stale_tickets.fetch_sub(1, relaxed);
  node_release(n);
}

bool extract_ticket(job& j, task_fn& out) {
  task_node& n = *static_cast<task_node*>(j.pointer());
  struct release_at_end {
    task_node& n;
    ~release_at_end() { node_release(n); }
  } r{n};
  if (!node_claim(n)) {
    n.owner->stale_tickets.fetch_sub(1, relaxed);
    return false;
  }
  struct finish_at_end {
    task_node& n;
    ~finish_at_end() {
      finish(n);
      count_end(*n.owner, outcome_of(errc::stopped));
    }
  } f{n};
  return n.ops->extract(n, out);
}

node_conditions& conditions_of(task_node& n) {
  if (node_conditions* c = n.conditions.load(acquire); c != nullptr) return *c;  // [lazy]
  void* p = allocate(*n.owner, sizeof(node_conditions), alignof(node_conditions));
  auto* mine = ::new (p) node_conditions;
  node_conditions* seen = nullptr;
  if (n.conditions.compare_exchange_strong(seen, mine, acq_rel, acquire)) return *mine;  // [lazy]
  mine->~node_conditions();
  deallocate(p, sizeof(node_conditions), alignof(node_conditions));
  return *seen;
}

std::stop_source& source_of(task_node& n) { return n.ops->source != nullptr ? *n.ops->source(n) : conditions_of(n).source; }

}  // namespace

const job_ops ticket_ops{&run_ticket, &drop_ticket, &extract_ticket};

void node_init(task_node& n, core& c, const node_ops& ops, std::uint32_t flags, std::uint32_t refs, const task_options* o) {
  n.ops = &ops;
  n.owner = &c;
  n.state.store(queued | flags, relaxed);
  n.refs.store(refs, relaxed);
  n.conditions.store(nullptr, relaxed);
  if (o != nullptr && has_conditions(*o)) {
    node_conditions& k = conditions_of(n);
    k.parent = o->stop;
    k.start_by = o->start_by;
    k.deadline = o->deadline;
    k.name = o->name;
    k.bound = o->worker;
  }
  c.acquire_ref();
}

void node_undo_init(task_node& n) noexcept {
  core* const c = n.owner;
  node_forget(n);
  c->release_ref();
}

void node_arm(task_node& n) noexcept {
  node_conditions* c = n.conditions.load(acquire);  // [lazy]
  if (c != nullptr && c->parent.stop_possible()) c->on_stop.emplace(c->parent, node_conditions::canceller{&n});
}

void node_forget(task_node& n) noexcept {
  if (node_conditions* c = n.conditions.load(acquire); c != nullptr) {  // [lazy]
    c->~node_conditions();
    deallocate(c, sizeof(node_conditions), alignof(node_conditions));
  }
}

void node_release(task_node& n) noexcept {
  if (!drop_references(n.refs)) return;
  core* c = n.owner;
  n.ops->destroy(n);
  c->release_ref();
}

void node_abandon(task_node& n, std::uint32_t refs) noexcept {
  if ((n.state.load(relaxed) & counted) != 0) n.owner->credits.give_back(1);
  if (refs > 1) drop_references(n.refs, refs - 1);
  node_release(n);
}

bool node_claim(task_node& n) noexcept {
  std::uint32_t seen = 0;
  if (!states::claim(n.state, seen)) return false;
  if ((seen & counted) != 0) {
    core& c = *n.owner;
    if (worker* w = worker::current_of(c); w != nullptr) {
      w->count_start();
    } else {
      c.started_elsewhere.add();
    }
    os_atomics::light_or_full_fence();  // [room] ↔ wait_for_room
    if ((c.attention_bits() & attention::blocked) != 0) c.room_made();
  }
  return true;
}

void node_fail(task_node& n, errc e) noexcept {
  if (!node_claim(n)) return;
  n.owner->stale_tickets.fetch_add(1, relaxed);
  n.ops->fail(n, e);
  finish(n);
  count_end(*n.owner, outcome_of(e));
}

bool node_try_run(task_node& n) noexcept {
  worker& w = *worker::current();
  if (!node_claim(n)) return false;
  n.owner->stale_tickets.fetch_add(1, relaxed);
  w.started.add();
  w.count_end(run_in_time(n));
  return true;
}

void node_cancel(task_node& n) noexcept {
  if (n.owner->dead()) return;
  node_fail(n, errc::cancelled);
  if (is_done(n)) return;
  WEIR_TRY { source_of(n).request_stop(); }
  WEIR_CATCH_ALL {}  // no memory for a stop source: the task cannot be told
}

std::stop_token node_token(task_node& n) noexcept {
  WEIR_TRY { return source_of(n).get_token(); }
  WEIR_CATCH_ALL {}
  return {};
}

void node_detach(task_node& n) noexcept {
  if (states::detach(n.state))
    if (std::exception_ptr e = n.ops->unread(n); e) report_unhandled(n.owner, std::move(e), nullptr);
  node_release(n);
}

bool is_ticket(const job& j) noexcept { return &j.ops() == &ticket_ops; }
bool ticket_is_stale(const job& j) noexcept {
  return is_ticket(j) && !states::is_unstarted(static_cast<task_node*>(j.pointer())->state);
}

job node_ticket(task_node& n) noexcept {
  return {reinterpret_cast<std::uintptr_t>(&ticket_ops), {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&n)), 0}};
}

outcome node_wait(task_node& n, time_point until) noexcept {
  if (is_done(n)) return outcome_ok;
  core& c = *n.owner;
  if (c.dead()) return outcome_of(errc::stopped);
  worker* const w = worker::current();
  if (w != nullptr && &w->owner == &c && (n.state.load(relaxed) & in_place) != 0 && node_try_run(n)) return outcome_ok;
  if (w != nullptr)
    for (const running_nodes::entry* r = w->running.top(); r != nullptr; r = r->outer)
      if (r->node == &n) return outcome_of(errc::starved);  // a task that waits for itself
  // Bound to a worker that is in the middle of this very wait: it could never start.
  if (w != nullptr && &w->owner == &c && bound_to(n) == static_cast<std::int32_t>(w->index) &&
      states::is_unstarted(n.state))
    return outcome_of(errc::starved);
  // Short: the usual task is over within a wake-up's time.
  for (const std::uint64_t end = ticks() + ticks_of(w != nullptr ? 5'000 : 2'000); ticks() < end; cpu_relax())
    if (is_done(n)) return outcome_ok;
  const auto park = [&](std::int64_t ns) {
    const time_point limit = ns == forever ? until : std::min(until, clock_type::now() + std::chrono::nanoseconds(ns));
    return states::sleep(n.state, [limit] { return until_ns(limit); }) || until_ns(until) == 0;
  };
  const std::int32_t bound = bound_to(n);
  if (w != nullptr && &w->owner == &c && bound >= 0) {
    // The task's worker may be in a wait itself, for something that needs this one: then neither would ever go on.
    bool starved = false;
    w->park_in_wait([&](std::int64_t ns) {
      if (ns != forever) return park(ns);
      for (std::int64_t slice = 1'000'000;; slice = std::min<std::int64_t>(slice * 2, 100'000'000)) {
        if (park(slice)) return true;
        starved = states::is_unstarted(n.state) && c.slot(static_cast<unsigned>(bound))->waits.load(relaxed);
        if (starved) return true;
      }
    });
    if (starved && !is_done(n)) return outcome_of(errc::starved);
  } else if (w != nullptr) {
    w->park_in_wait(park);
  } else {
    park(forever);
  }
  return is_done(n) ? outcome_ok : outcome_of(errc::timeout);
}

std::stop_token current_token() noexcept {
  worker* const w = worker::current();
  if (w == nullptr) return {};
  const running_nodes::entry* const n = w->running.top();
  return n != nullptr ? node_token(*n->node) : w->owner.stop_all.get_token();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
