// A bounded deque whose owner pays no fence and no locked instruction for a job that nobody else wants. Layer 2.
//
// The owner works at the bottom as on a stack (index = depth), thieves take the oldest job at the top:
//
//        0 ……… tail │ tail ……… split │ split ……… head
//          stolen       public            private
//
// Public jobs are taken by thieves with one CAS. Private ones are the owner's alone, until it exposes some (a thief
// rang the bell), or until a thief forces the exposure because the owner is busy in a long job and answers no bell.
// Lineage: Lace's split deque (van Dijk, van de Pol 2014) for the two parts, the THE protocol of Cilk-5 (Frigo,
// Leiserson, Randall 1998) for the forced exposure, here with an epoch in the place of its lock: nobody ever waits.
//
// State
//   state_  {tail:12, split:12, claim:1, epoch:39}   the truth about what is public; every change is a CAS but close()
//   split_  the owner's copy of split, or `trap`      the owner pops index h without looking further iff split_ <= h
//   head_   number of jobs on the stack               written by the owner only
//   bell_   Capacity, or 0 = "somebody is hungry"     one compare serves as the capacity check and as the request
//
// Invariants
//   I1  tail <= split <= head + 1; a slot below split is not written until the epoch has changed.
//   I2  within one epoch tail and split only grow; every slow operation of the owner begins a new epoch.
//   I3  split_ is state_'s split or trap whenever the owner is in a fast operation. trap sends its next pop the slow
//       way, which is always correct, so a stale trap is harmless.
//   I4  a thief reads a slot before the CAS that makes the job its own, and uses what it read only after that CAS.
//
// Edges
//   [publish]  push's store to head_ ↔ force's load of head_, and expose's and force's CAS on state_ ↔ steal's load of it:
//              the job in the slot, and what it points at, are visible to the thief. pop's store is a release, too: C++20
//              ends push's release sequence there, and a thief that reads it takes a job further down.
//   [take]     steal's and force's CAS on state_ ↔ reclaim's acquire: one job goes to one side, and the thief has read the
//              slot before the owner uses it again. No CAS acquires: the load before it has.
//   [reset]    close's store, reclaim's and expose's CAS (new epoch) ↔ steal's and force's loads: who sees the new epoch sees the
//              owner's split_ of that epoch too, so nobody takes a trap that the owner has overwritten for one of his own.
//   [trap]     pop's light fence ↔ force's heavy fence: either the owner's pop sees the trap, or the thief's load of
//              head_ sees the pop.
//   [bell]     push's light fence ↔ the heavy fence of whoever rang before it parks (ring_and_look; idle_state::prepare):
//              either the push sees the bell, or the ringer's look at head_ sees the push. In the same way a push that goes on to
//              look for sleepers sees the ringer asleep, or he the push; where nobody can force he needs the exposure, so
//              answer_bell's fence comes after that. The same fence orders silencing the bell before that look, and a ringer
//              shows that he sleeps, then fences, then rings: one whose ring was answered before anybody could see him asleep, by a
//              job that its owner has taken back since, finds the bell silent and rings again. Of two who rang one may
//              take all that the answer exposed; he rings again, and for the other that is a hint.
//
// Why force() is right. After the heavy fence every pop that did not see the trap is visible in head_ [trap]; a pop
// that saw it goes through reclaim(), which begins a new epoch, so the commit fails. Hence at the commit the owner has
// not gone below head_ as read, and the jobs in [split, head_) are still unstarted. A claim left by a thief that
// sleeps is cancelled by the owner's next slow operation, so the owner never waits; other thieves use steal().
// The epoch wraps. A thief goes wrong if between its first look and its CAS, a few instructions, the owner makes a multiple of 2^39
// slow operations and leaves the very same word. Each has a locked instruction or, a close, follows one, 5 ns at the least: the thief would have to
// sleep for 46 minutes in which its victim does nothing else, and wake up within one operation in 5e11. The model of the wrap
// shows that k bits stand 2^k - 1 slow operations, and not one more.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

enum class steal_outcome : std::uint8_t { stolen, empty, lost };  // lost: somebody else was quicker, try again

// A pointer in one atomic word: the slot type of the fork deque.
template <class A, class T>
class pointer_slot {
 public:
  using value_type = T*;
  WEIR_ALWAYS_INLINE void store(T* v) noexcept { word_.store(v, relaxed); }
  T* load() const noexcept { return word_.load(relaxed); }

 private:
  typename A::template atomic<T*> word_;
};

