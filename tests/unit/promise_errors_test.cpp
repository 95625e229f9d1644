// P1 P2 P3: what becomes of exceptions.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif
#if __has_include(<weir/parallel.hpp>)
#include <weir/parallel.hpp>
#endif

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <stdexcept>
#include <string>
#include <thread>

namespace promise_errors_test {
namespace {

using namespace test;
using weir::errc;

struct Errors : ::testing::Test {
  unhandled seen;
  weir::options opts(unsigned workers) {
    weir::options o = with_workers(workers);
    seen.install(o);
    return o;
  }
};

// ---- P1

TEST_F(Errors, AThrowingTaskCountsAsFailedAndIsReportedOnce) {
  weir::runtime rt(opts(2));
  ASSERT_TRUE(rt.submit([] { throw std::runtime_error("small"); }));
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.failed, 1u);
  EXPECT_EQ(m.ok, 0u);
  EXPECT_EQ(m.submitted, 1u);
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"small"});
}

TEST_F(Errors, EveryKindOfSubmitReportsItsExceptionOnce) {
  weir::runtime rt(opts(2));
  const std::string big(100, 'b');
  ASSERT_TRUE(rt.submit([big] { throw std::runtime_error(big); }));
  ASSERT_TRUE(rt.try_submit([] { throw std::runtime_error("try"); }));
  ASSERT_TRUE(rt.submit([] { throw std::runtime_error("high"); }, {.prio = weir::lane::high}));
  std::stop_source source;
  ASSERT_TRUE(rt.submit([] { throw std::runtime_error("conditions"); }, {.stop = source.get_token()}));
  ASSERT_TRUE(rt.submit([](std::stop_token) { throw std::runtime_error("token"); }));
  std::vector<std::function<void()>> bulk(3, [] { throw std::runtime_error("bulk"); });
  ASSERT_TRUE(rt.try_submit_bulk(std::move(bulk)));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().failed, 8u);
  auto texts = seen.texts();
  std::sort(texts.begin(), texts.end());
  EXPECT_EQ(texts, (std::vector<std::string>{big, "bulk", "bulk", "bulk", "conditions", "high", "token", "try"}));
}

TEST_F(Errors, AThrowThatIsNoStdExceptionIsReportedToo) {
  weir::runtime rt(opts(1));
  ASSERT_TRUE(rt.submit([] { throw 42; }));  // NOLINT
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"?"});
  EXPECT_EQ(rt.metrics().failed, 1u);
}

TEST_F(Errors, TheHandlerRunsOnTheWorkerAndKnowsItAndTheContextAndTheName) {
  weir::runtime rt(opts(1));
  ASSERT_TRUE(rt.submit([] { throw std::runtime_error("named"); }, {.name = "the name"}));
  ASSERT_TRUE(rt.wait_idle());
  const auto infos = seen.infos();
  ASSERT_EQ(infos.size(), 1u);
  EXPECT_EQ(infos[0].context, &seen);
  EXPECT_EQ(infos[0].worker, 0);
  ASSERT_NE(infos[0].name, nullptr);
  EXPECT_STREQ(infos[0].name, "the name");
}

TEST_F(Errors, TheWorkerSurvivesAndStaysTheSameThread) {
  weir::runtime rt(opts(1));
  const auto before = rt.run([] { return std::this_thread::get_id(); });
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(rt.submit([] { throw std::runtime_error("again"); }));
  EXPECT_EQ(rt.run([] { return std::this_thread::get_id(); }), before);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 100);
  EXPECT_EQ(rt.metrics().failed, 100u);
}

TEST_F(Errors, TheExceptionObjectAndTheCallableAreFreed) {
  auto payload = std::make_shared<int>(1);
  {
    weir::runtime rt(opts(2));
    for (int i = 0; i < 10; ++i) ASSERT_TRUE(rt.submit([payload] { throw payload; }));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(seen.count(), 10);
  }
  EXPECT_EQ(payload.use_count(), 1);
}

// ---- P2

TEST_F(Errors, SpawnStoresTheExceptionAndValueRethrowsIt) {
  weir::runtime rt(opts(2));
  auto h = rt.spawn([]() -> int { throw std::out_of_range("kept"); });
  auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::failed);
  ASSERT_TRUE(r.error().cause);
  EXPECT_THROW(static_cast<void>(r.value()), std::out_of_range);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 0) << "it was read";
  EXPECT_EQ(rt.metrics().failed, 1u);
}

TEST_F(Errors, AReadFailureIsNotReportedEvenWhenTheResultIsThrownAway) {
  weir::runtime rt(opts(1));
  {
    auto h = rt.spawn([] { throw std::runtime_error("read"); });
    static_cast<void>(h.get());
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.count(), 0);
}

TEST_F(Errors, AHandleDestroyedBeforeTheFailureReportsItOnce) {
  weir::runtime rt(opts(1));
  plug p(rt);
  { auto h = rt.spawn([] { throw std::runtime_error("later"); }); }
  EXPECT_EQ(seen.count(), 0);
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(eventually([&] { return seen.count() == 1; }));
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"later"});
}

TEST_F(Errors, AHandleDestroyedAfterTheFailureReportsItOnce) {
  weir::runtime rt(opts(1));
  {
    auto h = rt.spawn([] { throw std::runtime_error("unread"); });
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_TRUE(h.ready());
    EXPECT_EQ(seen.count(), 0) << "it may still be read";
  }
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"unread"});
  EXPECT_EQ(rt.metrics().failed, 1u);
}

