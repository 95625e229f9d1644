// How soon a task starts that an outside thread submits to idle workers. The submitter keeps its core busy between
// samples, as the loop of a service does, so that only the worker has to wake.
#include "../harness/clock.hpp"
#include "../harness/raw_futex.hpp"
#include "../harness/stats.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <atomic>
#include <cstdint>
#include <stdexcept>
#include <thread>
#include <vector>

namespace bench {
namespace {

struct samples {
  std::vector<double> latency, cost;
};

std::uint64_t await(const std::atomic<std::uint64_t>& stamp) {
  for (;;) {
    if (const std::uint64_t s = stamp.load(std::memory_order_acquire); s != 0) return s;
    relax();
  }
}

// post() must make some thread store ticks() into `started`.
template <class Post>
void sample(samples& into, int count, double idle_us, std::atomic<std::uint64_t>& started, Post post) {
  for (int i = 0; i < count; ++i) {
    busy_us(idle_us);
    started.store(0, std::memory_order_relaxed);
    const std::uint64_t t = ticks();
    post();
    const std::uint64_t back = ticks();
    into.latency.push_back(us_between(t, await(started)));
    into.cost.push_back(us_between(t, back));
  }
}

struct stamping {
  weir::runtime& rt;
  std::atomic<std::uint64_t>& started;
  void operator()() const {
    if (!rt.submit([s = &started] { s->store(ticks(), std::memory_order_release); }))
      throw std::runtime_error("submit was refused");
  }
};

// Both kinds alternate every 50 samples: each sleeper has been idle for 200 µs, and both see the same machine.
std::vector<double> after_idleness(bool quick) {
  weir::runtime rt({.workers = service_workers});
  raw_sleeper raw;
  std::atomic<std::uint64_t> started{0};
  const stamping submit{rt, started};
  samples weir_side, futex_side, thrown_away;
  sample(thrown_away, 100, 200, started, submit);
  sample(thrown_away, 100, 200, raw.started, [&raw] { raw.post(); });
  for (int turn = 0; turn < (quick ? 20 : 40); ++turn) {
    sample(weir_side, 50, 200, started, submit);
    sample(futex_side, 50, 200, raw.started, [&raw] { raw.post(); });
  }
  rt.wait_idle();
  const double w50 = quantile(weir_side.latency, 0.5), w99 = quantile(weir_side.latency, 0.99);
  const double f50 = quantile(futex_side.latency, 0.5), f99 = quantile(futex_side.latency, 0.99);
  const double wc = quantile(weir_side.cost, 0.5), fc = quantile(futex_side.cost, 0.5);
  return {w50 / f50, w99 / f99, wc / fc, w50, w99, f50, f99, wc, fc};
}

std::vector<double> while_spinning(bool quick) {
  weir::runtime rt({.workers = service_workers});
  std::atomic<std::uint64_t> started{0};
  const stamping submit{rt, started};
  samples got, thrown_away;
  sample(thrown_away, 1'000, 5, started, submit);
  sample(got, quick ? 10'000 : 40'000, 5, started, submit);
  rt.wait_idle();
  return {quantile(got.latency, 0.5), quantile(got.latency, 0.99), quantile(got.cost, 0.5)};
}

// The limit of a round trip: a thread that does nothing but answer, one word each way.
class echo {
 public:
  echo() : thread_([this] { loop(); }) {}
  echo(const echo&) = delete;
  ~echo() {
    asked_.store(over, std::memory_order_release);
    thread_.join();
  }
  double once_us() {
    const std::uint64_t t = ticks();
    asked_.store(++turn_, std::memory_order_release);
    while (answered_.load(std::memory_order_acquire) != turn_) {}
    return us_between(t, ticks());
  }

 private:
  static constexpr std::uint64_t over = ~std::uint64_t{0};
  void loop() noexcept {
    for (std::uint64_t seen = 0; seen != over;) {
      const std::uint64_t now = asked_.load(std::memory_order_acquire);
      if (now == seen) continue;
      answered_.store(seen = now, std::memory_order_release);
    }
  }
  alignas(128) std::atomic<std::uint64_t> asked_{0};
  alignas(128) std::atomic<std::uint64_t> answered_{0};
  std::uint64_t turn_ = 0;
  std::thread thread_;
};

double bare_line_us(int count) {
  echo other;
  std::vector<double> took;
  for (int i = 0; i < 1'000; ++i) other.once_us();
  for (int i = 0; i < count; ++i) took.push_back(other.once_us());
  return quantile(took, 0.5);
}

std::vector<double> round_trip(bool quick) {
  const double bare = bare_line_us(quick ? 20'000 : 50'000);
  weir::runtime rt({.workers = service_workers});
  std::atomic<std::uint64_t> answered{0};
  const auto once = [&]() -> double {
    answered.store(0, std::memory_order_relaxed);
    const std::uint64_t t = ticks();
    if (!rt.submit([a = &answered] { a->store(1, std::memory_order_release); }))
      throw std::runtime_error("submit was refused");
    await(answered);
    return us_between(t, ticks());
  };
  std::vector<double> took;
  for (int i = 0; i < 5'000; ++i) once();
  for (int i = 0; i < (quick ? 50'000 : 200'000); ++i) took.push_back(once());
  rt.wait_idle();
  return {quantile(took, 0.5), quantile(took, 0.99), bare};
}

}  // namespace

std::vector<scenario> wake_scenarios() {
  return {{"wake/one",
           {{"wake after 200 us idle / raw futex, p50", "", at_most(1.1)},
            {"wake after 200 us idle / raw futex, p99", "", at_most(1.3)},
            {"cost of that submit / raw futex wake, p50", "", at_most(1.15)},
            {"  wake after 200 us idle, p50", "us", {}},
            {"  wake after 200 us idle, p99", "us", {}},
            {"  raw futex, p50", "us", {}},
            {"  raw futex, p99", "us", {}},
            {"  cost of that submit, p50", "us", {}},
            {"  cost of the raw futex wake, p50", "us", {}}},
           after_idleness},
          {"wake/hot",
           {{"start while a worker spins (5 us gaps), p50", "us", at_most(0.3)},
            {"  p99", "us", {}},
            {"  cost of that submit, p50", "us", {}}},
           while_spinning},
          {"ping_pong",
           {{"hot round trip from outside, p50", "us", at_most(0.3)},
            {"hot round trip from outside, p99", "us", at_most(1)},
            {"  a word between two bare threads, there and back, p50", "us", {}}},
           round_trip}};
}

}  // namespace bench
