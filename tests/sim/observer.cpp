// What an observer is told, and of what stalls.
#include "cases.hpp"

#include <cstdint>
#include <map>
#include <string_view>
#include <thread>
#include <vector>

namespace cases {

using namespace std::chrono_literals;

namespace {

// Simulated threads are fibers of one thread: no lock.
struct tells : weir::observer {
  struct fate {
    int starts = 0, ends = 0, discards = 0, stalls = 0;
  };
  std::map<std::uint64_t, fate> fates;
  int captured = 0, stalled = 0;
  static inline thread_local std::uintptr_t context = 0;

  void on_start(const weir::task_info& i) noexcept override {
    fate& f = fates[i.id];
    HOLDS(++f.starts == 1 && f.discards == 0);
    HOLDS(context == reinterpret_cast<std::uintptr_t>(i.captured));
  }
  void on_end(const weir::task_info& i, weir::errc) noexcept override {
    fate& f = fates[i.id];
    HOLDS(++f.ends == 1 && f.starts == 1);
  }
  void on_discard(const weir::task_info& i, weir::errc) noexcept override {
    fate& f = fates[i.id];
    HOLDS(++f.discards == 1 && f.starts == 0);
  }
  void on_stall(const weir::task_info& i) noexcept override {
    HOLDS(++fates[i.id].stalls == 1);
    ++stalled;
  }
  void* capture() noexcept override { return ++captured, reinterpret_cast<void*>(context); }
  void restore(void* p) noexcept override { context = reinterpret_cast<std::uintptr_t>(p); }
  void release(void*) noexcept override { --captured; }

  void check(std::uint64_t tasks) const {
    HOLDS(fates.size() == tasks);
    HOLDS(captured == 0);
    for (const auto& [id, f] : fates) HOLDS(f.ends == f.starts && f.starts + f.discards == 1);
  }
};

}  // namespace

void an_observer_hears_of_each_task_once() {
  tells seen;
  weir::options o = with_workers(up_to(2));
  o.obs = &seen;
  o.full = weir::on_full::reject;
  o.capacity = 4;
  if (weir::sim::random() % 2 == 0) o.stall_after = 1ms;
  weir::runtime rt(o);
  const auto ask = [&](std::uintptr_t mine) {
    tells::context = mine;
    const auto work = [mine] { HOLDS(tells::context == mine); };
    static_cast<void>(rt.submit(work));
    auto h = rt.spawn([&rt, mine] {
      static_cast<void>(weir::fork_join([] { weir::sim::point(); }, [mine] { HOLDS(tells::context == mine); }));
      static_cast<void>(rt.submit([mine] { HOLDS(tells::context == mine); }));
    });
    std::stop_source stop;
    static_cast<void>(rt.submit(work, {.stop = stop.get_token()}));
    weir::strand s(rt);
    static_cast<void>(weir::executor_ref(s).submit(work));
    auto t = weir::after(rt, std::chrono::nanoseconds(weir::sim::random() % 20'000), work);
    {
      weir::task_group g(rt, {.limit = 1});
      g.run(work);
      g.run(work);
      if (weir::sim::random() % 2 == 0) g.cancel();
      static_cast<void>(g.wait());
    }
    stop.request_stop();
    if (weir::sim::random() % 2 == 0) h.cancel();
    if (weir::sim::random() % 2 == 0) t.detach();
    HOLDS(tells::context == mine);
  };
  weir::sim::thread a([&] { ask(1); });
  switch (weir::sim::random() % 3) {
    case 0: static_cast<void>(rt.drain(weir::clock_type::now())); break;
    case 1: rt.abort([](weir::task_fn&&) {}); break;
    default: ask(2);
  }
  a.join();
  HOLDS(rt.drain().complete);
  seen.check(rt.metrics().submitted);
  HOLDS(rt.metrics().stalled == static_cast<std::uint64_t>(seen.stalled));
}

// Its join sleeps where the worker sleeps, and takes the token of whoever claims that worker meanwhile.
void an_observer_forks_when_a_worker_parks() {
  struct forks final : weir::observer {
    void on_park(int) noexcept override {
      weir::fork_join([] { weir::sim::point(); }, [] { std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 200)); });
    }
  } seen;
  weir::options o = with_workers(1 + up_to(3));
  o.obs = &seen;
  weir::runtime rt(o);
  for (int i = 0; i < 4; ++i) {
    HOLDS(rt.spawn([] { weir::sim::point(); }).get());
    std::this_thread::sleep_for(std::chrono::microseconds(weir::sim::random() % 200));
  }
}

// One begins while the look that another has asked for is under way, the last one while the runtime is drained.
void what_stalls_is_told_once() {
  struct hears final : weir::observer {
    std::map<std::string_view, int> stalls;
    void on_stall(const weir::task_info& i) noexcept override { ++stalls[i.name]; }
  } seen;
  weir::options o = with_workers(up_to(2));
  o.obs = &seen;
  o.stall_after = 1ms;
  weir::runtime rt(o);
  const auto until_told = [&seen](const char* name) {
    for (int i = 0; i < 1000 && seen.stalls[name] == 0; ++i) std::this_thread::sleep_for(1ms);
    HOLDS(seen.stalls[name] == 1);
  };
  for (const char* const name : {"first", "second", "third"}) {
    HOLDS(rt.submit([] {}, {.name = "short"}));
    std::this_thread::sleep_for(1ms + std::chrono::microseconds(weir::sim::random() % 100));
    HOLDS(rt.spawn([&, name] { until_told(name); }, {.name = name}).get());
  }
  HOLDS(rt.submit([&] { until_told("last"); }, {.name = "last"}));
  HOLDS(rt.drain().complete);
  std::uint64_t told = 0;
  for (const auto& [name, n] : seen.stalls) {
    HOLDS(n == 1 || name == "short");
    told += static_cast<std::uint64_t>(n);
  }
  HOLDS(rt.metrics().stalled == told && rt.metrics().stalling.empty());
}

}  // namespace cases
