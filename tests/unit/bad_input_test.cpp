// Bad input: each wrong option, moment and handle has a defined answer. Callables: bad_callables_test.cpp.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <allocations.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <memory_resource>
#include <optional>
#include <stdexcept>
#include <string>

#include <pthread.h>

namespace bad_input_test {
namespace {

using namespace test;
using weir::errc;

// ---- options

// Both ways to make a runtime agree, and the exception names the option.
void expect_invalid(const weir::options& o, const std::string& name) {
  try {
    weir::runtime rt(o);
    ADD_FAILURE() << name << " was accepted";
  } catch (const std::invalid_argument& e) {
    EXPECT_NE(std::string(e.what()).find(name), std::string::npos) << "does not name '" << name << "': " << e.what();
  } catch (const std::exception& e) {
    ADD_FAILURE() << name << ": not std::invalid_argument but " << e.what();
  }
  auto r = weir::runtime::create(o);
  ASSERT_FALSE(r) << name;
  EXPECT_EQ(r.error().code, errc::invalid) << name;
}

TEST(BadOptions, OutOfRangeIsInvalidAndNamed) {
  const auto check = [](const std::string& name, auto change) {
    weir::options o = with_workers(1);
    change(o);
    expect_invalid(o, name);
  };
  check("capacity", [](auto& o) { o.capacity = 0; });
  check("max_outstanding", [](auto& o) { o.max_outstanding = 0; });
  check("starvation_bound", [](auto& o) { o.starvation_bound = 0; });
  check("spin", [](auto& o) { o.spin = -1us; });
  check("spin", [](auto& o) { o.spin = std::chrono::microseconds::min(); });
  check("codel_target", [](auto& o) { o.codel_target = -1us; });
  check("codel_target", [](auto& o) { o.codel_target = 61s; });
  check("stall_after", [](auto& o) { o.stall_after = -1us; });
  check("full", [](auto& o) { o.full = static_cast<weir::on_full>(99); });
  check("pin", [](auto& o) { o.pin = static_cast<weir::pinning>(99); });
  check("stack_size", [](auto& o) { o.stack_size = 1; });
  check("max_workers", [](auto& o) { o.workers = 4, o.max_workers = 1025; });
  check("workers", [](auto& o) { o.workers = std::numeric_limits<unsigned>::max(); });
}

TEST(BadOptions, LargeValuesThatMeanNoLimitAreFine) {
  weir::options o = with_workers(1);
  o.capacity = std::numeric_limits<std::size_t>::max();
  o.max_outstanding = std::numeric_limits<std::size_t>::max();
  o.starvation_bound = std::numeric_limits<unsigned>::max();
  o.max_spares = 0;
  o.spin = 0us;
  try {
    weir::runtime rt(o);
    std::atomic<int> ran{0};
    for (int i = 0; i < 1000; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, 1000);
  } catch (const std::invalid_argument&) {
    // refusing them is an answer, too; accepting them and then failing is not
  }
}

TEST(BadOptions, ANullNameIsNoCrash) {
  weir::options o = with_workers(1);
  o.name = nullptr;
  auto r = weir::runtime::create(o);
  if (r) {
    EXPECT_EQ((*r)->run([] { return 1; }), 1);
  } else {
    EXPECT_EQ(r.error().code, errc::invalid);
  }
}

TEST(BadOptions, ALongNameStillNamesTheThreads) {
  weir::options o = with_workers(1);
  const std::string name(200, 'n');
  o.name = name.c_str();
  weir::runtime rt(o);
  const std::string thread = rt.run([] {
    char text[64] = {};
    ::pthread_getname_np(::pthread_self(), text, sizeof text);
    return std::string(text);
  });
  EXPECT_EQ(thread.rfind("nnnn", 0), 0u) << thread;
}

TEST(BadOptions, TheDefaultsJustWork) {
  weir::runtime rt;
  EXPECT_GE(rt.workers(), 1u);
  EXPECT_EQ(rt.run([] { return 1; }), 1);
}

TEST(BadOptions, AWorkerThatIsNotThereIsInvalid) {
  weir::runtime rt(with_workers(2));
  for (const int worker : {2, 3, 1000, std::numeric_limits<int>::max(), -2, std::numeric_limits<int>::min()}) {
    tally t;
    {
      probe<8> f(t);
      const weir::status s = rt.submit(std::move(f), {.worker = worker});
      EXPECT_FALSE(s) << worker;
      if (s) continue;
      EXPECT_EQ(s.error().code, errc::invalid) << worker;
      EXPECT_TRUE(t.untouched());
      auto r = rt.spawn(std::move(f), {.worker = worker}).get();
      ASSERT_FALSE(r);
      EXPECT_EQ(r.error().code, errc::invalid);
    }
  }
  ASSERT_TRUE(rt.wait_idle());
}

TEST(BadOptions, ALaneThatDoesNotExistIsInvalid) {
  weir::runtime rt(with_workers(1));
  const weir::status s = rt.submit([] {}, {.prio = static_cast<weir::lane>(17)});
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::invalid);
  const weir::status bulk = rt.try_submit_bulk(std::vector<std::function<void()>>(2, [] {}), {.prio = static_cast<weir::lane>(3)});
  ASSERT_FALSE(bulk);
  EXPECT_EQ(bulk.error().code, errc::invalid);
}

TEST(BadOptions, AStartByInThePastIsExpiredOrRefusedButNeverRunsLate) {
  weir::runtime rt(with_workers(1));
  tally t;
  auto r = rt.spawn(probe<8>(t), {.start_by = weir::time_point::min()}).get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::expired);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(t.calls, 0);
  EXPECT_EQ(t.alive, 0);
}

