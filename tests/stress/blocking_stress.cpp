// Calls on the blocking pool from many threads, refused, cancelled, tried again and shut down at any moment: each callable has
// one fate, and never more run than there are threads.
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <algorithm>
#include <deque>
#include <thread>
#include <vector>

namespace blocking_stress {
namespace {

using namespace test;

class BlockingUnderLoad : public stress {};

struct flaky {};

constexpr unsigned most_threads = 3;

struct call {
  ticket own;
  std::atomic<unsigned>* inside;
  bool fails;
  void operator()() {
    if (ticket::in_sink) return own();
    EXPECT_LE(inside->fetch_add(1) + 1, most_threads);
    std::this_thread::yield();
    inside->fetch_sub(1);
    if (std::exchange(fails, false)) throw flaky();
    own();
  }
};

void call_some(weir::runtime& rt, ledger& books, std::atomic<unsigned>& inside, random_numbers& random, std::size_t n) {
  static constexpr weir::retry_policy policy{.max_attempts = 3, .base = 5us, .cap = 50us};
  std::deque<weir::join_handle<void>> kept;
  std::stop_source stop;
  for (std::size_t i = 0; i < n; ++i) {
    weir::task_options o;
    if (random.one_in(4)) o.stop = stop.get_token();
    if (random.one_in(4)) o.start_by = weir::clock_type::now() + std::chrono::microseconds(random.below(200));
    const bool fails = random.one_in(4);
    if (fails) o.retry = &policy;
    call f{ticket(books), &inside, fails};
    auto h = rt.blocking(std::move(f), o);
    if (f.own.whole()) f.own.refused();
    if (random.one_in(8)) h.cancel();
    if (random.one_in(50)) stop.request_stop(), stop = std::stop_source();
    if (random.one_in(3)) h.detach();
    else kept.push_back(std::move(h));
    for (; kept.size() > random.below(30); kept.pop_front()) static_cast<void>(kept.front().get());
  }
  for (; !kept.empty(); kept.pop_front()) static_cast<void>(kept.front().get());
}

weir::options with_blocking() {
  weir::options o = with_workers(2);
  o.max_blocking = most_threads;
  o.blocking_capacity = 20;
  o.on_unhandled = [](const weir::task_info&, std::exception_ptr) {};
  return o;
}

TEST_F(BlockingUnderLoad, CallsHaveOneFateEach) {
  const std::size_t n = rounds(5'000);
  ledger books(4 * n + 100);
  std::atomic<unsigned> inside{0};
  weir::runtime rt(with_blocking());
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < 3; ++t)
    threads.emplace_back([&, t] {
      random_numbers random(t);
      call_some(rt, books, inside, random, n);
    });
  rt.run([&] {
    random_numbers random(9);
    call_some(rt, books, inside, random, n);
  });
  for (auto& t : threads) t.join();
  ASSERT_TRUE(rt.wait_idle());
  books.check();
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.ok, books.count(fate::ran) + 1) << "run() is one, too";
  EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired);
}

TEST_F(BlockingUnderLoad, CallsHaveOneFateWheneverTheRuntimeIsShutDown) {
  for (std::size_t round = 0; round < rounds(100); ++round) {
    random_numbers random(round);
    ledger books(1'000);
    std::atomic<unsigned> inside{0};
    weir::runtime rt(with_blocking());
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 2; ++t)
      threads.emplace_back([&, t] {
        random_numbers own(round * 10 + t);
        call_some(rt, books, inside, own, 200);
      });
    burn(std::chrono::microseconds(random.below(1000)));
    weir::report r;
    if (random.one_in(2)) {
      r = rt.drain(weir::clock_type::now() + std::chrono::microseconds(random.below(500)));
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
    ASSERT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.stopped);
  }
}

}  // namespace
}  // namespace blocking_stress
