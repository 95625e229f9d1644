// P40: result_stream hands out each result once, in either order, and nobody who reads late or never blocks a worker.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <child.hpp>
#include <counting_resource.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <memory>
#include <optional>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace result_stream_test {
namespace {

using namespace test;
using weir::errc;

static_assert(std::ranges::input_range<weir::result_stream<int>&>);
static_assert(std::is_move_constructible_v<weir::result_stream<int>> && !std::is_copy_constructible_v<weir::result_stream<int>>);

weir::errc code(const weir::status& s) { return s ? errc{} : s.error().code; }
template <class T>
weir::errc code(const std::optional<weir::result<T>>& r) {
  return !r ? errc::invalid : *r ? errc{} : r->error().code;
}

weir::options rejecting(unsigned workers, std::size_t capacity = 1u << 16) {
  weir::options o = with_workers(workers);
  o.capacity = capacity;
  o.full = weir::on_full::reject;
  return o;
}

// ---- each result once

TEST(ResultStream, HandsOutEachResultOnceAndThenIsEmpty) {
  for (const bool ordered : {false, true})
    for (const unsigned workers : {1u, 3u}) {
      weir::runtime rt(with_workers(workers));
      weir::result_stream<int> s(rt, {.ordered = ordered});
      for (int i = 0; i < 1000; ++i) ASSERT_TRUE(s.submit([i] { return i; }));
      s.close();
      std::vector<int> seen;
      while (auto r = s.next()) seen.push_back(r->value());
      EXPECT_FALSE(s.next()) << "it stays empty";
      EXPECT_FALSE(s.next_until(weir::clock_type::now()));
      if (ordered) {
        EXPECT_TRUE(std::ranges::is_sorted(seen));
      }
      EXPECT_EQ(std::set<int>(seen.begin(), seen.end()).size(), 1000u);
      EXPECT_EQ(seen.size(), 1000u);
    }
}

TEST(ResultStream, IsARange) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<std::string> s(rt, {.ordered = true});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(s.submit([i] { return std::to_string(i); }));
  s.close();
  std::string all;
  for (auto& r : s) all += r.value();
  EXPECT_EQ(all, "01234");
  weir::result_stream<int> t(rt, {.ordered = true});
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(t.submit([i] { return i; }));
  t.close();
  EXPECT_EQ(std::ranges::count_if(t, [](const auto& r) { return r.value() % 2 == 0; }), 3);  // a view is more than clang 14 takes
}

TEST(ResultStream, InOrderOfCompletionTheQuickOneComesFirst) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<int> s(rt);
  gate go;
  ASSERT_TRUE(s.submit([&] { return go.wait(), 1; }));
  ASSERT_TRUE(s.submit([] { return 2; }));
  EXPECT_EQ(s.next()->value(), 2);
  EXPECT_EQ(code(s.next_until(weir::clock_type::now() + 2ms)), errc::timeout) << "and the stream goes on";
  go.open();
  EXPECT_EQ(s.next()->value(), 1);
}

TEST(ResultStream, InOrderOfSubmissionTheQuickOneWaits) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<int> s(rt, {.ordered = true});
  gate go;
  std::atomic<bool> second{false};
  ASSERT_TRUE(s.submit([&] { return go.wait(), 1; }));
  ASSERT_TRUE(s.submit([&] { return second = true, 2; }));
  ASSERT_TRUE(eventually([&] { return second.load(); }));
  EXPECT_EQ(code(s.next_until(weir::clock_type::now() + 2ms)), errc::timeout);
  go.open();
  EXPECT_EQ(s.next()->value(), 1);
  EXPECT_EQ(s.next()->value(), 2);
}

TEST(ResultStream, ErrorsAreResultsAndGoNowhereElse) {
  unhandled seen;
  weir::options o = with_workers(2);
  seen.install(o);
  weir::runtime rt(o);
  weir::result_stream<int> s(rt, {.ordered = true});
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(s.submit([i] {
      if (i % 2 == 1) throw std::runtime_error(std::to_string(i));
      return i;
    }));
  s.close();
  int i = 0;
  for (auto& r : s) {
    EXPECT_EQ(r.has_value(), i % 2 == 0);
    if (!r) {
      EXPECT_THROW(static_cast<void>(r.value()), std::runtime_error);
    }
    ++i;
  }
  EXPECT_EQ(i, 10);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 0);
  EXPECT_EQ(rt.metrics().failed, 5u);
}

