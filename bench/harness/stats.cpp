#include "stats.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <random>

namespace bench {
namespace {

constexpr std::size_t resamples = 4000;
constexpr std::size_t most_exact = 60;

using generator = std::mt19937_64;

double resampled_median(std::span<const double> from, std::vector<double>& draw, generator& random) {
  std::uniform_int_distribution<std::size_t> pick(0, from.size() - 1);
  draw.resize(from.size());
  for (double& d : draw) d = from[pick(random)];
  return median(draw);
}

// Twice the rank of each sample of a, then of b: ties share the mean of theirs, which doubled is whole.
std::vector<std::size_t> doubled_ranks(std::span<const double> a, std::span<const double> b) {
  std::vector<double> all(a.begin(), a.end());
  all.insert(all.end(), b.begin(), b.end());
  std::vector<std::size_t> order(all.size()), ranks(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&all](std::size_t x, std::size_t y) { return all[x] < all[y]; });
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i + 1;
    while (end < order.size() && !(all[order[i]] < all[order[end]])) ++end;
    for (std::size_t k = i; k < end; ++k) ranks[order[k]] = i + end + 1;  // ranks i + 1 … end
    i = end;
  }
  return ranks;
}

// Among all ways to pick `picked` of the ranks, the share whose sum is as far from the mean as `seen`.
double exact_tail(const std::vector<std::size_t>& ranks, std::size_t picked, std::size_t seen) {
  const std::size_t top = std::accumulate(ranks.begin(), ranks.end(), std::size_t{0});
  // ways[k][s]: subsets of k ranks with the sum s
  std::vector<std::vector<double>> ways(picked + 1, std::vector<double>(top + 1, 0.0));
  ways[0][0] = 1;
  for (const std::size_t r : ranks)
    for (std::size_t k = picked; k > 0; --k)
      for (std::size_t s = top; s + 1 > r; --s) ways[k][s] += ways[k - 1][s - r];
  // The mean of the sum is picked × top / n; compared in n-ths, it is whole.
  const auto far = [&](std::size_t s) {
    const auto n = static_cast<long long>(ranks.size());
    return std::llabs(static_cast<long long>(s) * n - static_cast<long long>(picked * top));
  };
  double all = 0, beyond = 0;
  for (std::size_t s = 0; s <= top; ++s) {
    all += ways[picked][s];
    if (far(s) >= far(seen)) beyond += ways[picked][s];
  }
  return beyond / all;
}

double normal_tail(std::vector<std::size_t> ranks, double n, double m, double rank_sum) {
  std::sort(ranks.begin(), ranks.end());
  double ties = 0;
  for (std::size_t i = 0; i < ranks.size();) {
    std::size_t end = i;
    while (end < ranks.size() && ranks[end] == ranks[i]) ++end;
    const auto t = static_cast<double>(end - i);
    ties += t * t * t - t;
    i = end;
  }
  const double all = n + m, u = rank_sum - n * (n + 1) / 2;
  const double variance = n * m / 12 * (all + 1 - ties / (all * (all - 1)));
  if (variance <= 0) return 1;
  const double z = std::max(0.0, std::fabs(u - n * m / 2) - 0.5) / std::sqrt(variance);
  return std::min(1.0, std::erfc(z / std::sqrt(2.0)));
}

}  // namespace

double quantile(std::vector<double> v, double q) {
  if (v.empty()) return std::nan("");
  const auto rank = static_cast<std::size_t>(std::ceil(q * static_cast<double>(v.size())));
  const auto at = v.begin() + static_cast<std::ptrdiff_t>(std::clamp<std::size_t>(rank, 1, v.size()) - 1);
  std::nth_element(v.begin(), at, v.end());
  return *at;
}

double median(std::vector<double> v) {
  if (v.empty()) return std::nan("");
  std::sort(v.begin(), v.end());
  const std::size_t n = v.size();
  return n % 2 != 0 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

interval bootstrap_median(std::span<const double> samples, std::uint64_t seed) {
  if (samples.empty()) return {std::nan(""), std::nan(""), std::nan("")};
  generator random(seed);
  std::vector<double> medians(resamples), draw;
  for (double& m : medians) m = resampled_median(samples, draw, random);
  return {median({samples.begin(), samples.end()}), quantile(medians, 0.025), quantile(medians, 0.975)};
}

interval bootstrap_ratio(std::span<const double> a, std::span<const double> b, std::uint64_t seed) {
  if (a.empty() || b.empty()) return {std::nan(""), std::nan(""), std::nan("")};
  generator random(seed);
  std::vector<double> ratios(resamples), draw;
  for (double& r : ratios) {
    const double above = resampled_median(a, draw, random);
    r = above / resampled_median(b, draw, random);
  }
  return {median({a.begin(), a.end()}) / median({b.begin(), b.end()}), quantile(ratios, 0.025),
          quantile(ratios, 0.975)};
}

double mann_whitney(std::span<const double> a, std::span<const double> b) {
  if (a.empty() || b.empty()) return std::nan("");
  const std::vector<std::size_t> ranks = doubled_ranks(a, b);
  const std::size_t sum =
      std::accumulate(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(a.size()), std::size_t{0});
  if (ranks.size() <= most_exact) return exact_tail(ranks, a.size(), sum);
  return normal_tail(ranks, static_cast<double>(a.size()), static_cast<double>(b.size()), static_cast<double>(sum) / 2);
}

double wilcoxon(std::span<const double> differences) {
  std::vector<double> sizes;
  std::vector<bool> up;
  for (const double d : differences)
    if (d != 0) sizes.push_back(std::fabs(d)), up.push_back(d > 0);
  const std::vector<std::size_t> ranks = doubled_ranks(sizes, {});
  const std::size_t top = std::accumulate(ranks.begin(), ranks.end(), std::size_t{0});
  std::size_t seen = 0;
  for (std::size_t i = 0; i < ranks.size(); ++i) seen += up[i] ? ranks[i] : 0;
  std::vector<double> share(top + 1, 0.0);  // of all signs, those with such a sum of positive ranks
  share[0] = 1;
  for (const std::size_t r : ranks)
    for (std::size_t s = top + 1; s-- > 0;) share[s] = (share[s] + (s >= r ? share[s - r] : 0)) / 2;
  const auto far = [top](std::size_t s) { return 2 * s > top ? 2 * s - top : top - 2 * s; };
  double beyond = 0;
  for (std::size_t s = 0; s <= top; ++s)
    if (far(s) >= far(seen)) beyond += share[s];
  return std::min(1.0, beyond);
}

std::vector<double> holm(std::span<const double> p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [p](std::size_t x, std::size_t y) { return p[x] < p[y]; });
  std::vector<double> adjusted(p.size());
  double least = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    least = std::max(least, std::min(1.0, static_cast<double>(order.size() - i) * p[order[i]]));
    adjusted[order[i]] = least;
  }
  return adjusted;
}

}  // namespace bench
