// What workers look at between two tasks besides their queues: one word, a bit for each reason. Layer 3.
//
// A bit that stands for things that lie somewhere is put up after the thing, and taken down by whoever finds nothing there. So
// there are two races, with the same answer: a fence between the two accesses, on both sides.
//
// Edges
//   [mark]  mark's fence, look at the bit ↔ unmark's fetch_and, fence, look at the place: either who puts something there sees that
//           the bit is down and raises it, or who took it down sees the thing and raises it again.
//   [publish]  raise_and_publish's fetch_or → catch_up's load: whoever has seen the bit and then catches up sees what was done before it
//           went up.
//   [ask]   told's light or full fence, look at the bit ↔ ask's fetch_or, asked's heavy fence, a look at the counts: either the one
//           who counted sees that somebody waits for it, or the waiter sees the count.
#pragma once

#include "futex.hpp"

#include <cstddef>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class attention_word {
 public:
  using word = typename A::template atomic<std::uint32_t>;

  std::uint32_t bits() const noexcept { return word_.load(relaxed); }
  /// True: this call has put one of them up.
  bool raise(std::uint32_t bits) noexcept {
    return (word_.load(relaxed) & bits) != bits && (word_.fetch_or(bits, relaxed) & bits) != bits;
  }
  void raise_and_publish(std::uint32_t bits) noexcept { word_.fetch_or(bits, release); }  // [publish] → catch_up
  void catch_up() const noexcept { static_cast<void>(word_.load(acquire)); }              // [publish] ← raise_and_publish
  void lower(std::uint32_t bits) noexcept { word_.fetch_and(~bits, relaxed); }
  /// False: one of `unless` is up, and nothing has changed.
  bool lower_unless(std::uint32_t bits, std::uint32_t unless) noexcept {
    std::uint32_t seen = word_.load(relaxed);
    do
      if ((seen & unless) != 0) return false;
    while (!word_.compare_exchange_weak(seen, seen & ~bits, relaxed, relaxed));
    return true;
  }

  /// After something was put where those look who see the bit.
  void mark(std::uint32_t bit) noexcept {
    A::fence_seq_cst();  // [mark] ↔ unmark
    raise(bit);
  }
  /// Who saw the bit has found nothing. any(): is there something after all?
  template <class Any>
  void unmark(std::uint32_t bit, Any&& any) noexcept {
    lower(bit);
    A::fence_seq_cst();  // [mark] ↔ mark
    if (any()) raise(bit);
  }

  /// After a count: does somebody wait for it?
  bool told(std::uint32_t bit) const noexcept {
    A::light_or_full_fence();  // [ask] ↔ ask
    return (word_.load(relaxed) & bit) != 0;
  }
  /// Who waits, before he looks at the counts.
  void ask(std::uint32_t bit) noexcept {
    raise(bit);
    asked();
  }
  /// For whoever has raised the bit by himself.
  void asked() const noexcept {
    A::heavy_fence();  // [ask] ↔ told
  }

  word& raw() noexcept { return word_; }

 private:
  word word_{0};
};

/// A bit that is up while there are things that not everybody may take, so that nobody can tell by looking that there are none.
template <class A>
class counted_mark {
 public:
  counted_mark(attention_word<A>& w, std::uint32_t bit) noexcept : word_(w), bit_(bit) {}
  void expect(std::size_t n) noexcept { left_.fetch_add(n, relaxed); }  // before they are put where they belong
  void arrived() noexcept { word_.mark(bit_); }
  void gone(std::size_t n = 1) noexcept { left_.fetch_sub(n, relaxed); }
  /// Who saw the bit has found nothing for himself. Not for whoever takes the last one: an arrival that he was too quick for
  /// raises the bit behind him, and then it would stay.
  void settle() noexcept {
    if (left() == 0 && (word_.bits() & bit_) != 0) word_.unmark(bit_, [this] { return left() != 0; });
  }
  std::size_t left() const noexcept { return left_.load(relaxed); }

 private:
  attention_word<A>& word_;
  const std::uint32_t bit_;
  typename A::template atomic<std::size_t> left_{0};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
