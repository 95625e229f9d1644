// Submission and capacity.
#include "cases.hpp"

#include <array>
#include <memory>
#include <vector>

namespace cases {

namespace {

// Each task has a number, and counts its starts there.
template <std::size_t N>
struct ledger {
  std::array<shared<int>, N> starts{};
  void start(std::size_t i) { starts[i].fetch_add(1, std::memory_order_relaxed); }
  bool each_once() {
    for (auto& n : starts)
      if (n.load(std::memory_order_relaxed) != 1) return false;
    return true;
  }
};

}  // namespace

void every_accepted_task_runs_once() {
  weir::runtime rt(with_workers(up_to(3)));
  ledger<12> seen;
  const auto submit_three = [&](std::size_t from) {
    HOLDS(rt.submit([&, from] { seen.start(from); }));
    HOLDS(rt.submit([&, from, big = std::vector<int>(3, 7)] {  // boxed; it submits a child
      HOLDS(big.size() == 3);
      HOLDS(weir::here().submit([&, from] { seen.start(from + 1); }));
    }));
    HOLDS(rt.submit([&, from] { seen.start(from + 2); }));
  };
  weir::sim::thread a([&] { submit_three(0); }), b([&] { submit_three(3); });
  submit_three(6);
  a.join();
  submit_three(9);
  b.join();
  const weir::report r = rt.drain();
  HOLDS(r.complete && r.stopped == 0);
  HOLDS(seen.each_once());
}

void lanes_bulk_and_bound_tasks_run_once() {
  weir::runtime rt(with_workers(2));
  ledger<9> seen;
  weir::sim::thread other([&] {
    for (int i = 0; i < 2; ++i) {
      weir::task_options o;
      o.worker = i;
      HOLDS(rt.submit([&, i] {
        HOLDS(weir::this_task::worker() == i);
        seen.start(static_cast<std::size_t>(i));
      }, o));
    }
    std::vector<std::function<void()>> tasks;
    for (std::size_t i = 2; i < 5; ++i) tasks.emplace_back([&, i] { seen.start(i); });
    HOLDS(rt.try_submit_bulk(tasks));
  });
  std::size_t next = 5;
  for (weir::lane l : {weir::lane::low, weir::lane::high, weir::lane::normal, weir::lane::low}) {
    weir::task_options o;
    o.prio = l;
    HOLDS(rt.submit([&, i = next++] { seen.start(i); }, o));
  }
  other.join();
  rt.drain();
  HOLDS(seen.each_once());
}

void capacity_holds_and_the_blocked_get_room() {
  const unsigned workers = up_to(2);
  weir::options o = with_workers(workers);
  o.capacity = 2;
  weir::runtime rt(o);
  // Submits that have returned minus tasks that have said that they began: each worker may have one that has begun and
  // not said so.
  shared<int> unstarted{0}, ran{0};
  const auto submit = [&] {
    HOLDS(rt.submit([&] {
      unstarted.fetch_sub(1, std::memory_order_relaxed);
      ran.fetch_add(1, std::memory_order_relaxed);
    }));
    HOLDS(unstarted.fetch_add(1, std::memory_order_relaxed) + 1 <= 2 + static_cast<int>(workers));
  };
  weir::sim::thread a([&] { for (int i = 0; i < 4; ++i) submit(); }), b([&] { for (int i = 0; i < 3; ++i) submit(); });
  for (int i = 0; i < 3; ++i) submit();
  a.join();
  b.join();
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 10);
}

void one_place_is_not_slept_over() {
  weir::options o = with_workers(1);
  o.capacity = 1;
  weir::runtime rt(o);
  shared<int> ran{0};
  for (int i = 0; i < 5; ++i) HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 5);
}

void a_refusal_is_true() {
  weir::options o = with_workers(1);
  o.capacity = 3;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  shared<int> accepted{0}, offered{0}, begun{0};
  const auto offer = [&](int times) {
    for (int i = 0; i < times; ++i) {
      const int before = begun.load(std::memory_order_relaxed);
      offered.fetch_add(1, std::memory_order_relaxed);
      const weir::status s = rt.try_submit([&] { begun.fetch_add(1, std::memory_order_relaxed); });
      if (s) {
        accepted.fetch_add(1, std::memory_order_relaxed);
      } else {
        HOLDS(s.error().code == weir::errc::full);
        // At some instant of the call three were accepted and unstarted: of what had been offered by its end, the refused
        // left out, at most `before` had begun by its beginning.
        HOLDS(offered.fetch_sub(1, std::memory_order_relaxed) - 1 - before >= 3);
      }
    }
  };
  weir::sim::thread a([&] { offer(4); });
  offer(4);
  a.join();
  rt.drain();
  HOLDS(accepted.load(std::memory_order_relaxed) >= 3);
  HOLDS(begun.load(std::memory_order_relaxed) == accepted.load(std::memory_order_relaxed));
}

