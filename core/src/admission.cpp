// The slow half of admission: leases of threads, refusal, and waiting for room in order.
#include "core.hpp"
#include "gate_state.hpp"
#include "worker.hpp"

#include <algorithm>

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local lease_cache this_lease;

namespace {

// All leases of this thread, given back at its end to the runtimes that still exist.
struct lease_list {
  struct entry {
    std::uint64_t core_id;
    core* owner;
    lease* l;
  };
  std::vector<entry> entries;
  ~lease_list();
};
thread_local lease_list my_leases;

mutex registry_mutex;
std::vector<core*> registry;

bool registered(std::uint64_t id) noexcept {  // under registry_mutex
  return std::any_of(registry.begin(), registry.end(), [&](const core* c) { return c->id == id; });
}

lease_list::~lease_list() {
  this_lease = {};
  const std::lock_guard lock(registry_mutex);
  for (const entry& e : entries)
    if (registered(e.core_id) && !e.owner->dead()) e.owner->give_lease_back(*e.l);
}

void before_fork() {
  registry_mutex.lock();
  for (core* c : registry)
    if (!c->dead()) c->lock_for_fork();
}
void after_fork_in_parent() {
  for (core* c : registry)
    if (!c->dead()) c->unlock_after_fork();
  registry_mutex.unlock();
}
void after_fork_in_child() {
  for (core* c : registry)
    if (!c->dead()) {
      c->die();
      c->unlock_after_fork();
    }
  this_lease = {};
  this_worker = nullptr;
  this_keeper = nullptr;
  registry_mutex.unlock();
}

}  // namespace

void register_core(core& c) {
  static const int once = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  static_cast<void>(once);
  const std::lock_guard lock(registry_mutex);
  registry.push_back(&c);
}
void unregister_core(core& c) noexcept {
  const std::lock_guard lock(registry_mutex);
  std::erase(registry, &c);
}
// For a process that hangs, perhaps with the lock held: then the list is read without it.
void for_registered_cores(void (*f)(const core&, void*) noexcept, void* argument) noexcept {
  const bool locked = registry_mutex.try_lock();
  for (const core* c : registry) f(*c, argument);
  if (locked) registry_mutex.unlock();
}
#if defined(WEIR_SIM)
void forget_cores() noexcept { registry.clear(); }  // a failed simulation leaves its runtimes behind
#endif
unsigned registered_cores() noexcept {
  const std::lock_guard lock(registry_mutex);
  return static_cast<unsigned>(std::count_if(registry.begin(), registry.end(), [](core* c) { return !c->dead(); }));
}

// What a blocked submitter leaves in the queue for room: on its own stack, first come first served.
struct blocked_submitter {
  static constexpr std::uint32_t waiting = 0, asleep = 1, served = 2, shut = 3, stopped_by_token = 4, expired = 5;
  blocked_submitter* next = nullptr;
  std::uint64_t credits = 0;
  atomic<std::uint32_t> word{waiting};

  bool answer(std::uint32_t a) noexcept {  // false: it was answered before
    std::uint32_t seen = word.load(relaxed);
    while (seen <= asleep)
      if (word.compare_exchange_weak(seen, a, release, relaxed)) {  // [served] → wait_for_room
        if (seen == asleep) futex_wake(&word, 1);
        return true;
      }
    return false;
  }
};

lease& core::my_lease() {
  if (dead()) throw_errc(errc::stopped);
  if (this_lease.core_id == id) return *this_lease.last;
  for (const auto& e : my_leases.entries)
    if (e.core_id == id) {
      this_lease = {id, e.l};
      return *e.l;
    }
  my_leases.entries.reserve(my_leases.entries.size() + 1);
  {  // forget runtimes that are gone
    const std::lock_guard lock(registry_mutex);
    std::erase_if(my_leases.entries, [](const auto& e) { return !registered(e.core_id); });
  }
  lease* l = nullptr;
  {
    const std::lock_guard lock(lease_mutex_);
    if (!free_leases_.empty()) {
      l = free_leases_.back();
      free_leases_.pop_back();
    } else {
      leases_.reserve(leases_.size() + 1);
      free_leases_.reserve(leases_.size() + 1);
      leases_.push_back(std::make_unique<lease>(*this, lanes[static_cast<std::size_t>(lane::normal)], pages));
      l = leases_.back().get();
      if (closed_) l->credits.shut();
    }
  }
  l->heap.adopt();
  my_leases.entries.push_back({id, this, l});
  this_lease = {id, l};
  return *l;
}

void core::give_lease_back(lease& l) noexcept {
  l.heap.abandon();
  const std::uint64_t n = l.credits.recall();
  l.forget_recent();
  const std::lock_guard lock(lease_mutex_);
  if (n != 0) credits.give_back(n);
  free_leases_.push_back(&l);
}

