// The word of a stolen fork: who runs it, who sleeps on it, that it is over. Layer 1.
//
// The word lies in the job (fork_job::word), where the inlined fork stores the address of the run function; from the theft
// on it is this file's.
//
// State    address of the run function | running(thief, base) | waiting(owner) | done | threw
// I1       the thief alone leaves the address for running, and running or waiting for done or threw; the owner alone
//          leaves running for waiting. The word never goes back.
// I2       finish()'s exchange is the thief's last use of the job: the owner may free its frame once it has seen it.
//          Hence whom to wake comes from the value that the exchange took out.
//
// Edges
//   [join]    finish's exchange → look's acquire load: the result is visible, and what the thief did in the frame is over.
//   [asleep]  fall_asleep's compare-exchange ↔ finish's exchange: of the two changes of one word one comes first, so
//             either the finisher sees who sleeps, or the owner sees that it is over. Nothing else rides on it: the token
//             that ends the sleep orders for itself.
#pragma once

#include <weir/detail/atomics.hpp>

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

// A value of the word, once it is no address: bit 63 tells, for no user-space address has it.
class join_value {
 public:
  explicit constexpr join_value(std::uintptr_t w) noexcept : w_(w) {}
  static constexpr join_value running(unsigned thief, unsigned base) noexcept {
    return join_value(running_bits | (std::uintptr_t{thief} << 16) | base);
  }
  static constexpr join_value waiting(unsigned owner) noexcept { return join_value(waiting_bits | owner); }
  static constexpr join_value over(bool threw) noexcept { return join_value(threw ? threw_bits : done_bits); }

  bool is_over() const noexcept { return (w_ & kind_mask) == done_bits || has_thrown(); }
  bool has_thrown() const noexcept { return (w_ & kind_mask) == threw_bits; }
  bool is_running() const noexcept { return (w_ & kind_mask) == running_bits; }
  bool is_waiting() const noexcept { return (w_ & kind_mask) == waiting_bits; }
  unsigned thief() const noexcept { return static_cast<unsigned>((w_ >> 16) & 0xffffffffu); }
  unsigned base() const noexcept { return static_cast<unsigned>(w_ & 0xffff); }
  unsigned waiter() const noexcept { return static_cast<unsigned>(w_ & 0xffffffffu); }
  std::uintptr_t bits() const noexcept { return w_; }

 private:
  static constexpr std::uintptr_t tag = std::uintptr_t{1} << 63, running_bits = tag, waiting_bits = tag | (std::uintptr_t{1} << 60),
                                  done_bits = tag | (std::uintptr_t{2} << 60), threw_bits = tag | (std::uintptr_t{3} << 60),
                                  kind_mask = tag | (std::uintptr_t{7} << 60);
  std::uintptr_t w_;
};

template <class A>
struct join_state {
  using word = typename A::template atomic<std::uintptr_t>;

  // ---- thief ----
  static void begin(word& w, unsigned thief, unsigned base) noexcept {
    w.store(join_value::running(thief, base).bits(), relaxed);
  }
  /// The last use of the job. What it was before: if that is waiting, its waiter needs a token.
  static join_value finish(word& w, bool threw) noexcept {
    return join_value(w.exchange(join_value::over(threw).bits(), release));  // [join] [asleep]
  }

  // ---- owner ----
  static join_value look(const word& w) noexcept { return join_value(w.load(acquire)); }  // [join] ← finish

  /// False: it is over. True: whoever finishes it leaves a token for the owner; until then tokens are stale.
  static bool fall_asleep(word& w, unsigned owner) noexcept {
    std::uintptr_t seen = w.load(relaxed);
    if (join_value(seen).is_over()) return false;
    if (join_value(seen).is_waiting()) return true;  // woken by a stale token, back to sleep
    return w.compare_exchange_strong(seen, join_value::waiting(owner).bits(), relaxed, relaxed);  // [asleep] ↔ finish
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
