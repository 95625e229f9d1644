// Tasks that can be waited for: claim, end, wait. Layer 6.
//
// Edges
//   The phase and the references: see task_state.hpp.
//   What gives a node its conditions, and those their stop source: see set_once.hpp.
#include "coroutine.hpp"
#include "gate_state.hpp"
#include "node_conditions.hpp"
#include "queue_time.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <weir/detail/submit.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

using namespace node_state;
using states = task_state<os_atomics>;

namespace {

bool is_done(const task_node& n) noexcept { return states::is_done(n.state); }

template <class T>
T* make(core& c) {
  struct block {
    void* p;
    ~block() {
      if (p != nullptr) deallocate(p, sizeof(T), alignof(T));
    }
  } b{allocate(c, sizeof(T), alignof(T))};
  T* const t = ::new (b.p) T;  // may throw
  b.p = nullptr;
  return t;
}
template <class T>
void unmake(T* t) noexcept {
  if (t == nullptr) return;
  t->~T();
  deallocate(t, sizeof(T), alignof(T));
}

std::stop_source& source_of(task_node& n) {
  if (n.ops->source != nullptr) return *n.ops->source(n);
  node_conditions& k = node_conditions_of(n);
  node_source* seen = look(k.source);
  if (seen != nullptr) return seen->source;
  auto* const mine = make<node_source>(*node_owner(n));
  // Before others know of it: what has been stopped already is told to nobody's callback from in here.
  if (k.hub != nullptr) mine->parent.emplace(k.hub->token(), node_source::relay{mine});
  if (core& c = *node_owner(n); (n.state.load(relaxed) & suspends) != 0 && !c.dead())
    mine->halt.emplace(c.end_source().get_token(), node_source::relay{mine});
  if (!set_once(k.source, seen, mine)) {
    unmake(mine);
    return seen->source;
  }
  return mine->source;
}

// Tickets in a queue whose task is taken: one more, or one fewer.
void note_stale(task_node& n, std::int64_t more) noexcept {
  if (is_gated(n)) state_of(*ticket_of(n).via).note_stale(more);
  else if ((n.state.load(relaxed) & beside) != 0) node_owner(n)->side.note_stale(more);
  else node_owner(n)->stale_tickets.fetch_add(more, relaxed);
}

// After result or error are stored. Frees the waiters; the last use of the node but for the ticket's reference.
void finish(task_node& n) noexcept {
  const std::uint32_t before = states::finish(n.state);
  if ((before & awaited) != 0) resume_later(*conditions_or_null(n)->awaiter);
  if ((before & detached) != 0)
    if (std::exception_ptr e = n.ops->unread(n); e) report_unhandled(node_owner(n), std::move(e), node_name(n));
}

void count_elsewhere_end(core& c, outcome o) noexcept {
  c.ended_elsewhere[o].add();
  c.tell_if_asked();
}

void count_end(core& c, outcome o) noexcept {
  if (worker* w = worker::current_of(c); w != nullptr) w->count_end(o);
  else count_elsewhere_end(c, o);
}

// The clock watches a run: at the deadline the task is asked to stop.
class watched_run {
 public:
  watched_run(task_node& n, std::uint32_t flags) noexcept : n_(n) {
    const time_point end = (flags & timed) != 0 ? node_deadline(n) : time_point::max();
    if (end == time_point::max()) return;
    core& c = *node_owner(n);
    if (clock_type::now() >= end) {
      c.time.count_late();
      node_tell_to_stop(n);
      return;
    }
    if ((flags & dated) == 0) node_set_entry(n, timekeeper::tick_of(end), due::deadline);  // else others read it meanwhile
    add_reference(n.refs);
    watched_ = c.time.put(node_entry(n), due::deadline, [] { return true; });
    if (!watched_) drop_references(n.refs);
  }
  ~watched_run() {
    if (watched_ && node_owner(n_)->time.remove(node_entry(n_), due::deadline)) drop_references(n_.refs);  // else it is with the timekeeper
  }
  watched_run(const watched_run&) = delete;
  watched_run& operator=(const watched_run&) = delete;

