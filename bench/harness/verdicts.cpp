#include "verdicts.hpp"

#include <algorithm>
#include <cmath>
#include <map>

namespace bench {
namespace {

const std::string reference = "serial";

bool same_case(const row& a, const row& b) { return a.what.suite == b.what.suite && a.what.name == b.what.name; }

bool comparable(const std::vector<row>& rows, const row& of, const row& to) {
  if (!same_case(of, to) || of.peer == to.peer) return false;
  if (of.workers == to.workers) return true;
  // A peer whose number of workers cannot be chosen stands beside each.
  return std::none_of(rows.begin(), rows.end(),
                      [&](const row& r) { return same_case(r, to) && r.peer == to.peer && r.workers != to.workers; });
}

}  // namespace

verdict verdict_of(const interval& ratio, std::size_t rounds) {
  if (rounds < least_rounds || !std::isfinite(ratio.mid)) return verdict::not_told_apart;
  if (ratio.high < 1 - least_effect) return verdict::faster;
  if (ratio.low > 1 + least_effect) return verdict::slower;
  return verdict::not_told_apart;
}

std::vector<double> paired(const row& of, const row& to, const std::string& metric) {
  const auto above = of.samples.find(metric), below = to.samples.find(metric);
  if (above == of.samples.end() || below == to.samples.end()) return {};
  std::map<unsigned, double> by_round;
  for (std::size_t i = 0; i < to.rounds.size(); ++i) by_round[to.rounds[i]] = below->second[i];
  std::vector<double> ratios;
  for (std::size_t i = 0; i < of.rounds.size(); ++i) {
    const auto other = by_round.find(of.rounds[i]);
    if (other == by_round.end()) continue;
    const double r = above->second[i] / other->second;
    if (std::isfinite(r)) ratios.push_back(r);
  }
  return ratios;
}

ratio ratio_of(const row& of, const row& to, const std::string& metric) {
  const std::vector<double> ratios = paired(of, to, metric);
  ratio r{of.what.suite, of.what.name, metric, of.peer, to.peer, of.workers, to.workers, bootstrap_median(ratios), {}};
  r.said = verdict_of(r.value, ratios.size());
  return r;
}

std::vector<ratio> all_ratios(const std::vector<row>& rows, const std::string& first) {
  std::vector<ratio> all;
  for (const row& of : rows) {
    for (const row& to : rows) {
      const bool to_reference = of.what.against_serial && to.peer == reference;
      if ((of.peer != first && !to_reference) || !comparable(rows, of, to)) continue;
      for (const std::string& metric : of.what.compared) all.push_back(ratio_of(of, to, metric));
    }
  }
  std::erase_if(all, [](const ratio& r) { return !std::isfinite(r.value.mid); });
  return all;
}

}  // namespace bench
