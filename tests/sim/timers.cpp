// Timers: at, after, every, their cancels and what a shutdown makes of them. Time is simulated, so it is told exactly.
#include "cases.hpp"

#include <memory>
#include <stdexcept>
#include <stop_token>
#include <vector>

namespace cases {

using namespace std::chrono_literals;
using weir::clock_type;

void timers_run_once_and_never_early() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  const auto make = [&] {
    for (int i = 0; i < 4; ++i) {
      const auto due = clock_type::now() + std::chrono::nanoseconds(weir::sim::random() % 3'000'000);
      auto t = weir::at(rt, due, [&ran, due] {
        HOLDS(clock_type::now() >= due);
        ran.fetch_add(1, std::memory_order_relaxed);
      });
      HOLDS(t.accepted());
      t.detach();
    }
  };
  weir::sim::thread a(make);
  make();
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == 8);
}

void an_earlier_timer_wakes_the_timekeeper() {
  weir::runtime rt(with_workers(1));
  shared<int> ran{0};
  const auto begin = clock_type::now();
  auto never = weir::after(rt, 24h, [] {});
  weir::sim::thread a([&] { weir::after(rt, 2ms, [&] { ran.fetch_add(1, std::memory_order_relaxed); }).detach(); });
  weir::after(rt, 1ms, [&] { ran.fetch_add(1, std::memory_order_relaxed); }).detach();
  a.join();
  while (ran.load(std::memory_order_relaxed) < 2) std::this_thread::sleep_for(1ms);
  HOLDS(clock_type::now() - begin < 1h);
  HOLDS(never.cancel());
}

void a_timer_is_cancelled_or_runs() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  int cancelled = 0;
  for (int i = 0; i < 3; ++i) {
    auto t = weir::after(rt, std::chrono::nanoseconds(weir::sim::random() % 20'000), [&] { ran.fetch_add(1, std::memory_order_relaxed); });
    if (weir::sim::random() % 2 == 0) std::this_thread::sleep_for(std::chrono::nanoseconds(weir::sim::random() % 20'000));
    if (t.cancel()) ++cancelled;
    else t.detach();
  }
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) + cancelled == 3);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok + m.cancelled == 3 && m.cancelled == static_cast<std::uint64_t>(cancelled));
}

void a_series_never_runs_beside_itself_or_after_its_cancel() {
  weir::runtime rt(with_workers(up_to(3)));
  shared<int> inside{0}, n{0};
  shared<bool> cancelled{false};
  const auto how = static_cast<weir::overlap>(weir::sim::random() % 3);
  const auto begin = clock_type::now();
  auto t = weir::every(rt, 100us, [&] {
    HOLDS(inside.fetch_add(1, std::memory_order_relaxed) == 0);
    const bool may_be_the_last = cancelled.load(std::memory_order_relaxed);
    const int i = n.fetch_add(1, std::memory_order_relaxed) + 1;
    HOLDS(clock_type::now() >= begin + i * 100us);
    if (weir::sim::random() % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 250));
    HOLDS(!may_be_the_last);
    inside.fetch_sub(1, std::memory_order_relaxed);
  }, how);
  std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 1000));
  weir::sim::thread a([&] { rt.wait_idle(clock_type::now() + 1ms); });  // a series that queues may leave no rest
  const bool now = weir::sim::random() % 2 == 0;
  if (now) {
    HOLDS(t.cancel());
    HOLDS(rt.wait_idle());
    cancelled.store(true, std::memory_order_relaxed);
    HOLDS(!t.cancel());
  }
  a.join();
  rt.drain();
  HOLDS(inside.load(std::memory_order_relaxed) == 0);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok == static_cast<std::uint64_t>(n.load(std::memory_order_relaxed)));
  HOLDS(m.submitted == m.ok + m.cancelled);
}

void timers_against_drain() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> accepted{0}, ran{0}, gone{0};
  const auto make = [&] {
    for (int i = 0; i < 4; ++i) {
      auto f = [&, end = counts_its_end(gone)] { ran.fetch_add(1, std::memory_order_relaxed); };
      const auto d = std::chrono::nanoseconds(weir::sim::random() % 10'000);
      auto t = i % 2 == 0 ? weir::after(rt, d, std::move(f)) : weir::every(rt, d + 1us, std::move(f));
      if (t.accepted()) accepted.fetch_add(1, std::memory_order_relaxed);
      else HOLDS(t.accepted().error().code == weir::errc::stopped);
      t.detach();
    }
  };
  weir::sim::thread a(make), b(make);
  const weir::report r = weir::sim::random() % 2 == 0 ? rt.drain() : rt.abort();
  HOLDS(r.complete);
  a.join();
  b.join();
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.cancelled + m.stopped);
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(gone.load(std::memory_order_relaxed) == 8);
}

