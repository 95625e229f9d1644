// Times to come: insert and remove in O(1), the next one in O(1). Layer 2. No lock and no clock of its own.
//
// A hierarchical timing wheel (Varghese and Lauck, SOSP 1987, scheme 7) whose lists move down before it is their turn. A time
// is a number of ticks of 1.024 µs; on level l it belongs to slot t >> 6l. Time is in slot now >> 6l of each level. A level
// is open up to a slot, the one that time is in or the next: what lies beyond that stays on the level, the rest belongs to
// lower ones. So each level precedes the next, and the first slot of the lowest one that has any is what comes next.
//
// When a slot is opened its entries move down, each at most eight times. A slot that time enters must be empty before
// anything else happens; one that has many entries is opened a quarter of a slot ahead, for moving a million takes 50 ms.
// All of that is done a piece at a time (`budget`), so that whoever holds the lock around the wheel can let others in. What is
// due is taken out one by one: until then it can be removed like anything else.
//
// State
//   now_        every entry whose tick is below is due, and in the last list
//   open_[l]    levels from 1 on: slots up to this one are open
//   draining_   a bit a level whose slot open_[l] still has entries
//   slots_      lists in order of insertion, and one of what is due. `earliest`: none of its entries comes before;
//               `arrived`: how many came
//   used_       a bit a slot that has entries; levels_: a bit a level that has any
//
// Invariants
//   I1  now_ >> 6l <= open_[l] <= (now_ >> 6l) + 1, and nothing enters a slot that is open, but on level 0.
//   I2  an entry of level l lies in a slot beyond open_[l], or in open_[l] while that drains; its slot on level l + 1 is open.
//       So its slot is less than 128 ahead of the one that time is in: two entries of one list have the same slot number.
//   I3  `earliest` is exact until the entry that it stands for is removed; then it is too early, never too late.
//   I4  entries of one tick leave in order of insertion, but for what comes while a list with the older ones drains.
#pragma once

