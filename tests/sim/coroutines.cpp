// Coroutines: what wakes them, and how their runtime ends.
#include "cases.hpp"

#include <array>
#include <chrono>
#include <optional>
#include <vector>

namespace cases {

namespace {

using namespace std::chrono_literals;
using weir::task;
constexpr auto rlx = std::memory_order_relaxed;

task<> sleeps(weir::duration d) { co_await weir::sleep_until(weir::clock_type::now() + d); }

// Sleeps, goes on, whatever has woken it.
task<int> goes_on(int hops) {
  int cut_short = 0;
  try {
    co_await sleeps(1h);
  } catch (const std::system_error&) { cut_short = 1; }
  for (int i = 0; i < hops; ++i) co_await weir::yield();
  co_return cut_short;
}
task<int> awaits(weir::join_handle<int> h) { co_return (co_await h).value_or(-1); }
task<int> gives(int n) {
  if (weir::sim::random() % 2 == 0) co_await weir::yield();
  co_return n;
}

bool balanced(const weir::snapshot& m) {
  return m.submitted == m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped;
}

}  // namespace

void a_sleep_is_ended_once() {
  weir::runtime rt(with_workers(up_to(2)));
  const weir::duration d = weir::sim::random() % 2 == 0 ? weir::duration(1h) : weir::duration(3us);
  auto h = weir::spawn(rt, sleeps(d));
  weir::sim::thread a([&] { h.cancel(); });
  a.join();
  const auto r = h.get();
  HOLDS(r ? d < 1h : r.error().code == weir::errc::cancelled);
  HOLDS(rt.wait_idle());
  HOLDS(balanced(rt.metrics()));
}

void a_coroutine_awaits_what_ends() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::runtime other(with_workers(1));
  weir::runtime& where = weir::sim::random() % 2 == 0 ? rt : other;
  auto h = weir::spawn(rt, awaits(where.spawn([] { return weir::sim::point(), 7; })));
  HOLDS(h.get().value_or(0) == 7);
  HOLDS(weir::spawn(rt, awaits(weir::spawn(where, gives(8)))).get().value_or(0) == 8);
}

namespace {
task<> branch(shared<int>& inside, weir::duration d) {
  inside.fetch_add(1, rlx);
  try {
    co_await sleeps(d);
  } catch (const std::system_error&) {}
  co_await weir::yield();
  inside.fetch_sub(1, rlx);
}
task<bool> branches(shared<int>& inside) {
  static_cast<void>(co_await weir::when_any(branch(inside, 1h), branch(inside, 2us)));
  if (inside.load(rlx) != 0) co_return false;
  static_cast<void>(co_await weir::when_all(branch(inside, 2us), branch(inside, 2us), branch(inside, 0us)));
  if (inside.load(rlx) != 0) co_return false;
  const auto r = co_await weir::with_deadline(branch(inside, weir::sim::random() % 2 == 0 ? 1h : 2us),
                                              weir::clock_type::now() + 3us);
  co_return inside.load(rlx) == 0 && (r || r.error().code == weir::errc::timeout);
}
}  // namespace

void branches_end_before_who_waits_for_them() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::strand s(rt);
  shared<int> inside{0};
  auto h = weir::sim::random() % 2 == 0 ? weir::spawn(rt, branches(inside)) : weir::spawn(s, branches(inside));
  HOLDS(h.get().value_or(false));
  HOLDS(rt.wait_idle());
  HOLDS(rt.metrics().ok == 1);
}

void coroutines_against_a_shutdown() {
  std::vector<weir::join_handle<int>> handles;
  weir::snapshot m;
  {
    weir::runtime rt(with_workers(up_to(2)));
    weir::strand s(rt);
    weir::limited in_front(s, 1, 8);
    for (int i = 0; i < 3; ++i) {
      const weir::executor_ref to = i == 0   ? weir::executor_ref(rt)
                                    : i == 1 ? weir::executor_ref(s)
                                             : weir::executor_ref(in_front);
      handles.push_back(weir::spawn(to, goes_on(2)));
    }
    handles.push_back(weir::spawn(rt, awaits(weir::spawn(s, gives(1)))));
    if (weir::sim::random() % 2 == 0) handles.front().cancel();
    switch (weir::sim::random() % 3) {
      case 0: HOLDS(rt.drain().complete); break;
      case 1: HOLDS(rt.abort().complete); break;
      default: {
        weir::report r = rt.drain(weir::clock_type::now() + 5us);
        if (!r.complete) r = rt.drain();
        HOLDS(r.complete);
      }
    }
    m = rt.metrics();
  }
  HOLDS(balanced(m));
  HOLDS(m.failed == 0);
  for (auto& h : handles) {
    HOLDS(h.ready());
    static_cast<void>(h.get());
  }
}

namespace {
task<> alone(shared<int>& inside, weir::strand& s) {
  try {
    co_await sleeps(1h);
  } catch (const std::system_error&) {}
  for (int i = 0; i < 2; ++i) {
    HOLDS(inside.fetch_add(1, rlx) == 0);
    weir::sim::point();
    HOLDS(inside.fetch_sub(1, rlx) == 1);
    static_cast<void>(s.submit([] {}));  // refused, or for the flush
    co_await weir::yield();
  }
}
}  // namespace

void a_strand_of_coroutines_is_serial_to_the_end() {
  shared<int> inside{0};
  weir::runtime rt(with_workers(up_to(3)));
  weir::strand behind(rt);
  weir::strand s(weir::sim::random() % 2 == 0 ? weir::executor_ref(rt) : static_cast<weir::executor_ref>(behind));
  std::array<weir::join_handle<void>, 3> handles;
  for (auto& h : handles) h = weir::spawn(s, alone(inside, s));
  weir::sim::thread a([&] {
    for (int i = 0; i < 2; ++i) static_cast<void>(s.submit([] {}));
  });
  if (weir::sim::random() % 2 == 0) HOLDS(rt.abort().complete);
  else HOLDS(rt.drain(weir::clock_type::now() + 5us).complete || rt.drain().complete);
  a.join();
  for (auto& h : handles) {
    const auto r = h.get();
    HOLDS(r || r.error().code == weir::errc::stopped);
  }
  HOLDS(balanced(rt.metrics()));
}

}  // namespace cases