void timers_are_handed_out_by_abort() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0}, sunk{0};
  std::vector<weir::timer> timers;
  for (int i = 0; i < 3; ++i)
    timers.push_back(weir::after(rt, std::chrono::nanoseconds(weir::sim::random() % 10'000), [&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  weir::sim::thread a([&] { timers[0].cancel(); });
  const weir::report r = rt.abort([&](weir::task_fn&& f) {
    sunk.fetch_add(1, std::memory_order_relaxed);
    f();
  });
  a.join();
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == 3 && m.ok + m.stopped + m.cancelled == 3);
  HOLDS(r.stopped == m.stopped && m.stopped == static_cast<std::uint64_t>(sunk.load(std::memory_order_relaxed)));
  HOLDS(m.ok + m.stopped == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
}

void a_timer_may_destroy_its_runtime() {
  auto ran = std::make_shared<shared<int>>(0);
  auto rt = std::make_shared<weir::runtime>(with_workers(up_to(2)));
  weir::runtime& it = *rt;
  weir::every(it, 1us, [ran] {}).detach();
  weir::after(it, 24h, [ran] {}).detach();
  weir::after(it, std::chrono::nanoseconds(weir::sim::random() % 10'000), [rt = std::move(rt), ran] { ran->store(1, std::memory_order_relaxed); }).detach();
  while (ran->load(std::memory_order_relaxed) == 0 || ran.use_count() != 1) std::this_thread::sleep_for(1ms);
}

void a_task_expires_or_runs() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0}, gone{0};
  std::stop_source stop;
  HOLDS(rt.submit([] { std::this_thread::sleep_for(5us); }));
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 4; ++i) {
    weir::task_options o;
    o.start_by = clock_type::now() + 1us + std::chrono::nanoseconds(weir::sim::random() % 20'000);
    if (i % 2 == 0) o.stop = stop.get_token();
    if (i == 3) o.deadline = o.start_by + 1us;
    handles.push_back(rt.spawn([&ran, end = counts_its_end(gone)] { ran.fetch_add(1, std::memory_order_relaxed); }, o));
  }
  weir::sim::thread a([&] { stop.request_stop(); });
  weir::sim::thread b([&] { handles[1].cancel(); });
  a.join();
  b.join();
  int ok = 0;
  for (auto& h : handles) {
    auto r = h.get();
    if (!r && r.error().code == weir::errc::timeout) r = h.get();
    ok += r ? 1 : 0;
    HOLDS(r || r.error().code == weir::errc::expired || r.error().code == weir::errc::cancelled);
  }
  HOLDS(ran.load(std::memory_order_relaxed) == ok);
  HOLDS(gone.load(std::memory_order_relaxed) == 4);
  HOLDS(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.expired + m.cancelled);
}

void a_deadline_stops_what_runs() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ended{0};
  std::vector<weir::join_handle<int>> handles;
  for (int i = 0; i < 3; ++i) {
    weir::task_options o;
    o.deadline = clock_type::now() + std::chrono::nanoseconds(weir::sim::random() % 20'000);
    handles.push_back(rt.spawn([&](std::stop_token t) {
      for (int k = 0; k < 100 && !t.stop_requested(); ++k) std::this_thread::sleep_for(1us);
      ended.fetch_add(1, std::memory_order_relaxed);
      return 7;
    }, o));
  }
  weir::sim::thread a([&] { static_cast<void>(rt.metrics()); });
  int before = 0;
  if (weir::sim::random() % 2 == 0)
    rt.run([&] {
      if (const auto r = handles[0].get_until(clock_type::now() + 5us); r) before = 1;
      else HOLDS(r.error().code == weir::errc::timeout);
    });
  for (auto& h : handles) {
    if (before == 1 && &h == &handles[0]) continue;
    auto r = h.get();
    if (!r) {
      HOLDS(r.error().code == weir::errc::timeout);
      r = h.get();
    }
    HOLDS(r && *r == 7);
  }
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ended.load(std::memory_order_relaxed) == 3 && rt.metrics().submitted == rt.metrics().ok);
}

void retries_end_once() {
  weir::runtime rt(with_workers(up_to(2)));
  const weir::retry_policy policy{.max_attempts = 3, .base = std::chrono::nanoseconds(weir::sim::random() % 20'000), .cap = 40us};
  shared<int> calls{0}, gone{0};
  std::stop_source stop;
  std::vector<weir::join_handle<int>> handles;
  for (int i = 0; i < 4; ++i) {
    weir::task_options o;
    o.retry = &policy;
    if (i % 2 == 0) o.stop = stop.get_token();
    if (i == 3) o.deadline = clock_type::now() + 30us;
    handles.push_back(rt.spawn([&calls, i, n = 0, end = counts_its_end(gone)]() mutable {
      calls.fetch_add(1, std::memory_order_relaxed);
      if (++n <= i) throw std::runtime_error("not yet");
      return n;
    }, o));
  }
  const auto how = weir::sim::random() % 4;
  weir::sim::thread a([&] {
    if (how == 0) stop.request_stop();
    if (how == 1) handles[1].cancel();
    if (how == 2) rt.drain();
    if (how == 3) rt.abort([](weir::task_fn&&) {});
  });
  a.join();
  for (auto& h : handles) {
    auto r = h.get();
    if (!r && r.error().code == weir::errc::timeout) r = h.get();
    if (!r) HOLDS(r.error().attempts <= 3 && (r.error().code != weir::errc::failed || r.error().cause));
  }
  HOLDS(rt.drain().complete);
  HOLDS(gone.load(std::memory_order_relaxed) == 4);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == 4 && m.submitted == m.ok + m.failed + m.cancelled + m.stopped);
}

// Attempts may follow each other while the submitter is still on its way out of spawn.
void a_retry_may_be_faster_than_its_submitter() {
  weir::runtime rt(with_workers(up_to(2)));
  const weir::retry_policy policy{.max_attempts = 4, .base = std::chrono::nanoseconds(weir::sim::random() % 2 * 10), .cap = 1us};
  shared<int> calls{0}, gone{0};
  std::stop_source stop;
  std::vector<weir::join_handle<int>> handles;
  const bool dated = weir::sim::random() % 2 == 0, stopped = weir::sim::random() % 2 == 0;
  for (int i = 0; i < 2; ++i) {
    weir::task_options o;
    o.retry = &policy;
    if (weir::sim::random() % 2 == 0) o.stop = stop.get_token();
    if (weir::sim::random() % 2 == 0) o.start_by = clock_type::now() + 1h;
    if (dated) o.deadline = clock_type::now() + 1h;
    handles.push_back(rt.spawn([&calls, n = 0, end = counts_its_end(gone)]() mutable {
      calls.fetch_add(1, std::memory_order_relaxed);
      if (++n < 3) throw std::runtime_error("not yet");
      return n;
    }, o));
  }
  if (stopped) stop.request_stop();
  if (weir::sim::random() % 2 == 0) {
    rt.run([&] {
      for (auto& h : handles) {
        const auto r = h.get();
        HOLDS(r ? *r == 3 : stopped);  // cancelled; or it has failed after it was asked to stop
      }
    });
  } else {
    for (auto& h : handles) {
      const auto r = h.get();
      HOLDS(r ? *r == 3 : stopped);  // cancelled; or it has failed after it was asked to stop
    }
  }
  HOLDS(rt.wait_idle());
  HOLDS(gone.load(std::memory_order_relaxed) == 2);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.cancelled + m.failed && m.expired == 0);
  HOLDS(stopped || calls.load(std::memory_order_relaxed) == 6);
}

void an_expired_task_may_destroy_its_runtime() {
  auto ran = std::make_shared<shared<int>>(0);
  auto rt = std::make_shared<weir::runtime>(with_workers(1));
  weir::runtime& it = *rt;
  HOLDS(it.submit([ran] {
    std::this_thread::sleep_for(10us);
    ran->fetch_add(1, std::memory_order_relaxed);
  }));
  weir::task_options o;
  o.start_by = clock_type::now() + 1us + std::chrono::nanoseconds(weir::sim::random() % 20'000);
  {
    auto last = [rt = std::move(rt), ran] { ran->fetch_add(1, std::memory_order_relaxed); };
    if (!it.submit(std::move(last), o)) HOLDS(clock_type::now() > o.start_by);
  }
  while (ran->load(std::memory_order_relaxed) == 0 || ran.use_count() != 1) std::this_thread::sleep_for(1ms);
}

}  // namespace cases
