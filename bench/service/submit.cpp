// How fast outside threads can submit small callables: default capacity, on_full::block. Throughput is tasks completed
// over the time from the first submit to idleness. Every task is accounted for.
#include "../harness/clock.hpp"
#include "../harness/shards.hpp"
#include "../harness/squad.hpp"
#include "../harness/usage.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <cstdint>
#include <stdexcept>
#include <thread>

namespace bench {
namespace {

constinit sharded_counter ran;

void submit_many(weir::runtime& rt, std::uint64_t tasks) {
  for (std::uint64_t i = 0; i < tasks; ++i)
    if (!rt.submit([weight = std::uint64_t{1}] { ran.add(weight); })) throw std::runtime_error("submit was refused");
}

struct run_of {
  double seconds = 0, tasks = 0;
  usage used{};
  double rate() const { return tasks / seconds / 1e6; }
};

// start() submits `tasks` tasks, from whatever threads.
template <class Start>
run_of timed(weir::runtime& rt, std::uint64_t tasks, Start start) {
  const std::uint64_t before = ran.sum();
  const usage u = usage::now();
  const double t = seconds_now();
  start();
  rt.wait_idle();
  const run_of r{seconds_now() - t, static_cast<double>(tasks), usage::now() - u};
  if (ran.sum() - before != tasks) throw std::runtime_error("tasks were lost or doubled");
  return r;
}

std::uint64_t total(bool quick) { return quick ? 2'000'000 : 8'000'000; }

std::vector<double> together(unsigned threads, bool quick) {
  weir::runtime rt({.workers = service_workers});
  squad outside(threads);
  const std::uint64_t each = total(quick) / threads;
  const auto all = [&] { outside.run([&](unsigned) { submit_many(rt, each); }); };
  timed(rt, each * threads, all);  // warm: blocks of the queue, producers, stacks
  const run_of r = timed(rt, each * threads, all);
  return {r.rate(), r.used.cpu / r.tasks * 1e9, r.used.switches() / r.tasks * 1e6, r.used.voluntary / r.tasks * 1e6};
}

std::vector<double> one_after_the_other(bool quick) {
  constexpr unsigned threads = 500;
  weir::runtime rt({.workers = service_workers});
  squad outside(1);
  const std::uint64_t each = total(quick) / threads;
  const auto single = [&] { outside.run([&](unsigned) { submit_many(rt, each * threads); }); };
  timed(rt, each * threads, single);
  const run_of one = timed(rt, each * threads, single);
  const double memory = resident_bytes();
  const run_of many = timed(rt, each * threads, [&] {
    for (unsigned i = 0; i < threads; ++i) std::thread([&] { submit_many(rt, each); }).join();
  });
  return {many.rate() / one.rate(), many.rate(), many.used.cpu / many.tasks * 1e9,
          (resident_bytes() - memory) / threads / 1024};
}

scenario submitters(unsigned threads) {
  std::string who = threads == 1 ? "1 outside thread" : std::to_string(threads) + " outside threads";
  return {"submit/" + std::to_string(threads),
          {{"throughput, " + who, "M tasks/s", at_least(60)},
           {"CPU a task, " + who, "ns", threads == 1 ? at_most(35) : target{}},
           {"context switches, " + who, "a million", at_most(100)},
           {"  of these voluntary", "a million", {}}},
          [threads](bool quick) { return together(threads, quick); }};
}

}  // namespace

std::vector<scenario> submit_scenarios() {
  return {submitters(1),
          submitters(2),
          submitters(8),
          {"submit/500",
           // "No collapse" is read as: at least half of what one thread reaches in the same block.
           {{"throughput, 500 threads in turn / 1 thread", "", at_least(0.5)},
            {"throughput, 500 threads in turn", "M tasks/s", {}},
            {"CPU a task, 500 threads in turn", "ns", {}},
            {"memory that stays, a thread that has ended", "KiB", {}}},
           one_after_the_other}};
}

}  // namespace bench
