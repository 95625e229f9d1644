// weir-forkjoin: fork-join beside plain serial code and oneTBB. Each measured block is a fresh process; in every round
// all blocks run once, in random order; ratios are taken within a round.
#include "fork_join_block.hpp"

#include "harness/block.hpp"
#include "harness/clock.hpp"
#include "harness/report.hpp"
#include "harness/stats.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <thread>
#include <utility>

namespace {

using namespace bench;

struct settings {
  bool quick = false;
  unsigned rounds = 9;
  unsigned workers = std::max(1u, std::min(2u, std::thread::hardware_concurrency()));
  std::string only;
};

// columns[reading][round]; a failed block leaves not-a-number, so that rounds stay paired.
struct record {
  std::vector<std::vector<double>> columns{readings};
  std::vector<double> peak;
  std::string trouble;

  void add(const outcome& o) {
    const bool good = o.failure.empty() && o.values.size() == readings && o.values[right] == 1;
    for (unsigned i = 0; i < readings; ++i) columns[i].push_back(good ? o.values[i] : std::nan(""));
    peak.push_back(good ? o.peak_rss : std::nan(""));
    if (!good) trouble = o.failure.empty() ? "wrong answer" : o.failure;
  }
  double middle(reading r) const { return finite_median(columns[r]); }
  double middle_peak() const { return finite_median(peak); }

