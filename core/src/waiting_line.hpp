// Submitters that wait for room, first come first served. Layer 3: knows no credits; its user says what room there is.
//
// State
//   first_, last_   the line: places on the waiters' own stacks; under the lock
//   length_         how many stand in it; a newcomer looks at it without the lock. A server counts a place out last
//   announced_      under the lock: the attention bit is up, for somebody in the line sleeps or is about to
//   asked_          how often service was asked for since its server looked last; 0: nobody serves
//   place.answer    waiting → asleep → the answer
//
// Invariants
//   I1  a place is answered once. A server takes it out of the line and answers it in one critical section, the first first.
//   I2  a server's last touch of a place that it serves is its answer, but for the address, as a key; who has answered himself
//       leaves the line under the lock, and a server touches his place only under that.
//   I3  whoever sleeps in the line, the bit is up. It is taken down under the lock, when the line is empty.
//   I4  room that a server has taken and nobody has got is given back before the line looks empty. So who is refused by the room, and
//       finds the line empty after that, and nothing given back, was refused rightly.
//
// Edges
//   [serve]   serve's fetch_add ↔ the server's fetch_sub: who finds a server at work leaves the room to him, and the server
//             has seen that room before it stops.
//   [empty]   length_'s store → a newcomer's load: what was given back for want of a waiter is there.
//   [served]  answer's compare-exchange → the waiter's acquire load: the server is done with the place.
//   That he who makes room sees that somebody waits, or the waiter the room, is the attention word's edge: told and announce. Who
//   finds the bit up already relies on the one who raised it: he looks after his fence, and serves the line, not himself.
//   That nobody is left behind by who caches room for later: he adds it to his lease, then looks at the line; who waits joins the
//   line, then recalls what the leases hold. Both take the lease's lock, and the second of them sees what the first has done.
#pragma once

#include "attention.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class waiting_line {
 public:
  using word = typename A::template atomic<std::uint32_t>;

  enum state : std::uint32_t { waiting, asleep, served, shut, stopped, expired };
  struct place {
    place* next = nullptr;
    place** link = nullptr;  // what points to it; null: not in the line
    word answer{waiting};
  };

  waiting_line(attention_word<A>& attention, std::uint32_t bit) noexcept : attention_(attention), bit_(bit) {}

  bool empty() const noexcept { return length() == 0; }
  std::uint32_t length() const noexcept { return length_.load(acquire); }  // [empty] ← count

  // ---- waiters ----
  void join(place& p) noexcept {
    const lock l(mutex_);
    p.link = last_;
    *last_ = &p;
    last_ = &p.next;
    count(1);
  }
  /// Before the first sleep. True: the caller must look whether there is room, and serve the line.
  bool announce() noexcept {
    {
      const lock l(mutex_);
      if (announced_ || first_ == nullptr) return false;
      announced_ = true;
      attention_.raise(bit_);
    }
    attention_.asked();
    return true;
  }
  /// The answer, or `asleep` when there is none after so many nanoseconds, or for no reason.
  static state sleep(place& p, std::int64_t ns) noexcept {
    std::uint32_t seen = p.answer.load(acquire);  // [served] ← answer
    if (seen == waiting && p.answer.compare_exchange_strong(seen, asleep, relaxed, acquire)) seen = asleep;  // [served]
    if (seen != asleep) return static_cast<state>(seen);
    A::wait(p.answer, asleep, ns);
    return look(p);
  }
  static state look(const place& p) noexcept { return static_cast<state>(p.answer.load(acquire)); }  // [served] ← answer
  /// On the waiter's own behalf: its token, its time, or the end of the runtime. Whoever reads another answer then was served
  /// or shut before; any other must leave().
  static void answer_oneself(place& p, state a) noexcept {
    bool sleeps = false;
    if (answer(p, a, sleeps) && sleeps) A::wake(&p.answer, 1);
  }
  void leave(place& p) noexcept {
    const lock l(mutex_);
    if (p.link == nullptr) return;
    unlink(p);
    count(-1);
  }

  // ---- servers ----
  /// Whoever has made room. Room: bool take(), for the first in the line; give_back(), when there is nobody after all. Returns
  /// at once when somebody serves already, who then looks again.
  template <class Room>
  void serve(Room&& room) noexcept {
    if (asked_.fetch_add(1, release) != 0) return;  // [serve] → the server
    for (std::uint32_t seen = 1;;) {
      serve_now(room);
      const std::uint32_t all = asked_.fetch_sub(seen, acquire);  // [serve] ← those who left it to this one
      if (all == seen) return;
      seen = all - seen;
    }
  }
  /// The same, beside other servers. True: somebody stood in the line when there was no room; false: it was empty.
  template <class Room>
  bool serve_now(Room&& room) noexcept {
    for (;;) {
      const word* sleeper = nullptr;
      {
        const lock l(mutex_);
        if (first_ == nullptr) return false;
        if (!room.take()) return true;
        for (bool sleeps = false, given = false; !given;) {
          place& p = *first_;
          unlink(p);
          given = answer(p, served, sleeps);
          if (sleeps) sleeper = &p.answer;
          const bool in_vain = !given && first_ == nullptr;
          if (in_vain) room.give_back();  // I4, and under the lock: who joins the line later finds it
          count(-1);
          if (in_vain) return false;
        }
      }
      if (sleeper != nullptr) A::wake(sleeper, 1);  // not under the lock: it takes microseconds. The place may be gone
    }
  }
  /// Answers all who stand in the line now.
  void shut_all() noexcept {
    const lock l(mutex_);
    while (first_ != nullptr) {
      place& p = *first_;
      unlink(p);
      count(-1);
      bool sleeps = false;
      if (answer(p, shut, sleeps) && sleeps) A::wake(&p.answer, 1);
    }
  }

 private:
  struct lock {
    explicit lock(typename A::mutex& m) : m_(m) { m_.lock(); }
    ~lock() { m_.unlock(); }
    typename A::mutex& m_;
  };
  static bool answer(place& p, state a, bool& sleeps) noexcept {  // false: it was answered before
    std::uint32_t seen = p.answer.load(relaxed);
    while (seen <= asleep)
      if (p.answer.compare_exchange_weak(seen, a, release, relaxed)) {  // [served] → the waiter
        sleeps = seen == asleep;
        return true;
      }
    return false;
  }
  // Both under the lock.
  void count(int n) noexcept { length_.store(length_.load(relaxed) + static_cast<std::uint32_t>(n), release); }  // [empty] → length
  void unlink(place& p) noexcept {
    *p.link = p.next;
    if (p.next != nullptr) p.next->link = p.link;
    else last_ = p.link;
    p.link = nullptr;
    if (first_ == nullptr && announced_) {
      announced_ = false;
      attention_.lower(bit_);
    }
  }

  attention_word<A>& attention_;
  const std::uint32_t bit_;
  alignas(cache_line) typename A::mutex mutex_;
  place* first_ = nullptr;
  place** last_ = &first_;
  bool announced_ = false;
  word length_{0};
  word asked_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
