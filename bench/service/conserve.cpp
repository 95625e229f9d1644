// Work conservation of submitted tasks: batches that are waited for, and bursts that must not hide behind a long task.
#include "../harness/clock.hpp"
#include "../harness/stats.hpp"
#include "scenario.hpp"

#include <weir/weir.hpp>

#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <latch>
#include <random>
#include <stdexcept>
#include <thread>
#include <vector>

namespace bench {
namespace {

template <class F>
void submit(weir::runtime& rt, F f) {
  if (!rt.submit(f)) throw std::runtime_error("submit was refused");
}

// --- a batch of 1000 tasks of 1 µs, over the time of the same tasks run serially, halved ---

constexpr int batch_size = 1000;

void by_latch(weir::runtime& rt, std::uint64_t steps) {
  std::latch done(batch_size);
  for (int i = 0; i < batch_size; ++i)
    submit(rt, [&done, steps] {
      burn(steps);
      done.count_down();
    });
  done.wait();
}

void by_bulk(weir::runtime& rt, std::uint64_t steps) {
  std::latch done(batch_size);
  auto task = [&done, steps] {
    burn(steps);
    done.count_down();
  };
  const std::vector<decltype(task)> tasks(batch_size, task);
  if (!rt.try_submit_bulk(tasks)) throw std::runtime_error("the batch was refused");
  done.wait();
}

void by_group(weir::runtime& rt, std::uint64_t steps) {
  weir::task_group group(rt);
  for (int i = 0; i < batch_size; ++i) group.run([steps] { burn(steps); });
  group.wait().value();
}

// The limit: two threads that do nothing else sleep until there is a batch, and take 16 of its tasks at a time by a counter.
class bare_pair {
 public:
  bare_pair() {
    for (std::thread& t : threads_) t = std::thread([this] { loop(); });
  }
  bare_pair(const bare_pair&) = delete;
  ~bare_pair() {
    over_ = true;
    announce();
    for (std::thread& t : threads_) t.join();
  }
  void batch(std::uint64_t steps) {
    std::latch done(batch_size);
    done_ = &done;
    steps_ = steps;
    next_.store(0, std::memory_order_release);
    announce();
    done.wait();
  }

