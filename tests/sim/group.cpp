// Groups, handles, cancellation, waits on workers.
#include "cases.hpp"

#include <array>
#include <stdexcept>

namespace cases {

void a_group_reports_its_first_error() {
  weir::runtime rt(with_workers(up_to(3)));
  const bool on_worker = weir::sim::random() % 2 == 0;
  const auto round = [&] {
    shared<int> alive{0}, began{0};
    weir::task_group g(rt, {.cancel_on_error = weir::sim::random() % 2 == 0});
    for (int i = 0; i < 5; ++i)
      g.run([&, i] {
        began.fetch_add(1, std::memory_order_relaxed);
        alive.fetch_add(1, std::memory_order_relaxed);
        weir::sim::point();
        alive.fetch_sub(1, std::memory_order_relaxed);
        if (i % 2 == 1) throw std::runtime_error("child");
      });
    const weir::status s = g.wait();
    HOLDS(!s && s.error().code == weir::errc::failed);
    HOLDS(alive.load(std::memory_order_relaxed) == 0);
    // Clean, and usable again.
    g.run([&] { began.fetch_add(100, std::memory_order_relaxed); });
    HOLDS(g.wait());
    HOLDS(began.load(std::memory_order_relaxed) > 100);
  };
  if (on_worker) rt.run(round);
  else round();
}

void a_group_keeps_its_limit() {
  weir::runtime rt(with_workers(1 + up_to(2)));
  shared<int> active{0}, ran{0};
  weir::task_group g(rt, {.limit = 2});
  const auto child = [&] {
    HOLDS(active.fetch_add(1, std::memory_order_relaxed) < 2);
    weir::sim::point();
    ran.fetch_add(1, std::memory_order_relaxed);
    active.fetch_sub(1, std::memory_order_relaxed);
  };
  weir::sim::thread other([&] { for (int i = 0; i < 4; ++i) g.run(child); });
  for (int i = 0; i < 4; ++i) g.run(child);
  other.join();
  HOLDS(g.wait());
  HOLDS(ran.load(std::memory_order_relaxed) == 8);
}

// What a cancel ends and fires is of one round, and that round says so; what an error leaves unstarted does not start.
void a_cancel_meets_one_round() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::task_group g(rt);
  weir::sim::thread canceller([&] { g.cancel(); });
  int cancelled = 0;
  std::array<std::stop_token, 3> fine;
  for (std::stop_token& token : fine) {
    shared<int> ran{0};
    const std::stop_token mine = g.token();
    g.run([&] { ran.fetch_add(1, std::memory_order_relaxed); });
    if (const weir::status s = g.wait()) {
      HOLDS(ran.load(std::memory_order_relaxed) == 1);
      if (cancelled != 0) token = mine;
    } else {
      HOLDS(s.error().code == weir::errc::cancelled);
      ++cancelled;
    }
  }
  canceller.join();
  if (!g.wait()) ++cancelled;
  HOLDS(cancelled == 1);
  for (const std::stop_token& t : fine) HOLDS(!t.stop_requested());
  weir::task_group in_turn(rt, {.limit = 1});
  shared<int> after{0};
  in_turn.run([] { throw std::runtime_error("child"); });
  in_turn.run([&] { after.fetch_add(1, std::memory_order_relaxed); });
  HOLDS(!in_turn.wait());
  HOLDS(after.load(std::memory_order_relaxed) == 0);
}

void a_cancelled_group_runs_nothing_more() {
  weir::runtime rt(with_workers(up_to(2)));
  std::stop_source parent;
  shared<int> ran{0}, ended{0};
  {
    weir::task_group g(rt, {.limit = 1, .parent = parent.get_token()});
    weir::sim::thread canceller([&] {
      if (weir::sim::random() % 2 == 0) parent.request_stop();
      else g.cancel();
    });
    for (int i = 0; i < 5; ++i)
      g.run([&](std::stop_token t) {
        ran.fetch_add(1, std::memory_order_relaxed);
        if (t.stop_requested()) ended.fetch_add(1, std::memory_order_relaxed);
      });
    const weir::status s = g.wait();
    HOLDS(s || s.error().code == weir::errc::cancelled);
    canceller.join();
  }
  HOLDS(ran.load(std::memory_order_relaxed) <= 5);
  HOLDS(rt.drain().complete);
}

