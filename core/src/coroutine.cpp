// Coroutines as tasks: their segments, resumptions, waits and frames. Layer 6.
//
//   spawn ─► ticket, as of any task ─► segment ─► suspended ─► resume_later ─► segment ─► … ─► done: stored, counted
//
// A spawned coroutine is a node that stays claimed from its first segment to its end. Each segment is a job that ends as
// `suspended`, which nobody counts, but for the last one. While it is suspended nothing of it is in any queue or list; it holds its
// node, which holds the core, and since it has not been counted as ended no shutdown is complete without it.
//
// Who suspends a coroutine fills in a resume_point in its frame and hands that to whoever will end the wait: the timer wheel, the
// awaited task, the last of the branches. From then on it touches neither frame nor chain. Whoever ends the wait, once, posts
// the point (P18) past admission (P38): to its strand or limit, to the mail of its worker, to its lane, and where a queue has no
// memory or the runtime is halted, to the core's list of what is kept, which needs none. Nothing that is posted is dropped.
//
// Invariants
//   I1  of a chain at most one segment runs (the one before it may still be on its way out, and touches nothing of it any more), and it is
//       suspended at no more than one point. Branches are chains of their own. Who is resumed by somebody else, as a foreign awaitable does
//       it, runs outside of any segment until it is suspended at a point of ours; if it ends there, its end is a segment of its own.
//   I2  a wait is ended once: an entry in the wheel by who takes it out under the lock; a task by finish(); branches by the last.
//   I3  the node's life is one reference, from its first segment to its last; each segment has another, because what it
//       suspends may end elsewhere before it is back.
//
// Order: what a segment wrote is visible to the next one by the queue between them, or the lock of the core's list. What a wait
// hands over comes by its own way: the wheel's lock, [done] and [await] in task_state.hpp, [refs] in references.hpp for branches.
#include "coroutine.hpp"

#include "gate_state.hpp"
#include "node_conditions.hpp"
#include "task_state.hpp"

#include <weir/task.hpp>

#include <new>
#include <optional>
#include <system_error>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

using states = task_state<os_atomics>;

// ---- segments ----

// The worker must not touch chain or frame after the call: they may run elsewhere. frame: null where the chain has ended outside of its
// segments. observe: null, or what is told of it.
outcome run_shown(coroutine_node& n, coroutine_chain& chain, void* frame, observed_run* observe) noexcept {
  worker& w = *worker::current();
  coroutine_segment here{&chain};
  running_entry me;
  me.node = &n;
  me.forks_from = w.forks.head();
  me.run = observe;
  me.segment = &here;
  w.running.enter(me);
  coroutine_segment* const outer = std::exchange(w.segment, &here);
  const char* const outer_name = w.current_name.load(relaxed);
  w.current_name.store(node_name(n), relaxed);
  if (observe != nullptr) [[unlikely]] observe->watch();
  if (frame == nullptr) frame = chain_ended(&chain);
  if (frame != nullptr) std::coroutine_handle<>::from_address(frame).resume();
  w.current_name.store(outer_name, relaxed);
  w.segment = outer;
  w.running.leave(me);
  if (!here.done) return outcome_suspended;
  if (n.watched && node_owner(n)->time.remove(node_entry(n), due::deadline))
    drop_references(n.refs);  // else it is with the timekeeper
  if (n.chain.via != nullptr) gate_release(*n.chain.via);
  const outcome o = n.put_result(n);
  drop_references(n.refs);  // I3; the caller has another
  return o;
}

// The task starts with the first segment and ends with the last one; each of them has its context. The captured word goes back when the
// task has ended and no segment is left, for one that suspended may still be on its way out.
WEIR_NOINLINE outcome run_observed(coroutine_node& n, coroutine_chain& chain, void* frame) noexcept {
  add_reference(n.segments);
  observed_run run(*node_owner(n), node_record(n), &n);
  if (n.started == time_point{}) {
    run.begin();
    n.started = run.info().started;
  } else {
    run.go_on(n.started);
  }
  const outcome o = run_shown(n, chain, frame, &run);
  if (is_end(o)) run.end(o);
  else run.suspend();
  if (drop_references(n.segments, is_end(o) ? 2 : 1)) observe_over(n);
  return o;
}

outcome run_segment(coroutine_node& n, coroutine_chain& chain, void* frame) noexcept {
  return is_observed(n) ? run_observed(n, chain, frame) : run_shown(n, chain, frame, nullptr);
}

