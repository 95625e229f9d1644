// Drain, abort, pause, rest, destructors, run().
#include "cases.hpp"

#include <memory>
#include <optional>
#include <stdexcept>

namespace cases {

void drain_against_submit() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> accepted{0}, ran{0};
  const auto submit_until_closed = [&] {
    for (int i = 0; i < 6; ++i) {
      const weir::status s = rt.submit([&] {
        if (weir::here().submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })) accepted.fetch_add(1, std::memory_order_relaxed);
        ran.fetch_add(1, std::memory_order_relaxed);
      });
      if (!s) {
        HOLDS(s.error().code == weir::errc::stopped);
        return;
      }
      accepted.fetch_add(1, std::memory_order_relaxed);
    }
  };
  weir::sim::thread a(submit_until_closed), b(submit_until_closed);
  const weir::report r = rt.drain();
  HOLDS(r.complete);
  a.join();
  b.join();
  HOLDS(ran.load(std::memory_order_relaxed) == accepted.load(std::memory_order_relaxed));
  HOLDS(r.ran == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)) && r.stopped == 0);
  HOLDS(!rt.submit([] {}));
}

void drain_past_its_limit() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0}, accepted{0};
  for (int i = 0; i < 4; ++i) {
    HOLDS(rt.submit([&](std::stop_token t) {
      for (int k = 0; k < 100 && !t.stop_requested(); ++k) std::this_thread::sleep_for(std::chrono::milliseconds(1));
      ran.fetch_add(1, std::memory_order_relaxed);
    }));
    accepted.fetch_add(1, std::memory_order_relaxed);
  }
  weir::sim::thread late([&] {
    if (rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })) accepted.fetch_add(1, std::memory_order_relaxed);
  });
  weir::report r = rt.drain(weir::clock_type::now() + std::chrono::milliseconds(10));
  late.join();
  if (!r.complete) r = rt.drain();
  HOLDS(r.complete);
  HOLDS(r.ran == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(r.ran + r.stopped == static_cast<std::uint64_t>(accepted.load(std::memory_order_relaxed)));
}

// A drain gives up; whatever comes to a queue after that ends all the same, and nobody drains again.
void what_a_drain_left_is_stopped() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> begun{0};
  weir::task_group g(rt, {.limit = 1, .cancel_on_error = false});
  for (int i = 0; i < 3; ++i)
    g.run([&] {
      begun.fetch_add(1, std::memory_order_relaxed);
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    });
  weir::sim::thread late([&] {
    auto h = rt.spawn([] { return 1; });
    const auto r = h.get();
    HOLDS(r || r.error().code == weir::errc::stopped);
  });
  static_cast<void>(rt.drain(weir::clock_type::now() + std::chrono::milliseconds(1)));
  const weir::status s = g.wait();
  HOLDS(s.has_value() == (begun.load(std::memory_order_relaxed) == 3));
  late.join();
}

namespace {
void abort_against(bool with_sink) {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> accepted{0}, ran{0}, sunk{0}, dropped{0};
  const auto submit_until_closed = [&] {
    for (int i = 0; i < 5; ++i) {
      const weir::status s = i % 2 == 0 ? rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })
                                        : rt.submit([&, end = counts_its_end(dropped)] { ran.fetch_add(1, std::memory_order_relaxed); });
      if (!s) return;
      accepted.fetch_add(1, std::memory_order_relaxed);
    }
  };
  weir::sim::thread a(submit_until_closed), b(submit_until_closed);
  auto h = rt.spawn([&] { ran.fetch_add(1, std::memory_order_relaxed); });
  std::function<void(weir::task_fn&&)> sink;
  if (with_sink) sink = [&](weir::task_fn&& f) {
    sunk.fetch_add(1, std::memory_order_relaxed);
    weir::task_fn mine = std::move(f);
    if (sunk.load(std::memory_order_relaxed) % 2 == 0) mine();
  };
  const weir::report r = rt.abort(sink);
  HOLDS(r.complete);
  a.join();
  b.join();
  const auto got = h.get();
  HOLDS(got || got.error().code == weir::errc::stopped);
  HOLDS(r.ran + r.stopped == static_cast<std::uint64_t>(accepted.load(std::memory_order_relaxed)) + 1);
  if (with_sink) HOLDS(static_cast<std::uint64_t>(sunk.load(std::memory_order_relaxed)) == r.stopped);
}
}  // namespace

void abort_against_submit() { abort_against(false); }
void abort_hands_out_what_did_not_run() { abort_against(true); }