#include <weir/detail/timer_entry.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weir {
inline namespace v0 {
namespace detail {

// What take() has taken out, in order; linked by `next`. Its entries are not linked() any more.
class timer_batch {
 public:
  std::size_t size() const noexcept { return size_; }
  void push(timer_entry& e) noexcept {
    e.next = e.previous = nullptr;
    (last_ != nullptr ? last_->next : first_) = &e;
    last_ = &e;
    ++size_;
  }
  timer_entry* pop() noexcept {
    timer_links* const e = first_;
    if (e == nullptr) return nullptr;
    first_ = e->next;
    if (first_ == nullptr) last_ = nullptr;
    --size_;
    return static_cast<timer_entry*>(e);
  }

 private:
  timer_links *first_ = nullptr, *last_ = nullptr;
  std::size_t size_ = 0;
};

class timer_wheel {
 public:
  static constexpr unsigned shift = 10, digit_bits = 6, levels = 9, slots = 128;  // slots of a level: two digits' worth
  static constexpr std::uint64_t never = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint32_t many = 256;  // timers/late: what fewer take to move is lost in a wake-up
  static_assert(digit_bits * levels <= timer_entry::tick_bits);

  /// The last tick that has begun at ns, and the first that begins no earlier.
  static constexpr std::uint64_t tick_at(std::int64_t ns) noexcept { return ns <= 0 ? 0 : static_cast<std::uint64_t>(ns) >> shift; }
  static constexpr std::uint64_t tick_after(std::int64_t ns) noexcept {
    return ns <= 0 ? 0 : (static_cast<std::uint64_t>(ns) + (1u << shift) - 1) >> shift;
  }
  /// When it begins, in nanoseconds; the largest number for what lies beyond all clocks.
  static constexpr std::int64_t begin_of(std::uint64_t tick) noexcept {
    constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
    return tick > tick_at(last) ? last : static_cast<std::int64_t>(tick << shift);
  }

  explicit timer_wheel(std::uint64_t now) noexcept : now_(now) {
    for (slot& s : slots_) s.next = s.previous = &s;
    for (unsigned l = 0; l < levels; ++l) open_[l] = slot_at(l, now);
  }
  timer_wheel(const timer_wheel&) = delete;
  timer_wheel& operator=(const timer_wheel&) = delete;

  std::size_t size() const noexcept { return size_; }
  std::uint64_t now() const noexcept { return now_; }

  /// `e` is set and not linked. A tick that has passed is due at once.
  void insert(timer_entry& e) noexcept {
    place(e);
    ++size_;
  }

  /// `e` is linked.
  void remove(timer_entry& e) noexcept {
    unlink(e);
    e.previous = nullptr;
    --size_;
  }

  /// advance() has nothing to do before this tick. Not below now().
  std::uint64_t next() const noexcept {
    if (draining_ != 0 || due().next != &due()) return now_;
    if (levels_ == 0) return never;
    const unsigned level = lowest(levels_);
    std::uint64_t t = slots_[place_of(level, first_used(level))].earliest;
    for (std::uint32_t rest = levels_ & ~1u; rest != 0; rest &= rest - 1)
      if (const unsigned l = lowest(rest); is_long(l, first_used(l))) t = std::min(t, opens(l, first_used(l)));
    return std::max(now_, t);
  }

  /// The first of what is due, or null.
  timer_entry* pop() noexcept {
    if (due().next == &due()) return nullptr;
    timer_entry& e = *static_cast<timer_entry*>(due().next);
    remove(e);
    return &e;
  }

  /// Time goes on to `tick`; pop() has what is due by then. Deals with at most `budget` entries. True: there is more to do at once.
  bool advance(std::uint64_t tick, std::size_t budget) noexcept {
    for (;;) {
      for (std::uint32_t rest = draining_; rest != 0; rest &= rest - 1)
        if (const unsigned l = lowest(rest); open_[l] == slot_at(l, now_) && !drain(l, budget)) return true;
      for (slot& s = slots_[place_of(0, now_)]; s.next != &s; --budget) {
        if (budget == 0) return true;
        timer_entry& e = *static_cast<timer_entry*>(s.next);
        unlink(e);
        append(due(), e);
      }
      if (levels_ == 0) break;
      const unsigned level = lowest(levels_);
      std::uint64_t begin = first_used(level) << level * digit_bits;
      for (std::uint32_t rest = draining_; rest != 0; rest &= rest - 1)  // opened early: some of it may come before
        begin = std::min(begin, open_[lowest(rest)] << lowest(rest) * digit_bits);
      if (begin > tick) break;
      enter(begin);
    }
    enter(std::max(now_, tick));
    for (unsigned l = levels - 1; l != 0; --l) {
      if (const std::uint64_t n = slot_at(l, now_) + 1; open_[l] < n && is_long(l, n) && opens(l, n) <= now_) open(l, n);
      if ((draining_ & 1u << l) != 0 && !drain(l, budget)) return true;
    }
    return false;
  }

  // Every list, the farthest first: entries only ever move to later ones of this order.
  static constexpr unsigned list_count = levels * slots + 1;
  /// Takes out of list i (0 … list_count − 1) what `wanted(entry)`.
  template <class Wanted>
  void take(unsigned i, Wanted wanted, timer_batch& out) noexcept {
    slot& s = slots_[i == list_count - 1 ? i : list_count - 2 - i];
    for (timer_links* l = s.next; l != &s;) {
      timer_entry& e = *static_cast<timer_entry*>(l);
      l = l->next;
      if (!wanted(static_cast<const timer_entry&>(e))) continue;
      unlink(e);
      --size_;
      out.push(e);
    }
  }

 private:
  friend class diagnosis;
  struct slot : timer_links {
    std::uint64_t earliest = never;
    std::uint32_t arrived = 0;
  };
  slot& due() noexcept { return slots_[levels * slots]; }
  const slot& due() const noexcept { return slots_[levels * slots]; }
  static unsigned lowest(std::uint32_t bits) noexcept { return static_cast<unsigned>(std::countr_zero(bits)); }
  static constexpr std::uint64_t slot_at(unsigned level, std::uint64_t tick) noexcept { return tick >> level * digit_bits; }
  static constexpr std::size_t place_of(unsigned level, std::uint64_t number) noexcept { return level * slots + number % slots; }

  bool used(unsigned level, std::uint64_t number) const noexcept {
    return (used_[level][number / 64 % 2] >> number % 64 & 1) != 0;
  }
  // The number of the first slot of a level that has entries, from the one that time is in. There is one.
  std::uint64_t first_used(unsigned level) const noexcept {
    const std::uint64_t from = slot_at(level, now_);
    const auto ahead = [&](std::uint64_t number) { return static_cast<unsigned>(std::countr_zero(used_[level][number / 64 % 2])); };
    if (const std::uint64_t here = used_[level][from / 64 % 2] >> from % 64; here != 0)
      return from + static_cast<unsigned>(std::countr_zero(here));
    const std::uint64_t second = (from / 64 + 1) * 64;
    return used_[level][second / 64 % 2] != 0 ? second + ahead(second) : second + 64 + ahead(second + 64);
  }

  void place(timer_entry& e) noexcept {
    const std::uint64_t t = std::max(e.tick(), now_);
    unsigned level = (static_cast<unsigned>(std::bit_width((t ^ now_) | 1)) - 1) / digit_bits;
    while (level != 0 && slot_at(level, t) <= open_[level]) --level;
    const std::uint64_t number = slot_at(level, t);
    slot& s = slots_[place_of(level, number)];
    if (s.next == &s) {
      used_[level][number / 64 % 2] |= std::uint64_t{1} << number % 64;
      levels_ |= 1u << level;
      s.earliest = t;
      s.arrived = 0;
    } else {
      s.earliest = std::min(s.earliest, t);
    }
    ++s.arrived;
    append(s, e);
  }
  static void append(slot& s, timer_entry& e) noexcept {
    e.next = &s;
    e.previous = s.previous;
    s.previous->next = &e;
    s.previous = &e;
  }
  void unlink(timer_entry& e) noexcept {
    e.previous->next = e.next;
    e.next->previous = e.previous;
    if (e.next != e.previous) return;
    // Both neighbours are the slot: it is empty now.
    const auto i = static_cast<unsigned>(static_cast<slot*>(e.next) - slots_);
    const unsigned level = i / slots, number = i % slots;
    if (level == levels) return;
    used_[level][number / 64] &= ~(std::uint64_t{1} << number % 64);
    if ((used_[level][0] | used_[level][1]) == 0) levels_ &= ~(1u << level);
    if (number == open_[level] % slots) draining_ &= ~(1u << level);
  }

  void enter(std::uint64_t tick) noexcept {
    const unsigned highest = (static_cast<unsigned>(std::bit_width((now_ ^ tick) | 1)) - 1) / digit_bits;
    now_ = tick;
    for (unsigned l = std::min(highest, levels - 1); l != 0; --l)
      if (const std::uint64_t number = slot_at(l, tick); open_[l] < number) open(l, number);
  }
  void open(unsigned level, std::uint64_t number) noexcept {
    open_[level] = number;
    if (used(level, number)) draining_ |= 1u << level;
  }
  // True: slot open_[level] is empty.
  bool drain(unsigned level, std::size_t& budget) noexcept {
    for (slot& s = slots_[place_of(level, open_[level])]; s.next != &s; --budget) {
      if (budget == 0) return false;
      timer_entry& e = *static_cast<timer_entry*>(s.next);
      unlink(e);
      place(e);
    }
    return true;
  }
  // To be opened early, and when that is: in the last quarter of the slot before.
  bool is_long(unsigned level, std::uint64_t number) const noexcept {
    return used(level, number) && slots_[place_of(level, number)].arrived > many;
  }
  static constexpr std::uint64_t opens(unsigned level, std::uint64_t number) noexcept {
    return (number << level * digit_bits) - (std::uint64_t{1} << (level * digit_bits - 2));
  }

  std::uint64_t now_;
  std::size_t size_ = 0;
  std::uint32_t levels_ = 0, draining_ = 0;
  std::uint64_t open_[levels] = {};
  std::uint64_t used_[levels][2] = {};
  slot slots_[levels * slots + 1];
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
