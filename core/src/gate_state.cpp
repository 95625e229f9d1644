// See gate_state.hpp.
#include "gate_state.hpp"
#include "queue_time.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <new>
#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

constinit gate gate_stopped{outcome_of(errc::stopped)};
constinit gate gate_invalid{outcome_of(errc::invalid)};
constinit gate gate_failed{outcome_of(errc::failed)};

namespace {

constexpr double long_turn_ns = 16'000;  // as a batch of claimed jobs: see worker::claim()

gate_state& take_turn(const job& j) noexcept;

outcome run_turn(job& j) noexcept {
  worker& w = *worker::current();
  w.started.sub();  // the turn is no task; those that it runs are
  take_turn(j).run_turn(w);
  return outcome_turn;
}
// No memory to put it back. What waits in its gate is not lost.
void drop_turn(job& j, errc) noexcept { take_turn(j).hand_on(); }
bool extract_turn(job& j, task_fn&) { return drop_turn(j, errc::stopped), false; }

const job_ops turn_ops{&run_turn, &drop_turn, &extract_turn};         // the gate itself
const job_ops nested_turn_ops{&run_turn, &drop_turn, &extract_turn};  // an entry, allocated
const job_ops spare_turn_ops{&run_turn, &drop_turn, &extract_turn};   // an entry, the gate's own

std::uintptr_t address(const job_ops& o) noexcept { return reinterpret_cast<std::uintptr_t>(&o); }

// Whose turn it is. An entry goes back.
gate_state& take_turn(const job& j) noexcept {
  gate_state& g = gate_of_turn(j);
  if (&j.ops() == &nested_turn_ops) deallocate(static_cast<turn_entry*>(static_cast<gate_entry*>(j.pointer())), sizeof(turn_entry), alignof(turn_entry));
  if (&j.ops() == &spare_turn_ops) g.spare_turn_taken();
  return g;
}

// What an entry stands for, as a queue of the runtime would hold it.
job job_of(gate_entry& e) noexcept {
  const job j = e.as_job();
  if (!is_ticket(j)) return j;
  if (&j.ops() == &ticket_ops) return node_ticket(node_of(e), true);  // nobody tries it in place, so none is overtaken
  return node_ticket_with_time(node_of(e), true, static_cast<gate_ticket&>(e).queued);
}
bool is_box(const job& j) noexcept { return !is_ticket(j) && !is_turn(j) && !is_resumption(j); }

constexpr bool power_of_two(unsigned n) noexcept { return (n & (n - 1)) == 0; }

}  // namespace

bool is_turn(const job& j) noexcept {
  return &j.ops() == &turn_ops || &j.ops() == &nested_turn_ops || &j.ops() == &spare_turn_ops;
}
gate_state& gate_of_turn(const job& j) noexcept {
  if (&j.ops() == &turn_ops) return *static_cast<gate_state*>(j.pointer());
  return *static_cast<turn_entry*>(static_cast<gate_entry*>(j.pointer()))->of;
}
void end_turn(job& j) noexcept { take_turn(j).flushed(); }

// ---- life ----

gate_state::gate_state(core& c, gate_state* in_front_of, const gate_shape& s) noexcept
    : dependant(&c),
      owner(c),
      parent(in_front_of),
      full(s.full),
      bounded(s.capacity != 0 || (parent != nullptr && parent->bounded)),
      queue_(s.places) {
  sweep_at_.store(64, relaxed);
  if (s.capacity != 0) room_.emplace(s.capacity);
  if (parent != nullptr) parent->add_ref();
  enlist();
}

gate_state::~gate_state() {
  if (parent != nullptr) parent->drop_ref();
}