 private:
  task_node& n_;
  bool watched_ = false;
};

// observe: null, or what is told of it.
outcome run_shown(task_node& n, runner* const w, std::uint32_t forks_from, std::uint32_t flags, observed_run* observe) noexcept {
  running_entry me;
  me.node = &n;
  me.forks_from = forks_from;
  me.run = observe;
  w->running.enter(me);
  const char* const outer_name = w->current_name.load(relaxed);
  w->current_name.store(node_name(n), relaxed);
  if (observe != nullptr) [[unlikely]] observe->watch();
  outcome o = outcome_ok;
  {
    const watched_run watch(n, flags);
    o = n.ops->run(n);
  }
  w->current_name.store(outer_name, relaxed);
  if (w->running.top() == &me) w->running.leave(me);  // a group's child has done so: see group_ended()
  return o;
}

// By who submitted it, as on_full::caller_runs says. Nobody halts him, so he may begin after those that run were asked to stop: it
// hears of that by itself.
WEIR_NOINLINE outcome run_by_caller(task_node& n, std::uint32_t flags, observed_run* observe) noexcept {
  const auto tell = [&n] { node_tell_to_stop(n); };
  const std::stop_callback on_stop(node_owner(n)->end_source().get_token(), tell);
  return run_shown(n, this_caller.seat, 0, flags, observe);
}

outcome run_here(task_node& n, std::uint32_t flags, observed_run* observe) noexcept {
  if (worker* const w = worker::current(); w != nullptr) return run_shown(n, w, w->forks.head(), flags, observe);
  if (this_side != nullptr) return run_shown(n, this_side, 0, flags, observe);
  return run_by_caller(n, flags, observe);
}

WEIR_NOINLINE outcome run_observed(task_node& n, std::uint32_t flags) noexcept {
  observed_run run(*node_owner(n), node_record(n), &n);
  // Its parent, or its series, says whether it begins: observe_begin().
  if (n.ops->source == nullptr && (flags & repeats) == 0) run.begin();
  const outcome o = run_here(n, flags, &run);
  run.end(o);
  return o;
}

// Shown and told of each time that it goes on: see coroutine.cpp.
WEIR_NOINLINE outcome run_coroutine(task_node& n) noexcept {
  const outcome o = n.ops->run(n);
  if (is_end(o)) node_after_run(n);
  return o;
}

// Runs a claimed task on the current thread; the outcome is the caller's to count.
outcome run_claimed(task_node& n) noexcept {
  const std::uint32_t flags = n.state.load(relaxed);
  if ((flags & suspends) != 0) [[unlikely]] return run_coroutine(n);
  const outcome o = (flags & observed) != 0 ? run_observed(n, flags) : run_here(n, flags, nullptr);
  if (o == outcome_again) return node_wait_again(n);
  node_after_run(n);
  return o;
}

// The end of a claimed task that does not run.
void fail_claimed(task_node& n, errc e) noexcept {
  if ((n.state.load(relaxed) & observed) != 0) [[unlikely]] observe_discard(n, e);
  {
    const as_task_of end(*node_owner(n));
    n.ops->fail(n, e);
  }
  finish(n);
}

outcome end_expired(task_node& n) noexcept {
  fail_claimed(n, errc::expired);
  return outcome_of(errc::expired);
}

outcome run_in_time(task_node& n) noexcept {
  if ((n.state.load(relaxed) & expires) != 0 && timekeeper::tick_of(clock_type::now()) > node_entry(n).tick()) return end_expired(n);
  return run_claimed(n);
}

// What must not be set when this ticket claims its task: the first one may have been overtaken by an attempt in place.
std::uint32_t stale_if(const job& j) noexcept { return (j.data[1] & 1) == 0 ? again : 0; }

outcome run_ticket(job& j) noexcept {
  task_node& n = *static_cast<task_node*>(j.pointer());
  outcome o = outcome_stale;
  if (!node_claim(n, 0, stale_if(j))) note_stale(n, -1);
  else o = run_in_time(n);
  node_release(n);
  return o;
}

// The same of one that carries the time at which it was queued.
outcome run_ticket_with_time(job& j) noexcept {
  task_node& n = *static_cast<task_node*>(j.pointer());
  outcome o = outcome_stale;
  if (!node_claim(n, 0, stale_if(j))) note_stale(n, -1);
  else if (node_owner(n)->sheds(static_cast<std::int64_t>(j.data[1] >> 1))) o = end_expired(n);
  else o = run_in_time(n);
  node_release(n);
  return o;
}

void drop_ticket(job& j, errc e) noexcept {
  task_node& n = *static_cast<task_node*>(j.pointer());
  node_fail(n, e, true, stale_if(j));
  note_stale(n, -1);
  node_release(n);
}

bool extract_ticket(job& j, task_fn& out) {
  task_node& n = *static_cast<task_node*>(j.pointer());
  struct release_at_end {
    task_node& n;
    ~release_at_end() { node_release(n); }
  } r{n};
  if (!node_claim(n, 0, stale_if(j))) {
    note_stale(n, -1);
    return false;
  }
  struct finish_at_end {
    task_node& n;
    ~finish_at_end() {
      finish(n);
      count_end(*node_owner(n), outcome_of(errc::stopped));
    }
  } f{n};
  if ((n.state.load(relaxed) & observed) != 0) [[unlikely]] observe_discard(n, errc::stopped);
  return n.ops->extract(n, out);
}

// One thing lies in `extra` itself; several, or what has no room elsewhere, among the conditions.
WEIR_NOINLINE void take_options(task_node& n, core& c, std::uint32_t flags, const task_options& o) {
  if ((flags & expires) != 0) node_set_entry(n, timekeeper::tick_of(o.start_by), due::start_by);
  if ((flags & dated) != 0) node_set_entry(n, timekeeper::tick_of(o.deadline), due::deadline);
  worker* const w = worker::current_of(c);
  if ((flags & stoppable) != 0) {
    stop_hub& hub = stop_hub::of(c, o.stop, w != nullptr ? w->recent_hub : c.my_lease().recent_hub);
    n.extra.store(reinterpret_cast<std::uintptr_t>(&hub) | extra_hub, relaxed);
  }
  if ((flags & retries) != 0) {
    retry_terms& terms = retry_terms::of(*o.retry, w != nullptr ? w->recent_terms : c.my_lease().recent_terms);
    if ((flags & stoppable) == 0) {
      n.extra.store(reinterpret_cast<std::uintptr_t>(&terms) | extra_terms, relaxed);
    } else {
      WEIR_TRY { node_conditions_of(n).terms = &terms; }
      WEIR_CATCH_ALL {
        terms.release();
        WEIR_RETHROW;
      }
    }
  }
  const bool undated = o.deadline != time_point::max() && (flags & dated) == 0;
  const bool aside = (flags & (retries | suspends)) != 0 && o.prio != lane::normal;  // where it goes when it comes back
  if (!undated && !aside && o.name == nullptr && o.worker < 0) return;
  node_conditions& k = node_conditions_of(n);
  if (undated) k.deadline = o.deadline;
  k.name = o.name;
  k.bound = static_cast<std::int16_t>(o.worker);
  k.prio = o.prio;
}

WEIR_NOINLINE void arm(task_node& n) noexcept {
  if (stop_hub* const hub = hub_of(n); hub != nullptr) hub->add(n);
  if ((n.state.load(relaxed) & expires) == 0) return;
  add_reference(n.refs);
  // Its claimer takes the lock after the claim, so either he removes the entry or the claim is seen here. A task that waits
  // for another attempt is unstarted, too, but does not expire any more.
  const auto ready = [&n] { return (n.state.load(relaxed) & (node_state::phase | expires)) == (queued | expires); };
  if (!node_owner(n)->time.put(node_entry(n), due::start_by, ready)) drop_references(n.refs);
}

}  // namespace