template <class A, class Slot, std::uint32_t Capacity, unsigned EpochBits = 39>
class split_deque {
 public:
  using index = std::uint32_t;
  using value_type = typename Slot::value_type;
  static constexpr index capacity = Capacity;
  static_assert(Capacity >= 1 && Capacity < 4096, "tail and split have 12 bits each");
  static_assert(EpochBits >= 1 && EpochBits <= 39, "and the claim has one");  // fewer: for the model of its wrap

  // ---- owner ----
  index head() const noexcept { return head_.load(relaxed); }

  /// Pushes at h == head() <= Capacity. true: the owner must answer the bell, or the deque is full (slow path).
  WEIR_ALWAYS_INLINE bool push(index h, value_type v) noexcept {
    slots_[h].store(v);
    head_.store(h + 1, release);  // [publish] → force
    A::light_fence();             // [bell] ↔ the parker's heavy fence
    return h >= bell_.load(relaxed);
  }

  /// Pushes without asking the bell: for what is got by force alone, or whose pusher asks rung() once, after a run of these.
  void push_quietly(index h, value_type v) noexcept {
    slots_[h].store(v);
    head_.store(h + 1, release);  // [publish] → force
  }

  /// Takes index h, the last one. true: it was private and is the owner's. false: ask reclaim(h).
  WEIR_ALWAYS_INLINE bool pop(index h) noexcept {
    head_.store(h, release);  // [publish] → force
    A::light_fence();         // [trap] ↔ force
    return split_.load(relaxed) <= h;
  }

  value_type at(index h) const noexcept { return slots_[h].load(); }

  /// After pop(h) returned false: true when index h is the owner's after all, false when it was stolen. Leaves half of
  /// what is public to the thieves and makes the rest private, so that a run of pops pays this O(log n) times.
  WEIR_NOINLINE bool reclaim(index h) noexcept {
    word p = state_.load(acquire);  // [take] ← steal, force
    for (;;) {
      const index t = tail(p), s = split(p);
      const bool stolen = h < s && t >= s;  // nothing is public: index h = s - 1 is the one that was taken last
      const index ns = h < s && !stolen ? (t + s) / 2 : s;
      split_.store(ns, relaxed);
      // A new epoch in either case: it undoes a claim whose trap the store above has overwritten.
      if (state_.compare_exchange_weak(p, make(t, ns, next_epoch(p)), release, acquire)) return !stolen;  // [take] [reset]
    }
  }

  /// Makes the older half of the private part public (at least one job). false: there was none.
  WEIR_NOINLINE bool expose() noexcept {
    const index pushed = head_.load(relaxed), n = pushed < Capacity ? pushed : Capacity;
    word p = state_.load(relaxed);
    if (n <= split(p)) return false;
    for (;;) {
      const index t = tail(p), s = split(p);
      const bool hidden = n > s;  // thieves may force out everything between two rounds
      const index ns = hidden ? (s + n + 1) / 2 : s;
      split_.store(ns, relaxed);
      // From here on a new epoch in either case, as in reclaim(): split_ must not stay behind the truth.
      if (state_.compare_exchange_weak(p, make(t, ns, next_epoch(p)), release, relaxed)) return hidden;  // [publish] [reset]
    }
  }

  /// Index h was stolen and its thief is still at it: what is pushed meanwhile goes above.
  void open_above(index h) noexcept { head_.store(h + 1, relaxed); }

  /// Index h was stolen and has ended: the deque ends below it again.
  void close(index h) noexcept {
    head_.store(h, relaxed);
    split_.store(h, relaxed);
    state_.store(make(h, h, next_epoch(state_.load(relaxed))), release);  // [reset] → steal, force
  }

  bool public_empty() const noexcept {
    const word p = state_.load(relaxed);
    return tail(p) >= split(p);
  }
  bool full(index h) const noexcept { return h >= Capacity; }
  bool rung() const noexcept { return bell_.load(relaxed) == 0; }
  /// Where nobody can force, the bell rings for ever: each push exposes what it can.
  void silence() noexcept {
    if (A::asymmetric()) bell_.store(Capacity, relaxed);
  }
  /// The owner's answer to a push that said so. True: something was exposed, and the owner looks for sleepers next. Whoever is seen
  /// asleep is told; whoever is not rings after this, and does not find the bell still ringing.
  bool answer_bell() noexcept {
    silence();
    if (!expose()) {  // forced out meanwhile: whoever else has rung, and now sleeps, is not answered yet
      ring();
      return false;
    }
    A::fence_seq_cst();  // [bell] ↔ those of idle_state::prepare and of follower::begin
    return true;
  }

  // ---- anybody ----
  /// Asks the owner to expose at its next push. Reads before it writes: a bell that has rung costs no cache line.
  void ring() noexcept {
    if (bell_.load(relaxed) != 0) bell_.store(0, relaxed);
  }