gate* gate_open(core* c, gate* parent, const gate_shape& s) noexcept {
  if (parent != nullptr && parent->refusal != outcome_ok) return parent;
  if (s.places == 0 || s.places > 1u << 20 || (s.limits && s.capacity == 0) || s.capacity > std::size_t{1} << 40 ||
      s.full > on_full::discard)
    return &gate_invalid;
  if (c->dead()) return &gate_stopped;
  gate* const g = new (std::nothrow) gate_state(*c, parent != nullptr ? &state_of(*parent) : nullptr, s);
  return g != nullptr ? g : &gate_failed;
}
void gate_acquire(gate& g) noexcept {
  if (g.refusal == outcome_ok) state_of(g).add_ref();
}
void gate_release(gate& g) noexcept {
  if (g.refusal == outcome_ok && !state_of(g).owner.dead()) state_of(g).drop_ref();
}

// ---- admission ----

outcome gate_state::enter_rooms(const task_options* o, patience p, std::size_t n, admission& a) noexcept {
  for (gate_state* g = this; g != nullptr; g = g->parent)
    if (g->room_ && !g->room_->take(n)) {
      // What is to pass another gate first cannot run on the caller.
      const outcome said = g->enter_room(o, g != this && p == patience::by_policy ? patience::elsewhere : p, n, a);
      if (said == outcome_ok && a.target == on_caller) return said;
      if (said == outcome_ok) continue;
      for (gate_state* passed = this; passed != g; passed = passed->parent)
        if (passed->room_) passed->room_->give(n);
      return said;
    }
  return outcome_ok;
}

// This one is full, as it seems.
outcome gate_state::enter_room(const task_options* o, patience p, std::size_t n, admission& a) noexcept {
  if (p == patience::never || full == on_full::block || full == on_full::reject) return enter(*room_, owner, full, o, p, n);
  core& c = owner;
  // The runtime would have the last word, which comes too late for whoever is dropped or run.
  if (o != nullptr)
    if (const outcome said = refusal_of(*o); said != outcome_ok) return said;
  switch (full) {
    case on_full::caller_runs: {
      if (p != patience::by_policy || this_worker != nullptr || this_side != nullptr || this_keeper != nullptr || this_caller.owner != nullptr)
        return c.count_refusal(), outcome_of(errc::full);
      lease* l = nullptr;
      WEIR_TRY { l = &c.my_lease(); }
      WEIR_CATCH_ALL { return outcome_of(errc::failed); }
      return c.let_caller_in(*l, a) == outcome_ok ? outcome_ok : (c.count_refusal(), outcome_of(errc::stopped));
    }
    case on_full::drop_oldest:
      if (worker::current_of(c) == nullptr && c.closed()) return c.count_refusal(), outcome_of(errc::stopped);
      while (!room_->take(n))
        if (!drop_oldest()) return c.count_refusal(), outcome_of(errc::full);
      return outcome_ok;
    default:
      const outcome said = c.discard(o != nullptr ? o->name : nullptr);
      if (said == outcome_of(errc::stopped)) c.count_refusal();
      return said;
  }
}

// The oldest in this gate's own queue that holds a room of it ends as dropped, or was cancelled before and leaves the queue. False: there
// is none. What waits in a gate in front of this one is represented here by a turn, which is no task; what is tried again, and what
// a timer has posted, holds no room.
bool gate_state::drop_oldest() noexcept {
  struct hold {  // the callable's end may let go of the last handle
    gate_state& g;
    ~hold() { g.drop_ref(); }
  } const until_the_end{*this};
  add_ref();
  gate_entry* const oldest = queue_.take_if([](gate_entry& e) {
    const job j = e.as_job();
    return is_ticket(j) ? (node_of(e).state.load(relaxed) & node_state::again) == 0 : is_box(j);
  });
  if (oldest == nullptr) return false;
  job j = job_of(*oldest);
  const as_task_of end(owner);
  end_unstarted(j, errc::dropped);
  return true;
}

