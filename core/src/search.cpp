// How a worker without work finds some, and how it sleeps when there is none. Layer 5.
//
// The protocol of searchers, sleepers and wakers is idle.hpp's; the bell of forks is split_deque.hpp's. What is decided here: where
// to look and in which order, for how long, when to force, when a watch will do in the place of a search, and when to nap.
#include "worker.hpp"

#include "system.hpp"
#include "throw.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

// Tuning, each with the bench that it comes from.
constexpr double first_force_ns = 3'000;    // fork/long_leaf: a bell that nobody answered for so long is not heard
constexpr double force_again_ns = 40'000;
constexpr double spin_floor_ns = 1'000;     // idle/one_per_ms: what an unpaid spin shrinks to
constexpr double recent_look_ns = 60'000;
constexpr double stuck_ns = 40'000;          // burst/behind_running: batches are sized to take less
constexpr std::uint64_t stream_task_ns = 1000;  // ping_pong: of a stream thinner than this the watcher looks more often
constexpr unsigned nap_after = 6;           // unpaid or late steals in a row, with growing pauses, before a nap
constexpr double crumb_spin_ns = 2'500;     // fork/flat: a ring is answered and the job taken within that, or it is back with its owner; no force yet
constexpr std::int64_t nap_ns = 250'000;
constexpr std::int64_t watch_ns = 60'000, longest_watch_ns = 500'000;  // submit/1: a watch costs a context switch each
constexpr double express_after_ns = 500;     // ping_pong, wake/hot: nobody streams
constexpr unsigned express_looks = 4;
constexpr double surplus_idle_ns = 1e9;  // long beside a thread's making, which it saves, and short beside a burst's absence

constexpr bool power_of_two(unsigned n) noexcept { return (n & (n - 1)) == 0; }

}  // namespace

bool worker::has_work(bool forks_too) const noexcept {
  const std::uint32_t bits = owner.attention_bits();
  if ((bits & attention::stop) != 0) return true;
  if ((bits & attention::paused) != 0) return hoards() || owner.has_leftovers() || (owner.halted() && owner.any_kept());
  if (mail.any() || !owner.queues_empty() || owner.any_kept()) return true;
  const std::uint64_t now = ticks();
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i) {
    const worker& v = *owner.slot(i);
    if (&v == this) continue;
    if (stuck(v, now) || (forks_too && v.forks.visible())) return true;
  }
  return false;
}

// Jobs that v has claimed wait for a task that takes longer than v's tasks of late.
bool worker::stuck(const worker& v, std::uint64_t now) const noexcept {
  return v.claimed.visible() && ticks_since(v.looked.load(relaxed), now) > ticks_of(stuck_ns);
}

bool worker::drained_lately(std::uint64_t now) const noexcept {
  return drains.load(relaxed) && ticks_since(looked.load(relaxed), now) < ticks_of(recent_look_ns);
}

bool worker::somebody_hides() const noexcept {
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i)
    if (i != index && owner.slot(i)->claimed.visible()) return true;
  return false;
}

// Another worker takes tiny tasks in batches, or has just done so: it will see what comes next sooner than one that must
// be woken.
bool worker::somebody_drains() const noexcept {
  if ((owner.attention_bits() & attention::paused) != 0) return false;  // nobody goes on; resume() wakes all
  const std::uint64_t now = ticks();
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i) {
    const worker& v = *owner.slot(i);
    if (&v == this) continue;
    if (v.claimed.visible() || v.drained_lately(now)) return true;
  }
  return false;
}

// Of several who drain, the first goes on looking when there is nothing more.
bool worker::senior_drains() const noexcept {
  const std::uint64_t now = ticks();
  for (unsigned i = 0; i < index; ++i)
    if (owner.slot(i)->drained_lately(now)) return true;
  return false;
}