outcome run_resumption(job& j) noexcept {
  const auto& p = *static_cast<resume_point*>(static_cast<gate_entry*>(j.pointer()));
  auto& n = static_cast<coroutine_node&>(*p.chain->node);
  add_reference(n.refs);
  const outcome o = run_segment(n, *p.chain, p.frame);
  if (is_end(o)) node_after_run(n);
  node_release(n);
  return o;
}
// Only when there is no memory to put it back.
void drop_resumption(job& j, errc) noexcept {
  auto& p = *static_cast<resume_point*>(static_cast<gate_entry*>(j.pointer()));
  node_owner(*p.chain->node)->keep(p);
}
bool extract_resumption(job& j, task_fn&) { return drop_resumption(j, errc::stopped), false; }

// The deadline holds from the first segment to the last one, suspended or not.
void watch(coroutine_node& n) noexcept {
  const std::uint32_t flags = n.state.load(relaxed);
  const time_point end = (flags & node_state::timed) != 0 ? node_deadline(n) : time_point::max();
  if (end == time_point::max()) return;
  core& c = *node_owner(n);
  if (clock_type::now() >= end) {
    c.time.count_late();
    return node_tell_to_stop(n);
  }
  if ((flags & node_state::dated) == 0) node_set_entry(n, timekeeper::tick_of(end), due::deadline);
  add_reference(n.refs);
  n.watched = true;
  if (c.time.put(node_entry(n), due::deadline, [] { return true; })) return;
  n.watched = false;
  drop_references(n.refs);
}

bool in_segment_of(const coroutine_chain& c) noexcept {
  const worker* const w = worker::current();
  return w != nullptr && w->segment != nullptr && w->segment->chain == &c;
}
void end_on_a_worker(coroutine_chain& c, resume_point& p) noexcept {
  p.frame = nullptr;
  p.chain = &c;
  resume_later(p);
}

void* root_ended(coroutine_chain& c) noexcept {
  if (in_segment_of(c)) worker::current()->segment->done = true;
  else end_on_a_worker(c, static_cast<coroutine_node&>(*c.node).end);
  return nullptr;
}

void* branch_ended(coroutine_chain& c) noexcept {
  auto& b = static_cast<branch&>(c);
  if (!in_segment_of(c)) return end_on_a_worker(c, b.start), nullptr;
  branches& all = *b.of;
  if (all.losers != nullptr) {
    branch* none = nullptr;
    if (all.first.compare_exchange_strong(none, &b, relaxed, relaxed)) all.losers->request_stop();
  }
  gate* const via = b.via;
  resume_point& parent = all.parent;
  void* next = nullptr;
  if (drop_references(all.left)) {  // else they may be gone from here on
    coroutine_chain& waiter = *parent.chain;
    if (waiter.via == via) {
      worker::current()->segment->chain = &waiter;
      next = parent.frame;
    } else {
      resume_later(parent);
    }
  }
  if (via != nullptr) gate_release(*via);
  return next;
}

}  // namespace

const job_ops resume_ops{&run_resumption, &drop_resumption, &extract_resumption};

outcome coroutine_start(coroutine_node& n, void* frame) noexcept {
  add_reference(n.refs);  // I3
  n.chain.ended = &root_ended;
  if (is_gated(n)) {
    n.chain.via = ticket_of(n).via;
    gate_acquire(*n.chain.via);
  }
  watch(n);
  return run_segment(n, n.chain, frame);
}

void* chain_ended(coroutine_chain* c) noexcept { return c != nullptr ? c->ended(*c) : nullptr; }

std::stop_token chain_token(const coroutine_chain* c) noexcept {
  if (c == nullptr) return {};
  task_node& n = *c->node;
  for (; c != nullptr; c = c->outer)
    if (c->source != nullptr) return c->source->get_token();
  return node_token(n);
}
std::stop_token segment_token(const coroutine_segment& s) noexcept { return chain_token(s.chain); }

void resume_later(resume_point& p) noexcept {
  task_node& n = *p.chain->node;
  core& c = *node_owner(n);
  if (c.dead()) return;  // a forked child: it is the parent's
  p.tagged_ops = reinterpret_cast<std::uintptr_t>(&resume_ops);
  if (p.chain->via != nullptr) return state_of(*p.chain->via).push_resumption(p);
  if (!c.halted()) {
    const node_conditions* const k = conditions_or_null(n);
    if (k != nullptr ? c.post(p.as_job(), k->prio, k->bound) : c.post(p.as_job())) return;
  }
  c.keep(p);
}

// ---- waits ----

awaiting node_await(task_node& n, resume_point& p) noexcept {
  if (node_owner(n)->dead() || node_owner(*p.chain->node)->dead()) return awaiting::stopped;
  if (&n == p.chain->node) return awaiting::starved;
  WEIR_TRY { node_conditions_of(n).awaiter = &p; }
  WEIR_CATCH_ALL { return awaiting::no_memory; }
  return states::await(n.state) ? awaiting::suspended : awaiting::over;
}

weir::error awaiting_error(awaiting a) noexcept {
  switch (a) {
    case awaiting::starved: return errc::starved;
    case awaiting::no_memory: return no_memory();
    case awaiting::stopped: return errc::stopped;
    default: return errc::invalid;
  }
}

