// Who searches, who is parked, whom to wake. Layer 3: knows no queue; its user re-checks them where told to.
//
// State
//   hint_       0: whoever publishes work need not look further. 1: somebody is parked, ask should_wake(). 4: somebody naps
//               and watches a worker that looks at the queues every few microseconds; publishers leave the waking to
//               the two, but for a look now and then (core::published). Bit 1 is set for good where there is no
//               membarrier, so that every publisher takes the fenced path, and bit 3 where he shall look though nobody
//               sleeps, for then another worker may have to come.
//   searching_  number of workers that look for work and will look again before they park
//   parked_     a bit for each worker that sleeps or is about to; whoever clears a bit owns that one wake-up
//   napping_    those of the parked that fork work shall not wake (their last steals did not pay, or came too late)
//
// Invariants
//   I1  a worker re-checks every source of work after it set its bit and left searching_, and before it sleeps; who naps, all but
//       forks, unless nobody searches and another would be woken for them.
//   I2  a bit is cleared by exactly one thread, which puts the worker back into searching_ on its behalf.
//   I3  hint_ != 0 whenever a worker sleeps, but between relax_hint's two looks, whose caller then raises it and looks at the
//       queues. It is 4 only while somebody watches, or has just done so and has relax_hint before him, which raises it if others
//       sleep; the search that he is back in looks at the queues.
//
// Edges
//   [hint]    publish: enqueue, light fence, load hint_ ↔ park: store hint_, heavy fence, re-check of the queues: either
//             the publisher sees the hint, or the parker sees the job.
//   [dekker]  publish with a hint: enqueue, seq_cst fence, load searching_/parked_ ↔ park and leave_with_work: RMW on
//             searching_/parked_, fence, re-check: either the publisher sees that nobody searches, or the one that
//             stops searching sees the job.
//   [watch]   prepare's RMW and fence, a look at the claimed jobs ↔ claiming jobs, should_wake's fence, any_parked(): either who is about
//             to sleep sees the jobs, and watches, or their claimer wakes him, or leaves them to another watcher. A watcher that
//             looks again and sees none passes end_watch's fence and looks once more; one that gets up is a searcher, and looks
//             behind leave_with_work's. leave_watch → leave_watch: the last one sees the hint that the others left.
//   [claim]   claim_one's fetch_and on parked_ ↔ prepare's fetch_or: whoever finds the bit clear came before the parker, whose
//             fetch_or, with the fence behind it, acquires what was done before the claim. That is why stopping, resuming and
//             mail for one worker need no fence. And one wake-up goes to one thread.
//   [slot]    prepare's fetch_or → claim_one's fetch_and: whoever claims a worker by its number finds it in the table of slots, though
//             nobody else has told him of it.
//
// Liveness: a publisher that wakes nobody saw a searcher, or no parked worker. The searcher's own re-check comes after
// it left searching_ [dekker], so it sees the job or another thread has taken it; a worker that is neither searching
// nor parked looks at the queues after its task. A publisher that saw hint_ == 0 came before the parker's fence, or before that of
// whoever lowered the hint beside a parker and raised it again: both look at the queues behind it [hint]. One that saw 4 left the
// job to the watcher, who looks behind a heavy fence before he sleeps on, and is a searcher when he gets up.
#pragma once

#include "futex.hpp"

#include <bit>
#include <cstddef>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, unsigned MaxSlots = 1024>
class idle_state {
 public:
  explicit idle_state(unsigned slots = 64, bool always_told = false)
      : floor_((A::asymmetric() ? 0u : 2u) | (always_told ? busy_hint : 0u)) {
    cover(slots);
    hint_.store(floor_, relaxed);
  }
  /// Slots below n may park from now on. A publisher that does not see it yet has published before their first look at the
  /// queues [hint] [dekker].
  void cover(unsigned n) noexcept {
    if ((n + 63) / 64 > words_.load(relaxed)) words_.store((n + 63) / 64, relaxed);
  }

