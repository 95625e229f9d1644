// When tasks are to arrive, computed before the clock starts: what the runtime does cannot change it.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace bench {

enum class arrival_kind : std::uint8_t { constant, poisson, bursts };

struct arrival_plan {
  arrival_kind kind = arrival_kind::poisson;
  double rate = 1000;  // tasks a second
  double seconds = 1;
  unsigned burst = 32;  // bursts: tasks that arrive at once; the bursts themselves are a Poisson process
  std::uint64_t seed = 1;
};

// Steele, Lea and Flood's SplitMix64: four lines, so that the peers in other languages draw the same numbers.
class splitmix {
 public:
  explicit splitmix(std::uint64_t seed) noexcept : state_(seed) {}
  std::uint64_t next() noexcept {
    std::uint64_t z = (state_ += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  // In (0, 1].
  double open_unit() noexcept { return static_cast<double>((next() >> 11) + 1) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

// A plan of more tasks is refused: 8 bytes each here, and nobody waits for its end.
inline constexpr double most_arrivals = 20e6;

// Nanoseconds from the start, not descending, all below seconds. Throws std::invalid_argument when the plan is absurd: a
// rate or a time that is not positive and finite, an empty burst, no arrival at all, or more than most_arrivals.
inline std::vector<std::uint64_t> arrivals(const arrival_plan& p) {
  if (!std::isfinite(p.rate) || p.rate <= 0) throw std::invalid_argument("the rate must be more than 0 tasks a second");
  if (!std::isfinite(p.seconds) || p.seconds <= 0) throw std::invalid_argument("the duration must be more than 0 s");
  if (p.burst == 0) throw std::invalid_argument("a burst needs at least one task");
  const double expected = p.rate * p.seconds, end = p.seconds * 1e9;
  if (expected > most_arrivals)
    throw std::invalid_argument("more than 20 million arrivals: lower the rate or the duration");
  std::vector<std::uint64_t> at;
  at.reserve(static_cast<std::size_t>(expected * 1.01) + 1000);
  const unsigned together = p.kind == arrival_kind::bursts ? p.burst : 1;
  const double gap = 1e9 / p.rate * together;
  splitmix random(p.seed);
  double now = p.kind == arrival_kind::constant ? 0 : -std::log(random.open_unit()) * gap;
  for (std::uint64_t n = 1; now < end; ++n) {
    at.insert(at.end(), together, static_cast<std::uint64_t>(now));
    // A product, not a sum: constant arrivals do not drift.
    now = p.kind == arrival_kind::constant ? static_cast<double>(n) * gap : now - std::log(random.open_unit()) * gap;
  }
  if (at.empty()) throw std::invalid_argument("no task arrives: raise the rate or the duration");
  return at;
}

}  // namespace bench