TEST(ResultStream, TakesVoidAndWhatCanOnlyBeMovedAndWhatConverts) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<void> nothing(rt);
  ASSERT_TRUE(nothing.submit([] {}));
  ASSERT_TRUE(nothing.submit([] { return 3; })) << "nobody reads what it returns";
  nothing.close();
  int n = 0;
  for (auto& r : nothing) n += static_cast<bool>(r);
  EXPECT_EQ(n, 2);
  weir::result_stream<std::unique_ptr<int>> owned(rt);
  ASSERT_TRUE(owned.submit([p = std::make_unique<int>(7)]() mutable { return std::move(p); }));
  EXPECT_EQ(*owned.next()->value(), 7);
  weir::result_stream<std::string> texts(rt);
  ASSERT_TRUE(texts.submit([] { return "seven"; }));
  EXPECT_EQ(texts.next()->value(), "seven");
}

TEST(ResultStream, ManyReadersShareTheResults) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<int> s(rt);
  std::atomic<int> sum{0}, count{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 4; ++t)
    readers.emplace_back([&] {
      while (auto r = s.next()) {
        sum += r->value();
        ++count;
      }
    });
  for (int i = 1; i <= 1000; ++i) ASSERT_TRUE(s.submit([i] { return i; }));
  s.close();
  for (auto& t : readers) t.join();
  EXPECT_EQ(count, 1000);
  EXPECT_EQ(sum, 500'500);
}

TEST(ResultStream, AnyTaskMaySubmitToItMeanwhile) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<int> s(rt);
  for (int i = 0; i < 10; ++i)
    ASSERT_TRUE(s.submit([&s, i] {
      EXPECT_TRUE(s.submit([i] { return 100 + i; }));
      return i;
    }));
  int got = 0;
  for (int i = 0; i < 20; ++i) got += s.next()->value() >= 100;
  EXPECT_EQ(got, 10);
}

// ---- capacity

TEST(ResultStream, PastItsCapacityOfUnreadAndRunningOnesSubmitIsRefused) {
  tally t;  // before the runtime: nobody waits for the last one
  weir::runtime rt(rejecting(2));
  weir::result_stream<int> s(rt, {.capacity = 4});
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(s.submit([i] { return i; }));
  ASSERT_TRUE(rt.wait_idle()) << "unread results block nobody";
  auto f = [p = probe<64>(t)]() mutable { return p(), 1; };
  EXPECT_EQ(code(s.submit(f)), errc::full);
  EXPECT_EQ(t.copies, 0);
  EXPECT_TRUE(s.next());
  EXPECT_TRUE(s.submit(f));
  EXPECT_EQ(code(s.submit(f)), errc::full) << "the one that waits or runs counts, too";
  EXPECT_GE(rt.metrics().rejected, 2u);
}

TEST(ResultStream, WithAnExecutorThatBlocksSubmitWaitsForAReader) {
  weir::runtime rt(with_workers(2));
  weir::result_stream<int> s(rt, {.capacity = 2, .ordered = true});
  std::thread submitter([&] {
    for (int i = 0; i < 500; ++i) ASSERT_TRUE(s.submit([i] { return i; }));
    s.close();
  });
  int next = 0;
  for (auto& r : s) EXPECT_EQ(r.value(), next++);
  submitter.join();
  EXPECT_EQ(next, 500);
}

TEST(ResultStream, ABlockedSubmitEndsByCloseByStopAndByAShutdown) {
  for (const int how : {0, 1, 2}) {
    weir::runtime rt(with_workers(1));
    std::stop_source stop;
    weir::result_stream<int> s(rt, {.capacity = 1, .stop = stop.get_token()});
    ASSERT_TRUE(s.submit([] { return 1; }));
    std::atomic<int> tid{0};
    errc said{};
    std::thread blocked([&] {
      tid = thread_id();
      said = code(s.submit([] { return 2; }));
    });
    ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
    if (how == 0) s.close();
    else if (how == 1) stop.request_stop();
    else rt.drain();
    blocked.join();
    EXPECT_EQ(said, how == 1 ? errc::cancelled : errc::stopped);
  }
}

TEST(ResultStream, OnAWorkerAFullOneIsRefused) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt, {.capacity = 1});
  ASSERT_TRUE(s.submit([] { return 1; }));
  EXPECT_EQ(rt.run([&] { return code(s.submit([] { return 2; })); }), errc::full);
}

