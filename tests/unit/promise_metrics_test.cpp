// P35 P36: the books balance, and idleness costs nothing.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>

#include <ctime>

namespace promise_metrics_test {
namespace {

using namespace test;

void expect_balance(const weir::snapshot& m) {
  EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
  EXPECT_EQ(m.queued, 0u);
  EXPECT_EQ(m.running, 0u);
}

// ---- P35

TEST(Metrics, EveryTaskIsInExactlyOneColumn) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  o.capacity = 100;
  o.full = weir::on_full::reject;
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(o);
  expect_balance(rt.metrics());
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(rt.submit([] {}));
  for (int i = 0; i < 7; ++i) ASSERT_TRUE(rt.submit([] { throw std::runtime_error("failed"); }));
  for (int i = 0; i < 3; ++i) rt.spawn([] { throw std::runtime_error("failed"); }).detach();
  ASSERT_TRUE(rt.wait_idle());
  weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, 30u);
  EXPECT_EQ(m.ok, 20u);
  EXPECT_EQ(m.failed, 10u);
  EXPECT_EQ(m.rejected, 0u);
  expect_balance(m);
  {
    plug p(rt);
    std::stop_source source;
    for (int i = 0; i < 5; ++i) ASSERT_TRUE(rt.submit([] {}, {.stop = source.get_token()}));
    auto h = rt.spawn([] {});
    h.cancel();
    EXPECT_EQ(rt.metrics().cancelled, 1u);
    source.request_stop();
    EXPECT_EQ(rt.metrics().cancelled, 6u);
    EXPECT_EQ(fill(rt, ran), 100u);
    m = rt.metrics();
    EXPECT_EQ(m.queued, 100u);
    EXPECT_EQ(m.running, 2u);
    EXPECT_EQ(m.rejected, 1u);
    EXPECT_FALSE(rt.try_submit_bulk(std::vector<std::function<void()>>(5, [] {})));
    auto refused = rt.spawn([] {});
    EXPECT_TRUE(refused.ready());
  }
  ASSERT_TRUE(rt.wait_idle());
  m = rt.metrics();
  expect_balance(m);
  EXPECT_EQ(m.submitted, 30u + 2 + 6 + 100) << "refusals are counted apart";
  EXPECT_EQ(m.ok, 20u + 2 + 100);
  EXPECT_GE(m.rejected, 3u);
  EXPECT_EQ(m.cancelled, 6u);
}

TEST(Metrics, TasksOfTasksRunsForksAndInPlaceWaitsKeepTheBalance) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> ran{0};
  for (int i = 0; i < 50; ++i) {
    ASSERT_TRUE(rt.submit([&] {
      EXPECT_TRUE(rt.submit([&] { ++ran; }));
      EXPECT_TRUE(rt.spawn([&] { ++ran; }).get());
      rt.run([&] { ++ran; });
      weir::fork_join([&] { ++ran; }, [&] { ++ran; });
    }));
    rt.run([&] { ++ran; });
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 50 * 6);
  const weir::snapshot m = rt.metrics();
  expect_balance(m);
  EXPECT_EQ(m.failed + m.cancelled + m.stopped, 0u);
  EXPECT_GE(m.ok, 150u);
}

TEST(Metrics, TheBalanceHoldsAfterAbortAndDrainDeadline) {
  for (const bool by_abort : {false, true}) {
    weir::runtime rt(with_workers(1));
    auto p = std::make_unique<plug>(rt);
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([] {}));
    for (int i = 0; i < 5; ++i) rt.spawn([] {}).detach();
    if (by_abort) {
      std::thread releaser([&] {
        eventually([&] { return rt.metrics().stopped == 15; });
        p->release();
      });
      EXPECT_EQ(rt.abort().stopped, 15u);
      releaser.join();
    } else {
      EXPECT_EQ(rt.drain(weir::clock_type::now() + 5ms).stopped, 15u);
      p->release();
      EXPECT_TRUE(rt.drain().complete);
    }
    const weir::snapshot m = rt.metrics();
    expect_balance(m);
    EXPECT_EQ(m.submitted, 16u);
    EXPECT_EQ(m.stopped, 15u);
    EXPECT_EQ(m.ok, 1u);
  }
}

