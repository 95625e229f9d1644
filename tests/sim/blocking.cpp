// The blocking pool: its queue, its threads that come and go, and what a shutdown makes of them.
#include "cases.hpp"

#include <chrono>
#include <stdexcept>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

namespace cases {

using namespace std::chrono_literals;
using weir::clock_type;

namespace {
weir::options with_blocking(unsigned threads, std::size_t capacity) {
  weir::options o = with_workers(up_to(2));
  o.max_blocking = threads;
  o.blocking_capacity = capacity;
  return o;
}
}  // namespace

void blocking_calls_end_once() {
  weir::runtime rt(with_blocking(up_to(2), 1 + up_to(2)));
  const weir::retry_policy policy{.max_attempts = 3, .base = std::chrono::nanoseconds(weir::sim::random() % 10'000), .cap = 10us};
  shared<int> inside{0}, ran{0}, gone{0}, refused{0};
  std::stop_source stop;
  const auto call = [&] {
    std::vector<weir::join_handle<int>> handles;
    for (int i = 0; i < 3; ++i) {
      weir::task_options o;
      if (weir::sim::random() % 2 == 0) o.stop = stop.get_token();
      if (weir::sim::random() % 2 == 0) o.retry = &policy;
      if (weir::sim::random() % 4 == 0) o.start_by = clock_type::now() + std::chrono::nanoseconds(weir::sim::random() % 20'000);
      const bool tried_again = o.retry != nullptr;
      handles.push_back(rt.blocking([&, tried_again, n = 0, end = counts_its_end(gone)]() mutable {
        HOLDS(inside.fetch_add(1, std::memory_order_relaxed) < 2);
        std::this_thread::sleep_for(1us);
        inside.fetch_sub(1, std::memory_order_relaxed);
        if (tried_again && ++n < 3) throw std::runtime_error("not yet");
        return ran.fetch_add(1, std::memory_order_relaxed) * 0 + 7;
      }, o));
    }
    if (weir::sim::random() % 2 == 0) handles[0].cancel();
    for (auto& h : handles) {
      const auto r = h.get();
      HOLDS(!r || *r == 7);
      if (!r && r.error().code == weir::errc::full) refused.fetch_add(1, std::memory_order_relaxed);
    }
  };
  weir::sim::thread a(call), b([&] {
    if (weir::sim::random() % 2 == 0) stop.request_stop();
    if (weir::sim::random() % 4 == 0) rt.abort([](weir::task_fn&&) {});
    else if (weir::sim::random() % 4 == 0) rt.drain();
  });
  call();
  a.join();
  b.join();
  HOLDS(rt.drain().complete);
  HOLDS(gone.load(std::memory_order_relaxed) == 6);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.failed + m.cancelled + m.expired + m.stopped);
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(m.rejected >= static_cast<std::uint64_t>(refused.load(std::memory_order_relaxed)));
}

// A thread goes after ten seconds without a call; one comes just then.
void a_blocking_thread_that_goes_is_not_counted_on() {
  weir::runtime rt(with_blocking(up_to(2), 2));
  for (int i = 0; i < 3; ++i) {
    HOLDS(rt.blocking([] { return 3; }).get().value_or(0) == 3);
    std::this_thread::sleep_for(10s - 10us + std::chrono::nanoseconds(weir::sim::random() % 20'000));
  }
}

// A drain gives up while a call is on its way into the queue, and every worker is busy: a thread of the pool stops it.
void a_call_that_a_drain_has_missed_is_stopped_beside() {
  weir::options o = with_blocking(1, 2);
  o.workers = 1;
  weir::runtime rt(o);
  shared<int> answered{0};
  HOLDS(rt.submit([&] {
    while (answered.load(std::memory_order_relaxed) == 0) std::this_thread::sleep_for(5ms);
  }));
  HOLDS(rt.blocking([] { return 3; }).get().value_or(0) == 3);
  weir::sim::thread drainer([&] { static_cast<void>(rt.drain(clock_type::now() + std::chrono::nanoseconds(weir::sim::random() % 2'000))); });
  const auto begin = clock_type::now();
  auto h = rt.blocking([] { return 4; });
  const auto r = h.get();
  HOLDS(r || r.error().code == weir::errc::stopped);
  HOLDS(clock_type::now() - begin < 5s);  // an idle thread would look by itself in the end
  answered.store(1, std::memory_order_relaxed);
  drainer.join();
  HOLDS(rt.drain().complete);
}

void a_blocking_call_may_destroy_its_runtime() {
  auto rt = std::make_shared<weir::runtime>(with_blocking(up_to(2), 4));
  auto ran = std::make_shared<shared<int>>(0);
  weir::runtime& it = *rt;
  auto other = it.blocking([ran] { std::this_thread::sleep_for(std::chrono::nanoseconds(weir::sim::random() % 10'000)); });
  auto last = it.blocking([rt = std::move(rt), ran] { ran->store(1, std::memory_order_relaxed); });
  HOLDS(last.get());
  HOLDS(other.get());
  while (ran.use_count() != 1) std::this_thread::sleep_for(1ms);
}

}  // namespace cases