TEST(ResultStream, ItsTasksCountInTheRuntimesCapacity) {
  weir::runtime rt(rejecting(1, 5));
  weir::result_stream<int> s(rt);
  plug p(rt);
  int taken = 0;
  while (taken < 100 && s.submit([] { return 1; })) ++taken;
  EXPECT_EQ(taken, 5);
}

TEST(ResultStream, AtMostLimitRunAtOnce) {
  weir::runtime rt(with_workers(4));
  weir::result_stream<int> s(rt, {.limit = 2});
  std::atomic<int> inside{0}, most{0};
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(s.submit([&] {
      const int now = ++inside;
      for (int m = most; now > m && !most.compare_exchange_weak(m, now);) {}
      std::this_thread::yield();
      --inside;
      return now;
    }));
  s.close();
  int n = 0;
  for (auto& r : s) n += r.has_value();
  EXPECT_EQ(n, 300);
  EXPECT_LE(most, 2);
}

// ---- cancelling, closing, dropping

TEST(ResultStream, AStopCancelsWhatHasNotBegunAndEveryTaskStillHasAResult) {
  for (const bool ordered : {false, true}) {
    weir::runtime rt(with_workers(1));
    std::stop_source stop;
    tally t;
    weir::result_stream<int> s(rt, {.ordered = ordered, .stop = stop.get_token()});
    gate begun;
    ASSERT_TRUE(s.submit([&](std::stop_token token) {
      begun.open();
      while (!token.stop_requested()) std::this_thread::yield();
      return 1;
    }));
    begun.wait();
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(s.submit([p = probe<64>(t)]() mutable { return p(), 2; }));
    stop.request_stop();
    EXPECT_EQ(t.alive, 0);
    EXPECT_EQ(code(s.submit([] { return 3; })), errc::cancelled);
    int ran = 0, cancelled = 0;
    for (auto& r : s) {
      if (r) ++ran;
      else cancelled += r.error().code == errc::cancelled;
    }
    EXPECT_EQ(ran, 1);
    EXPECT_EQ(cancelled, 3);
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(rt.metrics().cancelled, 3u);
  }
}

TEST(ResultStream, ATokenThatHasFiredBeforeCancelsItFromTheStart) {
  weir::runtime rt(with_workers(1));
  std::stop_source stop;
  stop.request_stop();
  weir::result_stream<int> s(rt, {.stop = stop.get_token()});
  EXPECT_EQ(code(s.submit([] { return 1; })), errc::cancelled);
  EXPECT_FALSE(s.next());
}

TEST(ResultStream, DroppingItCancelsAndDoesNotWait) {
  for (const bool ordered : {false, true}) {
    unhandled seen;
    weir::options o = with_workers(1);
    seen.install(o);
    weir::runtime rt(o);
    tally t;
    gate begun, go;
    std::atomic<bool> fired{false};
    {
      weir::result_stream<int> s(rt, {.ordered = ordered});
      ASSERT_TRUE(s.submit([]() -> int { throw std::runtime_error("unread"); }));
      ASSERT_TRUE(s.submit([] { return 1; }));
      ASSERT_TRUE(rt.wait_idle());
      ASSERT_TRUE(s.submit([&](std::stop_token token) -> int {
        begun.open();
        go.wait();
        fired = token.stop_requested();
        throw std::runtime_error("late");
      }));
      begun.wait();
      for (int i = 0; i < 3; ++i) ASSERT_TRUE(s.submit([p = probe<64>(t)]() mutable { return p(), 2; }));
    }
    EXPECT_EQ(t.alive, 0) << "what had not begun is gone at once";
    EXPECT_EQ(seen.texts(), std::vector<std::string>{"unread"});
    go.open();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_TRUE(fired);
    EXPECT_EQ(seen.texts(), (std::vector<std::string>{"unread", "late"}));
    EXPECT_EQ(t.calls, 0);
    const auto m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled);
    EXPECT_EQ(m.cancelled, 3u);
  }
}

TEST(ResultStream, AStopMayDestroyItsLastHandleWithTheTaskThatHoldsIt) {
  for (int round = 0; round < 20; ++round) {
    weir::runtime rt(with_workers(1));
    std::stop_source source;
    gate begun, go;
    ASSERT_TRUE(rt.submit([&] {
      begun.open();
      go.wait();
    }));
    begun.wait();
    auto s = std::make_shared<weir::result_stream<int>>(rt, weir::stream_options{.stop = source.get_token()});
    weir::result_stream<int>& stream = *s;
    ASSERT_TRUE(stream.submit([s] { return 1; }));
    s.reset();
    std::thread stopper([&] { source.request_stop(); });
    go.open();
    stopper.join();
    ASSERT_TRUE(rt.wait_idle());
  }
}