TEST_F(Errors, DetachAndMoveAssignmentReportAnUnreadFailure) {
  weir::runtime rt(opts(1));
  auto a = rt.spawn([] { throw std::runtime_error("detached"); });
  auto b = rt.spawn([] { throw std::runtime_error("overwritten"); });
  ASSERT_TRUE(rt.wait_idle());
  a.detach();
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"detached"});
  b = rt.spawn([] {});
  EXPECT_EQ(seen.texts(), (std::vector<std::string>{"detached", "overwritten"}));
  EXPECT_TRUE(b.get());
}

TEST_F(Errors, ATimedOutGetHasReadNothing) {
  weir::runtime rt(opts(1));
  {
    plug p(rt);
    auto h = rt.spawn([] { throw std::runtime_error("after the timeout"); });
    auto r = h.get_until(weir::clock_type::now() + 1ms);
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::timeout);
    p.release();
    ASSERT_TRUE(rt.wait_idle());
  }
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"after the timeout"});
}

TEST_F(Errors, OnlyFailuresAreReportedNotCancelsOrRefusals) {
  {
    weir::options o = opts(1);
    o.capacity = 1;
    o.full = weir::on_full::reject;
    weir::runtime rt(o);
    plug p(rt);
    auto cancelled = rt.spawn([] {});
    cancelled.cancel();
    auto queued = rt.spawn([] {});
    auto refused = rt.spawn([] {});
    EXPECT_TRUE(refused.ready());
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    rt.drain();
    auto stopped = rt.spawn([] {});
    EXPECT_TRUE(stopped.ready());
  }
  EXPECT_EQ(seen.count(), 0);
}

TEST_F(Errors, AFailureReadOnlyAfterTheRuntimeIsStillThere) {
  weir::join_handle<int> h;
  {
    weir::runtime rt(opts(1));
    h = rt.spawn([]() -> int { throw std::out_of_range("outlives"); });
  }
  EXPECT_EQ(seen.count(), 0);
  auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_THROW(static_cast<void>(r.value()), std::out_of_range);
  EXPECT_EQ(seen.count(), 0);
}

TEST_F(Errors, AnUnreadFailureIsReportedOnceWhenTheHandleOutlivesTheRuntime) {
  {
    weir::join_handle<void> h;
    {
      weir::runtime rt(opts(1));
      h = rt.spawn([] { throw std::runtime_error("too late"); });
    }
    EXPECT_EQ(seen.count(), 0);
  }
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"too late"});
}

// ---- P3

TEST_F(Errors, ForkJoinRethrowsOnlyAfterTheOtherSideHasEnded) {
  weir::runtime rt(opts(2));
  for (int round = 0; round < 50; ++round) {
    gate started;
    std::atomic<bool> ended{false};
    EXPECT_THROW(rt.run([&] {
      weir::fork_join(
          [&] {
            started.wait();
            throw std::runtime_error("first");
          },
          [&] {
            started.open();
            std::this_thread::sleep_for(1ms);
            ended = true;
          });
    }),
                 std::runtime_error);
    EXPECT_TRUE(ended);
  }
  EXPECT_EQ(seen.count(), 0) << "an algorithm's error goes to its caller";
}

#if __has_include(<weir/task_group.hpp>)
TEST_F(Errors, AGroupReportsItsFirstErrorOnlyAfterEveryStartedChildEndedAndIsCleanAfterwards) {
  weir::runtime rt(opts(2));
  weir::task_group g(rt);
  for (int round = 0; round < 20; ++round) {
    gate both;
    std::atomic<bool> ended{false};
    g.run([&] {
      both.open();
      std::this_thread::sleep_for(1ms);
      ended = true;
    });
    g.run([&] {
      both.wait();
      throw std::out_of_range("first");
    });
    const weir::status s = g.wait();
    EXPECT_TRUE(ended);
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    EXPECT_THROW(s.value(), std::out_of_range);
    std::atomic<int> ran{0};
    g.run([&] { ++ran; });
    g.run([&] { ++ran; });
    EXPECT_TRUE(g.wait()) << "the group is clean again";
    EXPECT_EQ(ran, 2);
    EXPECT_FALSE(g.token().stop_requested());
  }
  EXPECT_EQ(seen.count(), 0);
}
#endif

#if __has_include(<weir/parallel.hpp>)
TEST_F(Errors, ParallelForReportsTheErrorOnlyAfterEveryStartedCallEnded) {
  weir::runtime rt(opts(2));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> inside{0};
    const weir::status s = rt.run([&] {
      return weir::parallel_for(0, 1000, [&](int i) {
        ++inside;
        struct leave {
          std::atomic<int>& n;
          ~leave() { --n; }
        } l{inside};
        if (i == 500) throw std::out_of_range("500");
        if (i % 100 == 0) std::this_thread::sleep_for(100us);
      });
    });
    EXPECT_EQ(inside, 0);
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    EXPECT_THROW(s.value(), std::out_of_range);
  }
  std::atomic<int> sum{0};
  EXPECT_TRUE(rt.run([&] { return weir::parallel_for(0, 100, [&](int i) { sum += i; }); }));
  EXPECT_EQ(sum, 4950);
  EXPECT_EQ(seen.count(), 0);
}
#endif

}  // namespace
}  // namespace promise_errors_test