#if __has_include(<weir/task_group.hpp>)
TEST(Metrics, GroupChildrenAreInTheBooks) {
  weir::runtime rt(with_workers(2));
  weir::task_group g(rt, {.limit = 2});
  {
    plug p(rt);  // all are accepted before the first error
    for (int i = 0; i < 100; ++i) {
      g.run([i] {
        if (i == 50) throw std::runtime_error("fifty");
      });
    }
  }
  EXPECT_FALSE(g.wait());
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  expect_balance(m);
  EXPECT_EQ(m.failed, 1u);
  EXPECT_EQ(m.ok + m.cancelled, 99u + 2) << "and the two that held the workers";
}
#endif

TEST(Metrics, WorkersHaveTheirOwnColumnsAndPrometheusShowsTheTotals) {
  weir::runtime rt(with_workers(3));
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  ASSERT_EQ(m.workers.size(), 3u);
  std::uint64_t started = 0;
  for (const auto& w : m.workers) started += w.started;
  EXPECT_EQ(started, 300u);
  const std::string text = m.prometheus();
  ASSERT_FALSE(text.empty());
  EXPECT_EQ(text.back(), '\n');
  EXPECT_NE(text.find("# TYPE "), std::string::npos);
  EXPECT_NE(text.find("300"), std::string::npos);
  std::set<std::string> typed;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.empty()) continue;
    if (line.rfind("# TYPE ", 0) == 0) {
      EXPECT_TRUE(typed.insert(line.substr(7, line.find(' ', 7) - 7)).second) << "twice: " << line;
      continue;
    }
    if (line[0] == '#') continue;
    const auto name_end = line.find_first_of("{ ");
    ASSERT_NE(name_end, std::string::npos) << line;
    EXPECT_TRUE(typed.count(line.substr(0, name_end))) << "no # TYPE before: " << line;
    const auto value = line.substr(line.rfind(' ') + 1);
    char* end = nullptr;
    std::strtod(value.c_str(), &end);
    EXPECT_TRUE(!value.empty() && *end == 0) << line;
  }
}

// ---- P36. Counted by the kernel, per thread of the runtime; bounds far above nothing and far below any polling.

struct usage {
  std::uint64_t switches = 0, cpu_ns = 0;
  std::size_t threads = 0;
};

std::set<std::string> threads_now() {
  std::set<std::string> ids;
  for (const auto& e : std::filesystem::directory_iterator("/proc/self/task")) ids.insert(e.path().filename().string());
  return ids;
}

usage used_by_threads_since(const std::set<std::string>& before) {
  usage u;
  for (const auto& id : threads_now()) {
    if (before.count(id)) continue;
    ++u.threads;
    std::ifstream status("/proc/self/task/" + id + "/status");
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("voluntary_ctxt_switches:", 0) == 0) u.switches += std::strtoull(line.c_str() + 24, nullptr, 10);
    }
    std::uint64_t ns = 0;
    std::ifstream("/proc/self/task/" + id + "/schedstat") >> ns;
    u.cpu_ns += ns;
  }
  return u;
}

class Idle : public ::testing::Test {
 protected:
  // After the work: lets the spin budget pass, then looks at a rest of 300 ms. A thread that the machine held up until then is at rest
  // in the next look; one that polls never is.
  void expect_rest(std::chrono::milliseconds settle = 100ms) {
    std::this_thread::sleep_for(settle);
    for (int look = 1;; ++look) {
      const usage a = used_by_threads_since(before_);
      const std::clock_t process_a = std::clock();
      std::this_thread::sleep_for(300ms);
      const std::clock_t process = std::clock() - process_a;
      const usage b = used_by_threads_since(before_);
      const bool rests = b.switches - a.switches <= 3 && b.cpu_ns - a.cpu_ns <= 3'000'000 && process <= CLOCKS_PER_SEC / 30;
      if (!rests && look < 5) continue;
      EXPECT_GE(a.threads, 1u);
      EXPECT_LE(b.switches - a.switches, 3u) << "somebody wakes up for nothing";
      EXPECT_LE(b.cpu_ns - a.cpu_ns, 3'000'000u) << "ns of CPU in 300 ms of rest";
      EXPECT_LE(process, CLOCKS_PER_SEC / 30) << "of the whole process";
      return;
    }
  }
  std::set<std::string> before_ = threads_now();
};

TEST_F(Idle, AFreshRuntimeCostsNoCpu) {
  weir::runtime rt(with_workers(2));
  expect_rest();
}

TEST_F(Idle, NothingAfterABurst) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 100'000; ++i) ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  expect_rest();
}