node_conditions& node_conditions_of(task_node& n) {
  std::uintptr_t seen = look(n.extra);
  if (node_conditions* const c = conditions_in(seen); c != nullptr) return *c;
  auto* const mine = make<node_conditions>(*node_owner(n));
  mine->hub = hub_in(seen);
  mine->terms = terms_in(seen);
  if (set_once(n.extra, seen, reinterpret_cast<std::uintptr_t>(mine))) return *mine;
  unmake(mine);
  return *conditions_in(seen);
}

const char* node_name(const task_node& n) noexcept {
  const node_conditions* c = conditions_or_null(n);
  return c != nullptr ? c->name : nullptr;
}

void node_tell_to_stop(task_node& n) noexcept {
  WEIR_TRY { source_of(n).request_stop(); }
  WEIR_CATCH_ALL {}  // no memory for a stop source: the task cannot be told
}

bool node_stop_source(task_node& n, std::optional<std::stop_source>& out) noexcept {
  if (node_owner(n)->dead() || is_done(n)) return false;
  WEIR_TRY {
    const std::stop_source& s = source_of(n);
    if (s.stop_requested()) return false;
    out = s;
    return true;
  }
  WEIR_CATCH_ALL { return false; }  // no memory for a stop source: the task cannot be told
}

const job_ops ticket_ops{&run_ticket, &drop_ticket, &extract_ticket};
static const job_ops timed_ticket_ops{&run_ticket_with_time, &drop_ticket, &extract_ticket};

