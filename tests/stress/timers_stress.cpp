// Timers, and tasks with times and retries, from many threads, cancelled, detached, due and shut down at any moment: each
// callable has one fate.
#include <weir/runtime.hpp>
#include <weir/timer.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <deque>
#include <thread>
#include <vector>

namespace timers_stress {
namespace {

using namespace test;
using weir::clock_type;

class TimersUnderLoad : public stress {};

// A ticket, and when it may run.
struct on_time {
  ticket own;
  weir::time_point due;
  void operator()() {
    if (!ticket::in_sink) {
      EXPECT_GE(clock_type::now(), due);
    }
    own();
  }
};

// Makes n timers, short and long, and lets each go its way; returns how many cancels said true.
std::size_t make_some(weir::runtime& rt, ledger& books, random_numbers& random, std::size_t n) {
  std::deque<weir::timer> kept;
  std::size_t cancelled = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const auto due = clock_type::now() + std::chrono::microseconds(random.one_in(8) ? random.below(1'000'000'000) : random.below(300));
    on_time f{ticket(books), due};
    weir::timer t = weir::at(rt, due, std::move(f));
    if (f.own.whole()) f.own.refused();
    if (due > clock_type::now() + 1s || random.one_in(2)) kept.push_back(std::move(t));
    else t.detach();
    while (kept.size() > random.below(20)) {
      if (kept.front().cancel()) ++cancelled;
      kept.pop_front();
    }
  }
  while (!kept.empty()) {
    if (kept.front().cancel()) ++cancelled;
    kept.pop_front();
  }
  return cancelled;
}

TEST_F(TimersUnderLoad, RunOnceOrAreCancelled) {
  const std::size_t n = rounds(30'000);
  for (const unsigned workers : {1u, 2u, 8u}) {
    ledger books(4 * n + 100);
    weir::runtime rt(with_workers(workers));
    std::atomic<std::size_t> cancelled{0};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        random_numbers random(workers * 10 + t);
        cancelled += make_some(rt, books, random, n);
      });
    rt.run([&] {  // on a worker, too
      random_numbers random(workers * 10 + 9);
      cancelled += make_some(rt, books, random, n);
    });
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    EXPECT_EQ(books.count(fate::dropped), cancelled);
    EXPECT_EQ(books.count(fate::ran) + cancelled, books.opened());
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.cancelled);
    EXPECT_EQ(m.cancelled, cancelled);
  }
}

TEST_F(TimersUnderLoad, HaveOneFateWheneverTheRuntimeIsShutDown) {
  for (std::size_t round = 0; round < rounds(150); ++round) {
    random_numbers random(round);
    ledger books(10'000);
    weir::runtime rt(with_workers(1 + static_cast<unsigned>(random.below(3))));
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 2; ++t)
      threads.emplace_back([&, t] {
        random_numbers own(round * 10 + t);
        make_some(rt, books, own, 300);
      });
    std::atomic<int> runs{0};
    std::vector<weir::timer> series;
    for (int i = 0; i < 3; ++i)
      series.push_back(weir::every(rt, std::chrono::microseconds(1 + random.below(100)), [&] { ++runs; }, static_cast<weir::overlap>(i)));
    burn(std::chrono::microseconds(random.below(2000)));
    weir::report r;
    switch (random.below(3)) {
      case 0: r = rt.drain(); break;
      case 1:
        r = rt.drain(clock_type::now() + std::chrono::microseconds(random.below(500)));
        if (!r.complete) r = rt.drain();
        break;
      default:
        r = rt.abort([](weir::task_fn&& f) {
          ticket::in_sink = true;
          f();
          ticket::in_sink = false;
        });
    }
    EXPECT_TRUE(r.complete);
    for (auto& t : threads) t.join();
    books.check();
    const weir::snapshot m = rt.metrics();
    ASSERT_EQ(m.submitted, m.ok + m.cancelled + m.stopped);
  }
}

// A cancelled series has had its last run when the runtime comes to rest, and its runs are in the books.
TEST_F(TimersUnderLoad, SeriesThatAreCancelledAtAnyMomentHaveRunAsOftenAsTheBooksSay) {
  for (std::size_t round = 0; round < rounds(300); ++round) {
    random_numbers random(round);
    weir::runtime rt(with_workers(2));
    std::atomic<std::uint64_t> runs{0}, ended{0};
    {
      std::vector<weir::timer> series;
      for (int i = 0; i < 20; ++i)
        series.push_back(weir::every(rt, std::chrono::microseconds(1 + random.below(50)), [&] { ++runs; }, static_cast<weir::overlap>(i % 3)));
      burn(std::chrono::microseconds(random.below(1000)));
      for (auto& t : series) ended += t.cancel() ? 1 : 0;
    }
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ended, 20u);
    const weir::snapshot m = rt.metrics();
    ASSERT_EQ(m.ok, runs);
    ASSERT_EQ(m.submitted, m.ok + m.cancelled);
  }
}