void* branches::start(branch* each, std::size_t count) noexcept {
  coroutine_chain* const chain = parent.chain;
  if (chain == nullptr || node_owner(*chain->node)->dead()) return parent.frame;
  branch* here = nullptr;
  std::uint32_t n = 0;
  for (branch* b = each; b != each + count; ++b) {
    if (b->start.frame == nullptr) continue;
    if (here == nullptr) here = b;
    b->node = chain->node;
    b->via = chain->via;
    if (b->via != nullptr) gate_acquire(*b->via);
    b->outer = chain;
    if (losers != nullptr) b->source = losers;
    b->ended = &branch_ended;
    b->of = this;
    b->start.chain = b;
    ++n;
  }
  if (n == 0) return parent.frame;
  left.store(n, relaxed);
  void* const frame = here->start.frame;
  for (branch* b = here + 1; b != each + count; ++b)
    if (b->start.frame != nullptr) resume_later(b->start);
  if (in_segment_of(*chain)) {
    worker::current()->segment->chain = here;
    return frame;
  }
  resume_later(here->start);
  return std::noop_coroutine().address();
}

namespace {

class sleep : public timer_entry, public resume_point {
 public:
  explicit sleep(time_point t) noexcept : until_(t) {}
  sleep(const sleep&) = delete;
  sleep& operator=(const sleep&) = delete;

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    if (!suspend_at(*this, h)) return said_ = errc::invalid, false;
    core& c = clock();
    if (c.dead()) return said_ = errc::stopped, false;
    if (std::stop_token t = chain_token(chain); t.stop_possible()) on_stop_.emplace(std::move(t), ask{this});
    if (!stop_.load(relaxed)) {
      if (clock_type::now() >= until_) return false;
      if (said_ = node_time_ready(c, {}); !said_) return false;
    }
    set(timekeeper::tick_of(until_), due::sleep);
    // A stop that comes before it lies in the wheel does not find it there; under the lock it is seen here.
    if (c.time.put(*this, due::sleep, [this] { return !stop_.load(relaxed); })) return true;
    return said_ = stop_.load(relaxed) ? errc::cancelled : errc::stopped, false;
  }
  status await_resume() noexcept {
    on_stop_.reset();
    return std::move(said_);
  }

  void ends(errc why) noexcept {  // by who has taken it out of the wheel
    if (why != errc{}) said_ = why;
    resume_later(*this);
  }

 private:
  struct ask {
    sleep* me;
    void operator()() const noexcept {
      core& c = me->clock();
      if (c.dead()) return;
      me->stop_.store(true, relaxed);
      if (c.time.remove(*me, due::sleep)) me->ends(errc::cancelled);
    }
  };
  core& clock() const noexcept { return *node_owner(*chain->node); }

  const time_point until_;
  status said_;
  atomic<bool> stop_{false};
  std::optional<std::stop_callback<ask>> on_stop_;
};

// Queues up again, where it is or elsewhere.
class hop : resume_point {
 public:
  hop() noexcept = default;
  explicit hop(executor_ref to) noexcept
      : core_(coroutine_access::core_of(to)), to_(coroutine_access::gate_of(to)), elsewhere_(true) {}

  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    if (!suspend_at(*this, h)) return said_ = errc::invalid, false;
    core& c = *node_owner(*chain->node);
    if (elsewhere_ && to_ != nullptr && to_->refusal != outcome_ok)
      return said_ = static_cast<errc>(to_->refusal), false;
    if (elsewhere_ && core_ != &c) return said_ = errc::invalid, false;
    if (c.dead()) return said_ = errc::stopped, false;
    gate* before = nullptr;
    if (elsewhere_) {
      if (to_ != nullptr) gate_acquire(*to_);
      before = std::exchange(chain->via, to_);
    }
    resume_later(*this);
    if (before != nullptr) gate_release(*before);
    return true;
  }
  status await_resume() const noexcept { return said_ == errc{} ? status() : status(said_); }

 private:
  core* core_ = nullptr;
  gate* to_ = nullptr;
  bool elsewhere_ = false;
  errc said_{};
};

}  // namespace

void sleep_ends(timer_entry& e, errc why) noexcept { static_cast<sleep&>(e).ends(why); }

// ---- alarms ----

// Apart from the frame, for the timekeeper may be at it when the frame goes.
struct alarm : timer_entry {
  explicit alarm(core& c) : owner(c) {}
  core& owner;
  atomic<std::uint32_t> refs{2};
  atomic<bool> rung{false};
  std::stop_source source;
};

namespace {
void let_go(alarm& a) noexcept {
  if (!drop_references(a.refs)) return;
  a.~alarm();
  deallocate(&a, sizeof(alarm), alignof(alarm));
}
}  // namespace