outcome enter(room<os_atomics>& r, core& c, on_full full, const task_options* o, patience p, std::size_t n) noexcept {
  if (r.take(n)) return outcome_ok;
  if (p == patience::never || full != on_full::block || this_worker != nullptr || this_keeper != nullptr || this_caller.owner != nullptr)  // P13
    return c.count_refusal(), outcome_of(errc::full);
  room<os_atomics>::waiter me;
  if (r.line_up(me)) return outcome_ok;
  if (c.closed()) r.turn_away(me, errc::stopped);  // closing() may have come before
  const auto on_stop = [&] {
    if (!c.dead()) r.turn_away(me, errc::cancelled);  // a forked child has the callbacks of threads that are not there
  };
  std::optional<std::stop_callback<decltype(on_stop)>> callback;
  if (o != nullptr && o->stop.stop_possible()) callback.emplace(o->stop, on_stop);
  const time_point limit = o != nullptr ? std::min(o->start_by, o->deadline) : time_point::max();
  const errc said = r.await(me, [limit] { return until_ns(limit); });
  return said == errc{} ? outcome_ok : outcome_of(said);
}

on_full policy_of(const core& c, const gate* via) noexcept {
  for (const gate_state* g = via != nullptr ? &state_of(*via) : nullptr; g != nullptr; g = g->parent)
    if (g->has_room()) return g->full;
  return c.opts.full;
}

void gate_state::leave_rooms(std::size_t n) noexcept {
  if (!bounded) return;
  for (gate_state* g = this; g != nullptr; g = g->parent)
    if (g->room_) g->room_->give(n);
}

void gate_state::closing() noexcept {
  if (room_) room_->turn_all_away(errc::stopped);
}

outcome gate_admit(gate& base, const task_options* o, patience p, admission& a, std::size_t n) noexcept {
  if (base.refusal != outcome_ok) return base.refusal;
  gate_state& g = state_of(base);
  if (g.owner.dead()) return outcome_of(errc::stopped);
  if (o != nullptr && (o->worker != -1 || o->prio > lane::low)) return outcome_of(errc::invalid);  // a turn runs on any worker
  if (g.wants_sweep()) [[unlikely]] {
    g.sweep();
    if (g.owner.dead()) return outcome_of(errc::stopped);  // what was let go of has forked the process
  }
  if (g.bounded)
    if (const outcome said = g.enter_rooms(o, p, n, a); said != outcome_ok || a.target == on_caller) return said;
  const outcome said = admit(g.owner, o, p == patience::by_policy ? patience::elsewhere : p, a, n);
  if (said != outcome_ok) g.leave_rooms(n);
  return said;
}

// See on_full::caller_runs, and queue_time.hpp.
static WEIR_NOINLINE outcome push_aside(gate& base, admission a, gate_entry* const* all, std::size_t n) noexcept {
  core& c = state_of(base).owner;
  if (a.target == on_caller) return c.run_on_caller(*static_cast<lease*>(a.place), job_of(**all));
  a.target = -1;
  a.tag &= 1;
  if (n == 1) {
    gate_entry* const timed = put_time(c, **all);
    if (timed == nullptr) return gate_unadmit(base, a), outcome_of(errc::failed);
    const outcome o = gate_push(base, a, &timed);
    if (o != outcome_ok) take_time_back(*timed);
    return o;
  }
  std::vector<gate_entry*> timed;
  WEIR_TRY { timed.resize(n); }
  WEIR_CATCH_ALL { return gate_unadmit(base, a, n), outcome_of(errc::failed); }
  std::size_t put = 0;
  while (put != n && (timed[put] = put_time(c, *all[put])) != nullptr) ++put;
  outcome o = outcome_of(errc::failed);
  if (put == n) o = gate_push(base, a, timed.data(), n);
  else gate_unadmit(base, a, n);
  if (o != outcome_ok)
    for (std::size_t i = 0; i < put; ++i) take_time_back(*timed[i]);
  return o;
}

