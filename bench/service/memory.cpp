// What queued tasks and idle workers cost, by resident memory: a million tasks are queued on a paused runtime.
#include "../harness/block.hpp"
#include "../harness/clock.hpp"
#include "../harness/shards.hpp"
#include "../harness/usage.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <vector>

namespace bench {
namespace {

constexpr std::size_t queued = 1'000'000;
constinit sharded_counter ran;

weir::options roomy() { return {.workers = service_workers, .capacity = std::size_t{1} << 21}; }

template <std::size_t Bytes>
auto task_of(std::size_t i) {
  std::array<std::uint64_t, Bytes / 8> capture{};
  capture[0] = i;
  return [capture] { ran.add(capture[0] == queued ? 0 : 1); };
}

void must(bool ok) {
  if (!ok) throw std::runtime_error("a task was refused");
}

// put(rt, i) queues task i. Resident bytes for each, over what the runtime takes when empty.
template <class Put>
double bytes_a_task(Put put, const weir::options& o = roomy()) {
  weir::runtime rt(o);
  for (std::size_t i = 0; i < 1000; ++i) must(rt.submit(task_of<16>(i)).has_value());
  rt.wait_idle();
  const std::uint64_t before = ran.sum();
  rt.pause();
  const double empty = resident_bytes();
  for (std::size_t i = 0; i < queued; ++i) put(rt, i);
  const double full = resident_bytes();
  rt.resume();
  rt.wait_idle();
  if (ran.sum() - before != queued) throw std::runtime_error("tasks were lost or doubled");
  return (full - empty) / queued;
}

// Each in a process of its own: freed memory of one would hide the cost of the next.
template <class F>
double apart(F measure) {
  const outcome o = in_child([&measure] { return std::vector<double>{measure()}; }, 60);
  if (!o.failure.empty() || o.values.empty()) throw std::runtime_error("memory block " + o.failure);
  return o.values[0];
}

template <std::size_t Bytes>
double plain() {
  return apart([] {
    return bytes_a_task([](weir::runtime& rt, std::size_t i) { must(rt.submit(task_of<Bytes>(i)).has_value()); });
  });
}

double with_handle() {
  return apart([] {
    std::vector<weir::join_handle<void>> handles(queued);  // the handles themselves are the user's
    return bytes_a_task([&handles](weir::runtime& rt, std::size_t i) { handles[i] = rt.spawn(task_of<16>(i)); });
  });
}

double with_options(const weir::task_options& o) {
  return apart([&o] {
    return bytes_a_task([&o](weir::runtime& rt, std::size_t i) { must(rt.submit(task_of<16>(i), o).has_value()); });
  });
}

std::vector<double> queued_tasks(bool) {
  const double small = plain<16>();
  std::stop_source stop;
  const double options = std::max({with_options({.prio = weir::lane::low}), with_options({.stop = stop.get_token()}),
                                   with_options({.name = "named"})});
  return {small, plain<48>(), with_handle() - small, options - small};
}

// Apart from the others, for such tasks do not go through the common queue.
std::vector<double> bound_tasks(bool) { return {with_options({.worker = 0}) - plain<16>()}; }

// A target that sheds nothing: what is measured is the time that each task carries.
std::vector<double> timed_tasks(bool) {
  weir::options o = roomy();
  o.codel_target = std::chrono::seconds(30);
  const auto submitted = [](weir::runtime& rt, std::size_t i) { must(rt.submit(task_of<16>(i)).has_value()); };
  const double small = apart([&] { return bytes_a_task(submitted, o); });
  const double handled = apart([&] {
    std::vector<weir::join_handle<void>> handles(queued);
    return bytes_a_task([&handles](weir::runtime& rt, std::size_t i) { handles[i] = rt.spawn(task_of<16>(i)); }, o);
  });
  return {small - plain<16>(), handled - with_handle()};
}

// Resident bytes of a process with so many idle workers and so many plain threads that sleep.
double idle_process(unsigned workers, unsigned threads) {
  return apart([workers, threads] {
    std::atomic<bool> leave{false};
    std::vector<std::thread> sleepers;
    for (unsigned i = 0; i < threads; ++i) sleepers.emplace_back([&leave] { leave.wait(false); });
    double bytes = 0;
    {
      weir::runtime rt({.workers = workers, .pin = weir::pinning::none});
      for (std::size_t i = 0; i < 20'000; ++i) must(rt.submit(task_of<16>(i)).has_value());
      rt.wait_idle();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
      bytes = resident_bytes();
    }
    leave = true;
    leave.notify_all();
    for (std::thread& t : sleepers) t.join();
    return bytes;
  });
}

// A plain thread stands for a worker's stack and what the kernel and libc keep for any thread.
std::vector<double> idle_workers(bool) {
  constexpr unsigned more = 32;
  return {(idle_process(1 + more, 0) - idle_process(1, more)) / more / 1024};
}

// Growth of the resident memory at a full queue, from the third burst of a million to the last.
double growth(bool fresh_threads, unsigned bursts) {
  return apart([fresh_threads, bursts] {
    weir::runtime rt(roomy());
    double third = 0, last = 0;
    for (unsigned b = 0; b < bursts; ++b) {
      rt.pause();
      const auto fill = [&rt] {
        for (std::size_t i = 0; i < queued; ++i) must(rt.submit(task_of<16>(i)).has_value());
      };
      if (fresh_threads) std::thread(fill).join();
      else fill();
      last = resident_bytes();
      if (b == 2) third = last;
      rt.resume();
      rt.wait_idle();
    }
    return (last - third) / 1024;
  });
}

std::vector<double> bursts(bool quick) {
  const unsigned n = quick ? 6 : 12;
  return {growth(false, n), growth(true, n)};
}

}  // namespace

std::vector<scenario> memory_scenarios() {
  return {{"memory/queued",
           {{"queued submit, capture of 16", "bytes", at_most(40)},
            {"queued submit, capture of 48", "bytes", at_most(80)},
            {"a handle adds", "bytes", at_most(64)},
            {"the dearest of lane, stop, name adds", "bytes", at_most(64)}},
           queued_tasks},
          {"memory/queued_for_a_worker", {{"a worker to run on adds", "bytes", at_most(64)}}, bound_tasks},
          {"memory/codel",
           {{"codel_target adds to a queued submit", "bytes", {}}, {"and to one with a handle", "bytes", {}}},
           timed_tasks},
          {"memory/idle_worker", {{"an idle worker beside its stack", "KiB", at_most(64)}}, idle_workers},
          // "Flat" is read as: less than 1 MiB, where a burst takes some 40.
          {"memory/flat",
           {{"growth over bursts of a million", "KiB", at_most(1024)},
            {"the same, each burst from a new thread", "KiB", at_most(1024)}},
           bursts}};
}

}  // namespace bench
