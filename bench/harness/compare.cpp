#include "compare.hpp"

#include "verdicts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

namespace bench {
namespace {

const std::string old_build = "weir@against";

std::string name_of(const row& x) { return fmt::format("{}/{} {} {}", x.what.suite, x.what.name, x.peer, x.workers); }

const row* find(const result& r, const row& like, const std::string& peer) {
  const auto found = std::find_if(r.rows.begin(), r.rows.end(), [&](const row& x) {
    return x.what.suite == like.what.suite && x.what.name == like.what.name && x.peer == peer &&
           x.workers == like.workers;
  });
  return found == r.rows.end() ? nullptr : &*found;
}

std::vector<double> finite(const row& x, const std::string& metric) {
  const auto found = x.samples.find(metric);
  if (found == x.samples.end()) return {};
  std::vector<double> v = found->second;
  std::erase_if(v, [](double d) { return !std::isfinite(d); });
  return v;
}

difference begin(const row& after, const std::string& metric, const compare_settings& s) {
  difference d;
  d.what = after.what;
  d.peer = after.peer;
  d.metric = metric;
  d.workers = after.workers;
  d.control = std::find(s.peers.begin(), s.peers.end(), after.peer) == s.peers.end();
  d.after = after.median_of(metric);
  return d;
}

// The least p that each test can answer: that all of one side lie beyond all of the other.
double least_by_ranks(std::size_t rounds) {  // 2 / (2n over n)
  const auto n = static_cast<double>(rounds);
  return 2 * std::exp(2 * std::lgamma(n + 1) - std::lgamma(2 * n + 1));
}
double least_by_signs(std::size_t rounds) { return 2 * std::exp2(-static_cast<double>(rounds)); }

// With few rounds and many cases the clearest difference is within what chance may do: then silence means nothing.
template <class Least>
void warn_of_few_rounds(comparison& c, const compare_settings& s, Least least) {
  std::size_t rounds = 0, verdicts = 0;
  for (const difference& d : c.all)
    if (!d.control) rounds = std::max(rounds, d.rounds), ++verdicts;
  const auto enough = [&](std::size_t n) { return least(n) * static_cast<double>(verdicts) < s.certainty; };
  if (verdicts == 0 || enough(rounds)) return;
  std::size_t wanted = rounds;
  while (!enough(wanted)) ++wanted;
  c.warnings.push_back(
      fmt::format("{} rounds of {} cases cannot tell anything apart, however large: measure fewer cases (--only), or "
                  "{} rounds",
                  rounds, verdicts, wanted));
}

// Probabilities are corrected among those that get a verdict; controls get none.
void judge(comparison& c, const compare_settings& s) {
  std::vector<double> p;
  for (const difference& d : c.all)
    if (!d.control) p.push_back(d.p);
  p = holm(p);
  auto next = p.begin();
  for (difference& d : c.all) {
    if (d.control) continue;
    d.p = *next++;
    if (d.p >= s.certainty || !std::isfinite(d.ratio.mid)) continue;
    if (d.ratio.high < 1 && d.ratio.mid < 1 / (1 + s.threshold)) d.said = verdict::faster;
    if (d.ratio.low > 1 && d.ratio.mid > 1 + s.threshold) d.said = verdict::slower;
  }
}

void warn_of_runs(comparison& c, const result& before, const result& after) {
  for (const char* key : {"processor", "cores", "kernel", "compiler", "build", "quota", "governor"}) {
    const auto a = before.environment.find(key), b = after.environment.find(key);
    const std::string x = a == before.environment.end() ? "" : a->second,
                      y = b == after.environment.end() ? "" : b->second;
    if (x != y) c.warnings.push_back(fmt::format("{}: '{}' before, '{}' after", key, x, y));
  }
  for (const auto& [r, when] : {std::pair(&before, "before"), std::pair(&after, "after")}) {
    for (const std::string& w : r->warnings) c.warnings.push_back(fmt::format("{}: {}", when, w));
  }
}

void warn_of_controls(comparison& c, const compare_settings& s) {
  std::vector<double> moved;
  for (const difference& d : c.all)
    if (d.control && std::isfinite(d.ratio.mid)) moved.push_back(d.ratio.mid);
  if (moved.empty()) return;
  const double middle = median(moved);
  if (middle > 1 + s.threshold || middle < 1 / (1 + s.threshold))
    c.warnings.push_back(
        fmt::format("what nobody changed moved, too: by {:+.1f} % in the median of {} controls. The machine is "
                    "not what it was; measure again, or with --against",
                    (middle - 1) * 100, moved.size()));
}

}  // namespace

std::size_t comparison::slower() const {
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const difference& d) { return d.said == verdict::slower; }));
}
std::size_t comparison::faster() const {
  return static_cast<std::size_t>(
      std::count_if(all.begin(), all.end(), [](const difference& d) { return d.said == verdict::faster; }));
}

comparison compare(const result& before, const result& after, const compare_settings& s) {
  comparison c;
  warn_of_runs(c, before, after);
  for (const row& x : after.rows) {
    const row* old = find(before, x, x.peer);
    if (old == nullptr) {
      c.warnings.push_back(name_of(x) + " was not measured before");
      continue;
    }
    if (old->what.size != x.what.size) {
      c.warnings.push_back(fmt::format("{}: its size was {}, now it is {}", name_of(x), old->what.size, x.what.size));
      continue;
    }
    for (const std::string& metric : x.what.compared) {
      difference d = begin(x, metric, s);
      const std::vector<double> a = finite(*old, metric), b = finite(x, metric);
      if (a.empty() || b.empty()) {
        c.warnings.push_back(fmt::format("{}: nothing to compare its {} with", name_of(x), metric));
        continue;
      }
      d.before = old->median_of(metric);
      d.ratio = bootstrap_ratio(b, a);
      d.p = mann_whitney(a, b);
      d.rounds = std::min(a.size(), b.size());
      c.all.push_back(std::move(d));
    }
  }
  for (const row& x : before.rows)
    if (find(after, x, x.peer) == nullptr) c.warnings.push_back(name_of(x) + " is not measured any more");
  judge(c, s);
  warn_of_few_rounds(c, s, least_by_ranks);
  warn_of_controls(c, s);
  return c;
}

comparison compare_builds(const result& r, const compare_settings& s) {
  comparison c;
  c.warnings = r.warnings;
  for (const row& x : r.rows) {
    const row* old = x.peer == "weir" ? find(r, x, old_build) : nullptr;
    if (old == nullptr) continue;
    for (const std::string& metric : x.what.compared) {
      difference d = begin(x, metric, s);
      const std::vector<double> ratios = paired(x, *old, metric);
      if (ratios.empty()) continue;
      d.before = old->median_of(metric);
      d.ratio = bootstrap_median(ratios);
      std::vector<double> logs;
      for (const double q : ratios) logs.push_back(std::log(q));
      d.p = wilcoxon(logs);
      d.rounds = ratios.size();
      c.all.push_back(std::move(d));
    }
  }
  judge(c, s);
  warn_of_few_rounds(c, s, least_by_signs);
  return c;
}

}  // namespace bench