void node_after_run(task_node& n) noexcept {
  const std::uint32_t flags = n.state.load(relaxed);
  if ((flags & (repeats | observed)) != 0) [[unlikely]] {
    if ((flags & repeats) != 0) {
      if (series_goes_on(n)) return;  // it is somebody else's now
      n.ops->fail(n, errc::cancelled);
    }
    if ((flags & (observed | suspends)) == observed) observe_over(n);  // coroutine.cpp does it, when no segment is left
  }
  finish(n);
}

core* node_owner(const task_node& n) noexcept { return static_cast<core*>(page_source::user_of(&n)); }

void node_init(task_node& n, core& c, const node_ops& ops, std::uint32_t flags, std::uint32_t refs, const task_options* o,
               gate* via) {
  n.ops = &ops;
  n.state.store(queued | flags | (via != nullptr ? gated : 0), relaxed);
  n.refs.store(refs, relaxed);
  n.extra.store(0, relaxed);
  if (o != nullptr) {
    WEIR_TRY { take_options(n, c, flags, *o); }
    WEIR_CATCH_ALL {
      node_forget(n);
      WEIR_RETHROW;
    }
  }
  if ((flags & observed) != 0) [[unlikely]] observe_init(n, c, o != nullptr ? o->name : nullptr);
  if (via == nullptr) {
    if (worker* const w = worker::current_of(c); w != nullptr) return w->hold_core();
    return c.acquire_ref();
  }
  gate_ticket& t = *::new (static_cast<void*>(&ticket_of(n))) gate_ticket;
  t.tagged_ops = reinterpret_cast<std::uintptr_t>(&ticket_ops);
  t.via = via;
  state_of(*via).add_ref();
}

namespace {
// What keeps the runtime while the task lives.
struct keeper {
  explicit keeper(task_node& n) noexcept : c(node_owner(n)), g(is_gated(n) ? ticket_of(n).via : nullptr) {}
  void release() const noexcept {
    if (worker* const w = g == nullptr ? worker::current_of(*c) : nullptr; w != nullptr) w->let_go_of_core();
    else if (g == nullptr) c->release_ref();
    else state_of(*g).drop_ref();
  }
  core* c;
  gate* g;
};
}  // namespace

void node_undo_init(task_node& n) noexcept {
  const keeper k(n);
  if ((n.state.load(relaxed) & observed) != 0) observe_over(n);
  node_forget(n);
  k.release();
}

void node_arm(task_node& n) noexcept {
  if ((n.state.load(relaxed) & (stoppable | expires)) != 0) arm(n);
}

void node_forget(task_node& n) noexcept {
  stop_hub* const hub = hub_of(n);
  retry_terms* const terms = terms_of(n);
  if (node_conditions* const c = conditions_or_null(n); c != nullptr) {
    unmake(look(c->source));
    unmake(c);
  }
  if (hub != nullptr) hub->release();
  if (terms != nullptr) terms->release();
}

void node_release(task_node& n) noexcept {
  if (!drop_references(n.refs)) return;
  const keeper k(n);
  n.ops->destroy(n);
  k.release();
}

void node_abandon(task_node& n, std::uint32_t refs) noexcept {
  const std::uint32_t bits = n.state.load(relaxed);
  if ((bits & counted) != 0) {
    node_owner(n)->credits.give_back(1);
    node_owner(n)->tell_blocked();
  }
  if ((bits & (gated | again)) == gated) state_of(*ticket_of(n).via).leave_rooms();
  if ((bits & observed) != 0) observe_over(n);
  if (refs > 1) drop_references(n.refs, refs - 1);
  node_release(n);
}

bool node_claim(task_node& n, std::uint32_t needed, std::uint32_t excluded) noexcept {
  std::uint32_t seen = 0;
  if (!states::claim(n.state, seen, needed, excluded)) return false;
  if ((seen & stoppable) != 0)
    if (stop_hub* const hub = hub_of(n); hub != nullptr) hub->remove(n);
  if ((seen & (gated | again)) == gated) state_of(*ticket_of(n).via).leave_rooms();
  if ((seen & expires) != 0 && node_owner(n)->time.remove(node_entry(n), due::start_by)) drop_references(n.refs);
  if ((seen & counted) != 0) {
    core& c = *node_owner(n);
    if (worker* w = worker::current_of(c); w != nullptr) {
      w->count_start();
    } else {
      c.started_elsewhere.add();
    }
    c.tell_blocked();
  }
  return true;
}