void threads_come_and_go() {
  weir::options o = with_workers(up_to(2));
  o.capacity = 4;
  o.full = weir::on_full::block;
  weir::runtime rt(o);
  shared<int> ran{0};
  for (int round = 0; round < 3; ++round) {
    weir::sim::thread a([&] { HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); })); });
    weir::sim::thread b([&] {
      auto h = rt.spawn([&] { return ran.fetch_add(1, std::memory_order_relaxed); });
      HOLDS(h.get());
    });
  }
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 6);
}

// The first one occupies a worker until the second has run: nobody may sleep over the second, whoever claimed it.
void a_task_may_wait_for_a_later_one() {
  weir::runtime rt(with_workers(2));
  shared<bool> second{false};
  weir::sim::thread other([&] { HOLDS(rt.submit([] {})); });
  HOLDS(rt.submit([&] {
    for (int i = 0; i < 100 && !second.load(std::memory_order_relaxed); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    HOLDS(second.load(std::memory_order_relaxed));
  }));
  HOLDS(rt.submit([&] { second.store(true, std::memory_order_relaxed); }));
  other.join();
  rt.drain();
}

void stale_tickets_are_swept() {
  weir::options o = with_workers(1);
  o.capacity = 2;
  weir::runtime rt(o);
  shared<int> ran{0}, cancelled{0};
  const auto spawn_and_cancel = [&] {
    for (int i = 0; i < 4; ++i) {
      auto h = rt.spawn([&] { ran.fetch_add(1, std::memory_order_relaxed); });
      h.cancel();
      const auto r = h.get();
      if (!r) {
        HOLDS(r.error().code == weir::errc::cancelled);
        cancelled.fetch_add(1, std::memory_order_relaxed);
      }
    }
  };
  weir::sim::thread a(spawn_and_cancel);
  spawn_and_cancel();
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(std::memory_order_relaxed) + cancelled.load(std::memory_order_relaxed) == 8);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(m.cancelled == static_cast<std::uint64_t>(cancelled.load(std::memory_order_relaxed)));
}

// The sweep takes the live job of the high lane out and puts it back, while a mark of the low lane stands and a worker finds the
// high one empty.
void a_swept_lane_is_marked_again() {
  weir::options o = with_workers(1);
  o.capacity = 4;
  weir::runtime rt(o);
  weir::task_options high, low;
  high.prio = weir::lane::high;
  low.prio = weir::lane::low;
  shared<int> ran{0};
  const auto run_one = [&] { ran.fetch_add(1, std::memory_order_relaxed); };
  rt.pause();
  HOLDS(rt.submit(run_one, low));
  rt.spawn([] {}, high).cancel();
  rt.spawn([] {}, high).cancel();
  auto live = rt.spawn(run_one, high);
  rt.spawn([] {}, high).cancel();
  weir::sim::thread other([&] { rt.resume(); });
  auto last = rt.spawn(run_one);  // more than half as many are stale as there is capacity: it sweeps
  other.join();
  rt.resume();
  HOLDS(live.get() && last.get());
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 3);
}

// Who sweeps has a strand's turn in hand. Its only task is cancelled, and the runtime ends; the turn comes back to queues that nobody
// looks into any more, and it holds its strand, which holds the core.
void what_a_sweep_holds_goes_with_its_runtime() {
  const std::int64_t before = memory.out;
  {
    weir::options o = with_workers(1);
    o.capacity = 2;
    weir::runtime rt(o);
    rt.pause();
    weir::strand s(rt);
    auto waits = s.spawn([] {});
    for (int i = 0; i < 2; ++i) rt.spawn([] {}).cancel();
    weir::sim::thread other([&] {
      waits.cancel();
      HOLDS(rt.drain().complete);
    });
    static_cast<void>(rt.spawn([] {}));  // more than half as many are stale as there is capacity: it sweeps
    other.join();
  }
  HOLDS(memory.out == before);
}

