// The slow half of fork_join: answering the bell, stealing, and waiting for a stolen job. Layer 5.
//
// Edges: of the end of a stolen job and the sleep of who waits for it, in join_state.hpp; of the bell, in split_deque.hpp.
#include "join_state.hpp"
#include "system.hpp"
#include "throw.hpp"
#include "worker.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

using joins = join_state<os_atomics>;

constexpr double force_after_ns = 3'000, force_again_ns = 40'000;  // as in search.cpp
constexpr double join_spin_ns = 20'000;     // fork_join/fib: a stolen half ends, or exposes something, within this
constexpr double unpaid_steal_ns = 500;     // flat/tiny: a steal moves two cache lines and must bring more than that
constexpr double first_pause_ns = 125;

struct borrowed_task : running_entry, borrowed_run {
  borrowed_task(const running_entry& of, const fork_job& j, fork_deque::index head) noexcept : borrowed_run(of.run) {
    node = of.node;
    run = of.run;
    segment = of.segment;
    forks_from = head;
    stolen = &j;
  }
};

}  // namespace

bool fork_slow(worker_base& base, fork_deque::index h, fork_job&) noexcept {
  worker& w = static_cast<worker&>(base);
  if (w.forks.full(h)) {  // it lies in the slack slot, which is never public: no need to hear what pop says of it, and a force
    static_cast<void>(w.forks.pop(h));  // that is under way goes on. Whoever has rung gets an answer from here, too.
    if (w.forks.rung()) w.answer_bell();
    return false;
  }
  w.answer_bell();
  return true;
}

void worker::answer_bell() noexcept {
  if (!forks.answer_bell()) return;
  if (const std::uint32_t f = follows.who(); f != follows.nobody) owner.slot(f)->bed.unpark();
  if (!owner.idle.searched() && owner.idle.any_hungry() && !owner.paused()) owner.wake_one(true);
}

bool join_slow(worker_base& base, fork_deque::index h, fork_job& j) noexcept {
  worker& w = static_cast<worker&>(base);
  if (w.forks.reclaim(h)) {
    // The next fork is exposed, not hidden. In a pause nobody wants it, and resume() wakes all.
    if (w.forks.public_empty() && w.owner.idle.any_hungry() && !w.owner.paused()) w.forks.ring();
    return true;
  }
  w.join_stolen(h, j);
  return false;
}

void fork_finish(fork_job& j, bool threw) noexcept {
  if (this_worker == nullptr) [[unlikely]] returned_in_child();
  worker& w = *worker::current();
  if (running_nodes::entry* const top = w.running.top(); top != nullptr && entry_of(*top).stolen == &j) {
    static_cast<borrowed_task&>(entry_of(*top)).give_back();  // from here on its task may end
    w.running.leave(*top);
  }
  core& c = w.owner;
  const join_value before = joins::finish(j.word, threw);
  if (before.is_waiting()) c.slot(before.waiter())->bed.unpark();
}
void fork_rethrow(std::exception_ptr& e) { std::rethrow_exception(std::move(e)); }
bool fork_threw(const fork_job& j) noexcept { return join_value(j.word.load(relaxed)).has_thrown(); }

// A stolen fork is a part of the task that forked it: it has its token and its context. That is the innermost task of v whose
// own forks begin at or below the job. The job is not joined yet, so neither that task nor any fork below it has ended, and
// the slots up to there still hold what they held. Null: a task that nobody can cancel or observe.
running_entry worker::task_of(const fork_job& j, worker& v) noexcept {
  running_entry found;
  found.node = nullptr;
  bool done = false;
  v.running.inspect([&](const running_nodes::entry& e) {
    if (done) return;
    for (fork_deque::index i = 0; i < entry_of(e).forks_from; ++i)
      if (v.forks.at(i) == &j) return;
    done = true;
    found.node = e.node;
    found.run = entry_of(e).run;
    found.segment = entry_of(e).segment;
  });
  return found;
}

void worker::run_fork(fork_job& j, fork_job::run_fn call, worker& victim) noexcept {
  if (victim.running.top() == nullptr) return call(j);
  const running_entry of = task_of(j, victim);
  if (of.node == nullptr && of.run == nullptr) return call(j);
  borrowed_task me(of, j, forks.head());
  running.enter(me);
  call(j);  // fork_finish() leaves it
}

