// Strands and limits.
#include "cases.hpp"

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <vector>

namespace cases {

namespace {

// A strand over the runtime, over a limit, or over another strand.
struct some_strand {
  explicit some_strand(weir::runtime& rt) : behind_limit(rt, 1 + up_to(2), 100), behind_strand(rt) {
    switch (weir::sim::random() % 3) {
      case 0: s.emplace(rt); break;
      case 1: s.emplace(behind_limit); break;
      default: s.emplace(static_cast<const weir::executor_ref&>(behind_strand)); break;
    }
  }
  weir::limited behind_limit;
  weir::strand behind_strand;
  std::optional<weir::strand> s;
};

}  // namespace

void a_strand_is_serial() {
  weir::runtime rt(with_workers(up_to(3)));
  some_strand made(rt);
  weir::strand& s = *made.s;
  shared<int> inside{0}, ran{0};
  std::array<shared<int>, 2> next{};
  const auto task = [&](std::size_t who, int i) {
    return [&, who, i] {
      HOLDS(inside.fetch_add(1, rlx) == 0);
      weir::sim::point();
      HOLDS(next[who].load(rlx) == i);
      next[who].store(i + 1, rlx);
      ran.fetch_add(1, rlx);
      HOLDS(inside.fetch_sub(1, rlx) == 1);
    };
  };
  const auto submit_all = [&](std::size_t who) {
    HOLDS(s.submit(task(who, 0)));
    auto h = s.spawn(task(who, 1));
    HOLDS(s.submit([&, who, f = task(who, 2), big = std::vector<int>(3, 7)]() mutable {
      HOLDS(big.size() == 3);
      f();
      HOLDS(s.submit(task(who, 3)));
    }));
    if (weir::sim::random() % 2 == 0) HOLDS(h.get());
  };
  weir::sim::thread a([&] { submit_all(0); });
  submit_all(1);
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(rlx) == 8);
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == 8 && m.ok == 8);
}

// The callers of submit meet the end of the runtime in each of its steps, and nothing is left in a queue that nobody looks at
// any more.
void a_strand_against_a_shutdown() {
  weir::runtime rt(with_workers(up_to(2)));
  std::optional<some_strand> made(std::in_place, rt);
  const weir::strand s = *made->s;
  made.reset();
  shared<int> ran{0}, sunk{0}, inside{0};
  const bool aborts = weir::sim::random() % 2 == 0;
  const auto task = [&] {
    if (!aborts) HOLDS(inside.fetch_add(1, rlx) == 0);  // a sink may run beside the last task
    weir::sim::point();
    ran.fetch_add(1, rlx);
    if (!aborts) inside.fetch_sub(1, rlx);
  };
  const auto submit_until_closed = [&] {
    for (int i = 0; i < 4; ++i) {
      const weir::status said = s.submit([&] {
        static_cast<void>(s.submit(task));
        task();
      });
      HOLDS(said || said.error().code == weir::errc::stopped);
      s.spawn(task).detach();
    }
  };
  weir::sim::thread a(submit_until_closed);
  weir::report r;
  if (aborts) r = rt.abort([&](weir::task_fn&&) { sunk.fetch_add(1, rlx); });
  else if (weir::sim::random() % 2 == 0) r = rt.drain();
  else if (r = rt.drain(weir::clock_type::now() + std::chrono::microseconds(5)); !r.complete) r = rt.drain();
  HOLDS(r.complete);
  a.join();
  const weir::snapshot m = rt.metrics();
  HOLDS(m.submitted == m.ok + m.stopped);
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(rlx)));
  HOLDS(!aborts || m.stopped == static_cast<std::uint64_t>(sunk.load(rlx)));
}

// It may end, by a turn or by a shutdown, while its submitter is still in the call.
void a_task_holds_the_last_of_its_strand() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::sim::thread a([&] {
    for (int i = 0; i < 2; ++i) {
      auto s = std::make_shared<weir::strand>(rt);
      weir::strand& strand = *s;
      const weir::status said = strand.submit([s = std::move(s)] {});
      HOLDS(said || said.error().code == weir::errc::stopped);
    }
    auto l = std::make_shared<weir::limited>(rt, 2, 8);
    weir::limited& limited = *l;
    static_cast<void>(limited.submit([] {}));
    static_cast<void>(limited.submit([l = std::move(l)] {}));
  });
  if (weir::sim::random() % 2 == 0) HOLDS(rt.abort([](weir::task_fn&&) {}).complete);
  a.join();
}

