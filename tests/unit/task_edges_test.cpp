// Coroutines at their edges: awaited twice, told to stop at the last moment, resumed by strangers, groups of nothing.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <thread>
#include <utility>
#include <vector>

namespace task_edges_test {
namespace {

using namespace test;
using weir::clock_type;
using weir::errc;
using weir::task;

template <class T>
weir::result<T> run(weir::executor_ref e, task<T> t) {
  return weir::spawn(e, std::move(t)).get();
}

// ---- awaited twice ----

task<std::shared_ptr<int>> gives_back(std::shared_ptr<int> p) { co_return p; }
task<errc> awaits_twice(bool fails) {
  auto life = std::make_shared<int>(1);
  task<std::shared_ptr<int>> t = gives_back(life);
  if (!fails) {
    const auto got = co_await std::move(t);
    if (life.use_count() != 2) co_return errc::failed;  // its frame has gone with its parameter
  } else {
    t = [](std::shared_ptr<int>) -> task<std::shared_ptr<int>> { throw 1; co_return nullptr; }(life);
    try {
      co_await std::move(t);
    } catch (int) {}
    if (life.use_count() != 1) co_return errc::failed;
  }
  if (t.valid()) co_return errc::full;
  if ((co_await weir::spawn(weir::here(), std::move(t))).error().code != errc::invalid) co_return errc::full;
  if (std::get<0>(co_await weir::when_all(std::move(t))).error().code != errc::invalid) co_return errc::full;
  try {
    co_await std::move(t);
  } catch (const std::system_error& e) { co_return static_cast<errc>(e.code().value()); }
  co_return errc{};
}
TEST(Task, IsEmptyAfterItWasAwaited) {
  weir::runtime rt(with_workers(1));
  for (const bool fails : {false, true}) EXPECT_EQ(run(rt, awaits_twice(fails)).value(), errc::invalid);
}

// ---- a stop at the last moment ----

struct last_moment {
  std::stop_source source;
  int moves;  // until it is asked to stop
};
struct asks_when_moved {
  explicit asks_when_moved(last_moment& m) : when(&m) {}
  asks_when_moved(asks_when_moved&& o) noexcept : when(o.when) {
    if (--when->moves == 0) when->source.request_stop();
  }
  last_moment* when;
};
task<asks_when_moved> ends_in_time(last_moment& m) { co_return asks_when_moved(m); }
task<bool> has_a_limit(last_moment& m) {
  co_return static_cast<bool>(co_await weir::with_deadline(ends_in_time(m), clock_type::now() + 1h));
}
TEST(Task, AStopWhileTheResultOfALimitedOneIsTakenFindsNothingOfTheLimit) {
  weir::runtime rt(with_workers(1));
  for (int moves = 1; moves < 6; ++moves) {  // into its frame, out of it, and on
    last_moment m{{}, moves};
    EXPECT_TRUE(weir::spawn(rt, has_a_limit(m), {.stop = m.source.get_token()}).get().value());
  }
}

// ---- resumed by strangers ----

// An event loop of somebody else's: what it is told it resumes on its own thread.
class loop {
 public:
  struct callback {
    loop& of;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      const std::lock_guard lock(of.mutex_);
      of.told_.push_back(h);
      of.changed_.notify_one();
    }
    void await_resume() const noexcept {}
  };
  callback calls_back() { return {*this}; }
  ~loop() {
    {
      const std::lock_guard lock(mutex_);
      over_ = true;
    }
    changed_.notify_one();
    thread_.join();
  }

 private:
  void run() {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [this] { return over_ || !told_.empty(); });
      if (told_.empty()) return;
      const std::coroutine_handle<> h = told_.back();
      told_.pop_back();
      lock.unlock();
      h.resume();
      lock.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::coroutine_handle<>> told_;
  bool over_ = false;
  std::thread thread_{[this] { run(); }};
};

// Suspended it is nowhere, so a drain that gives up cannot name it, but it counts it.
TEST(Stranger, WhoHasNotResumedACoroutineYetIsWaitedForByTheNextDrain) {
  struct later {
    std::atomic<void*>& where;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) noexcept { where = h.address(); }
    void await_resume() const noexcept {}
  };
  std::atomic<void*> where{nullptr};
  weir::runtime rt(with_workers(1));
  auto h = weir::spawn(rt, [](std::atomic<void*>& at) -> task<int> {
    co_await later{at};
    co_return 5;
  }(where));
  ASSERT_TRUE(eventually([&] { return where != nullptr; }));
  ASSERT_TRUE(eventually([&] { return rt.metrics().running == 0; }));
  const weir::report r = rt.drain(clock_type::now() + 1ms);
  EXPECT_FALSE(r.complete);
  EXPECT_EQ(r.unfinished, 1u);
  EXPECT_TRUE(r.still_running.empty());
  std::coroutine_handle<>::from_address(where).resume();
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_EQ(h.get().value_or(0), 5);
}

