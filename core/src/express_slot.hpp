// A place for one job ahead of a queue: from the submitter's processor to a spinning worker's in one line of the cache. Layer 2.
//
// State
//   state_  {turn:62, phase:2}  open: nobody's. writing, taking: whoever made it so is at the words. full: a job lies there, for
//                               anybody. The turn counts the jobs, so that a submitter can ask whether his own still lies there
//   words_  the job
//   hot_    whether submitters try: a hint, in a line of its own, for state_'s goes back and forth
//
// Invariants
//   I1  the words are written by whoever made open into writing, and read by whoever made full into taking.
//   I2  nobody waits for anybody: who finds it neither open nor full goes to the queue. A job that is being written was not published;
//       one that was taken back by its submitter was, and he publishes again, whatever becomes of it.
//
// Edges
//   [fill]  offer's and put_back's store of full → take's compare-exchange: the job, and what it points at. take_back acquires nothing:
//           the job is its caller's.
//   [room]  let_go's store of open → offer's compare-exchange: the words are written after the last job's were read.
//
// What was offered before idle_state::published(), and not taken back since, is there for filled() after prepare(), as if it had been enqueued.
// Lineage: one cell of Vyukov's bounded queue of many producers and consumers.
#pragma once

#include <weir/detail/job.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

// Word: an atomic that is only used relaxed, for its accesses never meet.
template <class A, class Word = typename A::template atomic<std::uint64_t>>
class express_slot {
 public:
  using turn = std::uint64_t;

  // ---- submitters ----
  bool hot() const noexcept { return hot_.load(relaxed); }
  /// `mine`: the turn of the caller's last job, and then of this one. Who comes alone guesses the state by it, and pays for one transfer of the
  /// line. False: somebody's job is there, or comes or goes. Then it is not worth a try until a worker says so again.
  bool offer(turn& mine, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    word seen = state(mine + 1, open);
    while (!state_.compare_exchange_strong(seen, seen + writing, acquire, relaxed))  // [room] ← let_go
      if (phase(seen) != open) return cool(), false;
    mine = seen / phases;
    words_[0].store(ops, relaxed);
    words_[1].store(first, relaxed);
    words_[2].store(second, relaxed);
    state_.store(state(mine, full), release);  // [fill] → take
    return true;
  }
  /// The job of that turn, if it still lies there. Then put_back() or let_go() comes next.
  bool take_back(turn mine, job& out) noexcept {
    word seen = state(mine, full);
    if (!state_.compare_exchange_strong(seen, state(mine, taking), relaxed, relaxed)) return false;
    out = read();
    return true;
  }
  void put_back(turn mine) noexcept { state_.store(state(mine, full), release); }  // [fill] → take
  void let_go(turn mine) noexcept { state_.store(state(mine + 1, open), release); }  // [room] → offer

  // ---- workers ----
  bool filled() const noexcept { return phase(state_.load(relaxed)) == full; }  // a hint, unless fenced by the caller
  bool take(job& out) noexcept {
    word seen = state_.load(relaxed);
    if (phase(seen) != full) return false;
    if (!state_.compare_exchange_strong(seen, seen + 1, acquire, relaxed)) return false;  // [fill] ← offer, put_back
    out = read();
    let_go(seen / phases);
    return true;
  }
  /// Somebody looks often.
  void heat() noexcept {
    if (!hot_.load(relaxed)) hot_.store(true, relaxed);
  }
  void cool() noexcept {
    if (hot_.load(relaxed)) hot_.store(false, relaxed);
  }

 private:
  friend class diagnosis;
  using word = std::uint64_t;
  static constexpr word open = 0, writing = 1, full = 2, taking = 3, phases = 4;
  static word state(turn t, word phase) noexcept { return t * phases + phase; }
  static word phase(word w) noexcept { return w % phases; }
  job read() const noexcept {
    return {static_cast<std::uintptr_t>(words_[0].load(relaxed)), {words_[1].load(relaxed), words_[2].load(relaxed)}};
  }

  alignas(cache_line) typename A::template atomic<word> state_{0};
  Word words_[3]{};
  alignas(cache_line) typename A::template atomic<bool> hot_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