// For a join: only what `awaited` forked, which is what lies above `lowest` for as long as its thief is at it.
bool worker::steal_forks_of(worker& v, fork_deque::index lowest, bool force_now, const fork_job* awaited) noexcept {
  const bool searching = awaited == nullptr;
  fork_job* j = nullptr;
  const auto still = [awaited] { return awaited == nullptr || !joins::look(awaited->word).is_over(); };
  steal_outcome o = v.forks.steal(j, lowest, still);
  if (o != steal_outcome::stolen && force_now && os_atomics::asymmetric()) {
    o = v.forks.force(j, lowest, still);
    if (o == steal_outcome::stolen) forced.add();
  }
  if (o != steal_outcome::stolen) return false;
  const auto call = reinterpret_cast<fork_job::run_fn>(j->word.load(relaxed));
  joins::begin(j->word, index, forks.head());  // at once: until then its owner does not know whom to help, or to wait for
  steals.add();
  if (v.forks.public_empty()) v.forks.ring();  // there may be more where this came from
  if (!searching) {
    run_fork(*j, call, v);
    return true;
  }
  leave_search();
  const std::uint64_t t0 = ticks();
  run_fork(*j, call, v);
  const std::uint64_t t1 = ticks();
  // Crumbs: a steal costs its victim more than a job this small is worth. Pause longer each time.
  if (t1 - t0 >= ticks_of(unpaid_steal_ns)) {
    unpaid_ = 0;
  } else {
    came_too_late();
    const std::uint64_t end = t1 + ticks_of(first_pause_ns * static_cast<double>(1u << unpaid_));
    while (ticks() < end && owner.queues_empty() && owner.attention_bits() == 0) cpu_relax();
  }
  return true;
}

// The job at index h is with a thief. Until it has ended, take from that thief what the job forked (leapfrogging,
// Wagner & Calder 1993): everything at and above the index where the thief's deque stood when it began. Nothing else is
// run here, so a lock held over a join never meets unrelated work (P14).
void worker::join_stolen(fork_deque::index h, fork_job& j) noexcept {
  forks.open_above(h);
  std::uint64_t t0 = ticks(), force_at = t0 + ticks_of(force_after_ns), spin_end = t0 + ticks_of(join_spin_ns);
  worker* thief = nullptr;
  fork_deque::index base = 0;
  for (unsigned n = 0;; ++n) {
    const join_value w = joins::look(j.word);
    if (w.is_over()) break;
    const std::uint64_t now = ticks();
    if (w.is_running() && thief == nullptr) {
      thief = owner.slot(w.thief());
      base = w.base();
    }
    if (thief != nullptr) {
      const bool force_now = now >= force_at;
      if (steal_forks_of(*thief, base, force_now, &j)) {
        t0 = ticks();
        force_at = t0 + ticks_of(force_after_ns);
        spin_end = t0 + ticks_of(join_spin_ns);
        n = 0;
        continue;
      }
      if (force_now) force_at = now + ticks_of(force_again_ns);
      if (n == 0 || (n >= 32 && (n & (n - 1)) == 0)) thief->forks.ring();
      if (now >= spin_end) {
        sleep_in_join(j, *thief, base);
        spin_end = ticks() + ticks_of(first_pause_ns * 8);
        force_at = ticks();
        continue;
      }
    } else if (now >= spin_end) {
      thread_yield();  // the thief has lost its processor between two instructions
    }
    cpu_relax();
  }
  forks.close(h);
}

void worker::sleep_in_join(fork_job& j, worker& thief, fork_deque::index base) noexcept {
  if (!joins::fall_asleep(j.word, index)) return;
  const bool leads = thief.follows.begin(index);
  // What is private cannot be had without membarrier.
  const bool there = thief.forks.ring_and_look(base) && (os_atomics::asymmetric() || !thief.forks.public_empty());
  if (!(there && leads))
    park_in_wait([&](std::int64_t ns) { return bed.park(ns); });
  if (leads) thief.follows.end();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
