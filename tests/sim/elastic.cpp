// Workers that come for a backlog and go again. A worker that is needed and does not come is a deadlock here; a look that never
// ends, a livelock.
#include "cases.hpp"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace cases {

namespace {

weir::options elastic(unsigned workers, unsigned more) {
  weir::options o = with_workers(workers);
  o.max_workers = workers + more;
  return o;
}

// So many tasks at the same time: each blocks its worker until all are there.
class meeting {
 public:
  explicit meeting(unsigned n) : missing_(n) {}
  void come() {
    std::unique_lock lock(mutex_);
    if (--missing_ == 0) all_.notify_all();
    else all_.wait(lock, [&] { return missing_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_;
  unsigned missing_;
};

}  // namespace

// From outside, by a task, in bulk, in any lane, by run().
void blocked_workers_bring_others() {
  const unsigned workers = up_to(2), more = up_to(2), most = workers + more;
  weir::runtime rt(elastic(workers, more));
  if (weir::sim::random() % 2 == 0) {  // they claim more than one at a time from now on
    for (int i = 0; i < 6; ++i) HOLDS(rt.submit([] {}));
    HOLDS(rt.wait_idle());
  }
  meeting everybody(most);
  const auto come = [&] { everybody.come(); };
  const auto how = weir::sim::random() % 5;
  weir::sim::thread other;
  weir::task_options o;
  o.prio = static_cast<weir::lane>(weir::sim::random() % 3);
  switch (how) {
    case 0:
      for (unsigned i = 0; i < most; ++i) HOLDS(rt.submit(come, o));
      break;
    case 1:
      other = weir::sim::thread([&] { HOLDS(rt.submit(come)); });
      for (unsigned i = 1; i < most; ++i) HOLDS(rt.submit(come, o));
      break;
    case 2:
      HOLDS(rt.submit([&] {
        for (unsigned i = 1; i < most; ++i) HOLDS(weir::here().submit(come));
        come();
      }));
      break;
    case 3: HOLDS(rt.try_submit_bulk(std::vector(most, come))); break;
    default:
      other = weir::sim::thread([&] { rt.run(come); });
      for (unsigned i = 1; i < most; ++i) HOLDS(rt.submit(come, o));
  }
  other.join();
  HOLDS(rt.wait_idle());
  HOLDS(rt.workers() <= most);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok && m.queued == 0);
}

// A second on, there are no more than at the beginning; and they come again.
void surplus_workers_go_and_come_again() {
  const unsigned workers = up_to(2), more = up_to(2);
  weir::runtime rt(elastic(workers, more));
  for (int round = 0; round < 2; ++round) {
    meeting everybody(workers + more);
    for (unsigned i = 0; i < workers + more; ++i) HOLDS(rt.submit([&] { everybody.come(); }));
    HOLDS(rt.wait_idle());
    std::this_thread::sleep_for(std::chrono::milliseconds(weir::sim::random() % 1100));
    HOLDS(rt.run([] { return 7; }) == 7);
    while (rt.workers() != workers) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    const weir::snapshot m = rt.metrics();
    HOLDS(m.on_duty == workers && m.surplus_came == m.surplus_went && m.surplus_came >= more);
  }
}

// One is about to go when the next meeting needs it, or another.
void a_surplus_worker_that_goes_is_not_counted_on() {
  weir::runtime rt(elastic(1, 1 + up_to(2)));
  for (int round = 0; round < 3; ++round) {
    meeting two(2);
    for (unsigned i = 0; i < 2; ++i) HOLDS(rt.submit([&] { two.come(); }));
    HOLDS(rt.wait_idle());
    std::this_thread::sleep_for(std::chrono::microseconds(999'900 + weir::sim::random() % 200));
  }
}

// While it is paused nobody looks. Those that are needed come when it goes on, though all workers are still blocked.
void a_backlog_outlasts_a_pause() {
  const unsigned workers = up_to(2);
  weir::runtime rt(elastic(workers, 1));
  meeting everybody(workers + 1);
  for (unsigned i = 0; i < workers; ++i) HOLDS(rt.submit([&] { everybody.come(); }));
  if (weir::sim::random() % 2 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  rt.pause();
  weir::sim::thread other([&] { HOLDS(rt.submit([&] { everybody.come(); })); });
  std::this_thread::sleep_for(std::chrono::milliseconds(weir::sim::random() % 4));
  rt.resume();
  other.join();
  HOLDS(rt.wait_idle());
}

// Fewer and more, a pause, and the end, beside workers that come and go.
void elastic_beside_all_that_changes_it() {
  const unsigned most = 2 + up_to(2);
  weir::options o = with_workers(1);
  o.max_workers = most;
  weir::runtime rt(o);
  shared<int> accepted{0}, ran{0};
  const auto submit = [&] {
    for (int i = 0; i < 4; ++i) {
      const weir::status s = rt.submit([&] {
        if (weir::sim::random() % 2 == 0)
          std::this_thread::sleep_for(std::chrono::milliseconds(weir::sim::random() % 4));
        ran.fetch_add(1, std::memory_order_relaxed);
      });
      if (s) accepted.fetch_add(1, std::memory_order_relaxed);
    }
  };
  weir::sim::thread a(submit);
  weir::sim::thread b([&] {
    for (int i = 0; i < 3; ++i) {
      const weir::status s = rt.resize(up_to(4));
      HOLDS(s || s.error().code == weir::errc::stopped);
      std::this_thread::sleep_for(std::chrono::milliseconds(weir::sim::random() % 3));
    }
  });
  submit();
  if (weir::sim::random() % 2 == 0) {
    rt.pause();
    rt.resume();
  }
  const weir::report r = weir::sim::random() % 2 == 0 ? rt.drain() : rt.abort();
  a.join();
  b.join();
  HOLDS(r.complete && r.ran == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(r.ran + r.stopped == static_cast<std::uint64_t>(accepted.load(std::memory_order_relaxed)));
  weir::snapshot m = rt.metrics();
  HOLDS(m.surplus_came == m.surplus_went && m.on_duty == rt.workers());
  HOLDS(rt.restart());
  HOLDS(rt.resize(1));
  meeting everybody(most);
  for (unsigned i = 0; i < most; ++i) HOLDS(rt.submit([&] { everybody.come(); }));
  HOLDS(rt.wait_idle());
}

// Its last holder is a task; others still wait to be run.
void an_elastic_runtime_may_end_on_its_own_worker() {
  auto ran = std::make_shared<shared<int>>(0);
  auto rt = std::make_shared<weir::runtime>(elastic(1, 2));
  for (int i = 0; i < 3; ++i)
    HOLDS(rt->submit([rt, ran] {
      std::this_thread::sleep_for(std::chrono::milliseconds(weir::sim::random() % 3));
      ran->fetch_add(1, std::memory_order_relaxed);
    }));
  rt.reset();
  while (ran->load(std::memory_order_relaxed) < 3) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace cases