// The watcher's question after each nap.
bool worker::drain_goes_on() const noexcept {
  if (!somebody_drains() || (owner.attention_bits() & ~(attention::quiesce | attention::blocked)) != 0) return false;
  const std::uint64_t now = ticks();
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i)
    if (i != index && (stuck(*owner.slot(i), now) || owner.slot(i)->forks.visible())) return false;
  return true;
}

void worker::ring_all() noexcept {
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i)
    if (i != index) owner.slot(i)->forks.ring();
}

// Since this worker rang: so there are forks, but none was left when it looked.
bool worker::somebody_answered() const noexcept {
  for (unsigned i = 0, e = owner.slot_count(); i < e; ++i)
    if (i != index && !owner.slot(i)->forks.rung()) return true;
  return false;
}

void worker::leave_search() noexcept {
  if (owner.idle.leave_with_work()) {
    // Whoever claimed jobs while this worker searched left it to this one to look after what he hides.
    const bool watched = owner.idle.watched();
    if (!(watched && drains.load(relaxed)) && (claimed.owner_hides() || has_work(true) || (!watched && somebody_hides())) &&
        owner.wake_one())
      return;
  }
  if (owner.idle.any_hungry()) ring_all();  // nobody searches now: the others' next fork shall wake one, as its own will for whoever sleeps
  if (owner.elastic) [[unlikely]] owner.look_after_backlog();
}

// One round over the victims, nearest and random first. True: something was stolen and has run. Whoever has not looked for so long
// that he counts as stuck would not hear a bell either: from force_stuck_at on his jobs are forced, at most so often.
bool worker::steal_once(std::uint64_t now, bool force_now, std::uint64_t& force_stuck_at) noexcept {
  const bool force_stuck = now >= force_stuck_at && os_atomics::asymmetric();
  const unsigned n = owner.slot_count();
  rng_ ^= rng_ << 13;
  rng_ ^= rng_ >> 7;
  rng_ ^= rng_ << 17;
  const unsigned first = static_cast<unsigned>(rng_ % n);
  for (unsigned k = 0; k < n; ++k) {
    const unsigned i = first + k < n ? first + k : first + k - n;
    if (i == index) continue;
    worker& v = *owner.slot(i);
    if (steal_forks_of(v, 0, force_now, nullptr)) return true;
    job j;
    steal_outcome o = v.claimed.steal(j);
    if (o != steal_outcome::stolen && force_stuck && stuck(v, now)) {
      force_stuck_at = now + ticks_of(force_again_ns);
      o = v.claimed.force(j);
      if (o == steal_outcome::stolen) forced.add();
    }
    if (o == steal_outcome::stolen) {
      steals.add();
      unpaid_ = 0;
      leave_search();
      if (!(owner.paused() || on_duty.now() != on_duty.on) || !give_back(j)) run(j);  // stolen after a pause, or a resize
      return true;
    }
  }
  return false;
}

