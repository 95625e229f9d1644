#include "targets.hpp"

#include "verdicts.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace bench {
namespace {

struct side {
  const char* peer;
  unsigned workers;
};

// of / to in the time of a task
struct rule {
  const char* name;
  side of, to;
  target wanted;
};

// The targets are for two workers.
constexpr target half_and_three_percent{bound::at_most, 1.03 / 2};
constexpr rule rules[] = {
    {"fib", {"weir", 1}, {"serial", 1}, {bound::at_most, 1.35}},
    {"fib", {"weir", 2}, {"serial", 1}, {bound::at_most, 0.7}},
    {"fib", {"oneTBB", 2}, {"weir", 2}, {bound::at_least, 30}},
    {"skynet", {"oneTBB", 2}, {"weir", 2}, {bound::at_least, 10}},
    {"nqueens", {"weir", 1}, {"serial", 1}, {bound::at_most, 1.03}},
    {"nqueens", {"weir", 2}, {"serial", 1}, half_and_three_percent},
    {"matmul", {"weir", 1}, {"serial", 1}, {bound::at_most, 1.03}},
    {"matmul", {"weir", 2}, {"serial", 1}, half_and_three_percent},
    {"fib", {"weir", 1}, {"weir", 2}, {bound::at_least, 1.93}},
    {"skynet", {"weir", 1}, {"weir", 2}, {bound::at_least, 1.93}},
    {"nqueens", {"weir", 1}, {"weir", 2}, {bound::at_least, 1.93}},
    {"matmul", {"weir", 1}, {"weir", 2}, {bound::at_least, 1.93}},
    {"uts", {"weir", 1}, {"weir", 2}, {bound::at_least, 1.93}},
};

const row* find(const result& r, const char* name, const side& s) {
  const auto found = std::find_if(r.rows.begin(), r.rows.end(), [&](const row& x) {
    return x.what.suite == "fork" && x.what.name == name && x.peer == s.peer && x.workers == s.workers;
  });
  return found == r.rows.end() ? nullptr : &*found;
}

}  // namespace

std::string meets(const interval& measured, const target& t) {
  if (t.kind == bound::none || std::isnan(measured.mid)) return "";
  const auto good = [&t](double x) { return t.kind == bound::at_most ? x <= t.value : x >= t.value; };
  std::string text = good(measured.mid) ? "PASS" : "MISS";
  if (good(measured.low) != good(measured.high)) text += "?";
  return text;
}

std::vector<goal> goals(const result& r) {
  std::vector<goal> all;
  for (const rule& x : rules) {
    const row *of = find(r, x.name, x.of), *to = find(r, x.name, x.to);
    if (of == nullptr || to == nullptr) continue;
    const interval value = ratio_of(*of, *to, "wall").value;
    if (std::isnan(value.mid)) continue;
    all.push_back({fmt::format("{}: {} {} / {} {}", of->what.label, x.of.peer, x.of.workers, x.to.peer, x.to.workers),
                   value, x.wanted});
  }
  for (const row& x : r.rows) {
    if (x.what.suite != "fork" || x.peer != "weir" || !x.what.against_serial) continue;
    const auto made = x.samples.find("allocations");
    if (made == x.samples.end() || made->second.empty()) continue;
    all.push_back({fmt::format("{}: weir {}, allocations a run", x.what.label, x.workers),
                   bootstrap_median(made->second),
                   {bound::at_most, 0}});
  }
  return all;
}

}  // namespace bench
