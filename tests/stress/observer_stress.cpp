// An observer under cancels, expiries, drains and aborts: of each accepted task it hears one start and one end, or one discard.
#include <weir/weir.hpp>

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <atomic>
#include <deque>
#include <memory>
#include <thread>
#include <vector>

namespace observer_stress {
namespace {

using namespace test;

class ObserverUnderLoad : public stress {};

// Counts of each id; a context that is right or wrong.
class counting_observer final : public weir::observer {
 public:
  static constexpr std::size_t most = std::size_t{1} << 21;
  static inline thread_local std::uintptr_t context = 0;

  void on_start(const weir::task_info& i) noexcept override {
    note(i, 1);
    if (reinterpret_cast<std::uintptr_t>(i.captured) != context) wrong_.fetch_add(1);
  }
  void on_end(const weir::task_info& i, weir::errc) noexcept override { note(i, 16); }
  void on_discard(const weir::task_info& i, weir::errc) noexcept override { note(i, 0x40); }
  void on_stall(const weir::task_info&) noexcept override { stalls_.fetch_add(1); }
  void* capture() noexcept override {
    alive_.fetch_add(1);
    return reinterpret_cast<void*>(context);
  }
  void restore(void* p) noexcept override { context = reinterpret_cast<std::uintptr_t>(p); }
  void release(void*) noexcept override { alive_.fetch_sub(1); }

  void check(std::uint64_t tasks, std::uint64_t stalled) const {
    std::uint64_t told = 0, odd = 0;
    for (std::size_t i = 0; i < most; ++i) {
      const unsigned char f = fates_[i].load();
      if (f == 0) continue;
      ++told;
      odd += f != 17 && f != 0x40;
    }
    EXPECT_EQ(odd, 0u) << "of " << told;
    EXPECT_EQ(told, tasks);
    EXPECT_EQ(beyond_.load(), 0u) << "the test's own table is too small";
    EXPECT_EQ(wrong_.load(), 0u) << "a task without its context";
    EXPECT_EQ(alive_.load(), 0) << "captured and not released";
    EXPECT_EQ(stalls_.load(), stalled);
  }

 private:
  void note(const weir::task_info& i, unsigned char what) noexcept {
    const std::size_t n = i.id & 0xff'ffff'ffffu;
    if (n >= most) beyond_.fetch_add(1);
    else fates_[n].fetch_add(what);
  }
  std::unique_ptr<std::atomic<unsigned char>[]> fates_ = std::make_unique<std::atomic<unsigned char>[]>(most);
  std::atomic<std::uint64_t> wrong_{0}, beyond_{0}, stalls_{0};
  std::atomic<std::int64_t> alive_{0};
};

// Everything that can be asked of a runtime, at random; its own context each time.
void ask_for_anything(weir::runtime& rt, random_numbers& random, std::size_t n, std::atomic<std::uint64_t>& wrong) {
  std::deque<weir::join_handle<void>> handles;
  std::deque<weir::timer> timers;
  weir::strand serial(rt);
  weir::limited few(rt, 2, 8);
  std::stop_source stop;
  for (std::size_t i = 0; i < n; ++i) {
    const std::uintptr_t mine = counting_observer::context = random.next() | 1;
    const auto work = [mine, &wrong] {
      if (counting_observer::context != mine) wrong.fetch_add(1);
    };
    const auto outer = [mine, &wrong, &rt] {
      if (counting_observer::context != mine) wrong.fetch_add(1);
      static_cast<void>(rt.submit([mine, &wrong] {
        if (counting_observer::context != mine) wrong.fetch_add(1);
      }));
      static_cast<void>(weir::fork_join([] {},
                                        [mine, &wrong] {
                                          if (counting_observer::context != mine) wrong.fetch_add(1);
                                        }));
    };
    switch (random.below(14)) {
      case 0: static_cast<void>(rt.try_submit(work)); break;
      case 1: static_cast<void>(rt.submit(outer)); break;
      case 2: handles.push_back(rt.spawn(work)); break;
      case 3: static_cast<void>(rt.submit(work, {.stop = stop.get_token()})); break;
      case 4:
        handles.push_back(
            rt.spawn(outer, {.start_by = weir::clock_type::now() + std::chrono::microseconds(random.below(50))}));
        break;
      case 5: timers.push_back(weir::after(rt, std::chrono::microseconds(random.below(100)), work)); break;
      case 6: static_cast<void>(weir::executor_ref(serial).try_submit(work)); break;
      case 7: static_cast<void>(weir::executor_ref(few).try_submit(outer)); break;
      case 8: handles.push_back(rt.blocking(work)); break;
      case 9: {
        std::vector<std::decay_t<decltype(work)>> bulk(1 + random.below(6), work);
        static_cast<void>(random.one_in(2) ? rt.try_submit_bulk(bulk)
                                           : weir::executor_ref(serial).try_submit_bulk(bulk));
        break;
      }
      case 10: {
        weir::task_group g(rt, {.limit = static_cast<unsigned>(random.below(3))});
        for (std::uint64_t k = random.below(5); k != 0; --k) g.run(work);
        if (random.one_in(2)) g.cancel();
        static_cast<void>(g.wait());
        break;
      }
      case 11: {
        weir::result_stream<void> s(few, {.capacity = 4});
        for (std::uint64_t k = random.below(4); k != 0; --k) static_cast<void>(s.submit(work));
        break;  // dropped, with what it holds
      }
      case 12: try { rt.run(outer);
        } catch (const std::system_error&) {}
        break;
      default: stop.request_stop(); stop = {};
    }
    while (handles.size() > random.below(8)) {
      if (random.one_in(2)) handles.front().cancel();
      handles.pop_front();
    }
    while (timers.size() > random.below(8)) {
      if (random.one_in(2)) timers.front().detach();
      timers.pop_front();
    }
    if (counting_observer::context != mine) wrong.fetch_add(1);
  }
  counting_observer::context = 0;
}

TEST_F(ObserverUnderLoad, HearsOfEachTaskOnceHoweverItEnds) {
  for (std::size_t round = 0, all = rounds(12); round < all; ++round) {
    random_numbers random(round);
    counting_observer seen;
    std::atomic<std::uint64_t> wrong{0};
    weir::options o = with_workers(static_cast<unsigned>(1 + random.below(4)));
    o.obs = &seen;
    o.capacity = 64;
    o.full = static_cast<weir::on_full>(random.below(5));
    if (random.one_in(2)) o.stall_after = std::chrono::microseconds(20);
    weir::runtime rt(o);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        random_numbers own(round * 10 + t);
        ask_for_anything(rt, own, 1500, wrong);
      });
    const std::uint64_t how = random.below(4);
    if (how != 0) std::this_thread::sleep_for(std::chrono::microseconds(random.below(5000)));
    if (how == 1) static_cast<void>(rt.drain(weir::clock_type::now()));
    if (how == 2) rt.abort([](weir::task_fn&&) {});
    if (how == 3) static_cast<void>(rt.drain());
    for (auto& t : threads) t.join();
    static_cast<void>(rt.drain());
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
    EXPECT_EQ(wrong, 0u) << "a task, or a fork of it, without its context";
    seen.check(m.submitted, m.stalled);
    if (HasFailure()) return;
  }
}

}  // namespace
}  // namespace observer_stress
