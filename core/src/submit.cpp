// The fast half of admission, and publishing.
#include "gate_state.hpp"
#include "queue_time.hpp"
#include "system.hpp"
#include "worker.hpp"

#include <algorithm>
#include <iterator>
#include <new>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {
// No credit at hand. What a task of the blocking pool submits is its child, and is still taken while the runtime drains. Out of line,
// for submit() needs neither registers nor a frame for it (gate/submit).
WEIR_NOINLINE outcome admit_slowly(core& c, lease& l, const task_options* o, patience p, admission& a, std::size_t n) noexcept {
  if (n == 1 && l.credits.settle()) return outcome_ok;
  const std::uint64_t rejected = l.rejected.get();
  struct hold {  // what is dropped or swept may be the last to hold the runtime
    core& c;
    ~hold() { c.release_ref(); }
  } const until_the_end{c};
  c.acquire_ref();
  if (n == 1 && (c.attention_bits() & attention::quiesce) != 0) c.check_quiescent();  // it may have seen the use that is undone now
  const outcome out = c.admit_outside(l, o, p, n, a);
  if (out != outcome_of(errc::stopped) || !c.admit_children_beside(n)) return out;
  a.tag = 0;
  a.capacity_held = false;
  l.posted += n;
  l.rejected.sub(l.rejected.get() - rejected);  // it was counted, and is taken after all
  return outcome_ok;
}
WEIR_NOINLINE outcome submit_slowly(core& c, lease& l, const job& j, patience p) noexcept {
  admission a{&l, 1, lane::normal, false, true, -1};
  if (const outcome o = admit_slowly(c, l, nullptr, p, a, 1); o != outcome_ok) return o;
  return enqueue(c, a, &j);
}
}  // namespace

// One call, three writes and no fence: credit, queue, and a look at the hint.
outcome submit_job(core& c, std::uintptr_t ops, job_words w, patience p) noexcept {
  if (this_worker == nullptr) [[likely]] {
    if (this_lease.core_id == c.plain_id) [[likely]] {
      lease& l = *this_lease.last;
      if (l.credits.try_use()) [[likely]] {
        l.call.enter();
        if (l.owner->lanes[static_cast<std::size_t>(lane::normal)].submit(l.producer, ops | 1, w.word[0], w.word[1])) [[likely]] {
          c.published(lane::normal);
          l.call.leave();
          return outcome_ok;
        }
        c.published(lane::normal);  // an earlier one of this thread's may have been out of sight
        l.call.leave();
        unadmit(c, admission{&l, 1, lane::normal, false, true, -1}, 1);
        return outcome_of(errc::failed);
      }
      return submit_slowly(c, l, {ops, {w.word[0], w.word[1]}}, p);
    }
  }
  const job j{ops, {w.word[0], w.word[1]}};
  admission a;
  if (const outcome o = admit(c, nullptr, p, a); o != outcome_ok) return o;
  return enqueue(c, a, &j);
}

namespace {
WEIR_NOINLINE outcome admit_from_outside(core& c, const task_options* o, patience p, admission& a, std::size_t n) noexcept {
  lease* l = nullptr;
  WEIR_TRY { l = &c.my_lease(); }  // throws only bad_alloc: the runtime is not dead
  WEIR_CATCH_ALL { return outcome_of(errc::failed); }
  a.place = l;
  a.tag = 1;
  const outcome said = n == 1 && l->credits.try_use() ? outcome_ok : admit_slowly(c, *l, o, p, a, n);
  // What is bound waits for its worker and not for the queue; what has no tag has not come from outside, or runs here and now.
  // Who was refused may be the last to know of the runtime: what made room for him may have taken it along.
  if (said == outcome_ok && c.overload.on() && a.tag != 0 && a.target < 0 && a.prio != lane::high) [[unlikely]] {
    a.tag = 3;
    a.target = with_time;
  }
  return said;
}
}  // namespace

outcome admit(core& c, const task_options* o, patience p, admission& a, std::size_t n) noexcept {
  if (c.unusual()) [[unlikely]] {
    if (c.dead()) return outcome_of(errc::stopped);
    a.node_flags = node_state::observed;
  }
  if (o != nullptr) {
    if (o->worker >= static_cast<int>(c.active_workers()) || o->worker < -1 || o->prio > lane::low) return outcome_of(errc::invalid);
    if (const outcome said = refusal_of(*o); said != outcome_ok) return said;
    a.prio = o->prio;
    a.target = o->worker;
  }
  if (worker* w = worker::current_of(c); w != nullptr) {
    a.place = w;
    a.on_worker = true;
    return w->admit_children(n);
  }
  return admit_from_outside(c, o, p, a, n);
}

