// Order statistics, bootstrap intervals, and the rank sum test. No sample may be not-a-number; an empty input gives
// not-a-number. Seeds are fixed: the same samples give the same answer.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace bench {

// Nearest rank: the smallest sample that at least a share q of all samples does not exceed.
double quantile(std::vector<double> v, double q);
double median(std::vector<double> v);

struct interval {
  double mid = 0, low = 0, high = 0;
};

// The median and its 95 % interval by the percentile bootstrap. The samples are one number for each round (a paired
// ratio, say): what is resampled is rounds.
interval bootstrap_median(std::span<const double> samples, std::uint64_t seed = 42);

// median(a) / median(b) of two independent samples, and its 95 % interval: both are resampled.
interval bootstrap_ratio(std::span<const double> a, std::span<const double> b, std::uint64_t seed = 42);

// Mann and Whitney's test, two-sided: how probable is a rank sum at least as far from its mean if both samples come from
// one distribution? Ties share their ranks. Exact up to 60 samples in all, by counting the subsets for each rank sum;
// beyond that by the normal distribution, corrected for ties and continuity. O(n² × sum of ranks).
double mann_whitney(std::span<const double> a, std::span<const double> b);

// Wilcoxon's signed rank test, two-sided: how probable are differences as far to one side if they are symmetric around 0?
// Zeros are left out, ties share their ranks. Exact, by counting the signs for each rank sum. O(n × sum of ranks).
double wilcoxon(std::span<const double> differences);

// Holm's correction for testing so many things at once, in their order.
std::vector<double> holm(std::span<const double> p);

}  // namespace bench
