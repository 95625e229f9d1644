// The slow half of admission: leases of threads, refusal, and waiting for room in order.
#include "core.hpp"
#include "gate_state.hpp"
#include "worker.hpp"

#include <algorithm>
#include <iterator>
#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local lease_cache this_lease;
constinit thread_local caller_run this_caller;

namespace {

using line = waiting_line<os_atomics>;

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
// By now: what submits after that, in the destructor of another thread-local or of something static, keeps its lease.
constinit thread_local bool leases_are_gone = false;

mutex registry_mutex;
// Never destroyed: a static runtime may outlive what this file has.
std::vector<core*>& registry() noexcept {
  using list = std::vector<core*>;
  alignas(list) static std::byte storage[sizeof(list)];
  static list* const there = ::new (static_cast<void*>(storage)) list;
  return *there;
}

bool registered(std::uint64_t id) noexcept {  // under registry_mutex
  return std::any_of(registry().begin(), registry().end(), [&](const core* c) { return c->id == id; });
}

lease_list::~lease_list() {
  this_lease = {};
  leases_are_gone = true;
  const std::lock_guard lock(registry_mutex);
  for (const entry& e : entries)
    if (registered(e.core_id) && !e.owner->dead()) e.owner->give_lease_back(*e.l);
}

void before_fork() {
  registry_mutex.lock();
  for (core* c : registry())
    if (!c->dead()) c->lock_for_fork();
}
void after_fork_in_parent() {
  for (core* c : registry())
    if (!c->dead()) c->unlock_after_fork();
  registry_mutex.unlock();
}
void after_fork_in_child() {
  for (core* c : registry())
    if (!c->dead()) {
      c->die();
      c->unlock_after_fork();
    }
  this_lease = {};
  this_worker = nullptr;
  this_side = nullptr;
  this_keeper = nullptr;
  this_caller = {};
  this_run = nullptr;
  registry_mutex.unlock();
}

}  // namespace

void register_core(core& c) {
  static const int once = pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  static_cast<void>(once);
  const std::lock_guard lock(registry_mutex);
  registry().push_back(&c);
}
void unregister_core(core& c) noexcept {
  const std::lock_guard lock(registry_mutex);
  std::erase(registry(), &c);
}
// For a process that hangs, perhaps with the lock held: then the list is read without it.
void for_registered_cores(void (*f)(const core&, void*) noexcept, void* argument) noexcept {
  const bool locked = registry_mutex.try_lock();
  for (const core* c : registry()) f(*c, argument);
  if (locked) registry_mutex.unlock();
}
#if defined(WEIR_SIM)
void forget_cores() noexcept { registry().clear(); }  // a failed simulation leaves its runtimes behind
#endif
unsigned registered_cores() noexcept {
  const std::lock_guard lock(registry_mutex);
  return static_cast<unsigned>(std::count_if(registry().begin(), registry().end(), [](core* c) { return !c->dead(); }));
}