void core::shut_leases() noexcept {
  {
    const std::lock_guard lock(lease_mutex_);
    closed_ = true;
    for (auto& l : leases_) l->credits.shut();
  }
  os_atomics::heavy_fence();  // [recall] ↔ try_use
  {
    const std::lock_guard lock(lease_mutex_);
    for (auto& l : leases_) credits.give_back(l->credits.seal());
  }
  for_each_dependant([](dependant& d) { d.closing(); });
  const std::lock_guard lock(block_mutex_);
  for (blocked_submitter* b = first_blocked_; b != nullptr;) {
    blocked_submitter* next = b->next;
    b->answer(blocked_submitter::shut);
    b = next;
  }
  first_blocked_ = nullptr;
  last_blocked_ = &first_blocked_;
  blocked_count_.store(0, relaxed);
  attention_.lower(attention::blocked);
}

std::uint64_t core::started_sum() const noexcept {
  std::uint64_t n = started_elsewhere.get();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->started_outside.get();
  return n;
}

outcome core::settle(lease& l, const task_options* o, patience p) noexcept {
  if (l.credits.settle()) return outcome_ok;
  if ((attention_bits() & attention::quiesce) != 0) check_quiescent();  // it may have seen the use that is undone now
  return admit_outside(l, o, p, 1);
}

outcome core::admit_outside(lease& l, const task_options* o, patience p, std::uint64_t n) noexcept {
  const auto started = [this] { return started_sum(); };
  const auto refuse = [&](errc e) {
    l.rejected.add();
    return outcome_of(e);
  };
  if (dead()) return outcome_of(errc::stopped);
  const std::uint64_t capacity = credits.capacity();
  bool full = n > capacity;
  while (!full) {
    if (blocked_count_.load(relaxed) != 0) {  // [room]
      room_made();
      if (blocked_count_.load(relaxed) != 0) break;  // newcomers do not pass the blocked: none of the room is left
    }
    const std::uint64_t starts = started_sum(), returns = credits.returns();
    std::uint64_t chunk = n;
    if (n == 1) {
      std::uint64_t threads;
      {
        const std::lock_guard lock(lease_mutex_);
        threads = leases_.size() - free_leases_.size();
      }
      chunk = std::clamp<std::uint64_t>(credits.free(started) / (2 * threads + 2), 1, 256);
    }
    if (l.credits.draw(credits, n, chunk, n, started)) return outcome_ok;
    {
      const std::lock_guard lock(lease_mutex_);
      if (closed_) return refuse(errc::stopped);
    }
    recall_all();
    full = started_sum() == starts && credits.returns() == returns;
  }
  if (p == patience::never || opts.full != on_full::block || this_worker != nullptr || this_keeper != nullptr || n > capacity) return refuse(errc::full);
  return wait_for_room(l, o);
}

void core::recall_all() noexcept {
  const std::lock_guard lock(lease_mutex_);
  std::uint64_t recalled = 0;
  for (auto& l : leases_) recalled += l->credits.recall();
  if (recalled != 0) credits.give_back(recalled);
}