// Its last handle goes while an abort takes out what waits there: a turn may be the last that holds it.
void a_strand_goes_while_it_is_flushed() {
  weir::runtime rt(with_workers(1));
  shared<int> ran{0}, sunk{0}, accepted{0};
  weir::sim::thread a([&] {
    for (int i = 0; i < 2; ++i) {
      weir::strand s(rt);
      for (int k = 0; k < 2; ++k)
        if (s.submit([&] { ran.fetch_add(1, rlx); })) accepted.fetch_add(1, rlx);
    }
  });
  HOLDS(rt.abort([&](weir::task_fn&&) { sunk.fetch_add(1, rlx); }).complete);
  a.join();
  HOLDS(ran.load(rlx) + sunk.load(rlx) == accepted.load(rlx));
}

void a_limit_uses_all_its_places() {
  weir::runtime rt(with_workers(2 + up_to(2)));
  weir::limited two(rt, 2, 10);
  shared<int> inside{0}, met{0}, ran{0};
  const auto alone = [&] {
    HOLDS(inside.fetch_add(1, rlx) < 2);
    weir::sim::point();
    inside.fetch_sub(1, rlx);
    ran.fetch_add(1, rlx);
  };
  const auto meets = [&] {
    HOLDS(inside.fetch_add(1, rlx) < 2);
    met.fetch_add(1, rlx);
    while (met.load(rlx) < 2) std::this_thread::yield();
    inside.fetch_sub(1, rlx);
    ran.fetch_add(1, rlx);
  };
  weir::sim::thread a([&] {
    HOLDS(two.submit(alone));
    HOLDS(two.submit(meets));
  });
  HOLDS(two.submit(meets));
  HOLDS(two.try_submit_bulk(std::vector<std::function<void()>>(2, alone)));
  a.join();
  HOLDS(rt.wait_idle());
  HOLDS(ran.load(rlx) == 5);
}

void room_in_a_limit_is_not_slept_over() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::limited one(rt, 1, 1, weir::on_full::block);
  shared<int> accepted{0}, ran{0};
  const bool drains = weir::sim::random() % 2 == 0;
  const auto submit_three = [&] {
    for (int i = 0; i < 3; ++i) {
      const weir::status s = one.submit([&] { ran.fetch_add(1, rlx); });
      if (s) accepted.fetch_add(1, rlx);
      else HOLDS(drains && s.error().code == weir::errc::stopped);
    }
  };
  weir::sim::thread a(submit_three), b(submit_three);
  if (weir::sim::random() % 2 == 0) {
    auto h = one.spawn([] {}, {.start_by = weir::clock_type::now() + std::chrono::microseconds(3)});
    h.cancel();
  }
  if (drains) HOLDS(rt.drain().complete);
  a.join();
  b.join();
  HOLDS(drains || rt.wait_idle());
  HOLDS(ran.load(rlx) == accepted.load(rlx));
  HOLDS(drains || ran.load(rlx) == 6);
}