// Looks for work until there is some, it is time to stop, or the spin budget is spent and the worker has slept.
void worker::search() noexcept {
  owner.tell_if_asked();
  owner.idle.enter_search();
  inject_lane& from_outside = owner.lanes[static_cast<std::size_t>(lane::normal)];
  bool alone = from_outside.lately(normal_consumer) && owner.topo.cpus.size() > 1;
  // Brought forward by a round that ended because there is work after all: that may be work which only force gets.
  std::uint64_t force_at = ticks() + ticks_of(first_force_ns), force_stuck_at = 0;
  for (;;) {
    // Who drains tiny tasks goes on looking for them; all others leave that to him.
    const bool incumbent = drains.load(relaxed) && !senior_drains();
    const bool may_spin = incumbent || (owner.idle.searchers() <= (owner.active_workers() + 1) / 2 && !somebody_drains());
    const std::uint64_t patience = unpaid_ == 0 || spin_ == 0 ? spin_ : std::max(spin_, ticks_of(crumb_spin_ns));
    const std::uint64_t t0 = ticks(), spin_end = t0 + (may_spin ? patience : 0);
    for (unsigned n = 0;; ++n) {
      const std::uint32_t bits = owner.attention_bits();
      if ((bits & attention::stop) != 0 || on_duty.now() != on_duty.on) return leave_search();
      if ((bits & attention::paused) != 0) {
        if (hoards() || (owner.halted() && owner.any_kept())) return leave_search();  // loop() deals with them
        if (owner.has_leftovers()) owner.stop_leftovers();
        unpaid_ = 0;  // nobody steals: the last answer to a ring is no reason to look again soon
        break;
      }
      if (!claimed.owner_empty()) return leave_search();  // a pause came between the claim and the start
      const std::uint64_t now = ticks();
      if (incumbent) note_look(now);
      if ((bits & (attention::entries | attention::mail | attention::kept)) != 0 && attend(bits, true)) {
        unpaid_ = 0;
        return;
      }
      auto seen = inject_lane::look::unknown;
      if (n != 0) {
        if (now - t0 > ticks_of(express_after_ns)) from_outside.heat();
        // A submitter that waits for each of its tasks is the one who minds how long a round of all other looks takes.
        for (unsigned k = 0; alone && k < express_looks && !from_outside.express_waits() && owner.attention_bits() == bits; ++k) cpu_relax();
        seen = from_outside.poll();
      }
      if (seen != inject_lane::look::nothing || !owner.local.empty() || (bits & attention::side_lanes) != 0) {
        if (claim(seen == inject_lane::look::slot_only)) {
          if (now - t0 > spin_ / 2) longer_spin();
          unpaid_ = 0;
          return leave_search();
        }
      }
      const bool force_now = now >= force_at;
      if (steal_once(now, force_now, force_stuck_at)) return from_outside.found_elsewhere(normal_consumer);
      if (force_now) force_at = now + ticks_of(force_again_ns);
      if (n == 0 || (n >= 32 && power_of_two(n))) ring_all();
      if (now >= spin_end) break;
      if ((n & 31) == 8) thread_yield();  // batch/latch: the submitter may be waiting for this very processor
      cpu_relax();
    }
    if (gives_up_duty()) return leave_search();
    const bool late = unpaid_ != 0 && somebody_answered();
    if (late) came_too_late();
    alone = false;
    from_outside.found_elsewhere(normal_consumer);
    if (sleep(unpaid_ >= nap_after, late)) force_at = ticks() + ticks_of(first_force_ns);
    else force_at = std::min(force_at, ticks());
    if ((owner.attention_bits() & attention::stop) != 0) return leave_search();
  }
}

void worker::longer_spin() noexcept {
  spin_ = std::min(spin_ * 2, ticks_of(1000.0 * static_cast<double>(owner.opts.spin.count())));
}