  /// For whoever shows already that it sleeps: is there something at index >= lowest after all? If not, the next push sees the bell.
  bool ring_and_look(index lowest = 0) noexcept {
    ring();
    A::heavy_fence();  // [bell] ↔ push, answer_bell
    return visible(lowest);
  }

  struct always {
    bool operator()() const noexcept { return true; }
  };

  /// Takes the oldest public job if its index is >= lowest and `still()`, asked after the look at the deque and before the
  /// job is taken, says that it may: since the taking fails if the owner did anything slow meanwhile, what still() saw
  /// holds for the job that is taken.
  template <class Still = always>
  steal_outcome steal(value_type& out, index lowest = 0, Still&& still = {}) noexcept {
    word p = state_.load(acquire);  // [publish] ← expose  [reset] ← reclaim, expose, close
    const index t = tail(p);
    if (t >= split(p) || t < lowest) return steal_outcome::empty;
    const value_type v = slots_[t].load();
    if (!still()) return steal_outcome::empty;
    if (!state_.compare_exchange_strong(p, p + 1, release, relaxed)) return steal_outcome::lost;  // [take] ↔ reclaim
    out = v;
    return steal_outcome::stolen;
  }

  /// The owner answers no bell: takes the oldest private job and makes the rest public, for the owner is busy, and each
  /// further force would cost as much again. Costs a heavy fence, so it is the last resort. empty: nothing there (any more), or another thief is at it.
  template <class Still = always>
  WEIR_NOINLINE steal_outcome force(value_type& out, index lowest = 0, Still&& still = {}) noexcept {
    word p = state_.load(acquire);  // [reset] ← reclaim, expose, close
    const index s = split(p);
    if (claimed(p) || tail(p) < s || s < lowest || s >= Capacity || head_.load(relaxed) <= s) return steal_outcome::empty;
    if (!state_.compare_exchange_strong(p, p | claim_bit, relaxed, relaxed)) return steal_outcome::lost;
    p |= claim_bit;
    index seen = s;
    if (!split_.compare_exchange_strong(seen, trap, relaxed, relaxed) && seen != trap) {
      drop_claim(p);  // the owner is in a slow operation: the epoch is about to change
      return steal_outcome::lost;
    }
    A::heavy_fence();                          // [trap] ↔ pop
    const index n = head_.load(acquire);       // [publish] ← push
    if (n <= s || !still()) {
      drop_claim(p);
      return steal_outcome::empty;
    }
    const value_type v = slots_[s].load();
    const index last = n < Capacity ? n : Capacity;  // the slack slot is never anybody's but the owner's
    const word done = make(s + 1, last, p & epoch_mask);
    if (!state_.compare_exchange_strong(p, done, release, relaxed)) return steal_outcome::lost;  // [take] ↔ reclaim [publish] → steal
    out = v;
    return steal_outcome::stolen;
  }

  /// Something to take, or something private to ask for, at index >= lowest. A hint, unless fenced by the caller.
  bool visible(index lowest = 0) const noexcept {
    const word p = state_.load(relaxed);
    const index t = tail(p), s = split(p);
    if (t < s) return t >= lowest;
    return s >= lowest && head_.load(relaxed) > s;
  }

 private:
  friend class diagnosis;
  using word = std::uint64_t;
  static constexpr index trap = ~index{0};
  static constexpr word claim_bit = word{1} << 24;
  static constexpr word epoch_one = word{1} << 25;
  static constexpr word epoch_mask = ((word{1} << EpochBits) - 1) * epoch_one;

  static index tail(word p) noexcept { return static_cast<index>(p & 0xfff); }
  static index split(word p) noexcept { return static_cast<index>((p >> 12) & 0xfff); }
  static bool claimed(word p) noexcept { return (p & claim_bit) != 0; }
  static word next_epoch(word p) noexcept { return ((p & epoch_mask) + epoch_one) & epoch_mask; }
  static word make(index t, index s, word epoch) noexcept { return word{t} | (word{s} << 12) | epoch; }

  void drop_claim(word p) noexcept {
    state_.compare_exchange_strong(p, p & ~claim_bit, relaxed, relaxed);  // fails if the epoch moved on: then it is gone
  }

  alignas(cache_line) typename A::template atomic<index> split_{0};
  typename A::template atomic<index> head_{0};
  alignas(cache_line) typename A::template atomic<word> state_{0};
  typename A::template atomic<index> bell_{A::asymmetric() ? Capacity : 0};
  alignas(cache_line) Slot slots_[Capacity + 1];  // one more: push stores before it looks whether there is room
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