task<int> ends_there(loop& l, int n) {
  co_await l.calls_back();
  if (weir::this_task::worker() != -1) co_return -1;
  co_return n;
}
task<int> comes_back(loop& l, int n) {
  co_await l.calls_back();
  co_await weir::yield();
  if (weir::this_task::worker() == -1) co_return -1;
  co_return n;
}
task<int> awaits_from_there(loop& l) {
  int sum = co_await ends_there(l, 1);
  auto [a, b, c] = co_await weir::when_all(ends_there(l, 10), comes_back(l, 100), ends_there(l, 1000));
  sum += a.value() + b.value() + c.value();
  co_await l.calls_back();  // and the next ones begin there
  auto [d, e] = co_await weir::when_all(ends_there(l, 10'000), comes_back(l, 100'000));
  sum += d.value() + e.value();
  co_await l.calls_back();
  sum += std::get<0>(co_await weir::when_any(ends_there(l, 1'000'000)));
  co_return sum;
}
TEST(Task, MayBeResumedByStrangersOnAnyThread) {
  for (const unsigned workers : {1u, 3u}) {
    weir::runtime rt(with_workers(workers));
    weir::strand s(rt);
    loop l;
    for (int i = 0; i < 50; ++i) {
      EXPECT_EQ(run(rt, ends_there(l, 5)).value(), 5);
      EXPECT_EQ(run(static_cast<weir::executor_ref>(s), comes_back(l, 6)).value(), 6);
      EXPECT_EQ(run(rt, awaits_from_there(l)).value(), 1'111'111);
      EXPECT_EQ(run(static_cast<weir::executor_ref>(s), awaits_from_there(l)).value(), 1'111'111);
    }
    ASSERT_TRUE(rt.wait_idle());
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, 200u);
    EXPECT_EQ(m.ok, 200u);
  }
}

// Inside of another coroutine's segment: each of them ends as itself.
struct event {
  std::coroutine_handle<> waits{};
  std::atomic<bool> there{false};
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> h) noexcept {
    waits = h;
    there = true;
  }
  void await_resume() const noexcept {}
};
task<int> waits_for(event& e) {
  co_await e;
  co_return 1;
}
task<int> sets(event& e) {
  while (!e.there) co_await weir::yield();
  e.waits.resume();
  co_await weir::yield();
  co_return 2;
}
TEST(Task, OneThatAnotherResumesInPlaceEndsAsItself) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 100; ++i) {
    event e;
    auto a = weir::spawn(rt, waits_for(e)), b = weir::spawn(rt, sets(e));
    EXPECT_EQ(a.get().value(), 1);
    EXPECT_EQ(b.get().value(), 2);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().ok, 200u);
}

TEST(Task, AShutdownWaitsForOneThatAStrangerHas) {
  event e;
  weir::runtime rt(with_workers(1));
  auto h = weir::spawn(rt, waits_for(e));
  ASSERT_TRUE(eventually([&] { return e.there.load(); }));
  EXPECT_FALSE(rt.drain(clock_type::now() + 1ms).complete);
  e.waits.resume();
  EXPECT_TRUE(rt.drain().complete);
  EXPECT_EQ(h.get().value(), 1);
}

// ---- groups that take nothing ----

task<errc> awaits_a_group_of_nothing(weir::executor_ref e) {
  weir::task_group g(e);
  g.run([] {});
  const weir::status s = co_await g;
  co_return s ? errc{} : s.error().code;
}
TEST(Task, AGroupAnswersAsItsWaitDoes) {
  weir::runtime rt(with_workers(1));
  EXPECT_EQ(run(rt, awaits_a_group_of_nothing(weir::executor_ref())).value(), errc::stopped);
  const weir::limited nonsense(rt, 0, 1);
  weir::task_group g(nonsense);
  g.run([] {});
  EXPECT_EQ(run(rt, awaits_a_group_of_nothing(nonsense)).value(), g.wait().error().code);
}

}  // namespace
}  // namespace task_edges_test