// ---- times

constexpr weir::time_point long_ago = weir::time_point::min();

TEST(BadTimes, AWaitUntilThePastTimesOutAndLeavesEverythingValid) {
  weir::runtime rt(with_workers(1));
  weir::strand serial(rt);
  for (const weir::time_point past : {long_ago, weir::time_point(), weir::clock_type::now() - 1h}) {
    plug p(rt);
    EXPECT_FALSE(rt.wait_idle(past));
    auto plain = rt.spawn([] { return 1; }), queued = serial.spawn([] { return 2; });
    EXPECT_EQ(plain.get_until(past).error().code, errc::timeout);
    EXPECT_EQ(queued.get_until(past).error().code, errc::timeout);
    weir::task_group g(rt);
    g.run([] {});
    EXPECT_EQ(g.wait_until(past).error().code, errc::timeout);
    weir::result_stream<int> results(rt);
    ASSERT_TRUE(results.submit([] { return 3; }));
    EXPECT_EQ(results.next_until(past)->error().code, errc::timeout);
    p.release();
    EXPECT_EQ(plain.get().value(), 1);
    EXPECT_EQ(queued.get().value(), 2);
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(results.next()->value(), 3);
  }
}

TEST(BadTimes, ADeadlineInThePastFiresTheTokenBeforeTheTaskBegins) {
  weir::runtime rt(with_workers(1));
  weir::strand serial(rt);
  weir::limited few(rt, 2, 10);
  for (const weir::executor_ref e : {weir::executor_ref(rt), weir::executor_ref(serial), weir::executor_ref(few)})
    for (const weir::time_point past : {long_ago, weir::clock_type::now() - 1h}) {
      auto h = e.spawn([](std::stop_token t) { return t.stop_requested(); }, {.deadline = past});
      auto stopped = h.get();
      if (!stopped) {  // who waits when the deadline has passed is told, once
        EXPECT_EQ(stopped.error().code, errc::timeout);
        stopped = h.get();
      }
      EXPECT_TRUE(stopped.value());
    }
}

TEST(BadTimes, AStartByInThePastNeverStartsBehindAGateEither) {
  weir::runtime rt(with_workers(1));
  weir::strand serial(rt);
  weir::limited few(rt, 2, 10);
  for (const weir::executor_ref e : {weir::executor_ref(serial), weir::executor_ref(few)})
    for (const weir::time_point past : {long_ago, weir::clock_type::now() - 1h}) {
      bool ran = false;
      EXPECT_EQ(e.spawn([&] { ran = true; }, {.start_by = past}).get().error().code, errc::expired);
      EXPECT_FALSE(ran);
    }
}

TEST(BadTimes, ADrainUntilThePastStopsWhatIsQueuedAndTheNextOneIsComplete) {
  weir::runtime rt(with_workers(1));
  std::optional<plug> p(rt);
  auto h = rt.spawn([] {});
  EXPECT_FALSE(rt.drain(long_ago).complete);
  EXPECT_EQ(h.get().error().code, errc::stopped);
  p.reset();
  EXPECT_TRUE(rt.drain().complete);
}

// ---- limits

TEST(BadLimits, TheLargestOnesAreNone) {
  weir::runtime rt(with_workers(2));
  constexpr auto most = std::numeric_limits<unsigned>::max();
  std::atomic<int> ran{0};
  weir::task_group g(rt, {.limit = most});
  for (int i = 0; i < 100; ++i) g.run([&] { ++ran; });
  g.set_limit(1);
  g.set_limit(most);
  EXPECT_TRUE(g.wait());
  weir::result_stream<int> results(rt, {.limit = most});
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(results.submit([i] { return i; }));
  results.close();
  for (const auto& r : results) ran += r.has_value();
  EXPECT_EQ(ran, 200);
}

// ---- after the runtime