// The sweep of a former life puts back what has ended meanwhile: the workers of the next one let go of it, and rest.
void what_a_sweep_holds_over_a_restart_is_let_go_of() {
  weir::options o = with_workers(1);
  o.capacity = 2;
  weir::runtime rt(o);
  rt.pause();
  auto held = rt.spawn([] {}, {.prio = weir::lane::high});
  for (int i = 0; i < 2; ++i) rt.spawn([] {}, {.prio = weir::lane::high}).cancel();
  weir::sim::thread other([&] {
    held.cancel();
    HOLDS(rt.drain().complete);
    HOLDS(rt.restart());
  });
  static_cast<void>(rt.spawn([] {}, {.prio = weir::lane::high}));
  other.join();
  HOLDS(rt.wait_idle());
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  HOLDS(rt.metrics().queued == 0);
}

// The same of whoever looks for the oldest: he passes over the turn.
void what_is_passed_over_goes_with_its_runtime() {
  const std::int64_t before = memory.out;
  {
    weir::options o = with_workers(1);
    o.capacity = 1;
    o.full = weir::on_full::drop_oldest;
    weir::runtime rt(o);
    rt.pause();
    weir::strand s(rt);
    auto waits = s.spawn([] {});
    weir::sim::thread other([&] {
      waits.cancel();
      HOLDS(rt.drain().complete);
    });
    static_cast<void>(rt.submit([] {}));
    other.join();
  }
  HOLDS(memory.out == before);
}

// A bound task holds the only place while its worker is let go, and is refused: there is no start that would tell who waits for it.
void a_refused_task_gives_its_place_to_the_blocked() {
  weir::options o = with_workers(2);
  o.capacity = 1;
  o.full = weir::on_full::block;
  weir::runtime rt(o);
  shared<int> ran{0}, accepted{0};
  struct slow_to_copy {  // which happens between admission and queue
    shared<int>& ran;
    explicit slow_to_copy(shared<int>& r) : ran(r) {}
    slow_to_copy(const slow_to_copy& from) : ran(from.ran) { std::this_thread::sleep_for(std::chrono::milliseconds(1)); }
    void operator()() const { ran.fetch_add(1, std::memory_order_relaxed); }
  };
  const slow_to_copy count_it(ran);
  weir::sim::thread bound([&] {
    weir::task_options to;
    to.worker = 1;
    const bool ok = weir::sim::random() % 2 != 0 ? static_cast<bool>(rt.spawn(count_it, to).get()) : static_cast<bool>(rt.submit(count_it, to));
    if (ok) accepted.fetch_add(1, std::memory_order_relaxed);
  });
  std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 1000));
  HOLDS(rt.resize(1));
  HOLDS(rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); }));
  bound.join();
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 1 + accepted.load(std::memory_order_relaxed));
}

// Nothing starts, and there is a place for each: what a thread has in advance when it ends belongs to who waits.
void room_in_advance_is_not_slept_over() {
  weir::options o = with_workers(1);
  o.capacity = 16;
  weir::runtime rt(o);
  shared<int> ran{0};
  shared<bool> has_two{false};
  const auto run_one = [&] { ran.fetch_add(1, std::memory_order_relaxed); };
  const auto submit = [&](std::size_t n) { HOLDS(rt.try_submit_bulk(std::vector<std::function<void()>>(n, run_one))); };
  rt.pause();
  submit(2);
  weir::sim::thread passing([&] {
    HOLDS(rt.submit(run_one));  // of what is free it takes a sixth: two
    has_two.store(true, std::memory_order_relaxed);
  });
  while (!has_two.load(std::memory_order_relaxed)) std::this_thread::yield();
  submit(12);
  HOLDS(rt.submit(run_one));
  passing.join();
  HOLDS(ran.load(std::memory_order_relaxed) == 0);
  rt.resume();
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed) == 16);
}

// The only place is free again. One who waits for it gives up, perhaps while it is being given to him; somebody else asks for it, and
// is told `full` only if the other has got it.
void who_gives_up_leaves_his_place() {
  weir::options o = with_workers(1);
  o.capacity = 1;
  weir::runtime rt(o);
  rt.pause();
  auto first = rt.spawn([] {});
  std::stop_source stop;
  shared<bool> got{false};
  weir::sim::thread waiter([&] {
    weir::task_options may_stop;
    may_stop.stop = stop.get_token();
    const weir::status said = rt.submit([] {}, may_stop);
    HOLDS(said || said.error().code == weir::errc::cancelled);
    got.store(static_cast<bool>(said), std::memory_order_relaxed);
  });
  weir::sim::thread other([&] { stop.request_stop(); });
  first.cancel();
  const weir::status said = rt.try_submit([] {});
  HOLDS(said || said.error().code == weir::errc::full);
  waiter.join();
  other.join();
  HOLDS(said || got.load(std::memory_order_relaxed));  // perhaps both: a stop gives the place of an accepted task back, too
  rt.resume();
  rt.drain();
}