TEST(ResultStream, CloseEndsItForSubmittersAndForASleepingReader) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt);
  std::atomic<int> tid{0};
  std::thread reader([&] {
    tid = thread_id();
    EXPECT_FALSE(s.next());
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  s.close();
  reader.join();
  EXPECT_EQ(code(s.submit([] { return 1; })), errc::stopped);
  s.close();
}

TEST(ResultStream, AMovedFromOneIsInvalidAndEmpty) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt);
  ASSERT_TRUE(s.submit([] { return 1; }));
  weir::result_stream<int> t(std::move(s));
  EXPECT_EQ(code(s.submit([] { return 1; })), errc::invalid);  // NOLINT(bugprone-use-after-move)
  EXPECT_FALSE(s.next());
  s.close();
  EXPECT_EQ(t.next()->value(), 1);
  s = std::move(t);
  ASSERT_TRUE(s.submit([] { return 2; }));
  EXPECT_EQ(s.next()->value(), 2);
}

TEST(ResultStream, BadInputHasAnAnswer) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt);
  int (*null)() = nullptr;
  EXPECT_EQ(code(s.submit(null)), errc::invalid);
  for (const std::size_t capacity : {std::size_t{0}, static_cast<std::size_t>(-1)}) {
    weir::result_stream<int> none(rt, {.capacity = capacity});
    EXPECT_EQ(code(none.submit([] { return 1; })), errc::invalid);
    EXPECT_FALSE(none.next());
  }
  weir::result_stream<int> nowhere{weir::executor_ref()};
  EXPECT_EQ(code(nowhere.submit([] { return 1; })), errc::stopped);
  EXPECT_FALSE(nowhere.next());
  for (auto& r : nowhere) ADD_FAILURE() << r.has_value();
  weir::result_stream<int> invalid(weir::limited(rt, 0, 1));
  EXPECT_EQ(code(invalid.submit([] { return 1; })), errc::invalid);
}

TEST(ResultStream, ACallableThatCannotBeTakenCostsNoRoom) {
  weir::runtime rt(rejecting(1));
  weir::result_stream<int> s(rt, {.capacity = 1});
  struct bad {
    bad() = default;
    bad(const bad&) { throw std::runtime_error("copy"); }
    int operator()() const { return 1; }
  };
  const bad f;
  const weir::status said = s.submit(f);
  ASSERT_FALSE(said);
  EXPECT_THROW(said.value(), std::runtime_error);
  EXPECT_TRUE(s.submit([] { return 5; }));
  EXPECT_EQ(s.next()->value(), 5);
}

// ---- P14: on a worker

TEST(ResultStream, NextOnAWorkerRunsItsOwnTasksWhenNobodyElseCan) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  for (const bool ordered : {false, true}) {
    weir::runtime rt(o);
    std::atomic<int> foreign{0};
    rt.run([&] {
      weir::result_stream<int> s(rt, {.ordered = ordered, .limit = 2});
      EXPECT_TRUE(rt.submit([&] { ++foreign; }));
      for (int i = 0; i < 50; ++i) EXPECT_TRUE(s.submit([i] { return i; }));
      s.close();
      int n = 0;
      for (auto& r : s) n += r.has_value();
      EXPECT_EQ(n, 50);
      EXPECT_EQ(foreign, 0) << "it runs nothing else";
    });
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(foreign, 1);
  }
}

TEST(ResultStream, ASleepingReaderOnTheOnlyWorkerRunsWhatComesLater) {
  weir::options o = with_workers(1);
  o.max_spares = 0;
  weir::runtime rt(o);
  weir::result_stream<int> s(rt);
  std::atomic<int> tid{0};
  auto reader = rt.spawn([&] {
    tid = thread_id();
    return s.next()->value();
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  ASSERT_TRUE(s.submit([] { return 4; }));
  EXPECT_EQ(reader.get().value(), 4);
}

TEST(ResultStream, AReaderOnAWorkerLetsASpareStandIn) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt);
  auto reader = rt.spawn([&] { return s.next()->value(); });
  gate elsewhere;
  ASSERT_TRUE(rt.submit([&] { elsewhere.open(); }));
  elsewhere.wait();
  ASSERT_TRUE(s.submit([] { return 4; }));
  EXPECT_EQ(reader.get().value(), 4);
}