 private:
  void announce() {
    batches_.fetch_add(1, std::memory_order_release);
    batches_.notify_all();
  }
  void loop() {
    for (std::uint32_t seen = 0;;) {
      batches_.wait(seen, std::memory_order_acquire);
      seen = batches_.load(std::memory_order_acquire);
      if (over_) return;
      constexpr int some = 16;
      for (int i; (i = next_.fetch_add(some, std::memory_order_acq_rel)) < batch_size;)
        for (int k = i; k < std::min(i + some, batch_size); ++k) {
          burn(steps_);
          done_->count_down();
        }
    }
  }
  alignas(128) std::atomic<int> next_{batch_size};
  alignas(128) std::atomic<std::uint32_t> batches_{0};
  std::latch* done_ = nullptr;
  std::uint64_t steps_ = 0;
  bool over_ = false;
  std::thread threads_[service_workers];
};

double serial_us(std::uint64_t steps) {
  const std::uint64_t t = ticks();
  for (int i = 0; i < batch_size; ++i) burn(steps);
  return us_between(t, ticks());
}

// Batches back to back, in tens between two serial runs whose mean is the yardstick; or each after a serial run, which
// leaves the workers parked.
template <class Batch>
std::vector<double> batches(bool quick, bool parked, Batch batch) {
  const std::uint64_t steps = burn_steps(1);
  const int in_a_row = parked ? 1 : 10;
  std::vector<double> ratios;
  for (int i = 0; i < 20; ++i) batch(steps);
  double before = serial_us(steps);
  for (int group = 0; group < (quick ? 200 : 400) / in_a_row; ++group) {
    std::vector<double> took;
    for (int i = 0; i < in_a_row; ++i) {
      const std::uint64_t t = ticks();
      batch(steps);
      took.push_back(us_between(t, ticks()));
    }
    const double after = serial_us(steps);
    for (const double us : took) ratios.push_back(us / ((before + after) / 2 / service_workers));
    before = after;
  }
  return {quantile(ratios, 0.5), quantile(ratios, 0.99)};
}

template <class Batch>
std::vector<double> weir_batches(bool quick, bool parked, Batch batch) {
  weir::runtime rt({.workers = service_workers});
  const std::vector<double> got = batches(quick, parked, [&](std::uint64_t steps) { batch(rt, steps); });
  rt.wait_idle();
  return got;
}

std::vector<double> bare_batches(bool quick) {
  bare_pair two;
  return batches(quick, false, [&two](std::uint64_t steps) { two.batch(steps); });
}

// --- a burst that arrives while one worker runs a task of 2 ms ---

struct stamp {
  std::uint64_t submitted = 0, started = 0;
};

double worst_us(const std::vector<stamp>& stamps) {
  double worst = 0;
  for (const stamp& s : stamps) worst = std::max(worst, us_between(s.submitted, s.started));
  return worst;
}

struct marking {
  stamp* at;
  std::latch* done;
  void operator()() const {
    at->started = ticks();
    done->count_down();
  }
};

void submit_marked(weir::runtime& rt, stamp& s, std::latch& done) {
  s.submitted = ticks();
  submit(rt, marking{&s, &done});
}

void sleep_us(double us) { std::this_thread::sleep_for(std::chrono::duration<double, std::micro>(us)); }

// The submitter sleeps while it waits: with two workers on two cores it must not take one of them.
double behind_a_running_task(weir::runtime& rt, std::mt19937& random) {
  const auto count = std::uniform_int_distribution<std::size_t>(8, 64)(random);
  std::vector<stamp> stamps(count);
  std::atomic<bool> running{false};
  std::latch done(static_cast<std::ptrdiff_t>(count) + 1);
  submit(rt, [&running, &done] {
    running.store(true);
    running.notify_one();
    busy_us(2000);
    done.count_down();
  });
  running.wait(false);
  sleep_us(std::uniform_real_distribution<double>(0, 800)(random));
  for (stamp& s : stamps) submit_marked(rt, s, done);
  done.wait();
  return worst_us(stamps);
}

// Bursts of tiny tasks every 100 µs; somewhere within one of them comes a task of 2 ms.
double around_a_rare_task(weir::runtime& rt, std::mt19937& random) {
  constexpr std::size_t bursts = 16, at = 4;
  std::array<std::size_t, bursts> sizes{};
  std::size_t all = 0;
  for (std::size_t& n : sizes) all += n = std::uniform_int_distribution<std::size_t>(8, 64)(random);
  const std::size_t place = std::uniform_int_distribution<std::size_t>(0, sizes[at] - 1)(random);
  std::vector<stamp> stamps(all);
  std::latch done(static_cast<std::ptrdiff_t>(all) + 1);
  std::size_t next = 0;
  for (std::size_t b = 0; b < bursts; ++b) {
    for (std::size_t i = 0; i < sizes[b]; ++i) {
      if (b == at && i == place)
        submit(rt, [&done] {
          busy_us(2000);
          done.count_down();
        });
      submit_marked(rt, stamps[next++], done);
    }
    sleep_us(100);
  }
  done.wait();
  return worst_us(stamps);
}

// One number for each episode: how long its unluckiest task waited.
template <class Episode>
std::vector<double> episodes(int count, Episode episode) {
  weir::runtime rt({.workers = service_workers});
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // of this thread alone: the workers are older
  std::mt19937 random(std::random_device{}());
  std::vector<double> worst;
  for (int i = 0; i < 10; ++i) episode(rt, random);
  for (int i = 0; i < count; ++i) worst.push_back(episode(rt, random));
  rt.wait_idle();
  return {quantile(worst, 0.5), quantile(worst, 0.99)};
}

template <class Batch>
scenario batch_scenario(const char* name, const std::string& how, bool parked, bool counts, Batch batch) {
  const auto goal = [counts](double x) { return counts ? at_most(x) : target{}; };
  return {name,
          {{"1000 x 1 us " + how + " / ideal, p50", "", goal(1.07)},
           {"1000 x 1 us " + how + " / ideal, p99", "", goal(1.17)}},
          [parked, batch](bool quick) { return weir_batches(quick, parked, batch); }};
}

}  // namespace

std::vector<scenario> conserve_scenarios() {
  return {batch_scenario("batch/latch", "by submit", false, true, by_latch),
          batch_scenario("batch/parked", "by submit, workers parked", true, false, by_latch),
          batch_scenario("batch/bulk", "by try_submit_bulk", false, false, by_bulk),
          {"batch/bare",
           {{"1000 x 1 us by two bare threads / ideal, p50", "", {}}, {"1000 x 1 us by two bare threads / ideal, p99", "", {}}},
           bare_batches},
          batch_scenario("batch/group", "by task_group", false, false, by_group),
          {"burst/behind_running",
           {{"worst start of a burst behind a 2 ms task, p50", "us", {}},
            {"worst start of a burst behind a 2 ms task, p99", "us", at_most(200)}},
           [](bool quick) { return episodes(quick ? 200 : 500, behind_a_running_task); }},
          {"burst/around_rare",
           {{"worst start in a stream around a 2 ms task, p50", "us", {}},
            {"worst start in a stream around a 2 ms task, p99", "us", at_most(200)}},
           [](bool quick) { return episodes(quick ? 200 : 500, around_a_rare_task); }}};
}

}  // namespace bench