// What does not fit runs on the caller, and a drain that returns has seen its end.
void the_caller_runs_what_does_not_fit() {
  weir::options o = with_workers(1);
  o.capacity = 1;
  o.full = weir::on_full::caller_runs;
  weir::runtime rt(o);
  shared<int> ran{0}, accepted{0};
  shared<bool> drained{false};
  const auto submit = [&] {
    for (int i = 0; i < 3; ++i)
      if (rt.submit([&] {
            HOLDS(!drained.load(std::memory_order_relaxed));
            ran.fetch_add(1, std::memory_order_relaxed);
            HOLDS(!drained.load(std::memory_order_relaxed));
          }))
        accepted.fetch_add(1, std::memory_order_relaxed);
  };
  weir::sim::thread a(submit), b(submit);
  const weir::report r = rt.drain();
  drained.store(true, std::memory_order_relaxed);
  const int by_then = ran.load(std::memory_order_relaxed);
  a.join();
  b.join();
  HOLDS(r.complete && r.ran == static_cast<std::uint64_t>(by_then));
  HOLDS(ran.load(std::memory_order_relaxed) == by_then && accepted.load(std::memory_order_relaxed) == by_then);
}

// Each one that gets in beyond the capacity has cost one that was there before, and the room is all there in the end.
void the_oldest_makes_room() {
  weir::options o = with_workers(up_to(2));
  o.capacity = 3;
  o.full = weir::on_full::drop_oldest;
  weir::runtime rt(o);
  shared<int> ran{0}, accepted{0}, dropped{0};
  const auto run_one = [&] { ran.fetch_add(1, std::memory_order_relaxed); };
  const auto offer = [&] {
    for (int i = 0; i < 4; ++i) {
      if (i % 2 != 0) {
        if (rt.submit(run_one)) accepted.fetch_add(1, std::memory_order_relaxed);
      } else {
        auto h = rt.spawn(run_one);
        if (i == 0) rt.resume();
        const auto r = h.get();
        if (r || r.error().code == weir::errc::dropped) accepted.fetch_add(1, std::memory_order_relaxed);
        if (!r && r.error().code == weir::errc::dropped) dropped.fetch_add(1, std::memory_order_relaxed);
      }
    }
  };
  rt.pause();
  weir::sim::thread a(offer), b(offer);
  a.join();
  b.join();
  HOLDS(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)));
  HOLDS(m.dropped >= static_cast<std::uint64_t>(dropped.load(std::memory_order_relaxed)));
  HOLDS(m.ok + m.dropped == static_cast<std::uint64_t>(accepted.load(std::memory_order_relaxed)) && m.submitted == m.ok + m.dropped);
  rt.pause();
  for (int i = 0; i < 3; ++i) HOLDS(rt.try_submit(run_one));
  HOLDS(!rt.try_submit(run_one));
  rt.drain();
}

void what_does_not_fit_is_discarded() {
  weir::options o = with_workers(1);
  o.capacity = 2;
  o.full = weir::on_full::discard;
  weir::runtime rt(o);
  shared<int> ran{0}, discarded{0};
  const auto offer = [&] {
    for (int i = 0; i < 4; ++i) {
      const weir::status s = rt.submit([&] { ran.fetch_add(1, std::memory_order_relaxed); });
      HOLDS(s || s.error().code == weir::errc::dropped);
      if (!s) discarded.fetch_add(1, std::memory_order_relaxed);
    }
  };
  weir::sim::thread a(offer);
  offer();
  a.join();
  HOLDS(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(std::memory_order_relaxed)) && m.submitted == 8);
  HOLDS(m.dropped == static_cast<std::uint64_t>(discarded.load(std::memory_order_relaxed)) && m.ok + m.dropped == 8);
}