bool node_fail(task_node& n, errc e, bool in_queue, std::uint32_t excluded) noexcept {
  if (!node_claim(n, 0, excluded)) return false;
  core& c = *node_owner(n);
  // Its ticket is in a queue, where it is stale now, or waits in the wheel.
  const bool in_wheel = (n.state.load(relaxed) & timed) != 0 && c.time.remove_ticket(node_entry(n));
  if (in_queue && !in_wheel) note_stale(n, 1);
  fail_claimed(n, e);
  count_end(c, outcome_of(e));
  if (in_wheel) node_release(n);  // the ticket's reference; the caller has another
  return true;
}

bool node_try_run(task_node& n, std::uint32_t needed) noexcept {
  worker& w = *worker::current();
  if (!node_claim(n, needed)) return false;
  note_stale(n, 1);
  w.started.add();
  const outcome o = run_in_time(n);
  if (is_end(o)) w.count_end(o);
  else w.started.sub();
  return true;
}

// A task of the blocking pool waits for one that no thread of the pool has taken yet: perhaps all of them do.
bool node_try_run_beside(task_node& n) noexcept {
  core& c = *node_owner(n);
  if (this_side == nullptr || &this_side->owner != &c || !node_claim(n, beside, again)) return false;
  note_stale(n, 1);
  if (const outcome o = run_in_time(n); is_end(o)) count_elsewhere_end(c, o);
  return true;
}

bool node_cancel(task_node& n) noexcept {
  if (node_owner(n)->dead()) return false;
  if (node_fail(n, errc::cancelled)) return true;
  if (!is_done(n)) node_tell_to_stop(n);
  return false;
}

std::stop_token node_token(task_node& n) noexcept {
  WEIR_TRY { return source_of(n).get_token(); }
  WEIR_CATCH_ALL {}
  return {};
}

void node_detach(task_node& n) noexcept {
  if (states::detach(n.state))
    if (std::exception_ptr e = n.ops->unread(n); e) report_unhandled(node_owner(n), std::move(e), nullptr);
  node_release(n);
}

const char* exchange_task_name(const char* name) noexcept {
  runner* const w = current_runner();
  if (w == nullptr) return nullptr;
  const char* const before = w->current_name.load(relaxed);
  w->current_name.store(name, relaxed);
  return before;
}

bool is_ticket(const job& j) noexcept { return &j.ops() == &ticket_ops || &j.ops() == &timed_ticket_ops; }
bool ticket_is_stale(const job& j) noexcept {
  return is_ticket(j) && (static_cast<task_node*>(j.pointer())->state.load(relaxed) & (node_state::phase | stale_if(j))) != queued;
}

bool ticket_holds_credit(const job& j) noexcept {
  return (static_cast<task_node*>(j.pointer())->state.load(relaxed) & (counted | again)) == counted;
}

job node_ticket(task_node& n, bool tried) noexcept {
  return {reinterpret_cast<std::uintptr_t>(&ticket_ops), {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&n)), tried ? 1u : 0u}};
}

// Bit 0 of its second word: tried; the rest: ns since the clock's beginning.
job node_ticket_with_time(task_node& n, bool tried, std::int64_t when) noexcept {
  return {reinterpret_cast<std::uintptr_t>(&timed_ticket_ops),
          {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(&n)), static_cast<std::uint64_t>(when) << 1 | (tried ? 1u : 0u)}};
}

void node_put_time(gate_entry& ticket) noexcept {
  ticket.tagged_ops = reinterpret_cast<std::uintptr_t>(&timed_ticket_ops);
  static_cast<gate_ticket&>(ticket).queued = queue_clock_now();
}

bool node_post(task_node& n, bool tried, lane prio, int target) noexcept {
  const std::uint32_t flags = n.state.load(relaxed) & (gated | clocked);
  if (flags == 0) [[likely]] return node_owner(n)->post(node_ticket(n, tried), prio, target);
  if ((flags & gated) == 0) return node_owner(n)->post(node_ticket_with_time(n, tried, queue_clock_now()), prio, target);
  if ((flags & clocked) != 0) node_put_time(ticket_of(n));
  gate_post(*ticket_of(n).via, ticket_of(n));
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