outcome gate_push(gate& base, const admission& a, gate_entry* const* all, std::size_t n) noexcept {
  if (a.node_flags != 0) [[unlikely]] return gate_push_observed(base, a, all, n);
  if (a.target >= 0) [[unlikely]] return push_aside(base, a, all, n);
  for (std::size_t i = 0; i < n; ++i) all[i]->tagged_ops |= a.tag;
  state_of(base).push(all, n);
  return outcome_ok;
}

void gate_post(gate& g, gate_entry& e) noexcept {
  gate_entry* const one = &e;
  state_of(g).push(&one, 1);
}

void gate_unadmit(gate& base, const admission& a, std::size_t n) noexcept {
  gate_state& g = state_of(base);
  if (a.room_held) g.leave_rooms(n);
  unadmit(g.owner, a, n);
}

// ---- the queue ----

void gate_state::push(gate_entry* const* all, std::size_t n) noexcept {
  for (std::size_t i = 1; i < n; ++i) all[i]->next.store(all[i - 1], relaxed);
  // A turn that runs already, or a shutdown, may take an entry that holds the last handle, and end it, before the call is over.
  struct hold {
    gate_state& g;
    ~hold() { g.drop_ref(); }
  } const until_the_end{*this};
  add_ref();
  for (unsigned turns = queue_.push(*all[n - 1], *all[0]); turns != 0; --turns) {
    add_ref();
    hand_on();
  }
}

void gate_state::push_resumption(resume_point& p) noexcept {
  count_resumption(1);
  gate_entry* const one = &p;
  push(&one, 1);
}

void gate_state::count_resumption(std::int64_t more) noexcept {
  for (gate_state* g = this; g != nullptr; g = g->parent) g->resumptions_.fetch_add(more, relaxed);
}

void gate_state::hand_on() noexcept {
  if (parent == nullptr) {
    const bool kept = owner.halted() && resumptions_.load(relaxed) > 0;  // else it is for the flush
    if (!kept && owner.post({address(turn_ops), {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this)), 0}})) return;
    return use_spare_turn();
  }
  turn_entry* e = nullptr;
  WEIR_TRY { e = ::new (allocate(owner, sizeof(turn_entry), alignof(turn_entry))) turn_entry; }
  WEIR_CATCH_ALL { return use_spare_turn(); }
  e->tagged_ops = address(nested_turn_ops);
  e->of = this;
  gate_entry* const one = e;
  parent->push(&one, 1);
}

void gate_state::use_spare_turn() noexcept {
  bool out;
  {
    const std::lock_guard lock(spare_mutex_);
    out = std::exchange(spare_turn_out_, true);
  }
  if (out) {  // I4
    queue_.end_turn();
    return drop_ref();
  }
  spare_turn_.tagged_ops = address(spare_turn_ops);
  spare_turn_.of = this;
  if (parent == nullptr) return owner.keep(spare_turn_);
  gate_entry* const one = &spare_turn_;
  parent->push(&one, 1);
}

void gate_state::spare_turn_taken() noexcept {
  const std::lock_guard lock(spare_mutex_);
  spare_turn_out_ = false;
}

// What a halted runtime runs.
bool gate_state::goes_on(const gate_entry& e) noexcept {
  const job j = e.as_job();
  return is_resumption(j) || (is_turn(j) && gate_of_turn(j).resumptions_.load(relaxed) > 0);
}

bool gate_state::take_unstarted(job& j) noexcept {
  gate_entry* const e = queue_.take_if([](const gate_entry& x) { return !goes_on(x); });
  if (e == nullptr) return false;
  j = job_of(*e);
  if (is_box(j)) leave_rooms();  // a ticket's claim does it
  return true;
}

// Of a task, by who has taken it out: counted as a start and an end.
void gate_state::end_unstarted(job& j, errc e) noexcept {
  core& c = owner;
  const bool box = is_box(j);
  if (box) leave_rooms();
  if (j.counted()) c.started_elsewhere.add();
  j.ops().drop(j, e);
  if (box) c.ended_elsewhere[outcome_of(e)].add();
  c.tell_blocked();
  c.tell_if_asked();
}