namespace {
constexpr int posted = -2;  // admission::target of what was admitted long ago: anybody's, and nothing is taken back

struct call_of {
  lease* l;
  explicit call_of(const admission& a) noexcept : l(a.on_worker ? nullptr : static_cast<lease*>(a.place)) {
    if (l != nullptr) l->call.enter();
  }
  ~call_of() {
    if (l != nullptr) l->call.leave();
  }
  call_of(const call_of&) = delete;
};

// All or nothing, as without.
outcome enqueue_with_time(core& c, admission a, const job* jobs, std::size_t n) noexcept {
  a.target = -1;
  a.tag &= 1;
  if (n == 1) {
    job timed;
    if (!put_time(c, *jobs, timed)) return unadmit(c, a), outcome_of(errc::failed);
    const outcome o = enqueue(c, a, &timed);
    if (o != outcome_ok) take_time_back(timed);
    return o;
  }
  std::vector<job> timed;
  WEIR_TRY { timed.resize(n); }
  WEIR_CATCH_ALL { return unadmit(c, a, n), outcome_of(errc::failed); }
  std::size_t put = 0;
  while (put != n && put_time(c, jobs[put], timed[put])) ++put;
  outcome o = outcome_of(errc::failed);
  if (put == n) o = enqueue(c, a, timed.data(), n);
  else unadmit(c, a, n);
  if (o != outcome_ok)
    for (std::size_t i = 0; i < put; ++i) take_time_back(timed[i]);
  return o;
}

WEIR_NOINLINE outcome to_target(core& c, const admission& a, const job* jobs, std::size_t n) noexcept {
  if (a.target == on_caller) return c.run_on_caller(*static_cast<lease*>(a.place), *jobs);
  if (a.target == with_time) return enqueue_with_time(c, a, jobs, n);
  const call_of inside(a);
  const outcome o = c.deliver(*c.numbered(static_cast<unsigned>(a.target)), jobs, n, a.tag);
  if (o != outcome_ok) unadmit(c, a, n);
  return o;
}
}  // namespace

namespace {
// A few at a time are wrapped on the stack.
template <class T>
class wrapped_array {
 public:
  explicit wrapped_array(std::size_t n) noexcept : all_(n <= std::size(few_) ? few_ : new (std::nothrow) T[n]) {}
  ~wrapped_array() {
    if (all_ != few_) delete[] all_;
  }
  wrapped_array(const wrapped_array&) = delete;
  wrapped_array& operator=(const wrapped_array&) = delete;
  T* get() noexcept { return all_; }

 private:
  T few_[4];
  T* all_;
};

// How nodes are queued that count what they hold.
admission by_nodes(const admission& a) noexcept {
  admission b = a;
  b.node_flags = 0;
  b.tag = 0;
  return b;
}

WEIR_NOINLINE outcome enqueue_observed(core& c, const admission& a, const job* jobs, std::size_t n) noexcept {
  wrapped_array<job> wrapped(n);
  if (wrapped.get() == nullptr || !wrap(c, jobs, wrapped.get(), n, a)) {
    unadmit(c, a, n);
    return outcome_of(errc::failed);
  }
  const outcome o = enqueue(c, by_nodes(a), wrapped.get(), n);
  if (o != outcome_ok) unwrap(wrapped.get(), jobs, n);
  return o;
}
}  // namespace

outcome gate_push_observed(gate& g, const admission& a, gate_entry* const* all, std::size_t n) noexcept {
  core& c = state_of(g).owner;
  wrapped_array<gate_entry*> wrapped(n);
  if (wrapped.get() == nullptr || !wrap(c, g, all, wrapped.get(), n, a)) {
    gate_unadmit(g, a, n);
    return outcome_of(errc::failed);
  }
  const outcome o = gate_push(g, by_nodes(a), wrapped.get(), n);
  if (o != outcome_ok) unwrap(wrapped.get(), all, n);
  return o;
}