TEST(AfterTheRuntime, WhatItKeepsByCountAnswersStopped) {
  std::optional<weir::strand> serial;
  std::optional<weir::limited> few;
  std::optional<weir::task_group> group;
  std::unique_ptr<weir::result_stream<int>> results;
  std::optional<weir::join_handle<int>> ran, behind, refused;
  {
    weir::runtime rt(with_workers(1));
    serial.emplace(rt);
    few.emplace(rt, 1, 10);
    group.emplace(*few);
    results = std::make_unique<weir::result_stream<int>>(*serial);
    ran.emplace(rt.spawn([] { return 1; }));
    behind.emplace(serial->spawn([] { return 2; }));
    ASSERT_TRUE(results->submit([] { return 3; }));
  }
  EXPECT_EQ(serial->submit([] {}).error().code, errc::stopped);
  EXPECT_EQ(few->try_submit([] {}).error().code, errc::stopped);
  EXPECT_EQ(serial->try_submit_bulk(std::array<void (*)(), 1>{+[] {}}).error().code, errc::stopped);
  refused.emplace(few->spawn([] { return 0; }));
  EXPECT_EQ(refused->get().error().code, errc::stopped);
  group->run([] {});
  EXPECT_EQ(group->wait().error().code, errc::stopped);
  EXPECT_FALSE(group->try_run([] {}));
  weir::strand late(*few);
  EXPECT_EQ(late.submit([] {}).error().code, errc::stopped);
  EXPECT_EQ(results->submit([] { return 0; }).error().code, errc::stopped);
  EXPECT_EQ(results->next()->value(), 3);
  EXPECT_FALSE(results->next());
  ran->cancel();
  EXPECT_EQ(ran->get().value(), 1);
  EXPECT_EQ(behind->get().value(), 2);
}

// ---- memory

class failing_memory final : public std::pmr::memory_resource {
 public:
  std::atomic<bool> fail{false};

 private:
  void* do_allocate(std::size_t n, std::size_t a) override {
    if (fail) throw std::bad_alloc();
    return std::pmr::new_delete_resource()->allocate(n, a);
  }
  void do_deallocate(void* p, std::size_t n, std::size_t a) override { std::pmr::new_delete_resource()->deallocate(p, n, a); }
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
};

TEST(NoMemory, AFailedAllocationIsFailedWithBadAllocAndLosesNothing) {
  failing_memory memory;
  std::atomic<int> ran{0};
  weir::options o = with_workers(1);
  o.memory = &memory;
  o.capacity = 100'000;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  int accepted = 0, failed = 0;
  {
    plug p(rt);
    memory.fail = true;
    failing_allocations none;
    for (int i = 0; i < 50'000 && failed < 50; ++i) {
      auto f = [&ran, pad = std::array<char, 200>{}] { ran += 1 + pad[0]; };
      const weir::status s = i % 2 == 0 ? rt.submit(f) : rt.submit(f, {.name = "n"});
      if (s) {
        ++accepted;
        continue;
      }
      ++failed;
      EXPECT_EQ(s.error().code, errc::failed);
    }
    memory.fail = false;
  }
  EXPECT_GT(failed, 0) << "the memory of the options is used";
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, accepted);
  EXPECT_EQ(rt.spawn([] { return 2; }).get().value_or(0), 2) << "and it works again";
}

// ---- handles and references that refer to nothing

TEST(BadHandles, EmptyMovedFromAndSpentOnesAreInvalid) {
  weir::join_handle<int> empty;
  EXPECT_FALSE(empty.valid());
  EXPECT_FALSE(empty.ready());
  EXPECT_EQ(empty.get().error().code, errc::invalid);
  EXPECT_EQ(empty.get_until(weir::time_point::max()).error().code, errc::invalid);
  empty.cancel();
  empty.detach();
  weir::runtime rt(with_workers(1));
  auto a = rt.spawn([] { return 1; });
  auto b = std::move(a);
  EXPECT_EQ(a.get().error().code, errc::invalid);  // NOLINT: that is the point
  EXPECT_EQ(b.get().value_or(0), 1);
  EXPECT_EQ(b.get().error().code, errc::invalid);
  EXPECT_FALSE(b.ready());
  EXPECT_FALSE(b.valid());
}

TEST(BadHandles, ADefaultExecutorRefAnswersStopped) {
  const weir::executor_ref none;
  tally t;
  probe<8> f(t);
  EXPECT_EQ(none.submit(std::move(f)).error().code, errc::stopped);
  EXPECT_EQ(none.submit(std::move(f), {.name = "n"}).error().code, errc::stopped);
  EXPECT_EQ(none.try_submit(std::move(f)).error().code, errc::stopped);
  EXPECT_EQ(none.try_submit_bulk(std::vector<std::function<void()>>(2, [] {})).error().code, errc::stopped);
  EXPECT_EQ(none.spawn(std::move(f)).get().error().code, errc::stopped);
  EXPECT_EQ(none.spawn(std::move(f), {.name = "n"}).get().error().code, errc::stopped);
  EXPECT_TRUE(t.untouched());
}

TEST(BadHandles, ReadingTheWrongSideOfAResultIsNotUndefined) {
  const weir::result<int> failure = errc::full;
  EXPECT_THROW(static_cast<void>(failure.value()), std::system_error);
  try {
    weir::status(errc::expired).value();
    ADD_FAILURE();
  } catch (const std::system_error& e) {
    EXPECT_EQ(e.code(), errc::expired);
    EXPECT_STREQ(e.code().category().name(), "weir");
    EXPECT_FALSE(e.code().message().empty());
  }
}

}  // namespace
}  // namespace bad_input_test