void two_shut_down_at_once() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  for (int i = 0; i < 4; ++i) HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  weir::report first, second, third;
  weir::sim::thread a([&] { first = rt.drain(); });
  weir::sim::thread b([&] { second = weir::sim::random() % 2 == 0 ? rt.abort() : rt.drain(weir::clock_type::now() + std::chrono::microseconds(20)); });
  third = rt.drain();
  a.join();
  b.join();
  HOLDS(first.complete && third.complete);
  HOLDS(third.ran + third.stopped == 4 && third.ran == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
}

void pause_and_resume() {
  weir::runtime rt(with_workers(up_to(3)));
  shared<int> ran{0};
  const auto submit = [&] { for (int i = 0; i < 4; ++i) HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })); };
  weir::sim::thread a(submit);
  weir::sim::thread b([&] {
    rt.pause();
    rt.pause();
    rt.resume();
  });
  rt.pause();
  submit();
  rt.resume();
  a.join();
  b.join();
  rt.resume();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == 8);
}

// The worker has claimed tasks, sees the pause, and is on its way to sleep when the pause ends.
void a_short_pause_holds_nothing_up() {
  weir::runtime rt(with_workers(1));
  shared<int> ran{0};
  for (int i = 0; i < 3; ++i) HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  rt.pause();
  rt.resume();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == 3);
}

void wait_idle_sees_rest() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  const auto submit_and_wait = [&] {
    for (int i = 0; i < 2; ++i) {
      const int before = i;
      shared<bool> mine{false};
      HOLDS(rt.submit([&] {
        HOLDS(weir::here().submit([&] {
          ran.fetch_add(1, std::memory_order_relaxed);
          mine.store(true, std::memory_order_relaxed);
        }));
      }));
      HOLDS(rt.wait_idle());
      HOLDS(mine.load(std::memory_order_relaxed) && before == i);
    }
  };
  weir::sim::thread a(submit_and_wait);
  submit_and_wait();
  a.join();
  HOLDS(ran.load(std::memory_order_relaxed) == 4);
}

// What has been run in place leaves a stale ticket behind; an attempt that fails and a segment that suspends are begun and have not ended.
void nothing_runs_at_rest() {
  weir::runtime rt(with_workers(2));
  const weir::retry_policy at_once{.max_attempts = 3, .base = std::chrono::nanoseconds(0)};
  weir::task_options again;
  again.retry = &at_once;
  for (int i = 0; i < 2; ++i) {
    switch (weir::sim::random() % 3) {
      case 0: HOLDS(rt.submit([] { HOLDS(weir::here().spawn([] {}).get()); })); break;
      case 1:
        rt.spawn([n = 0]() mutable {
          if (++n < 3) throw std::runtime_error("not yet");
        }, again).detach();
        break;
      default: weir::spawn(rt, []() -> weir::task<> { co_await weir::yield(); }()).detach();
    }
  }
  HOLDS(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok && m.running == 0 && m.queued == 0);
}

void children_are_drained() {
  shared<int> ran{0};
  weir::runtime rt(with_workers(up_to(2)));
  struct chain {
    static void link(shared<int>& ran, int left) {
      ran.fetch_add(1, std::memory_order_relaxed);
      if (left != 0) HOLDS(weir::here().submit([&ran, left] { link(ran, left - 1); }));
    }
  };
  HOLDS(rt.submit([&] { chain::link(ran, 4); }));
  HOLDS(rt.submit([&] { chain::link(ran, 2); }));
  const weir::report r = rt.drain();
  HOLDS(r.ran == 8 && ran.load(std::memory_order_relaxed) == 8);
}