outcome enqueue(core& c, const admission& a, const job* jobs, std::size_t n) noexcept {
  if (a.node_flags != 0) [[unlikely]] return enqueue_observed(c, a, jobs, n);
  if (a.target >= 0) return to_target(c, a, jobs, n);
  if (a.on_worker && a.prio == lane::normal && n == 1) [[likely]] {  // it holds no credit, so there is no tag
    if (!c.local.enqueue(static_cast<worker*>(a.place)->local_producer, *jobs)) [[unlikely]] {
      unadmit(c, a, 1);
      return outcome_of(errc::failed);
    }
    c.published(lane::normal);
    return outcome_ok;
  }
  const call_of inside(a);
  const auto lane_index = static_cast<std::size_t>(a.prio);
  bool queued = false;
  WEIR_TRY {
    inject_lane& into = c.lanes[lane_index];
    const auto own = [&into](std::unique_ptr<inject_lane::producer>& p) {
      if (!p) p = std::make_unique<inject_lane::producer>(into);
      return p.get();
    };
    inject_lane::producer* from = nullptr;  // null: of what a worker submits, with no urgency
    if (!a.on_worker) {
      lease& l = *static_cast<lease*>(a.place);
      from = a.prio == lane::normal ? &l.producer : own(l.side[lane_index]);
    } else if (a.prio != lane::normal) {
      from = own(static_cast<worker*>(a.place)->lane_producers[lane_index]);
    }
    if (n == 1 && from != nullptr) {
      queued = into.submit(*from, jobs->tagged_ops | a.tag, jobs->data[0], jobs->data[1]);
    } else {
      std::vector<job> tagged(jobs, jobs + n);
      for (job& j : tagged) j.tagged_ops |= a.tag;
      queued = from != nullptr ? into.enqueue(*from, tagged.data(), n)
                               : c.local.enqueue(static_cast<worker*>(a.place)->local_producer, tagged.data(), n);
    }
  }
  WEIR_CATCH_ALL { queued = false; }
  c.published(a.prio);  // if nothing was queued, too: an earlier one of this thread's may have been out of sight
  if (!queued) {
    unadmit(c, a, n);
    return outcome_of(errc::failed);
  }
  return outcome_ok;
}

void unadmit(core& c, const admission& a, std::size_t n) noexcept {
  if (a.target == posted) return;
  if (a.target == on_caller) return c.undo_entry();
  if (a.on_worker) {
    static_cast<worker*>(a.place)->submitted.sub(n);
  } else {
    static_cast<lease*>(a.place)->returned.add(n);
    if (a.capacity_held) c.credits.give_back(n);
  }
  c.tell_blocked();
  c.tell_if_asked();
}

void* allocate(core& c, std::size_t size, std::size_t align) {
  if (worker* w = worker::current_of(c); w != nullptr) return w->heap.allocate(size, align);
  return c.my_lease().heap.allocate(size, align);
}
void deallocate(void* p, std::size_t, std::size_t) noexcept { slab_heap::deallocate(p); }

namespace {
constexpr double stale_claim_ns = 50'000;  // submit/stream_with_long_task: a worker that has not looked for so long is busy
}

// How often a submitter looks after a worker that drains in small bites while nobody else is awake: about every 30 µs, for
// a look costs a cache line and a clock.
struct look_pace {
  std::uint32_t turn = 0, every = 1;
  std::uint64_t last = 0;
};
static constinit thread_local look_pace pace __attribute__((tls_model("initial-exec")));

void core::wake_if_needed(std::uint32_t hint) noexcept {
  if ((hint & ~idle_state<os_atomics>::busy_hint) == idle_state<os_atomics>::watched_hint) {
    if (++pace.turn < pace.every) return;
    look_after_drainer();
    return;
  }
  wake_or_note();
}

void core::wake_or_note() noexcept {
  if (idle.should_wake()) wake_one();
  else if (elastic) note_if_all_are_busy();
}

void core::look_after_drainer() noexcept {
  const std::uint64_t now = ticks(), span = now - pace.last;
  pace.last = now;
  pace.turn = 0;
  if (span < ticks_of(stale_claim_ns / 2)) pace.every = std::min(pace.every * 2, 1024u);
  else if (span > ticks_of(stale_claim_ns)) pace.every = std::max(pace.every / 4, 1u);
  if (ticks_since(last_claim_.load(relaxed), now) >= ticks_of(stale_claim_ns)) wake_one();
}

int core::slot_here() const noexcept {
  const int cpu = plan_.empty() ? -1 : thread_cpu();
  if (cpu < 0) return -1;
  for (std::size_t i = 0; i < plan_.size(); ++i)
    if (plan_[i] == cpu) return static_cast<int>(i);
  return -1;
}

