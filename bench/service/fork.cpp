// Forks as a service sees them: what a long leaf hides, and what tiny forks cost while somebody looks for work.
#include "../harness/clock.hpp"
#include "../harness/stats.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

namespace bench {
namespace {

// --- nested jobs under a long leaf ---

constexpr std::size_t nested = 8;

struct job_times {
  std::uint64_t pushed = 0, started = 0, ended = 0;
  bool by_owner = false;
};

using jobs = std::array<job_times, nested>;

void nest(jobs& all, std::size_t depth, int owner) {
  if (depth == nested) return busy_us(5000);
  job_times& mine = all[depth];
  mine.pushed = ticks();
  static_cast<void>(weir::fork_join([&all, depth, owner] { nest(all, depth + 1, owner); },
                                    [&mine, owner] {
                                      mine.started = ticks();
                                      mine.by_owner = weir::this_task::worker() == owner;
                                      busy_us(300);
                                      mine.ended = ticks();
                                    }));
}

// For each job, in order of start: how long it lay there although the other worker had nothing to do.
void hidden_us(jobs all, std::vector<double>& into) {
  std::sort(all.begin(), all.end(), [](const job_times& a, const job_times& b) { return a.started < b.started; });
  std::uint64_t free_since = 0;
  for (const job_times& j : all) {
    into.push_back(us_between(std::max(j.pushed, free_since), j.started));
    if (!j.by_owner) free_since = j.ended;
  }
}

// gap_us between rounds: after 20 µs the other worker still searches, after 1 ms it is parked.
std::vector<double> leaf(bool quick, double gap_us) {
  weir::runtime rt({.workers = service_workers});
  const int rounds = quick ? 60 : 200;
  const std::vector<double> hidden = rt.run([rounds, gap_us] {
    std::vector<double> got;
    got.reserve(static_cast<std::size_t>(rounds) * nested);
    for (int r = 0; r < rounds + 3; ++r) {
      jobs all{};
      busy_us(gap_us);
      nest(all, 0, weir::this_task::worker());
      if (r >= 3) hidden_us(all, got);
    }
    return got;
  });
  return {quantile(hidden, 0.5), quantile(hidden, 0.99)};
}

// --- a flat loop of tiny forks ---

[[gnu::noinline]] std::uint64_t flat(std::uint64_t n) {
  std::uint64_t a = 0, b = 0;
  for (std::uint64_t i = 0; i < n; ++i)
    static_cast<void>(weir::fork_join(
        [&a] {
          ++a;
          asm volatile("" : "+m"(a));
        },
        [&b] {
          ++b;
          asm volatile("" : "+m"(b));
        }));
  return a + b;
}

double flat_ns(unsigned workers, std::uint64_t n) {
  weir::runtime rt({.workers = workers});
  return rt.run([n] {
    static_cast<void>(flat(n / 10));
    const std::uint64_t t = ticks();
    const std::uint64_t sum = flat(n);
    const double us = us_between(t, ticks());
    if (sum != 2 * n) throw std::runtime_error("forks were lost or doubled");
    return us * 1000 / static_cast<double>(n);
  });
}

std::vector<double> flat_loop(bool quick) {
  const std::uint64_t n = quick ? 5'000'000 : 20'000'000;
  return {flat_ns(1, n), flat_ns(2, n)};
}

// --- an empty parallel_for ---

// `last` indices, at least `grain` a piece; called often enough to be hot.
template <class Call>
std::vector<double> calls(int count, Call call) {
  std::vector<double> took;
  took.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < 2000; ++i) call();
  for (int i = 0; i < count; ++i) {
    const std::uint64_t t = ticks();
    call();
    took.push_back(us_between(t, ticks()));
  }
  return took;
}

void nothing(std::size_t) noexcept { asm volatile("" ::: "memory"); }

std::vector<double> empty_loop(bool quick) {
  weir::runtime rt({.workers = service_workers});
  const int count = quick ? 20'000 : 100'000;
  const auto two_pieces = weir::parallel_options{.grain = 1};
  const std::size_t zero = 0, two = 2, thousand = 1000;
  const std::vector<double> outside =
      calls(count, [&] { weir::parallel_for(rt, zero, two, nothing, two_pieces).value(); });
  const std::vector<double> inside =
      rt.run([&] { return calls(count, [&] { weir::parallel_for(zero, two, nothing, two_pieces).value(); }); });
  const std::vector<double> automatic =
      rt.run([&] { return calls(count, [&] { weir::parallel_for(zero, thousand, nothing).value(); }); });
  return {quantile(outside, 0.5), quantile(outside, 0.99), quantile(inside, 0.5), quantile(automatic, 0.5)};
}

}  // namespace

std::vector<scenario> fork_scenarios() {
  return {{"fork/leaf_searching",
           {{"nested job under a 5 ms leaf, hidden, p50", "us", {}},
            {"nested job under a 5 ms leaf, hidden, p99", "us", at_most(100)}},
           [](bool quick) { return leaf(quick, 20); }},
          {"fork/leaf_parked",
           {{"the same, the other worker parked, p50", "us", {}},
            {"the same, the other worker parked, p99", "us", at_most(100)}},
           [](bool quick) { return leaf(quick, 1000); }},
          {"fork/flat",
           {{"flat loop of tiny forks, 1 worker", "ns a fork", at_most(2)},
            {"flat loop of tiny forks, 2 workers", "ns a fork", at_most(2)}},
           flat_loop},
          {"parallel_for/empty",
           {{"empty parallel_for(rt), 2 pieces, from outside, p50", "us", at_most(1)},
            {"  p99", "us", {}},
            {"empty parallel_for, 2 pieces, on a worker, p50", "us", at_most(1)},
            {"empty parallel_for, 1000 indices, on a worker, p50", "us", at_most(1)}},
           empty_loop}};
}

}  // namespace bench