 private:
  static double finite_median(std::vector<double> v) {
    std::erase_if(v, [](double x) { return std::isnan(x); });
    return median(std::move(v));
  }
};

using records = std::map<std::pair<std::size_t, std::size_t>, record>;  // (event, contender)

interval ratio(const record& above, const record& below) {
  std::vector<double> r;
  for (std::size_t i = 0; i < above.columns[wall_s].size(); ++i) {
    const double x = above.columns[wall_s][i] / below.columns[wall_s][i];
    if (!std::isnan(x)) r.push_back(x);
  }
  return bootstrap_median(r);
}

void print_times(const std::vector<event>& all, const records& got) {
  fmt::print("\n{:<16} {:<10} {:>10} {:>10} {:>22} {:>9} {:>9} {:>8} {:>9}\n", "workload", "under", "wall ms", "CPU ms",
             "wall / serial (95 %)", "voluntary", "involunt.", "new", "peak MB");
  for (std::size_t e = 0; e < all.size(); ++e) {
    for (std::size_t c = 0; c < all[e].contenders.size(); ++c) {
      const record& r = got.at({e, c});
      const interval x = ratio(r, got.at({e, 0}));
      fmt::print("{:<16} {:<10} {:>10.2f} {:>10.2f} {:>22} {:>9.0f} {:>9.0f} {:>8.0f} {:>9.1f}{}\n", all[e].name,
                 all[e].contenders[c].name, r.middle(wall_s) * 1e3, r.middle(cpu_s) * 1e3,
                 fmt::format("{:.3f} [{:.3f} {:.3f}]", x.mid, x.low, x.high), r.middle(voluntary),
                 r.middle(involuntary), r.middle(allocated), r.middle_peak() / 1e6,
                 r.trouble.empty() ? "" : "  " + r.trouble);
    }
  }
}

void line(const std::string& what, const interval& x, const target& t) {
  fmt::print("{:<52} {:>24} {:>10}  {}\n", what,
             fmt::format("{} [{} {}]", number(x.mid), number(x.low), number(x.high)),
             fmt::format("{} {}", t.kind == bound::at_most ? "<=" : ">=", number(t.value)), verdict(x, t));
}

void print_targets(const std::vector<event>& all, const records& got) {
  fmt::print("\nWhat must be reached, by paired ratios of wall time:\n");
  for (std::size_t e = 0; e < all.size(); ++e) {
    const auto find = [&](const std::string& start, unsigned workers) -> const record* {
      for (std::size_t c = 0; c < all[e].contenders.size(); ++c)
        if (all[e].contenders[c].name.rfind(start, 0) == 0 && all[e].contenders[c].workers == workers)
          return &got.at({e, c});
      return nullptr;
    };
    const std::string& name = all[e].name;
    const record *serial = find("serial", 1), *one = find("weir", 1), *two = find("weir", 2), *tbb = find("oneTBB", 2);
    const bool is_fib = name.rfind("fib", 0) == 0, is_sky = name.rfind("skynet", 0) == 0;
    const bool compute = name.rfind("nqueens", 0) == 0 || name.rfind("matmul", 0) == 0;
    if (is_fib) line(name + ": weir 1 / serial", ratio(*one, *serial), {bound::at_most, 1.35});
    if (compute) line(name + ": weir 1 / serial", ratio(*one, *serial), {bound::at_most, 1.03});
    if (two != nullptr) {
      if (is_fib) line(name + ": weir 2 / serial", ratio(*two, *serial), {bound::at_most, 0.7});
      if (compute) line(name + ": weir 2 / serial", ratio(*two, *serial), {bound::at_most, 1.03 / 2});
      line(name + ": weir 1 / weir 2", ratio(*one, *two), {bound::at_least, 1.93});
      if (is_fib && tbb != nullptr) line(name + ": oneTBB 2 / weir 2", ratio(*tbb, *two), {bound::at_least, 30});
      if (is_sky && tbb != nullptr) line(name + ": oneTBB 2 / weir 2", ratio(*tbb, *two), {bound::at_least, 10});
    }
    for (const record* r : {one, two}) {
      if (r == nullptr) continue;
      const std::string who = name + (r == one ? ": weir 1, " : ": weir 2, ");
      if (name.rfind("uts", 0) != 0)
        line(who + "voluntary switches", bootstrap_median(r->columns[voluntary]), {bound::at_most, 50});
      line(who + "allocations", bootstrap_median(r->columns[allocated]), {bound::at_most, 0});
      std::vector<double> mb = r->peak;
      for (double& x : mb) x /= 1e6;
      if (is_fib) line(who + "peak MB", bootstrap_median(mb), {bound::at_most, 4});
    }
  }
  fmt::print("A verdict with a question mark: the interval contains the target; take more rounds.\n");
}

int run(const settings& s) {
  fmt::print("{}\n", machine());
  static_cast<void>(ticks_per_us());
  std::vector<event> all = events(s.quick ? sizes::quick : sizes::full, s.workers);
  std::erase_if(all, [&s](const event& e) { return e.name.find(s.only) == std::string::npos; });
  if (all.empty()) {
    fmt::print(stderr, "weir-forkjoin: no workload is named like '{}'\n", s.only);
    return 2;
  }
  std::vector<std::pair<std::size_t, std::size_t>> blocks;
  records got;
  for (std::size_t e = 0; e < all.size(); ++e)
    for (std::size_t c = 0; c < all[e].contenders.size(); ++c) blocks.emplace_back(e, c);

  std::mt19937 random(std::random_device{}());
  const bool watched = isatty(STDERR_FILENO) == 1;  // progress is for people
  const double start = seconds_now();
  unsigned done = 0;
  for (; done < s.rounds; ++done) {
    const double spent = seconds_now() - start;
    // The next round must fit into what --quick promises.
    if (s.quick && done > 0 && spent / done * (done + 1) > 50) break;
    std::shuffle(blocks.begin(), blocks.end(), random);
    for (const auto& [e, c] : blocks) got[{e, c}].add(in_child(all[e].contenders[c].block, s.quick ? 30 : 300));
    if (watched) fmt::print(stderr, "\rround {} of {} ", done + 1, s.rounds);
  }
  if (watched) fmt::print(stderr, "\r{:20}\r", "");
  fmt::print("{} rounds, each block a fresh process, random order, medians\n", done);
  if (done < s.rounds) fmt::print("({} were asked for; --quick stops in time)\n", s.rounds);
  print_times(all, got);
  print_targets(all, got);
  return std::any_of(got.begin(), got.end(), [](const auto& r) { return !r.second.trouble.empty(); }) ? 1 : 0;
}

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app{"Fork-join of weir beside serial code and oneTBB, in interleaved rounds."};
  app.add_flag("--quick", s.quick, "small sizes; ends within a minute");
  app.add_option("--rounds", s.rounds, "how often each block runs")
      ->check(CLI::Range(1u, 1000u))
      ->capture_default_str();
  app.add_option("--workers", s.workers, "workers of the parallel runs")
      ->check(CLI::Range(1u, 256u))
      ->capture_default_str();
  app.add_option("--only", s.only, "only workloads whose name contains this");
  CLI11_PARSE(app, argc, argv);
  return run(s);
}