// The submitter does not know that its task is the last that holds the runtime, and that it ends before submit() returns.
void a_task_owns_the_runtime() {
  auto rt = std::make_unique<weir::runtime>(with_workers(up_to(2)));
  weir::runtime& there = *rt;
  shared<int> ran{0};
  HOLDS(there.submit([&ran, owner = std::move(rt)] { ran.fetch_add(1, std::memory_order_relaxed); }));
  while (ran.load(std::memory_order_relaxed) == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void the_destructor_on_an_own_worker() {
  auto ran = std::make_shared<shared<int>>(0);
  auto rt = std::make_shared<weir::runtime>(with_workers(up_to(2)));
  for (int i = 0; i < 2; ++i) HOLDS(rt->submit([ran] { ran->fetch_add(1, std::memory_order_relaxed); }));
  // Whoever is last destroys it: this thread, or a worker of its own.
  HOLDS(rt->submit([rt, ran] { ran->fetch_add(1, std::memory_order_relaxed); }));
  HOLDS(rt->submit([rt, ran] { HOLDS(weir::here().submit([ran] { ran->fetch_add(1, std::memory_order_relaxed); })); }));
  auto h = rt->spawn([ran] { return ran->fetch_add(1, std::memory_order_relaxed); });
  rt.reset();
  HOLDS(h.get());
  while (ran->load(std::memory_order_relaxed) < 5) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

void run_from_outside() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::sim::thread a([&] { HOLDS(rt.run([&] { return rt.run([] { return 5; }); }) == 5); });
  weir::sim::thread b([&] {
    bool caught = false;
    try {
      rt.run([]() -> int { throw std::runtime_error("inside"); });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    HOLDS(caught);
  });
  HOLDS(rt.run([] { return weir::this_task::worker() >= 0; }));
}

void run_against_drain() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0}, returned{0};
  const auto run = [&] {
    try {
      rt.run([&] { ran.fetch_add(1, std::memory_order_relaxed); });
      returned.fetch_add(1, std::memory_order_relaxed);
    } catch (const std::system_error& e) {
      HOLDS(e.code() == weir::errc::stopped);
    }
  };
  weir::sim::thread a(run), b(run);
  if (weir::sim::random() % 2 == 0) rt.drain();
  else rt.abort();
  a.join();
  b.join();
  HOLDS(ran.load(std::memory_order_relaxed) == returned.load(std::memory_order_relaxed));
}

void a_runtime_in_a_runtime() {
  weir::runtime outer(with_workers(up_to(2)));
  shared<int> ran{0};
  weir::sim::thread a([&] { HOLDS(outer.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })); });
  outer.run([&] {
    weir::runtime inner(with_workers(1));
    HOLDS(inner.run([&] { return 3; }) == 3);
    HOLDS(inner.submit([&] { HOLDS(outer.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })); }));
  });
  a.join();
  outer.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 2);
}

void handles_outlive_the_runtime() {
  std::optional<weir::join_handle<int>> h, k;
  std::optional<weir::task_group> g;
  shared<int> ran{0};
  {
    weir::runtime rt(with_workers(up_to(2)));
    h.emplace(rt.spawn([] { return 1; }));
    k.emplace(rt.spawn([] { return 2; }));
    g.emplace(rt);
    g->run([&] { ran.fetch_add(1, std::memory_order_relaxed); });
  }
  weir::sim::thread a([&] { k.reset(); });
  HOLDS(h->get() && g->wait());
  HOLDS(ran.load(std::memory_order_relaxed) == 1);
}

// The drain stops the workers as soon as it has seen the rest; who only waits must hear of it all the same.
void wait_idle_beside_a_drain() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  for (int i = 0; i < 2; ++i) HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  const auto wait = [&] {
    HOLDS(rt.wait_idle());
    HOLDS(ran.load(std::memory_order_relaxed) == 2);
  };
  weir::sim::thread a(wait), b(wait);
  HOLDS(rt.drain().complete);
}

// Nobody has a deadline, so none is overdue; who looks at a task that has gone finds anything.
void two_look_at_what_runs() {
  weir::runtime rt(with_workers(1));
  const auto look = [&] {
    for (int i = 0; i < 3; ++i) HOLDS(rt.metrics().overdue.empty());
  };
  weir::sim::thread a(look), b(look);
  for (int i = 0; i < 4; ++i) HOLDS(rt.spawn([] {}).get());
  a.join();
  b.join();
}

