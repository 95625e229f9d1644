// Order statistics and a bootstrap interval for a median.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

namespace bench {

// Nearest rank: the smallest sample that at least a share q of all samples does not exceed.
inline double quantile(std::vector<double> v, double q) {
  if (v.empty()) return std::nan("");
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(v.size())));
  const auto at = v.begin() + static_cast<std::ptrdiff_t>(std::clamp<std::size_t>(rank, 1, v.size()) - 1);
  std::nth_element(v.begin(), at, v.end());
  return *at;
}

inline double median(std::vector<double> v) {
  if (v.empty()) return std::nan("");
  std::sort(v.begin(), v.end());
  const std::size_t n = v.size();
  return n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

struct interval {
  double mid = 0, low = 0, high = 0;
};

// The median and its 95 % interval by the percentile bootstrap. The samples are one number for each round (a paired
// ratio, say): what is resampled is rounds.
inline interval bootstrap_median(std::span<const double> samples, std::uint64_t seed = 42) {
  std::vector<double> base(samples.begin(), samples.end());
  if (base.empty()) return {std::nan(""), std::nan(""), std::nan("")};
  constexpr std::size_t resamples = 4000;
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<std::size_t> pick(0, base.size() - 1);
  std::vector<double> medians(resamples), draw(base.size());
  for (double& m : medians) {
    for (double& d : draw) d = base[pick(random)];
    m = median(draw);
  }
  return {median(base), quantile(medians, 0.025), quantile(medians, 0.975)};
}

}  // namespace bench
