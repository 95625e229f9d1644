// What it costs to have something: the same submission through two runtimes that differ in one option, in turns within one block. Each
// slice has a runtime of its own, which is warmed by the same work; the order of the two changes from pair to pair, so a drift of the
// machine is in both. The median over the pairs of a block is its number.
#include "../harness/clock.hpp"
#include "../harness/shards.hpp"
#include "../harness/squad.hpp"
#include "../harness/stats.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>
#include <vector>

namespace bench {
namespace {

constinit sharded_counter ran;

// Seconds from the first submit to rest.
double slice(const weir::options& o, squad& outside, unsigned threads, std::uint64_t each) {
  weir::runtime rt(o);
  double seconds = 0;
  for (int warm = 1; warm >= 0; --warm) {
    const std::uint64_t before = ran.sum();
    const double t = seconds_now();
    outside.run([&](unsigned) {
      for (std::uint64_t i = 0; i < each; ++i)
        if (!rt.submit([weight = std::uint64_t{1}] { ran.add(weight); }))
          throw std::runtime_error("submit was refused");
    });
    rt.wait_idle();
    seconds = seconds_now() - t;
    if (ran.sum() - before != each * threads) throw std::runtime_error("tasks were lost or doubled");
  }
  return seconds;
}

// Time with it over time without it; then ns a task of either.
std::vector<double> pairs(bool quick, unsigned threads, const weir::options& with, const weir::options& without) {
  const unsigned rounds = quick ? 6 : 16;
  const std::uint64_t each = (quick ? 400'000 : 1'000'000) / threads;
  squad outside(threads);
  std::vector<double> ratios, ours, theirs;
  for (unsigned i = 0; i < rounds; ++i) {
    double a = 0, b = 0;
    if (i % 2 == 0) a = slice(with, outside, threads, each);
    b = slice(without, outside, threads, each);
    if (i % 2 != 0) a = slice(with, outside, threads, each);
    ratios.push_back(a / b);
    ours.push_back(a / static_cast<double>(each * threads) * 1e9);
    theirs.push_back(b / static_cast<double>(each * threads) * 1e9);
  }
  return {median(std::move(ratios)), median(std::move(ours)), median(std::move(theirs))};
}

weir::options plain() { return {.workers = service_workers}; }

std::vector<double> bounded(bool quick, unsigned threads) {
  weir::options without = plain();
  without.capacity = without.max_outstanding = std::size_t{1} << 40;
  return pairs(quick, threads, plain(), without);
}

// The target is so long that nothing is shed: what is measured is the time that each task carries.
std::vector<double> codel(bool quick) {
  weir::options with = plain();
  with.codel_target = std::chrono::seconds(30);
  return pairs(quick, 1, with, plain());
}

std::vector<double> observed(bool quick) {
  static weir::observer nothing;
  weir::options with = plain();
  with.obs = &nothing;
  return pairs(quick, 1, with, plain());
}

scenario of(std::string name, const std::string& with, const std::string& without, target goal,
            std::function<std::vector<double>(bool)> block) {
  return {"cost/" + std::move(name),
          {{with + " / " + without, "", goal}, {"  " + with, "ns a task", {}}, {"  " + without, "ns a task", {}}},
          std::move(block)};
}

}  // namespace

std::vector<scenario> cost_scenarios() {
  std::vector<scenario> all;
  for (const unsigned threads : {1u, 2u, 8u}) {
    const std::string who = std::to_string(threads) + (threads == 1 ? " thread" : " threads");
    all.push_back(of("bounded_" + std::to_string(threads), "bounded, " + who, "unbounded", at_most(1.15),
                     [threads](bool quick) { return bounded(quick, threads); }));
  }
  all.push_back(of("codel", "codel_target", "without it", {}, codel));
  all.push_back(of("observer", "an observer", "none", {}, observed));
  return all;
}

}  // namespace bench