void gate_state::flushed() noexcept {
  if (queue_.over_if_empty()) drop_ref();
  else hand_on();
}

void gate_state::sweep() noexcept {
  std::size_t left = 0;
  gate_entry* stale = queue_.sweep([](gate_entry& e) { return ticket_is_stale(job_of(e)); }, left);
  sweep_at_.store(static_cast<std::int64_t>(left) + 64, relaxed);
  while (stale != nullptr) {
    gate_entry* const e = stale;
    stale = e->next.load(relaxed);
    note_stale(-1);
    node_release(node_of(*e));
  }
}

// ---- a turn ----

// In the gates that this one is in front of, while a turn of it has theirs.
bool gate_state::somebody_waits_behind() noexcept {
  for (gate_state* g = parent; g != nullptr; g = g->parent)
    if (g->queue_.any()) return true;
  return false;
}

void gate_state::run_turn(worker& w) noexcept {
  held_place here{this, w.places};
  w.places = &here;
  bool over = false;
  std::uint64_t began = ticks();
  for (unsigned n = 1;; ++n) {
    const bool halted = owner.halted();
    bool paused = false;
    gate_entry* const e = halted ? queue_.take_if(&goes_on) : queue_.next([&]() noexcept { return !(paused = owner.paused()); });
    if (e == nullptr) {
      over = (!halted && !paused) || queue_.over_if_empty();
      if (!over) hand_on();
      break;
    }
    job j = job_of(*e);
    if (is_resumption(j)) count_resumption(-1);
    if (bounded && is_box(j)) leave_rooms();
    w.run(j);
    const bool no_batches = owner.halted();
    const bool others = no_batches ? owner.any_kept() || somebody_waits_behind() : w.wanted_elsewhere();
    if (!others && no_batches) continue;
    if (!others && w.one_more_in_turn() && (!power_of_two(n) || ticks_since(began, ticks()) < ticks_of(long_turn_ns))) continue;
    if (others || w.somebody_waits() || somebody_waits_behind()) {
      over = queue_.over_if_empty();
      if (!over) hand_on();
      break;
    }
    w.next_batch_in_turn();
    began = ticks();
    n = 0;
  }
  w.places = here.outer;
  if (over) drop_ref();
}

// ---- waits ----

bool gate_state::begin_wait(held_place& p) noexcept {
  const std::lock_guard lock(wait_mutex_);
  p.next_wait = waits_;
  waits_ = &p;
  if (++waiting_ < queue_.most()) return true;
  for (const held_place* at = waits_; at != nullptr; at = at->next_wait)
    if (at->over(at->awaited)) return true;  // that one is about to go on
  waits_ = p.next_wait;
  --waiting_;
  return false;
}

void gate_state::end_wait(held_place& p) noexcept {
  const std::lock_guard lock(wait_mutex_);
  for (held_place** at = &waits_; *at != nullptr; at = &(*at)->next_wait)
    if (*at == &p) {
      *at = p.next_wait;
      --waiting_;
      return;
    }
}

gated_wait::gated_wait(gate& via, worker& w, const void* what, bool (*over)(const void*) noexcept) noexcept : worker_(w) {
  if (w.places == nullptr || via.refusal != outcome_ok) return;
  for (gate_state* g = &state_of(via); g != nullptr && !starves_; g = g->parent)
    for (held_place* p = w.places; p != nullptr && !starves_; p = p->outer)
      if (p->of == g) {
        p->awaited = what;
        p->over = over;
        if (!g->begin_wait(*p)) p->awaited = nullptr, starves_ = true;
      }
  if (starves_) leave();
}
gated_wait::~gated_wait() { leave(); }

void gated_wait::leave() noexcept {
  for (held_place* p = worker_.places; p != nullptr; p = p->outer)
    if (p->awaited != nullptr) {
      p->of->end_wait(*p);
      p->awaited = nullptr;
    }
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