// One of them leads, and asks what runs to stop while it ends.
void two_stops_at_once() {
  weir::runtime rt(with_workers(1 + up_to(2)));
  shared<int> ran{0};
  auto group = std::make_unique<weir::task_group>(rt);
  for (int i = 0; i < 2; ++i) {
    group->run([&] { ran.fetch_add(1, std::memory_order_relaxed); });
    HOLDS(rt.submit([&](std::stop_token) { ran.fetch_add(1, std::memory_order_relaxed); }));
  }
  const auto stop = [&] {
    if (weir::sim::random() % 2 == 0) rt.abort();
    else rt.drain(weir::clock_type::now());
  };
  weir::sim::thread a(stop), b(stop);
  a.join();
  b.join();
  static_cast<void>(group->wait());
  group.reset();
  const weir::report r = rt.drain();
  HOLDS(r.complete && r.ran == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
}

// Fewer and more workers beside submits, forks, bound tasks and waits.
void resized_while_it_works() {
  weir::runtime rt(with_workers(up_to(3)));
  shared<int> accepted{0}, ran{0}, forked{0};
  const auto submit = [&] {
    for (int i = 0; i < 6; ++i) {
      weir::task_options o;
      o.worker = i % 2 == 0 ? -1 : static_cast<int>(up_to(3)) - 1;
      const weir::status s = rt.submit(
          [&] {
            ran.fetch_add(1, std::memory_order_relaxed);
            const auto [a, b] = weir::fork_join([] { return 1; }, [] { return 2; });
            forked.fetch_add(a + b, std::memory_order_relaxed);
          },
          o);
      if (s) accepted.fetch_add(1, std::memory_order_relaxed);
      else HOLDS(s.error().code == weir::errc::invalid && o.worker >= 0);  // that worker is gone, or not there yet
    }
  };
  weir::sim::thread a(submit);
  weir::sim::thread b([&] {
    for (int i = 0; i < 3; ++i) {
      const unsigned n = up_to(3);
      HOLDS(rt.resize(n));
      HOLDS(rt.workers() == n);
    }
  });
  submit();
  HOLDS(rt.run([] { return 5; }) == 5);
  auto h = rt.spawn([] { return 6; });
  HOLDS(h.get());
  if (weir::sim::random() % 2 == 0) HOLDS(rt.wait_idle());
  a.join();
  b.join();
  const weir::report r = rt.drain();
  HOLDS(r.complete && ran.load(std::memory_order_relaxed) == accepted.load(std::memory_order_relaxed));
  HOLDS(forked.load(std::memory_order_relaxed) == 3 * ran.load(std::memory_order_relaxed));
}

// What was accepted for a worker it runs, though it is let go before, and though all pause.
void a_worker_that_is_let_go_reads_its_mail() {
  weir::runtime rt(with_workers(2));
  shared<int> ran{0}, accepted{0};
  if (weir::sim::random() % 2 == 0) rt.pause();
  weir::sim::thread a([&] {
    for (int i = 0; i < 3; ++i) {
      weir::task_options o;
      o.worker = 1;
      if (rt.submit([&] { HOLDS(weir::this_task::worker() == 1), ran.fetch_add(1, std::memory_order_relaxed); }, o))
        accepted.fetch_add(1, std::memory_order_relaxed);
    }
  });
  HOLDS(rt.resize(1));
  rt.resume();
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) == accepted.load(std::memory_order_relaxed));
}

void started_again_it_works_again() {
  weir::runtime rt(with_workers(up_to(2)));
  shared<int> ran{0};
  for (int round = 0; round < 2; ++round) {
    weir::sim::thread a([&] { static_cast<void>(rt.submit([&] { ran.fetch_add(100, std::memory_order_relaxed); })); });
    for (int i = 0; i < 3; ++i) static_cast<void>(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
    HOLDS(weir::sim::random() % 2 == 0 ? rt.drain().complete : rt.abort().complete);
    a.join();
    HOLDS(!rt.submit([] {}));
    HOLDS(rt.restart());
  }
  ran.store(0, std::memory_order_relaxed);
  HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  HOLDS(rt.drain().complete && ran.load(std::memory_order_relaxed) == 1);
}

// Whatever the workers have at hand when the pause comes.
void what_comes_after_a_pause_waits() {
  const unsigned workers = up_to(2);
  weir::runtime rt(with_workers(workers));
  weir::strand one(rt);
  weir::limited two(rt, 2, 10);
  shared<int> ran{0}, late{0};
  const auto kinds = weir::sim::random() % 16;
  const auto submit_all = [&](shared<int>& runs) {
    int n = 0;
    const auto f = [&runs] { runs.fetch_add(1, std::memory_order_relaxed); };
    const auto counted = [&n](bool accepted) {
      HOLDS(accepted);
      ++n;
    };
    if ((kinds & 1) != 0) counted(one.submit(f).has_value());
    if ((kinds & 2) != 0) counted(two.submit(f).has_value());
    if ((kinds & 4) != 0) counted(rt.submit(f, {.worker = 0}).has_value());
    for (int i = 0; i < 3 && (kinds & 8) != 0; ++i) counted(rt.submit(f).has_value());
    return n;
  };
  weir::sim::thread early([&] { rt.run([&] { ran.fetch_add(1, std::memory_order_relaxed); }); });
  const int before = submit_all(ran);
  rt.pause();
  const int after = submit_all(late);
  weir::sim::thread caller([&] { rt.run([&] { late.fetch_add(1, std::memory_order_relaxed); }); });
  std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 40));
  HOLDS(late.load(std::memory_order_relaxed) == 0);
  rt.resume();
  caller.join();
  early.join();
  HOLDS(rt.wait_idle());
  HOLDS(late.load(std::memory_order_relaxed) == after + 1 && ran.load(std::memory_order_relaxed) == before + 1);
}

// Who waits for rest in one life may still be there in the next.
void wait_idle_over_a_restart() {
  weir::runtime rt(with_workers(up_to(2)));
  HOLDS(rt.submit([] {}));
  weir::sim::thread b([&] { HOLDS(rt.wait_idle()); });
  HOLDS(weir::sim::random() % 2 == 0 ? rt.drain().complete : rt.abort().complete);
  HOLDS(rt.restart());
  for (int i = 0; i < 2; ++i) HOLDS(rt.submit([] {}));
  b.join();
}

}  // namespace cases
