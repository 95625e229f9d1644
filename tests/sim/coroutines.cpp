// Coroutines: what wakes them, and how their runtime ends.
#include "cases.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory_resource>
#include <optional>
#include <vector>

namespace cases {

namespace {

using namespace std::chrono_literals;
using weir::task;

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

// Counts what is out, and looks whether somebody still writes to what has come back.
class graveyard : public std::pmr::memory_resource {
 public:
  ~graveyard() override {
    for (const block& b : dead_) std::pmr::new_delete_resource()->deallocate(b.begin, b.bytes, b.align);
  }
  std::size_t out() const noexcept { return out_; }
  bool is_untouched() const noexcept {
    for (const block& b : dead_)
      for (std::size_t i = 0; i < b.bytes; ++i)
        if (b.begin[i] != std::byte{0xdd}) return false;
    return true;
  }

 private:
  struct block {
    std::byte* begin;
    std::size_t bytes, align;
  };
  void* do_allocate(std::size_t n, std::size_t a) override {
    ++out_;
    return std::pmr::new_delete_resource()->allocate(n, a);
  }
  void do_deallocate(void* p, std::size_t n, std::size_t a) override {
    --out_;
    std::fill_n(static_cast<std::byte*>(p), n, std::byte{0xdd});
    dead_.push_back({static_cast<std::byte*>(p), n, a});
  }
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
  std::size_t out_ = 0;
  std::vector<block> dead_;
};

// Frames that are no part of a slab.
task<int> awaits_in_a_large_frame(weir::executor_ref e, int n) {
  char room[1000];
  char* volatile escaped = room;  // else the optimiser keeps one byte of it
  escaped[n] = 1;
  {
    auto h = weir::spawn(e, gives(n));
    n = (co_await h).value_or(-1);
  }
  weir::task_group g(e);
  g.run([] { weir::sim::point(); });
  if (!co_await g) co_return -1;
  co_return n + escaped[n];
}

}  // namespace

void a_frame_that_has_gone_is_left_alone() {
  graveyard grave;
  {
    weir::options o = with_workers(1 + up_to(2));
    o.memory = &grave;
    weir::runtime rt(o);
    HOLDS(weir::spawn(rt, awaits_in_a_large_frame(rt, 6)).get().value_or(0) == 7);
    auto outer = [](weir::runtime& in) -> task<int> { co_return co_await awaits_in_a_large_frame(in, 7); };
    HOLDS(weir::spawn(rt, outer(rt)).get().value_or(0) == 8);
    HOLDS(grave.is_untouched());
  }
  HOLDS(grave.is_untouched());
}

void a_limit_of_coroutines_leaves_no_turn_behind() {
  graveyard grave;
  {
    weir::options o = with_workers(up_to(2));
    o.memory = &grave;
    weir::runtime rt(o);
    weir::limited l(rt, 2, 8);
    for (unsigned i = 0, n = 1 + up_to(2); i < n; ++i) weir::spawn(l, goes_on(1)).detach();
    if (weir::sim::random() % 2 == 0) HOLDS(rt.abort().complete);
    else HOLDS(rt.drain(weir::clock_type::now() + 3us).complete || rt.drain().complete);
    if (weir::sim::random() % 2 == 0) {
      HOLDS(rt.restart());
      HOLDS(l.spawn([] {}).get());
    }
  }
  HOLDS(grave.out() == 0);  // nothing holds the core any more
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