// Tasks that are taken under overload, while their handles cancel them and a drain may stop them: each ends once, and the callable of
// each is gone. The first task makes it overloaded, unless time jumps.
void an_overload_ends_each_task_once() {
  weir::options o = with_workers(1);
  o.capacity = 10;
  o.codel_target = std::chrono::milliseconds(1);
  weir::runtime rt(o);
  weir::strand s(rt);
  shared<int> ran{0}, alive{0};
  struct counted {
    shared<int>*alive, *ran;
    counted(shared<int>& a, shared<int>& r) : alive(&a), ran(&r) { alive->fetch_add(1, rlx); }
    counted(counted&& other) noexcept : alive(other.alive), ran(other.ran) { alive->fetch_add(1, rlx); }
    ~counted() { alive->fetch_sub(1, rlx); }
    void operator()() const { ran->fetch_add(1, rlx); }
  };
  const bool drains = weir::sim::random() % 4 == 0;
  rt.pause();
  HOLDS(rt.submit([] { std::this_thread::sleep_for(std::chrono::milliseconds(110)); }));
  std::vector<weir::join_handle<void>> handles;
  for (int i = 0; i < 3; ++i) {
    handles.push_back(rt.spawn(counted(alive, ran)));
    handles.push_back(s.spawn(counted(alive, ran)));
  }
  HOLDS(rt.submit(counted(alive, ran)));
  HOLDS(s.submit(counted(alive, ran)));
  std::this_thread::sleep_for(std::chrono::milliseconds(2));
  rt.resume();
  weir::sim::thread canceller([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(110));
    for (std::size_t i = 0; i < handles.size(); ++i)
      if (i % 3 != 0) handles[i].cancel();
  });
  weir::sim::thread drainer([&] {
    if (drains) rt.drain();
  });
  canceller.join();
  std::uint64_t ok = 0, expired = 0, cancelled = 0;
  for (auto& h : handles) {
    const auto r = h.get();
    if (r) ++ok;
    else if (r.error().code == weir::errc::expired) ++expired;
    else if (r.error().code == weir::errc::cancelled) ++cancelled;
    else HOLDS(false);
  }
  drainer.join();
  HOLDS(drains || rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == 9 && m.ok + m.expired + m.cancelled == 9);
  HOLDS(m.cancelled == cancelled && m.expired >= expired && m.expired <= expired + 2 && m.shed == m.expired);
  HOLDS(static_cast<std::uint64_t>(ran.load(rlx)) + 1 == m.ok && ok <= m.ok);
  HOLDS(alive.load(rlx) == 0);
  if (drains) return;
  rt.pause();
  for (int i = 0; i < 10; ++i) HOLDS(rt.try_submit([] {}));
  HOLDS(!rt.try_submit([] {}));
}

// One worker is busy until its child has run, the other has a stream from outside: of starvation_bound tasks that it starts while
// the child waits, the child is one.
void a_stream_passes_over_no_child() {
  weir::options o = with_workers(2);
  o.starvation_bound = 8;
  weir::runtime rt(o);
  constexpr int stream = 60;
  shared<int> streamed{0}, before{stream};
  shared<bool> child{false};
  rt.pause();
  HOLDS(rt.submit([&] {
    HOLDS(weir::here().submit([&] {
      HOLDS(streamed.load(std::memory_order_relaxed) - before.load(std::memory_order_relaxed) < 8);
      child.store(true, std::memory_order_relaxed);
    }));
    before.store(streamed.load(std::memory_order_relaxed), std::memory_order_relaxed);
    for (int i = 0; i < 20000 && !child.load(std::memory_order_relaxed); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    HOLDS(child.load(std::memory_order_relaxed));
  }));
  for (int i = 0; i < stream; ++i) HOLDS(rt.submit([&] { streamed.fetch_add(1, std::memory_order_relaxed); }));
  rt.resume();
  rt.drain();
  HOLDS(streamed.load(std::memory_order_relaxed) == stream);
}

// Its jobs go ahead of the queue, and now and then it submits more than one.
void who_waits_for_each_task_keeps_its_order() {
  const unsigned workers = up_to(2);
  weir::runtime rt(with_workers(workers));
  constexpr int each = 9;
  struct sender {
    shared<int> begun{0};
    shared<int> late{0};  // began before an earlier one
  };
  std::array<sender, 2> senders;
  const auto send = [&](sender& me) {
    for (int i = 0; i < each; ++i) {
      HOLDS(rt.submit([&me, i] {
        if (me.begun.fetch_add(1, std::memory_order_relaxed) != i) me.late.fetch_add(1, std::memory_order_relaxed);
      }));
      if (i % 4 != 2)
        while (me.begun.load(std::memory_order_relaxed) != i + 1) std::this_thread::yield();
    }
  };
  weir::sim::thread a([&] { send(senders[0]); });
  send(senders[1]);
  a.join();
  HOLDS(rt.drain().complete);
  for (sender& s : senders) {
    HOLDS(s.begun.load(std::memory_order_relaxed) == each);
    HOLDS(workers != 1 || s.late.load(std::memory_order_relaxed) == 0);
  }
}

}  // namespace cases