outcome core::wait_for_room(lease& l, const task_options* o) noexcept {
  blocked_submitter me;
  {
    const std::lock_guard lock(block_mutex_);
    *last_blocked_ = &me;
    last_blocked_ = &me.next;
    blocked_count_.fetch_add(1, seq_cst);  // [room]
  }
  recall_all();  // what another thread cached before it could see us
  {
    const std::lock_guard lock(lease_mutex_);
    if (closed_) me.answer(blocked_submitter::shut);
  }
  const auto wake_on_stop = [&me] { me.answer(blocked_submitter::stopped_by_token); };
  std::optional<std::stop_callback<decltype(wake_on_stop)>> on_stop;
  if (o != nullptr && o->stop.stop_possible()) on_stop.emplace(o->stop, wake_on_stop);
  const time_point limit = o != nullptr ? std::min(o->start_by, o->deadline) : time_point::max();

  // The room is often microseconds away: look for it for as long as a sleep would cost, and serve the queue meanwhile.
  const std::uint64_t patience_end = ticks() + ticks_of(30'000);
  while (me.word.load(acquire) == blocked_submitter::waiting) {  // [served] ← answer
    room_made(true);
    if (ticks() >= patience_end) break;
    for (int i = 0; i < 32 && me.word.load(relaxed) == blocked_submitter::waiting; ++i) cpu_relax();
  }
  attention_.ask(attention::blocked);  // from here on it is the workers' business
  std::uint32_t w = me.word.load(acquire);  // [served] ← answer
  while (w <= blocked_submitter::asleep) {
    if (w == blocked_submitter::waiting && !me.word.compare_exchange_weak(w, blocked_submitter::asleep, relaxed, acquire)) continue;  // [served]
    room_made();
    if (me.word.load(relaxed) == blocked_submitter::asleep) futex_wait(me.word, blocked_submitter::asleep, until_ns(limit));
    w = me.word.load(acquire);  // [served] ← answer
    if (w <= blocked_submitter::asleep && clock_type::now() >= limit) {
      me.answer(blocked_submitter::expired);
      w = me.word.load(acquire);  // [served]
    }
  }
  on_stop.reset();
  if (w != blocked_submitter::served && w != blocked_submitter::shut) {
    const std::lock_guard lock(block_mutex_);
    unlink_blocked(me);
  }
  switch (w) {
    case blocked_submitter::served:
      {
        // The server unlinks before it answers, under the lock; taking it once makes sure that it has left our node.
        const std::lock_guard lock(block_mutex_);
      }
      if (l.credits.grant(me.credits, 1)) return outcome_ok;
      credits.give_back(me.credits);
      return outcome_of(errc::stopped);
    case blocked_submitter::shut: {
      const std::lock_guard lock(block_mutex_);
      unlink_blocked(me);
      return outcome_of(errc::stopped);
    }
    case blocked_submitter::stopped_by_token: return outcome_of(errc::cancelled);
    default: return outcome_of(errc::expired);
  }
}

void core::unlink_blocked(blocked_submitter& b) noexcept {
  for (blocked_submitter** at = &first_blocked_; *at != nullptr; at = &(*at)->next)
    if (*at == &b) {
      *at = b.next;
      if (last_blocked_ == &b.next) last_blocked_ = at;
      if (blocked_count_.fetch_sub(1, relaxed) == 1) attention_.lower(attention::blocked);
      return;
    }
}

namespace {
// Marks where a sweep began. Does nothing when a worker takes it.
const job_ops marker_ops{[](job&) noexcept { return outcome_stale; }, [](job&, errc) noexcept {},
                         [](job&, task_fn&) { return false; }};
}  // namespace

bool is_sweep_marker(const job& j) noexcept { return &j.ops() == &marker_ops; }

// A cancelled task gives its capacity back at once but its ticket stays, so tickets could pile up behind a busy worker
// (P17). Whoever submits a ticket while there are more stale ones than capacity turns its own sub-queues over once, one
// by one, up to a marker; the live jobs keep their order among each other. What a worker takes meanwhile may overtake
// the one job that is in hand. Amortised O(1) a cancelled task.
void core::sweep(lease& l) noexcept {
  for (std::size_t i = 0; i < lane_count; ++i) {
    inject_queue& q = lanes[i];
    inject_queue::producer* p = i == static_cast<std::size_t>(lane::normal) ? &l.producer : l.side[i].get();
    if (p == nullptr || !q.enqueue(*p, job{reinterpret_cast<std::uintptr_t>(&marker_ops), {0, 0}})) continue;
    job j;
    // The bound is for the case that a worker has taken the marker.
    for (std::size_t left = q.size() + 1; left != 0 && q.take_own(*p, &j, 1) == 1 && !is_sweep_marker(j); --left) {
      if (ticket_is_stale(j)) {
        j.ops().run(j);
      } else if (!q.enqueue(*p, j)) {  // no memory for a block: the job ends here, and is counted
        if (j.counted()) started_elsewhere.add();
        const bool counts_itself = is_ticket(j) || is_turn(j);
        j.ops().drop(j, errc::failed);
        if (!counts_itself) ended_elsewhere[outcome_of(errc::failed)].add();
      }
    }
  }
  published(lane::normal);
  attention_.mark(attention::side_lanes);
}

void core::room_made(bool in_bulk) noexcept {
  const auto started = [this] { return started_sum(); };
  // A server of tiny tasks offers room by the handful: a wake-up for each would cost more than the tasks.
  const std::uint64_t least = in_bulk ? std::clamp<std::uint64_t>(credits.capacity() / 8, 1, 512) : 1;
  if (credits.free(started) < least) return;
  const std::lock_guard lock(block_mutex_);
  while (first_blocked_ != nullptr) {
    const std::uint64_t share = std::max<std::uint64_t>(1, credits.free(started) / (2 * blocked_count_.load(relaxed)));
    const std::uint64_t got = credits.acquire(1, std::min<std::uint64_t>(share, 512), started);
    if (got == 0) return;
    blocked_submitter* b = first_blocked_;
    unlink_blocked(*b);
    b->credits = got;
    if (!b->answer(blocked_submitter::served)) credits.give_back(got);
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