void alarm_rings(timer_entry& e) noexcept {
  auto& a = static_cast<alarm&>(e);
  a.rung.store(true, relaxed);
  a.source.request_stop();
  let_go(a);
}

status alarm_clock::set(coroutine_chain* chain, time_point t) noexcept {
  if (chain == nullptr) return errc::invalid;
  core& c = *node_owner(*chain->node);
  if (status s = node_time_ready(c, {}); !s) return s;
  alarm* a = nullptr;
  WEIR_TRY {
    void* const p = allocate(c, sizeof(alarm), alignof(alarm));
    WEIR_TRY { a = ::new (p) alarm(c); }
    WEIR_CATCH_ALL {
      deallocate(p, sizeof(alarm), alignof(alarm));
      WEIR_RETHROW;
    }
  }
  WEIR_CATCH_ALL { return no_memory(); }
  a->set(timekeeper::tick_of(t), due::alarm);
  if (!c.time.put(*a, due::alarm, [] { return true; })) {
    a->refs.store(1, relaxed);
    let_go(*a);
    return errc::stopped;
  }
  alarm_ = a;
  return {};
}

std::stop_source& alarm_clock::source() noexcept { return alarm_->source; }

bool alarm_clock::off() noexcept {
  alarm* const a = std::exchange(alarm_, nullptr);
  if (a == nullptr) return false;
  if (!a->owner.dead() && a->owner.time.remove(*a, due::alarm)) drop_references(a->refs);
  const bool rung = a->rung.load(relaxed);
  let_go(*a);
  return rung;
}

// ---- frames ----

// Behind the frame lies where it came from: null for operator new; else the core, which it holds, with bit 0 for its resource.
// A worker holds the core for frames to come, many at once, so that a frame costs no shared write.
namespace {
constexpr std::uintptr_t from_resource = 1;

std::size_t tag_offset(std::size_t bytes) noexcept {
  return (bytes + sizeof(std::uintptr_t) - 1) / sizeof(std::uintptr_t) * sizeof(std::uintptr_t);
}
std::uintptr_t& tag_of(void* p, std::size_t bytes) noexcept {
  return *reinterpret_cast<std::uintptr_t*>(static_cast<std::byte*>(p) + tag_offset(bytes));
}
}  // namespace

void* coroutine_allocate(std::size_t bytes) noexcept {
  const std::size_t total = tag_offset(bytes) + sizeof(std::uintptr_t);
  worker* const w = worker::current();
  const bool in_slab = total <= slab_heap::largest;
  if (w == nullptr || w->owner.dead() || (!in_slab && w->owner.opts.memory == nullptr)) {
    void* const p = ::operator new(total, std::nothrow);
    if (p != nullptr) ::new (&tag_of(p, bytes)) std::uintptr_t{0};
    return p;
  }
  core& c = w->owner;
  void* p = nullptr;
  WEIR_TRY { p = in_slab ? w->heap.allocate(total, 16) : c.pages.plain(total, alignof(std::max_align_t)); }
  WEIR_CATCH_ALL { return nullptr; }
  w->hold_core();
  ::new (&tag_of(p, bytes)) std::uintptr_t{reinterpret_cast<std::uintptr_t>(&c) | (in_slab ? 0 : from_resource)};
  return p;
}

void coroutine_free(void* p, std::size_t bytes) noexcept {
  const std::uintptr_t tag = tag_of(p, bytes);
  if (tag == 0) return ::operator delete(p);
  core& c = *reinterpret_cast<core*>(tag & ~from_resource);
  if (c.dead()) return;  // a forked child: its locks may be held
  if ((tag & from_resource) == 0) slab_heap::deallocate(p);
  else c.pages.free_plain(p, tag_offset(bytes) + sizeof(std::uintptr_t), alignof(std::max_align_t));
  worker* const w = worker::current_of(c);
  if (w == nullptr) return c.release_ref();
  w->let_go_of_core();
}

// ---- errors ----

weir::error no_memory() noexcept { return allocation_failure(); }

weir::error current_failure() noexcept {
  std::exception_ptr e = std::current_exception();
#if WEIR_EXCEPTIONS
  try {
    throw;
  } catch (const std::system_error& x) {
    if (x.code() == make_error_code(errc::cancelled)) return {errc::cancelled, std::move(e), 1};
    if (x.code() == make_error_code(errc::stopped)) return {errc::stopped, std::move(e), 1};
  } catch (...) {}
#endif
  return {errc::failed, std::move(e), 1};
}

}  // namespace detail

task<> schedule(executor_ref e) { (co_await detail::hop(e)).value(); }
task<> yield() { (co_await detail::hop()).value(); }
task<> sleep_until(time_point t) { (co_await detail::sleep(t)).value(); }

}  // namespace v0
}  // namespace weir