TEST_F(Idle, NothingWithManyMoreWorkersThanCores) {
  weir::runtime rt(with_workers(32));
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(rt.submit([] {}));
  ASSERT_TRUE(rt.wait_idle());
  expect_rest();
}

TEST_F(Idle, NothingWhenWorkersHaveComeAndGone) {
  weir::options o = with_workers(1);
  o.max_workers = 4;
  weir::runtime rt(o);
  {
    plug p(rt, 4);
  }
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_TRUE(eventually([&] { return rt.workers() == 1; }, 60s));
  expect_rest();
}

// All are blocked, work waits, and there can be no more of them.
TEST_F(Idle, NothingWhileNoMoreWorkersMayCome) {
  weir::options o = with_workers(1);
  o.max_workers = 3;
  weir::runtime rt(o);
  plug p(rt, 3);
  std::atomic<bool> ran{false};
  ASSERT_TRUE(rt.submit([&] { ran = true; }));
  expect_rest();
  EXPECT_FALSE(ran);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
}

TEST_F(Idle, NothingAfterForksTimedWaitsCancelsAndBlockedSubmitters) {
  weir::options o = with_workers(2);
  o.capacity = 4;
  weir::runtime rt(o);
  std::function<int(int)> fib = [&](int n) {
    if (n < 2) return n;
    const auto [a, b] = weir::fork_join([&] { return fib(n - 1); }, [&] { return fib(n - 2); });
    return a + b;
  };
  EXPECT_EQ(rt.run([&] { return fib(15); }), 610);
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(rt.submit([] { burn(1us); }));  // blocks again and again
  std::stop_source source;
  {
    plug p(rt);
    auto h = rt.spawn([] {}, {.stop = source.get_token()});
    EXPECT_FALSE(h.get_until(weir::clock_type::now() + 1ms));
    source.request_stop();
    auto late = rt.spawn([] {}, {.start_by = weir::clock_type::now() + 3600s, .deadline = weir::clock_type::now() + 3600s});
    late.cancel();
  }
  ASSERT_TRUE(rt.wait_idle());
  expect_rest();
}

TEST_F(Idle, NothingAfterSparesHaveComeAndGone) {
  weir::runtime rt(with_workers(1)), other(with_workers(1));
  for (int i = 0; i < 10; ++i) {
    gate release;
    auto started = std::make_shared<gate>();
    auto far = other.spawn([&, started] {
      started->open();
      release.wait();
    });
    started->wait();
    auto waiter = rt.spawn([&] { return !!far.get(); });
    auto beside = rt.spawn([&] { release.open(); });
    EXPECT_TRUE(waiter.get().value_or(false));
    EXPECT_TRUE(beside.get());
  }
  expect_rest();
}

TEST_F(Idle, NothingWhileAWorkerOnlyWaits) {
  weir::runtime rt(with_workers(2)), other(with_workers(1));
  gate release;
  auto started = std::make_shared<gate>();
  auto far = other.spawn([&, started] {
    started->open();
    release.wait();
  });
  started->wait();
  auto waiter = rt.spawn([&] { return !!far.get(); });
  expect_rest();
  release.open();
  EXPECT_TRUE(waiter.get().value_or(false));
}

TEST_F(Idle, NothingWhilePausedWithWorkQueued) {
  weir::runtime rt(with_workers(2));
  rt.pause();
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([] {}));
  expect_rest();
  rt.resume();
}

// The other worker has found that forks are there, and too small; that is no reason to look again while nobody may steal.
TEST_F(Idle, NothingWhilePausedAfterCrumbsOfForks) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 3; ++i) {
    std::atomic<bool> enough{false};
    auto forks = rt.spawn([&] {
      int n = 0;
      while (!enough) static_cast<void>(weir::fork_join([&] { ++n; }, [] {}));
      return n;
    });
    std::this_thread::sleep_for(20ms);
    rt.pause();
    enough = true;
    EXPECT_TRUE(forks.get());
    expect_rest();
    rt.resume();
  }
}

TEST_F(Idle, NothingWhileASubmitterIsBlocked) {
  weir::options o = with_workers(1);
  o.capacity = 1;
  weir::runtime rt(o);
  plug p(rt);
  ASSERT_TRUE(rt.submit([] {}));
  std::atomic<int> tid{0};
  std::thread blocked([&] {
    tid = thread_id();
    EXPECT_TRUE(rt.submit([] {}));
  });
  EXPECT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  expect_rest();
  p.release();
  blocked.join();
}

}  // namespace
}  // namespace promise_metrics_test