lease& core::my_lease() {
  if (dead()) throw_errc(errc::stopped);
  if (this_lease.core_id == id) return *this_lease.last;
  if (!leases_are_gone) [[likely]] {
    for (const auto& e : my_leases.entries)
      if (e.core_id == id) {
        this_lease = {id, e.l};
        return *e.l;
      }
    my_leases.entries.reserve(my_leases.entries.size() + 1);
    // Forget runtimes that are gone.
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
  if (!leases_are_gone) my_leases.entries.push_back({id, this, l});
  this_lease = {id, l};
  return *l;
}

void core::give_lease_back(lease& l) noexcept {
  l.heap.abandon();
  l.forget_recent();
  const std::lock_guard lock(lease_mutex_);
  give_up_rest(l);
  free_leases_.push_back(&l);
}

void core::shut_leases() noexcept {
  shut_all(credits, [this](auto f) {
    const std::lock_guard lock(lease_mutex_);
    closed_ = true;  // those that come between the two rounds are shut from the beginning
    for (auto& l : leases_) f(l->credits);
  });
  for_each_dependant([](dependant& d) { d.closing(); });
  line_.shut_all();
}

std::uint64_t core::started_sum() const noexcept {
  std::uint64_t n = started_elsewhere.get();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->started_outside.get();
  return n;
}

outcome core::admit_outside(lease& l, const task_options* o, patience p, std::uint64_t n, admission& a) noexcept {
  const auto started = [this] { return started_sum(); };
  const auto refuse = [&](errc e) {
    l.rejected.add();
    return outcome_of(e);
  };
  if (wants_sweep(l, n)) [[unlikely]] sweep(l);
  const std::uint64_t capacity = credits.capacity();
  const bool may_stay = this_worker == nullptr && this_keeper == nullptr && this_caller.owner == nullptr;  // P13
  for (;;) {
    if (dead()) return outcome_of(errc::stopped);  // what was let go of may have forked the process
    bool full = n > capacity;
    while (!full) {
      const std::uint64_t starts = started_sum(), returns = credits.returns();
      if (!line_.empty() && line_.serve_now(room())) {  // newcomers do not pass the blocked: none of the pool's room is left
        if (may_stay && p != patience::never && opts.full == on_full::block) break;
        recall_all();  // nor may a lease have some, if `full` is the answer
        full = started_sum() == starts && credits.returns() == returns;
        continue;
      }
      if (l.credits.draw(credits, n, n == 1 ? in_advance() : n, n, started)) {
        hand_on_rest(l);
        return outcome_ok;
      }
      {
        const std::lock_guard lock(lease_mutex_);
        if (closed_) return refuse(errc::stopped);
      }
      recall_all();
      // Nor may it be on its way to somebody in the line, who may have given up.
      full = line_.empty() && started_sum() == starts && credits.returns() == returns;
    }
    if (p == patience::never || n > capacity) return refuse(errc::full);
    switch (opts.full) {
      case on_full::block: return may_stay ? wait_for_room(l, o) : refuse(errc::full);
      case on_full::caller_runs:
        if (!may_stay || this_side != nullptr || p == patience::elsewhere || a.target >= 0) return refuse(errc::full);
        return let_caller_in(l, a) == outcome_ok ? outcome_ok : refuse(errc::stopped);
      case on_full::drop_oldest:
        if (!drop_oldest(l, a.prio)) return refuse(errc::full);
        break;
      case on_full::discard: {
        const outcome said = discard(o != nullptr ? o->name : nullptr);
        return said == outcome_of(errc::stopped) ? refuse(errc::stopped) : said;
      }
      default: return refuse(errc::full);
    }
  }
}

outcome core::let_caller_in(lease& l, admission& a) noexcept {
  if (!doors_.enter()) return undo_entry(), outcome_of(errc::stopped);  // from here on a drain waits for it
  a = {&l, 0, a.prio, false, false, on_caller, false, node_flags_of(*this)};
  return outcome_ok;
}

// It has come in, and has ended.
outcome core::discard(const char* name) noexcept {
  if (worker* w = worker::current_of(*this); w != nullptr) {
    if (halted()) return outcome_of(errc::stopped);
    if (seen != nullptr) seen->dropped(name);
    w->submitted.add();
    w->count_end(outcome_of(errc::dropped));
    return outcome_of(errc::dropped);
  }
  if (!doors_.enter()) return undo_entry(), outcome_of(errc::stopped);
  if (seen != nullptr) seen->dropped(name);
  ended_elsewhere[outcome_of(errc::dropped)].add();
  tell_if_asked();
  return outcome_of(errc::dropped);
}

outcome core::run_on_caller(lease& l, job j) noexcept {
  acquire_ref();  // the callable may destroy the runtime
  this_caller = {this, &l.seat};
  l.seat.taken.store(true, relaxed);
  const outcome o = j.ops().run(j);
  l.seat.taken.store(false, relaxed);
  this_caller = {};
  if (is_end(o)) ended_elsewhere[o].add();  // else it waits for another attempt
  tell_if_asked();
  release_ref();
  return outcome_ok;
}

namespace {
bool holds_credit(const job& j) noexcept { return j.counted() || (is_ticket(j) && ticket_holds_credit(j)); }
}  // namespace

// Null: no memory for it.
inject_lane::producer* core::producer_of(lease& l, lane prio) noexcept {
  if (prio == lane::normal) return &l.producer;
  const auto i = static_cast<std::size_t>(prio);
  WEIR_TRY {
    if (!l.side[i]) l.side[i] = std::make_unique<inject_lane::producer>(lanes[i]);
  }
  WEIR_CATCH_ALL {}
  return l.side[i].get();
}

// It was taken out of a queue for a look, and there is no memory to put it back: it ends here, and is counted.
void core::end_for_want_of_memory(job& j) noexcept {
  if (j.counted()) started_elsewhere.add();
  const bool counts_itself = is_ticket(j) || is_turn(j) || is_resumption(j);
  {
    const as_task_of end(*this);
    j.ops().drop(j, errc::failed);
  }
  if (!counts_itself) ended_elsewhere[outcome_of(errc::failed)].add();
  tell_blocked();
  tell_if_asked();
}

// The oldest in the lane's queue that holds a credit ends as dropped. False: there is none. What a worker has claimed is no longer
// there; under this policy it claims one at a time, and starts it. The caller holds the core, which the callable's end may let go of.
bool core::drop_oldest(lease& from, lane l) noexcept {
  inject_lane& q = lanes[static_cast<std::size_t>(l)];
  inject_lane::producer* const own = producer_of(from, l);
  if (own == nullptr) return false;
  // What is passed over is put back at the end: before that, it would be found again ahead of what others have queued.
  job passed[256];
  std::size_t kept = 0;
  bool found = false;
  for (std::size_t left = q.size() + 1; left != 0 && kept != std::size(passed) && !found; --left) {
    job j;
    if (q.take(&j, 1) == 0) {
      if (q.empty()) break;
      ++left;  // somebody else is about to take one, or was too late for it
      cpu_relax();
      continue;
    }
    if (ticket_is_stale(j)) {
      j.ops().run(j);
    } else if (is_turn(j) || !holds_credit(j)) {  // a strand's turn is no task; what a task submitted holds no credit
      passed[kept++] = j;
    } else {
      const bool counts_itself = is_ticket(j);
      if (j.counted()) started_elsewhere.add();
      {
        const as_task_of end(*this);
        j.ops().drop(j, errc::dropped);
      }
      if (!counts_itself) ended_elsewhere[outcome_of(errc::dropped)].add();
      found = true;
    }
  }
  for (std::size_t i = 0; i < kept; ++i)
    if (!q.enqueue(*own, passed[i])) end_for_want_of_memory(passed[i]);
  if (kept != 0) {
    published(l);
    look_late();
  }
  if (found) {
    tell_blocked();
    tell_if_asked();
  }
  return found;
}

void core::recall_all() noexcept {
  const std::lock_guard lock(lease_mutex_);
  std::uint64_t recalled = 0;
  for (auto& l : leases_) recalled += l->credits.recall();
  if (recalled != 0) credits.give_back(recalled);
}

outcome core::wait_for_room(lease& l, const task_options* o) noexcept {
  line::place me;
  line_.join(me);
  recall_all();  // what another thread cached before it could see us
  {
    const std::lock_guard lock(lease_mutex_);
    if (closed_) line::answer_oneself(me, line::shut);
  }
  const auto wake_on_stop = [&me, this] {
    if (!dead()) line::answer_oneself(me, line::stopped);  // a forked child has the callbacks of threads that are not there
  };
  std::optional<std::stop_callback<decltype(wake_on_stop)>> on_stop;
  if (o != nullptr && o->stop.stop_possible()) on_stop.emplace(o->stop, wake_on_stop);
  const time_point limit = o != nullptr ? std::min(o->start_by, o->deadline) : time_point::max();

  // The room is often microseconds away: look for it for as long as a sleep would cost, and serve the line meanwhile; longer while
  // tasks start so fast that a sleeper would be woken at once (submit/8: 0.6 of the switches). Not too often, for each look takes the
  // line of the workers' counters away from them.
  const std::uint64_t window = ticks_of(30'000), longest = ticks() + 10 * window;
  std::uint64_t patience_end = ticks() + window, starts = started_sum();
  while (line::look(me) == line::waiting) {
    room_made(true);
    if (const std::uint64_t now = ticks(); now >= patience_end) {
      const std::uint64_t before = std::exchange(starts, started_sum());
      if (starts - before < credits.capacity() / 256 || starts == before || now >= longest) break;
      patience_end = now + window;
    }
    for (int i = 0; i < 128 && line::look(me) == line::waiting; ++i) cpu_relax();
  }
  if (line_.announce()) room_made();  // from here on it is the workers' business
  line::state answer = line::look(me);
  while (answer <= line::asleep) {
    const std::int64_t left = until_ns(limit);
    if (left == 0) line::answer_oneself(me, line::expired);
    answer = left == 0 ? line::look(me) : line::sleep(me, left);
  }
  on_stop.reset();
  if (answer == line::served) {
    if (!l.credits.grant(1, 1)) {
      credits.give_back(1);
      tell_blocked();  // the runtime may have been started again meanwhile
      return outcome_of(errc::stopped);
    }
    if (line_.empty()) {
      const auto started = [this] { return started_sum(); };
      if (const std::uint64_t more = in_advance(); more > 1) {
        l.credits.draw(credits, 1, more, 0, started);
        hand_on_rest(l);
      }
    }
    return outcome_ok;
  }
  line_.leave(me);
  return outcome_of(answer == line::stopped ? errc::cancelled : answer == line::expired ? errc::expired : errc::stopped);
}

// How many credits a thread may have of those that are free.
std::uint64_t core::in_advance() const noexcept {
  std::uint64_t threads;
  {
    const std::lock_guard lock(lease_mutex_);
    threads = leases_.size() - free_leases_.size();
  }
  return std::clamp<std::uint64_t>(credits.free([this] { return started_sum(); }) / (2 * threads + 2), 1, 256);
}

// Under the lock that whoever recalls holds, too: so nobody finds the credits neither here nor there.
void core::give_up_rest(lease& l) noexcept {
  if (const std::uint64_t n = l.credits.give_up(); n != 0) credits.give_back(n);
}

// After more was added to the lease than is used at once: who came to wait meanwhile may have recalled the leases before that, and
// would sleep until the next task starts.
void core::hand_on_rest(lease& l) noexcept {
  if (line_.empty()) [[likely]] return;
  {
    const std::lock_guard lock(lease_mutex_);
    give_up_rest(l);
  }
  room_made();
}

// Takes the caller's own sub-queue of q out of it, at once, and puts back what stale() does not say, in their order: by the handful, for nobody
// else can take what is in hand. Then the stale ones go. How many others there are. Without the memory for it nothing is done. (Who is about
// to take from there just then is served behind the caller: with the newest, or too late; then as many stay there, ahead of what is put back.)
template <class Queue, class Stale>
std::size_t core::turn_over(Queue& q, typename Queue::producer& own, lane l, Stale&& stale) noexcept {
  const std::size_t most = q.size();
  const std::unique_ptr<job[]> all(new (std::nothrow) job[most]);
  if (all == nullptr) return 0;
  const std::size_t n = q.take_own(own, all.get(), most);
  job live[64];
  std::size_t held = 0, others = 0, dead = 0, lost = 0;  // all[0, dead) are stale; all[dead, dead + lost) found no memory
  const auto put_back = [&] {
    if (held == 0) return;
    if (!q.enqueue(own, live, held))
      for (std::size_t i = 0; i < held; ++i)
        if (!q.enqueue(own, live[i])) all[dead + lost++] = live[i];
    published(l);
    others += held;
    held = 0;
  };
  for (std::size_t i = 0; i < n; ++i) {
    const job j = all[i];
    if (stale(j)) {
      all[dead + lost] = all[dead];
      all[dead++] = j;
    } else {
      live[held++] = j;
      if (held == std::size(live)) put_back();
    }
  }
  put_back();
  // What is let go of may be a user's; and may wait for those that are lost, but for none that is stale.
  for (std::size_t i = dead; i < dead + lost; ++i) end_for_want_of_memory(all[i]);
  for (std::size_t i = 0; i < dead; ++i) all[i].ops().run(all[i]);
  return others;
}

// A cancelled task gives its capacity back at once but its ticket stays, so tickets could pile up behind a busy worker
// (P17). Whoever wants more credits while half as many are stale as there is capacity turns its own sub-queues over, and the mailboxes; and again
// after half the capacity, for others' may stay. What one thread has in a sub-queue is then at most: the capacity, live when it was last turned
// over; the half since then; and what it had in advance, a quarter. (A bulk that is admitted while others cancel all that lives there comes on
// top.) Amortised O(1) a ticket.
bool core::wants_sweep(const lease& l, std::uint64_t n) const noexcept {
  const auto half = static_cast<std::int64_t>(credits.capacity() / 2);
  const auto since = static_cast<std::int64_t>(l.credits.used() + l.posted - l.swept_at);
  return stale_tickets.load(relaxed) > half && since > 0 && since + static_cast<std::int64_t>(n) > half;
}

void core::sweep(lease& l) noexcept {
  l.swept_at = l.credits.used() + l.posted;  // first: a user's destructor may come here again
  for (std::size_t i = 0; i < lane_count && !dead(); ++i) {
    const auto which = static_cast<lane>(i);
    inject_lane::producer* p = which == lane::normal ? &l.producer : l.side[i].get();
    if (p != nullptr) turn_over(lanes[i], *p, which, ticket_is_stale);
  }
  for (unsigned i = 0, e = slot_count(); i < e && !dead(); ++i) {
    std::vector<job> letters = slot(i)->mail.sweep(ticket_is_stale);
    if (!letters.empty()) letters_.gone(letters.size());
    for (job& j : letters) j.ops().run(j);
  }
  if (!dead()) look_late();  // what was in hand may have been all that a shutdown missed
}

// By the timekeeper, which passes no admission: a timer may be cancelled when its ticket has come to the queue. The caller holds the core.
void core::sweep_posted() noexcept {
  WEIR_TRY {
    lease& l = my_lease();
    ++l.posted;
    if (wants_sweep(l, 0)) [[unlikely]] sweep(l);
  }
  WEIR_CATCH_ALL {}  // no memory for a lease, nor is anything queued by it then
}

// The same of children that a worker's task has run in place: their tickets would stay until that task ends. No others: what goes with the
// last reference to another task may be a user's, and runs in no wait.
std::size_t core::sweep(worker& w, bool (*stale)(const job&)) noexcept {
  const std::size_t live = turn_over(local, w.local_producer, lane::normal, stale);
  look_late();
  return live;
}

void core::room_made(bool in_bulk) noexcept {
  // A server of tiny tasks offers room by the handful: a wake-up for each would cost more than the tasks.
  const std::uint64_t least = in_bulk ? std::clamp<std::uint64_t>(credits.capacity() / 8, 1, 512) : 1;
  if (credits.free([this] { return started_sum(); }) >= least) line_.serve(room());
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