TEST(ResultStream, OverAStrandItsTasksAreSerialAndInsideItNextAnswersStarved) {
  weir::runtime rt(with_workers(3));
  weir::strand only(rt);
  weir::result_stream<int> s(only);
  int inside = 0;
  bool alone = true;
  for (int i = 0; i < 300; ++i)
    ASSERT_TRUE(s.submit([&, i] {
      alone = alone && ++inside == 1;
      --inside;
      return i;
    }));
  const int sum = rt.run([&] {
    int n = 0;
    for (int i = 0; i < 300; ++i) n += s.next()->value();
    return n;
  });
  EXPECT_EQ(sum, 299 * 300 / 2);
  EXPECT_TRUE(alone);
  auto h = only.spawn([&] {
    EXPECT_TRUE(s.submit([] { return 9; }));
    return code(s.next());
  });
  EXPECT_EQ(h.get().value(), errc::starved);
  EXPECT_EQ(s.next()->value(), 9) << "the stream goes on";
}

// ---- life

TEST(ResultStream, OutlivesItsRuntimeAndHandsOutWhatIsLeft) {
  auto rt = std::make_unique<weir::runtime>(with_workers(2));
  weir::result_stream<int> s(*rt, {.ordered = true});
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(s.submit([i] { return i; }));
  std::atomic<int> tid{0};
  weir::result_stream<int> open(*rt);
  std::thread reader([&] {
    tid = thread_id();
    EXPECT_FALSE(open.next()) << "nothing can come any more";
  });
  ASSERT_TRUE(eventually([&] { return tid != 0 && asleep(tid); }));
  rt.reset();
  reader.join();
  EXPECT_EQ(code(s.submit([] { return 1; })), errc::stopped);
  int next = 0;
  for (auto& r : s) EXPECT_EQ(r.value(), next++);
  EXPECT_EQ(next, 10);
}

TEST(ResultStream, AtADrainsLimitAndInAnAbortItsQueuedTasksAreStopped) {
  for (const bool aborts : {false, true}) {
    weir::runtime rt(with_workers(1));
    weir::result_stream<int> s(rt);
    gate begun, go;
    ASSERT_TRUE(s.submit([&] {
      begun.open();
      go.wait();
      return 1;
    }));
    begun.wait();
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(s.submit([] { return 2; }));
    int stopped = 0, sunk = 0;
    std::thread reader([&] {
      for (int i = 0; i < 4; ++i) stopped += code(s.next()) == errc::stopped;
      go.open();
    });
    if (aborts) rt.abort([&](weir::task_fn&&) { ++sunk; });
    else rt.drain(weir::clock_type::now() + 2ms);
    reader.join();
    EXPECT_TRUE(rt.drain().complete);
    EXPECT_EQ(stopped, 4);
    EXPECT_EQ(sunk, 0);
    EXPECT_EQ(s.next()->value(), 1);
    EXPECT_FALSE(s.next());
    const auto m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.stopped);
  }
}

TEST(ResultStream, InTheChildOfAForkItAnswersStopped) {
  weir::runtime rt(with_workers(1));
  weir::result_stream<int> s(rt);
  gate go;
  ASSERT_TRUE(s.submit([&] { return go.wait(), 1; }));
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(code(s.submit([] { return 1; })) == errc::stopped, "submit answers stopped");
              check(code(s.next()) == errc::stopped, "next answers stopped");
              check(!s.next(), "and then is empty");
              s.close();
              weir::result_stream<int> moved(std::move(s));
              weir::result_stream<int> other(rt);
              check(code(other.submit([] { return 1; })) == errc::stopped, "a new one answers stopped");
              check(!other.next(), "a new one is empty");
            }),
            "");
  go.open();
  EXPECT_EQ(s.next()->value(), 1);
}

TEST(ResultStream, NothingOfItStaysBehindInMemory) {
  counting_resource memory;
  {
    weir::options o = with_workers(2);
    o.memory = &memory;
    weir::runtime rt(o);
    for (int round = 0; round < 50; ++round) {
      weir::result_stream<std::string> s(rt, {.ordered = round % 2 == 0});
      for (int i = 0; i < 20; ++i) ASSERT_TRUE(s.submit([i] { return std::string(static_cast<std::size_t>(100 + i), 'x'); }));
      for (int i = 0; i < round % 20; ++i) EXPECT_TRUE(s.next());
    }
  }
  EXPECT_EQ(memory.bytes(), 0u);
}

}  // namespace
}  // namespace result_stream_test