// From searching to searching, with a sleep between if nothing is there. False: it did not sleep, or it watched and what
// it saw made it stop. A nap is for whoever found only crumbs: forks do not wake it, and it ends by itself. `late`: this round has
// counted one already.
bool worker::sleep(bool nap, bool late) noexcept {
  // The ring comes not before others can see that this worker sleeps: whoever answered it and took his job back before that would owe
  // nothing to anybody. And it comes before the fence: what is forked unheard until it is seen is there for the look behind.  [bell]
  // In a pause nobody steals, and its end wakes all.
  owner.idle.prepare(index, nap, [this, nap] {
    if (!nap && !owner.paused()) ring_all();
  });
  if (has_work(!nap)) {
    if (!late && !has_work(false)) came_too_late();  // unless it gets one of them
    return get_up(), false;
  }
  // Whoever has answered a bell while this worker searched has woken nobody.
  if (nap && !owner.idle.searched() && owner.idle.any_hungry() && has_work(true)) owner.wake_one(true);
  drains.store(false, relaxed);
  tiny_batches_ = 0;
  bool watch = somebody_drains();  // [watch] if not, whoever claims from now on sees that this worker sleeps
  if (watch) {
    owner.idle.begin_watch();
    watch = somebody_drains();  // [watch] ↔ claim
    if (!watch) {
      owner.idle.end_watch();
      watch_ns_ = watch_ns;
      // The hint was weak for a moment, and who claimed jobs meanwhile may have left them to this watch.  [watch]
      if (has_work(!nap) || somebody_drains()) return get_up(), false;
    }
  }
  std::int64_t ns = nap ? nap_ns : watch ? watch_ns_ : longest_sleep();
  parks.add();
  if (owner.opts.obs != nullptr) {
    owner.opts.obs->on_park(static_cast<int>(index));
    if (owner.dead()) returned_in_child();
    if (bed.roused()) bed.unpark();  // a join in there may have taken the token of who has claimed this worker meanwhile
  }
  const std::uint64_t t0 = ticks();
  if (watch) {
    // As long as the one that is watched goes on, sleep on: a watcher that searched would only take its work away.
    std::uint64_t before = owner.started_by_workers();
    bool told;
    while (!(told = bed.park(ns)) && !nap && drain_goes_on() && longest_sleep() != 1) {
      const std::uint64_t now = owner.started_by_workers();
      const std::uint64_t began = now > before ? now - before : 0;
      const bool stream = began * stream_task_ns >= static_cast<std::uint64_t>(ns);
      watch_ns_ = stream ? std::min(watch_ns_ * 2, longest_watch_ns) : watch_ns;
      before = now;
      ns = watch_ns_;
    }
    watch_ns_ = watch_ns;
    if (told || nap || has_work(true) || somebody_drains()) {
      owner.idle.leave_watch();
    } else {
      owner.idle.end_watch();
      watch = has_work(true) || somebody_drains();
      if (!watch) bed.park(longest_sleep());
    }
  } else {
    bed.park(ns);
  }
  get_up();
  const std::uint64_t slept = ticks() - t0;
  // A gap that a spin of the longest kind would have covered makes the next spin longer; any other makes it shorter.
  const double longest = 1000.0 * static_cast<double>(owner.opts.spin.count());
  const bool covered = slept < ticks_of(longest + 20'000);
  if (covered) longer_spin();
  else spin_ = std::max(std::min(ticks_of(spin_floor_ns), ticks_of(longest)), spin_ / 2);
  // Woken at once by who answered the ring: for a job that pays, or for one that will be back with its owner when this worker looks.
  if (nap) unpaid_ = nap_after - 1;
  else if (!covered || !somebody_answered()) unpaid_ = 0;
  else if (!late) came_too_late();
  return !watch;
}

// A surplus worker that has found nothing for a while is not needed any more.
std::int64_t worker::longest_sleep() const noexcept {
  if (!surplus.load(relaxed)) return forever;
  const double idle = static_cast<double>(ticks_since(idle_since_, ticks())) / ticks_per_ns();
  return idle < surplus_idle_ns ? static_cast<std::int64_t>(surplus_idle_ns - idle) + 1 : 1;
}

// While it searches. True: it is off duty, and what it leaves unseen is looked for when it leaves the search.
bool worker::gives_up_duty() noexcept {
  if (!surplus.load(relaxed)) return false;
  const std::uint64_t now = ticks();
  if (const std::uint64_t found = started.get() + steals.get(); found != last_found_) {
    last_found_ = found;
    idle_since_ = now;
  }
  return ticks_since(idle_since_, now) >= ticks_of(surplus_idle_ns) && owner.surplus_goes(*this);
}

// Awake, for whatever reason (tokens may be stale): takes itself back into the search, unless a waker has done that; then
// it waits for that waker.
void worker::rise() noexcept {
  if (owner.idle.cancel(index)) return;
  bed.await_waker();
}

// And publishers need not look any more, if nobody else sleeps. Who did not sleep after all lowers the hint, too: it would stay up for
// as long as a woken worker waits for a processor, which may be the submitter's, at a fence a submit.
void worker::get_up() noexcept {
  rise();
  if (owner.idle.relax_hint() && has_work(true)) owner.wake_one();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
