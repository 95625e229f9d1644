// Times in buckets: fixed memory, whatever the count, and a stated error. Log-linear as in Gil Tene's HdrHistogram: the
// values of each power of two share 128 buckets of one width.
//
// A value below 128 has a bucket of its own. Above, a bucket is at most 1/128 of its lowest value wide, so what at() and
// highest_in() answer lies at most 0.79 % above the truth, and never below it. Counts, least and greatest are exact.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace bench {

// Nanoseconds, say. One thread adds; merge histograms to add up threads. 36 KiB.
class histogram {
 public:
  static constexpr unsigned precision = 7;
  static constexpr std::uint64_t per_octave = std::uint64_t{1} << precision;
  static constexpr unsigned top_bit = 42;                                    // in ns: 73 minutes
  static constexpr std::uint64_t limit = (std::uint64_t{1} << top_bit) - 1;  // a greater value counts as this
  static constexpr std::size_t buckets = (top_bit - precision + 1) * per_octave;
  static constexpr double relative_error = 1.0 / static_cast<double>(per_octave);

  static constexpr std::size_t bucket_of(std::uint64_t value) noexcept {
    if (value > limit) value = limit;
    if (value < per_octave) return static_cast<std::size_t>(value);
    const auto shift = static_cast<unsigned>(std::bit_width(value)) - 1 - precision;
    return static_cast<std::size_t>(shift * per_octave + (value >> shift));
  }
  static constexpr std::uint64_t lowest_in(std::size_t bucket) noexcept {
    if (bucket < per_octave) return bucket;
    const std::size_t shift = bucket / per_octave - 1;
    return (bucket - shift * per_octave) << shift;
  }
  static constexpr std::uint64_t highest_in(std::size_t bucket) noexcept {
    return bucket < per_octave ? bucket : lowest_in(bucket) + (std::uint64_t{1} << (bucket / per_octave - 1)) - 1;
  }

  void add(std::uint64_t value) noexcept {
    ++counts_[bucket_of(value)];
    ++count_;
    sum_ += static_cast<double>(value);
    least_ = std::min(least_, value);
    greatest_ = std::max(greatest_, value);
  }
  // From another program's buckets; its least, greatest and sum come by widen().
  void add_bucket(std::size_t bucket, std::uint64_t n) noexcept {
    counts_[std::min(bucket, buckets - 1)] += n;
    count_ += n;
  }
  void widen(std::uint64_t least, std::uint64_t greatest, double sum) noexcept {
    least_ = std::min(least_, least);
    greatest_ = std::max(greatest_, greatest);
    sum_ += sum;
  }
  void merge(const histogram& other) noexcept {
    for (std::size_t i = 0; i < buckets; ++i) counts_[i] += other.counts_[i];
    count_ += other.count_;
    widen(other.least_, other.greatest_, other.sum_);
  }
  void clear() noexcept { *this = histogram(); }

  std::uint64_t count() const noexcept { return count_; }
  std::uint64_t in_bucket(std::size_t bucket) const noexcept { return counts_[bucket]; }
  std::uint64_t least() const noexcept { return count_ != 0 ? least_ : 0; }
  std::uint64_t greatest() const noexcept { return greatest_; }
  double sum() const noexcept { return sum_; }
  double mean() const noexcept { return count_ != 0 ? sum_ / static_cast<double>(count_) : std::nan(""); }

  // The number of values that lie beyond the q-quantile, 0 <= q <= 1; q is taken to a millionth.
  std::uint64_t beyond(double q) const noexcept { return count_ - rank(q); }
  // The q-quantile by nearest rank: at least a share q of all values is not above it. 0 when empty.
  std::uint64_t at(double q) const noexcept {
    if (count_ == 0) return 0;
    const std::uint64_t wanted = std::max<std::uint64_t>(rank(q), 1);
    std::uint64_t seen = 0;
    for (std::size_t i = 0; i < buckets; ++i)
      if ((seen += counts_[i]) >= wanted) return std::min(highest_in(i), greatest_);
    return greatest_;
  }

 private:
  // In whole numbers: 0.9999 of 100000 is 99990, not one more by a rounding error.
  std::uint64_t rank(double q) const noexcept {
    const auto ppm = static_cast<std::uint64_t>(std::llround(std::clamp(q, 0.0, 1.0) * 1e6));
    return count_ / 1'000'000 * ppm + (count_ % 1'000'000 * ppm + 999'999) / 1'000'000;
  }

  std::array<std::uint64_t, buckets> counts_{};
  std::uint64_t count_ = 0, least_ = std::numeric_limits<std::uint64_t>::max(), greatest_ = 0;
  double sum_ = 0;
};

}  // namespace bench