// ---- start_by, deadline, retry

class TimedTasksUnderLoad : public stress {};

struct flaky {};

// A ticket whose first attempts fail.
struct tried {
  ticket own;
  std::uint64_t failures;
  void operator()() {
    if (!ticket::in_sink && failures-- > 0) throw flaky();
    failures = 0;
    own();
  }
};

weir::options quiet(unsigned workers) {
  weir::options o = with_workers(workers);
  o.on_unhandled = [](const weir::task_info&, std::exception_ptr) {};
  return o;
}

// Spawns n tasks with any of the conditions, and lets each handle go its way.
void spawn_some(weir::runtime& rt, ledger& books, random_numbers& random, std::size_t n) {
  static constexpr weir::retry_policy policy{.max_attempts = 3, .base = 5us, .cap = 50us};
  std::deque<weir::join_handle<void>> kept;
  std::stop_source stop;
  const auto soon = [&](std::uint64_t us) { return clock_type::now() + std::chrono::microseconds(random.below(us)); };
  const auto finish = [&] {
    weir::status s = kept.front().get();
    if (!s && s.error().code == weir::errc::timeout) s = kept.front().get();
    if (!s) {
      const weir::errc e = s.error().code;
      EXPECT_TRUE(e == weir::errc::failed || e == weir::errc::expired || e == weir::errc::cancelled || e == weir::errc::stopped) << static_cast<int>(e);
      EXPECT_LE(s.error().attempts, 3u);
    }
    kept.pop_front();
  };
  for (std::size_t i = 0; i < n; ++i) {
    weir::task_options o;
    if (random.one_in(2)) o.start_by = soon(200);
    if (random.one_in(3)) o.deadline = soon(300);
    if (random.one_in(3)) o.stop = stop.get_token();
    if (random.one_in(4)) o.prio = weir::lane::high;
    std::uint64_t failures = 0;
    if (random.one_in(2)) o.retry = &policy, failures = random.below(5);
    tried f{ticket(books), failures};
    auto h = rt.spawn(std::move(f), o);
    if (f.own.whole()) f.own.refused();
    switch (random.below(4)) {
      case 0: h.detach(); break;
      case 1: h.cancel(); [[fallthrough]];
      default: kept.push_back(std::move(h));
    }
    if (random.one_in(50)) stop.request_stop(), stop = std::stop_source();
    while (kept.size() > random.below(30)) finish();
  }
  while (!kept.empty()) finish();
}

TEST_F(TimedTasksUnderLoad, RunFailOrExpireOnce) {
  const std::size_t n = rounds(5'000);
  for (const unsigned workers : {1u, 2u, 8u}) {
    ledger books(4 * n + 100);
    weir::runtime rt(quiet(workers));
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        random_numbers random(workers * 10 + t);
        spawn_some(rt, books, random, n);
      });
    rt.run([&] {  // on a worker, too
      random_numbers random(workers * 10 + 9);
      spawn_some(rt, books, random, n);
    });
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.ok, books.count(fate::ran) + 1) << "run() is one, too";
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.expired + m.cancelled);
    EXPECT_EQ(m.submitted, books.opened() - books.count(fate::refused) + 1);
    EXPECT_TRUE(m.overdue.empty());
  }
}

TEST_F(TimedTasksUnderLoad, HaveOneFateWheneverTheRuntimeIsShutDown) {
  for (std::size_t round = 0; round < rounds(100); ++round) {
    random_numbers random(round);
    ledger books(2'000);
    weir::runtime rt(quiet(1 + static_cast<unsigned>(random.below(3))));
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 2; ++t)
      threads.emplace_back([&, t] {
        random_numbers own(round * 10 + t);
        spawn_some(rt, books, own, 300);
      });
    burn(std::chrono::microseconds(random.below(2000)));
    weir::report r;
    if (random.one_in(2)) {
      r = rt.drain(clock_type::now() + std::chrono::microseconds(random.below(500)));
      if (!r.complete) r = rt.drain();
    } else {
      r = rt.abort([](weir::task_fn&& f) {
        ticket::in_sink = true;
        f();
        ticket::in_sink = false;
      });
    }
    EXPECT_TRUE(r.complete);
    for (auto& t : threads) t.join();
    books.check();
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.ok, books.count(fate::ran));
    ASSERT_EQ(m.submitted, m.ok + m.failed + m.expired + m.cancelled + m.stopped);
  }
}

}  // namespace
}  // namespace timers_stress