void core::count_refusal() noexcept {
  if (worker* w = worker::current_of(*this); w != nullptr) return w->rejected.add();
  WEIR_TRY { my_lease().rejected.add(); }
  WEIR_CATCH_ALL {}  // no memory for a lease: this one is not counted
}

bool core::post(const job& j, lane prio, int target) noexcept {
  struct hold {  // what it posts may destroy the runtime before the look at the end
    core& c;
    ~hold() { c.release_ref(); }
  } const until_the_end{*this};
  acquire_ref();
  return post_while_held(j, prio, target);
}

bool core::post_while_held(const job& j, lane prio, int target) noexcept {
  outcome o = target < 0 ? outcome_of(errc::invalid) : deliver(*numbered(static_cast<unsigned>(target)), &j, 1, 0);
  if (o == outcome_of(errc::invalid)) {  // anybody's; or its worker is gone
    admission a;
    a.prio = prio;
    a.target = posted;
    if (worker* w = worker::current_of(*this); w != nullptr) {
      a.place = w;
      a.on_worker = true;
    } else {
      WEIR_TRY {
        lease& l = my_lease();
        ++l.posted;
        a.place = &l;
      }
      WEIR_CATCH_ALL { return false; }
    }
    o = enqueue(*this, a, &j, 1);
  }
  look_late();  // in either case: what enqueue() took in hand may have been all that a shutdown missed
  return o == outcome_ok;
}

void core::keep(gate_entry& e) noexcept {
  struct hold {  // whoever takes it may destroy the runtime before the look at the end
    core& c;
    ~hold() { c.release_ref(); }
  } const until_the_end{*this};
  acquire_ref();
  kept_mark_.expect(1);
  {
    const std::lock_guard lock(kept_mutex_);
    e.next.store(nullptr, relaxed);
    if (last_kept_ != nullptr) last_kept_->next.store(&e, relaxed);
    else first_kept_ = &e;
    last_kept_ = &e;
  }
  kept_mark_.arrived();
  if (idle.published() != 0 && idle.should_wake()) wake_one();  // never left to a watcher
  look_late();
}

gate_entry* core::take_kept() noexcept {
  gate_entry* e;
  {
    const std::lock_guard lock(kept_mutex_);
    e = first_kept_;
    if (e != nullptr && (first_kept_ = e->next.load(relaxed)) == nullptr) last_kept_ = nullptr;
  }
  if (e != nullptr) kept_mark_.gone();
  else kept_mark_.settle();
  return e;
}

// After something was queued that a shutdown's last look may have missed.
void core::look_late() noexcept {
  const auto has_stopped = [this] { return stopped(); };
  if (aftermath_.came_late(has_stopped)) [[unlikely]] {
    std::unique_lock life(life_mutex_);
    aftermath_.late(life, shutdown_, has_stopped, [this] { stop_leftovers(); });
  }
}

bool core::wake_one(bool for_forks) noexcept {
  worker* const w = worker::current_of(*this);
  // A worker that is pinned to the caller's processor would have to throw the caller off it first.
  const int i = idle.claim(for_forks, w == nullptr ? slot_here() : -1);
  if (i < 0) return false;
  slot(static_cast<unsigned>(i))->bed.rouse();
  if (w != nullptr) w->wakes.add();
  return true;
}

// All or nothing; invalid: resize() has let the worker go.
outcome core::deliver(worker& w, const job* jobs, std::size_t n, std::uintptr_t tag) noexcept {
  letters_.expect(n);
  outcome o = outcome_of(errc::failed);
  WEIR_TRY { o = w.mail.put(jobs, n, [tag](job& j) { j.tagged_ops |= tag; }) ? outcome_ok : outcome_of(errc::invalid); }
  WEIR_CATCH_ALL {}
  if (o != outcome_ok) return letters_.gone(n), o;
  letters_.arrived();
  if (idle.claim_one(w.index)) w.bed.rouse();
  return outcome_ok;
}

void core::wake_all() noexcept {
  for (unsigned i = 0, e = slot_count(); i < e; ++i)
    if (idle.claim_one(i)) slot(i)->bed.rouse();
}

bool core::queues_empty() const noexcept {
  return lanes[0].empty() && lanes[1].empty() && lanes[2].empty() && local.empty() && entries_.empty();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