// Each runtime's only worker waits for a task of the other one, which waits for a task of the first: somebody must stand in.
void waits_in_waits_get_spares() {
  weir::runtime rt(with_workers(1)), there(with_workers(1));
  shared<int> ran{0};
  const auto there_and_back = [&] {
    const auto r = there.spawn([&] {
      const auto inner = rt.spawn([&] { return ran.fetch_add(1, std::memory_order_relaxed); }).get();
      HOLDS(inner);
      return 7;
    }).get();
    HOLDS(r && *r == 7);
    weir::task_group g(there);
    g.run([&] { HOLDS(rt.run([&] { return ran.fetch_add(1, std::memory_order_relaxed) >= 0; })); });
    HOLDS(g.wait());
  };
  auto first = rt.spawn(there_and_back), second = rt.spawn(there_and_back);
  weir::sim::thread helper([&] { HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })); });
  HOLDS(first.get() && second.get());
  helper.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == 5);
}

void a_handle_ends_once() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  weir::join_handle<int> h = rt.spawn([&] { return ran.fetch_add(1, std::memory_order_relaxed) + 1; });
  weir::join_handle<int> k = rt.spawn([&] { return ran.fetch_add(1, std::memory_order_relaxed) + 1; });
  weir::sim::thread canceller([&] { h.cancel(); });
  weir::sim::thread getter([&] {
    const auto r = k.get_until(weir::clock_type::now() + std::chrono::microseconds(5));
    HOLDS(r || r.error().code == weir::errc::timeout);
    if (!r) HOLDS(k.get());
  });
  canceller.join();
  const auto r = h.get();
  HOLDS(r || r.error().code == weir::errc::cancelled);
  getter.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == (r ? 2 : 1));
}

void a_stop_token_ends_what_has_not_begun() {
  weir::runtime rt(with_workers(up_to(2)));
  std::stop_source stop;
  shared<int> ran{0};
  std::array<weir::join_handle<void>, 3> handles;
  weir::task_options o;
  o.stop = stop.get_token();
  weir::sim::thread stopper([&] { stop.request_stop(); });
  int refused = 0, cancelled = 0, ok = 0;
  for (auto& h : handles) h = rt.spawn([&] { ran.fetch_add(1, std::memory_order_relaxed); }, o);
  const weir::status s = rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }, o);
  if (!s) HOLDS(s.error().code == weir::errc::cancelled), ++refused;
  for (auto& h : handles) {
    const auto r = h.get();
    if (r) ++ok;
    else HOLDS(r.error().code == weir::errc::cancelled), ++cancelled;
  }
  stopper.join();
  HOLDS(rt.wait_idle());
  const int all_ran = ran.load(std::memory_order_relaxed);
  HOLDS(all_ran >= ok && all_ran <= ok + 1 - refused);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.cancelled);
}

// One worker has them in one batch, with something behind that waits for who waits for the group; or with nothing behind.
void a_group_hears_of_its_children_before_anything_else_begins() {
  weir::runtime rt(with_workers(1));
  weir::task_group g(rt);
  shared<bool> told{false};
  rt.pause();
  for (int i = 0; i < 12; ++i) HOLDS(rt.submit([] {}));
  for (int i = 0; i < 3; ++i) g.run([] {});
  if (weir::sim::random() % 2 == 0) {
    HOLDS(rt.submit([&] {
      for (int i = 0; i < 20000 && !told.load(std::memory_order_relaxed); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      HOLDS(told.load(std::memory_order_relaxed));
    }));
  }
  rt.resume();
  HOLDS(g.wait());
  told.store(true, std::memory_order_relaxed);
  HOLDS(rt.drain().complete);
}

// In the midst of them.
void a_worker_that_is_let_go_tells_its_groups() {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt);
  rt.pause();
  for (int i = 0; i < 8; ++i) HOLDS(rt.submit([] {}));
  for (int i = 0; i < 6; ++i) g.run([] { weir::sim::point(); });
  rt.resume();
  weir::sim::thread other([&] { HOLDS(rt.resize(1)); });
  HOLDS(g.wait());
  other.join();
  HOLDS(rt.drain().complete);
}

}  // namespace cases