  // ---- publishers ----
  /// After the job is in its queue. 0: nothing is left to do, nobody sleeps.
  std::uint32_t published() const noexcept {
    A::light_fence();  // [hint] ↔ prepare
    return hint();
  }
  std::uint32_t hint() const noexcept { return hint_.load(relaxed); }

  /// After published() said otherwise, or jobs were claimed: true when somebody should be woken, since nobody searches. Fenced.
  bool should_wake() const noexcept {
    A::fence_seq_cst();  // [dekker] ↔ park, leave_with_work  [watch] ↔ prepare, end_watch, leave_with_work
    return searching_.load(relaxed) == 0 && any_parked();
  }
  bool searched() const noexcept { return searching_.load(relaxed) != 0; }

  /// Claims a sleeper to wake, the lowest first, so that the load stays on few workers; -1: there is none. It counts
  /// as searching from now on; the caller must unpark it. `avoid` is taken only if there is no other.
  int claim(bool for_forks = false, int avoid = -1) noexcept {
    for (std::size_t i = 0, e = words_.load(relaxed); i < e; ++i) {
      std::uint64_t seen = parked_[i].load(relaxed);
      if (for_forks) seen &= ~napping_[i].load(relaxed);
      if (avoid >= 0 && i == static_cast<std::size_t>(avoid) / 64) seen &= ~(std::uint64_t{1} << (avoid % 64));
      while (seen != 0) {
        const std::uint64_t bit = seen & (~seen + 1);
        const unsigned id = static_cast<unsigned>(i * 64) + static_cast<unsigned>(std::countr_zero(bit));
        if (claim_one(id)) return static_cast<int>(id);
        seen &= ~bit;
      }
    }
    return avoid >= 0 && !for_forks && claim_one(static_cast<unsigned>(avoid)) ? avoid : -1;
  }
  /// Claims this sleeper; false: it is not parked, or another was quicker. Then, if it parks later, it sees before it sleeps
  /// what the caller did before: no fence is needed. The count follows the bit, never the other way
  /// round: a publisher that saw a searcher who turns out to be none would wake nobody. The sleeper cannot leave the
  /// search before it was counted, since it waits for the token that comes after.
  bool claim_one(unsigned id) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (id % 64);
    if ((parked_[id / 64].fetch_and(~bit, acq_rel) & bit) == 0) return false;  // [claim] → prepare  [slot] ← prepare
    searching_.fetch_add(1, relaxed);                                          // [dekker]
    return true;
  }

  bool any_parked() const noexcept {
    for (std::size_t i = 0, e = words_.load(relaxed); i < e; ++i)
      if (parked_[i].load(relaxed) != 0) return true;
    return false;
  }
  /// Parked workers that fork work may wake.
  bool any_hungry() const noexcept {
    for (std::size_t i = 0, e = words_.load(relaxed); i < e; ++i)
      if ((parked_[i].load(relaxed) & ~napping_[i].load(relaxed)) != 0) return true;
    return false;
  }
  unsigned searchers() const noexcept { return searching_.load(relaxed); }

  // ---- workers ----
  void enter_search() noexcept { searching_.fetch_add(1, relaxed); }

  /// The searcher has found work. True: it was the last one and somebody sleeps, so it must look whether more work is
  /// visible and then wake another: publishers may have relied on it.
  bool leave_with_work() noexcept {
    const bool last = searching_.fetch_sub(1, acquire) == 1;  // [dekker] ↔ should_wake
    if (!last || !any_parked()) return false;
    A::fence_seq_cst();  // [dekker] ↔ should_wake
    return true;
  }

  void prepare(unsigned id, bool nap) noexcept { prepare(id, nap, [] {}); }
  /// From searching to parked. The caller re-checks every source of work next, then sleeps or calls cancel(). call(): what others shall
  /// hear from one whom they see asleep; the re-check sees what came of it, and what was done unheard.
  template <class Call>
  void prepare(unsigned id, bool nap, Call&& call) noexcept {
    const std::uint64_t bit = std::uint64_t{1} << (id % 64);
    if (nap) napping_[id / 64].fetch_or(bit, relaxed);
    else if ((napping_[id / 64].load(relaxed) & bit) != 0) napping_[id / 64].fetch_and(~bit, relaxed);
    parked_[id / 64].fetch_or(bit, release);  // [dekker] [claim]  [slot] → claim_one
    searching_.fetch_sub(1, release);         // [dekker] ↔ should_wake
    A::fence_seq_cst();  // [claim] ← claim_one  [hint] ↔ relax_hint, which lowers ours only if it sees our bit
    hint_.store(floor_ | 1, relaxed);
    call();
    A::heavy_fence();  // [hint] ↔ publish  [dekker]; and of the fork deque's bell ↔ push
  }

  /// There is work after all: searching again. False: a waker was quicker (its token is on the way, take it).
  bool cancel(unsigned id) noexcept { return claim_one(id); }

  /// A worker that is awake makes publishing cheap again when nobody sleeps. True: somebody parked meanwhile, and the
  /// caller must look whether there is work to wake him for. If others sleep, and publishers left them to a watch that is over, they shall
  /// look again.
  bool relax_hint() noexcept {
    const std::uint32_t seen = hint_.load(relaxed);
    if (seen == floor_) return false;
    if (any_parked()) {  // what was left to a watch the caller finds in the search that it is back in
      if ((seen & watched_hint) != 0 && !watched()) raise_hint();
      return false;
    }
    const bool was_watched = (hint_.exchange(floor_, relaxed) & watched_hint) != 0;
    // Either his bit is seen, or his hint comes after this one. It is not enough to acquire the hint that is overwritten: it may be
    // another's, who has seen less.
    A::fence_seq_cst();  // [hint] ↔ prepare
    // Who left work to a watch, whosever, has not noted a backlog: the caller will see it.
    if (was_watched && (floor_ & busy_hint) != 0) A::heavy_fence();  // [hint] ↔ publish
    return any_parked() && raise_hint();
  }

  /// Publishers shall look (again). True, so that it reads well in a condition. The caller re-checks the queues.
  bool raise_hint() noexcept {
    hint_.store(floor_ | 1, relaxed);
    A::heavy_fence();  // [hint] ↔ publish
    return true;
  }
  /// The caller, parked and re-checked, sleeps for a short time only, to watch a worker that looks at the queues often.
  void begin_watch() noexcept {
    watchers_.fetch_add(1, relaxed);  // [watch] ↔ watched
    hint_.store(floor_ | watched_hint, relaxed);
  }
  /// The caller sleeps on without a clock.
  void end_watch() noexcept {
    leave_watch();
    raise_hint();
  }
  /// The caller gets up: relax_hint() comes next, and deals with a hint that nobody stands for any more.
  void leave_watch() noexcept { watchers_.fetch_sub(1, acq_rel); }  // [watch] → leave_watch, relax_hint
  /// Somebody watches: whoever claims jobs in bulk need not wake one for what it hides. Call after should_wake().
  bool watched() const noexcept { return watchers_.load(relaxed) != 0; }
  static constexpr std::uint32_t watched_hint = 4, busy_hint = 8;

 private:
  friend class diagnosis;
  using bits = typename A::template atomic<std::uint64_t>;
  alignas(cache_line) typename A::template atomic<std::uint32_t> hint_{0};
  typename A::template atomic<std::uint32_t> words_{0};
  const std::uint32_t floor_;
  // Together: whoever wakes one needs all of them.
  alignas(cache_line) typename A::template atomic<std::uint32_t> searching_{0};
  typename A::template atomic<std::uint32_t> watchers_{0};
  bits parked_[(MaxSlots + 63) / 64]{}, napping_[(MaxSlots + 63) / 64]{};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
