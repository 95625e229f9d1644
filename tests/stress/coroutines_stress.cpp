// Coroutines under load: each accepted one ends once, whatever it waits for, whoever cancels it, and however the runtime ends.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task.hpp>

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <thread>
#include <vector>

namespace coroutines_stress {
namespace {

using namespace test;
using weir::clock_type;
using weir::task;

struct books {
  std::atomic<int> begun{0}, left{0};  // bodies entered, frames gone
};
struct presence {
  explicit presence(books& b) : all(b) { ++all.begun; }
  presence(const presence&) = delete;
  ~presence() { ++all.left; }
  books& all;
};

task<int> leaf(books& b, std::uint64_t seed) {
  presence here(b);
  if (seed % 3 == 0) co_await weir::yield();
  if (seed % 5 == 0) co_await weir::sleep_until(clock_type::now() + std::chrono::microseconds(seed % 200));
  if (seed % 7 == 0) throw std::runtime_error("leaf");
  co_return 1;
}

// Everything that can suspend, in an order that the seed says.
task<int> walk(books& b, std::uint64_t seed, unsigned depth, weir::strand s) {
  presence here(b);
  random_numbers random(seed);
  for (unsigned i = 0, steps = 1 + static_cast<unsigned>(random.below(4)); i < steps; ++i) {
    const std::uint64_t next = random.next();
    switch (random.below(depth == 0 ? 4 : 8)) {
      case 0: co_await weir::yield(); break;
      case 1: co_await weir::sleep_until(clock_type::now() + std::chrono::microseconds(next % 300)); break;
      case 2: co_await weir::schedule(random.below(2) == 0 ? static_cast<weir::executor_ref>(s) : weir::here()); break;
      case 3: {
        auto h = weir::spawn(weir::here(), leaf(b, next));
        if (random.below(3) == 0) h.cancel();
        static_cast<void>(co_await h);
        break;
      }
      case 4: static_cast<void>(co_await weir::when_all(walk(b, next, depth - 1, s), leaf(b, next / 2))); break;
      case 5: static_cast<void>(co_await weir::when_any(walk(b, next, depth - 1, s), leaf(b, next / 3 * 7 + 1))); break;
      case 6:
        static_cast<void>(co_await weir::with_deadline(walk(b, next, depth - 1, s),
                                                       clock_type::now() + std::chrono::microseconds(next % 300)));
        break;
      default: {
        std::atomic<int> ran{0};
        weir::task_group g(weir::here());
        for (int k = 0; k < 3; ++k) g.run([&ran] { ++ran; });
        static_cast<void>(co_await g);
      }
    }
  }
  co_return 1;
}

class Coroutines : public stress {};

TEST_F(Coroutines, EndOnceHoweverTheyAreCancelledAndTheRuntimeEnds) {
  for (int round = 0, n = static_cast<int>(rounds(30)); round < n; ++round) {
    random_numbers random(static_cast<std::uint64_t>(round));
    books b;
    weir::options o = with_workers(1 + static_cast<unsigned>(random.below(4)));
    o.on_unhandled = [](const weir::task_info&, std::exception_ptr) {};
    weir::snapshot m;
    {
      weir::runtime rt(o);
      weir::strand s(rt);
      weir::limited l(rt, 2, 1000);
      std::vector<weir::join_handle<int>> handles;
      std::stop_source source;
      std::thread canceller([&source, us = random.below(2000)] {
        std::this_thread::sleep_for(std::chrono::microseconds(us));
        source.request_stop();
      });
      for (int i = 0; i < 60; ++i) {
        const std::uint64_t seed = random.next();
        weir::task_options opts;
        if (random.below(3) == 0) opts.stop = source.get_token();
        if (random.below(4) == 0) opts.deadline = clock_type::now() + std::chrono::microseconds(random.below(1000));
        const weir::executor_ref to = random.below(3) == 0   ? weir::executor_ref(s)
                                      : random.below(2) == 0 ? weir::executor_ref(l)
                                                             : weir::executor_ref(rt);
        auto h = weir::spawn(to, walk(b, seed, 3, s), opts);
        if (random.below(4) == 0) h.detach();
        else handles.push_back(std::move(h));
      }
      if (random.below(2) == 0)
        for (auto& h : handles)
          if (random.below(3) == 0) h.cancel();
      switch (random.below(4)) {
        case 0: ASSERT_TRUE(rt.wait_idle()); break;
        case 1: ASSERT_TRUE(rt.drain().complete); break;
        case 2: ASSERT_TRUE(rt.abort().complete); break;
        default: static_cast<void>(rt.drain(clock_type::now() + std::chrono::microseconds(random.below(3000)))); break;
      }
      canceller.join();
      ASSERT_TRUE(rt.drain().complete);
      for (auto& h : handles) {
        EXPECT_TRUE(h.ready()) << "a handle always completes";
        static_cast<void>(h.get());
      }
      m = rt.metrics();
    }
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
    EXPECT_EQ(m.running, 0u);
    EXPECT_EQ(b.begun, b.left) << "no frame is left";
  }
}

// A cancel against the time that a sleep is due at: one of them wakes it.
task<> short_sleep(std::chrono::microseconds d) { co_await weir::sleep_until(clock_type::now() + d); }
TEST_F(Coroutines, ASleepIsEndedOnceByTimeOrByAStop) {
  weir::runtime rt(with_workers(2));
  for (int round = 0, n = static_cast<int>(rounds(2000)); round < n; ++round) {
    auto h = weir::spawn(rt, short_sleep(std::chrono::microseconds(50)));
    for (int spin = round % 64 * 20; spin > 0; --spin) std::atomic_signal_fence(std::memory_order_seq_cst);
    if (round % 2 == 0) std::this_thread::sleep_for(std::chrono::microseconds(round % 100));
    h.cancel();
    const auto r = h.get();
    ASSERT_TRUE(r || r.error().code == weir::errc::cancelled);
  }
}

// The waiter registers while the task ends.
task<int> awaits(weir::join_handle<int> h) { co_return (co_await h).value_or(-1); }
TEST_F(Coroutines, AHandleIsAwaitedWhileItsTaskEnds) {
  weir::runtime rt(with_workers(2)), other(with_workers(1));
  for (int round = 0, n = static_cast<int>(rounds(5000)); round < n; ++round) {
    weir::runtime& where = round % 2 == 0 ? rt : other;
    ASSERT_EQ(weir::spawn(rt, awaits(where.spawn([round] { return round; }))).get().value_or(-1), round);
  }
}

}  // namespace
}  // namespace coroutines_stress