// As in a runtime: each one that gets in beyond the capacity has cost one of the limit's own that was there before. A strand in front of it is
// represented by its turn, which stays, and what is taken out lies behind it, at the end of the list.
void the_oldest_of_a_limit_makes_room() {
  weir::runtime rt(with_workers(up_to(2)));
  weir::limited one(rt, 1, 3, weir::on_full::drop_oldest);
  weir::strand in_front(one);
  shared<int> ran{0}, accepted{0}, full{0};
  const auto run_one = [&] { ran.fetch_add(1, rlx); };
  const auto offer = [&] {
    for (int i = 0; i < 4; ++i) {
      weir::status s;
      if (i % 2 != 0) s = one.submit(run_one);
      else {
        auto h = one.spawn(run_one, {.name = "with a handle"});
        if (i == 0) rt.resume();
        const auto r = h.get();
        s = r || r.error().code == weir::errc::dropped ? weir::status() : weir::status(r.error());
      }
      (s ? accepted : full).fetch_add(1, rlx);
      HOLDS(s || s.error().code == weir::errc::full);
    }
  };
  rt.pause();
  const bool strand_first = weir::sim::random() % 2 == 0;
  if (strand_first)
    for (int i = 0; i < 2; ++i) {
      HOLDS(in_front.submit(run_one));
      accepted.fetch_add(1, rlx);
    }
  if (strand_first)
    for (int i = 0; i < 2; ++i) {
      HOLDS(one.submit(run_one));
      accepted.fetch_add(1, rlx);
    }
  weir::sim::thread a(offer), b(offer);
  a.join();
  b.join();
  if (!strand_first && in_front.submit(run_one)) accepted.fetch_add(1, rlx);
  HOLDS(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(m.ok == static_cast<std::uint64_t>(ran.load(rlx)) && m.submitted == m.ok + m.dropped);
  HOLDS(m.submitted == static_cast<std::uint64_t>(accepted.load(rlx)));
  HOLDS(m.rejected == static_cast<std::uint64_t>(full.load(rlx)));
  rt.pause();
  for (int i = 0; i < 3; ++i) HOLDS(one.try_submit(run_one));
  HOLDS(!one.try_submit(run_one));
  rt.drain();
}

void what_does_not_fit_in_a_limit_runs_there_or_ends() {
  weir::runtime rt(with_workers(up_to(2)));
  const bool discards = weir::sim::random() % 2 == 0, drains = weir::sim::random() % 2 == 0;
  weir::limited one(rt, 1, 1, discards ? weir::on_full::discard : weir::on_full::caller_runs);
  shared<int> ran{0}, accepted{0}, discarded{0};
  shared<bool> drained{false};
  const auto task = [&] {
    HOLDS(!drained.load(rlx));
    ran.fetch_add(1, rlx);
  };
  const auto offer = [&] {
    for (int i = 0; i < 3; ++i) {
      weir::status s;
      if (i != 1) s = one.submit(task);
      else if (const auto r = one.spawn(task).get(); !r) s = r.error();
      if (s) accepted.fetch_add(1, rlx);
      else if (s.error().code == weir::errc::dropped) discarded.fetch_add(1, rlx);
      else HOLDS(drains && s.error().code == weir::errc::stopped);
    }
  };
  weir::sim::thread a(offer), b(offer);
  if (drains) {
    HOLDS(rt.drain().complete);
    drained.store(true, rlx);
  }
  a.join();
  b.join();
  HOLDS(drains || rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  HOLDS(ran.load(rlx) == accepted.load(rlx) && m.ok == static_cast<std::uint64_t>(accepted.load(rlx)));
  HOLDS(discards ? m.dropped == static_cast<std::uint64_t>(discarded.load(rlx)) : discarded.load(rlx) == 0 && m.dropped == 0);
  HOLDS(m.submitted == m.ok + m.dropped);
  HOLDS(drains || m.submitted == 6);
}

void a_stream_hands_out_each_result_once() {
  weir::runtime rt(with_workers(up_to(2)));
  const bool ordered = weir::sim::random() % 2 == 0, reads_late = weir::sim::random() % 4 == 0;
  const auto end = weir::sim::random() % 3;  // closed by the submitter, by another thread, or cancelled
  std::stop_source stop;
  weir::result_stream<int> results(rt, {.capacity = 1 + weir::sim::random() % 2,
                                        .ordered = ordered,
                                        .limit = static_cast<unsigned>(weir::sim::random() % 2),
                                        .stop = stop.get_token()});
  shared<int> accepted{0};
  weir::sim::thread in([&] {
    for (int i = 0; i < 3; ++i) {
      const weir::status said = results.submit([i] {
        weir::sim::point();
        return i;
      });
      if (said) accepted.fetch_add(1, rlx);
      else HOLDS(end == 1 ? said.error().code == weir::errc::stopped : end == 2 && said.error().code == weir::errc::cancelled);
    }
    if (end == 0) results.close();
  });
  weir::sim::thread other([&] {
    if (end == 1) results.close();
    if (end == 2) stop.request_stop();
  });
  if (end != 0 && reads_late) in.join();  // who is blocked hears of the end without a reader
  int got = 0, next = 0;
  while (const auto r = results.next()) {
    ++got;
    HOLDS(*r || (end == 2 && r->error().code == weir::errc::cancelled));
    if (!*r) continue;
    HOLDS(!ordered || **r >= next);
    next = **r + 1;
  }
  if (end == 0 || !reads_late) in.join();
  other.join();
  HOLDS(got == accepted.load(rlx));
  HOLDS(end != 0 || got == 3);
  HOLDS(!results.next());
}

}  // namespace cases
