// P27: in a fork()ed child every call on the parent's runtime answers `stopped` at once; a new runtime works there.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <child.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <thread>

namespace promise_fork_test {
namespace {

using namespace test;
using weir::errc;

bool is_stopped(const weir::status& s) { return !s && s.error().code == errc::stopped; }

// Everything on the parent's runtime, from the child.
void every_call_is_stopped(weir::runtime& rt, child_checks& check) {
  tally t;
  probe<64> f(t);
  check(is_stopped(rt.submit(std::move(f))), "submit answers stopped");
  check(is_stopped(rt.submit([] {})), "a small submit answers stopped");
  check(is_stopped(rt.submit(std::move(f), {.prio = weir::lane::high})), "submit with a lane answers stopped");
  check(is_stopped(rt.submit(std::move(f), {.name = "n"})), "submit with options answers stopped");
  check(is_stopped(rt.try_submit(std::move(f))), "try_submit answers stopped");
  check(is_stopped(weir::executor_ref(rt).submit(std::move(f))), "an executor_ref answers stopped");
  auto h = rt.spawn(std::move(f));
  check(h.ready(), "a spawn's handle is ready");
  auto r = h.get();
  check(!r && r.error().code == errc::stopped, "a spawn's handle says stopped");
  check(t.untouched(), "the callable is untouched");
  check(is_stopped(rt.try_submit_bulk(std::vector<std::function<void()>>(3, [] {}))), "bulk answers stopped");
  check(is_stopped(rt.broadcast([] {})), "broadcast answers stopped");
  bool ran = false, thrown = false;
  try {
    rt.run([&] { ran = true; });
  } catch (const std::system_error& e) {
    thrown = e.code() == errc::stopped;
  }
  check(thrown && !ran, "run throws stopped before it starts");
  check(!rt.wait_idle(), "wait_idle is false");
  rt.pause();
  rt.resume();
  check(rt.workers() > 0, "workers() answers");
  static_cast<void>(rt.metrics());
  static_cast<void>(rt.drain());
  int sunk = 0;
  static_cast<void>(rt.abort([&](weir::task_fn&&) { ++sunk; }));
  check(sunk == 0, "the parent's tasks are not handed out twice");
}

void a_new_runtime_works(child_checks& check) {
  weir::runtime fresh(with_workers(2));
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i) check(!!fresh.submit([&] { ++ran; }), "a new runtime accepts");
  check(fresh.spawn([] { return 5; }).get().value_or(0) == 5, "a new runtime's handle completes");
  check(fresh.run([] { return weir::fork_join([] { return 1; }, [] { return 2; }).second; }) == 2, "and forks");
  check(fresh.wait_idle(), "a new runtime comes to rest");
  check(ran == 100, "a new runtime runs everything once");
  check(fresh.drain().complete, "a new runtime drains");
}

TEST(ForkedChild, OfAnIdleRuntimeIsInertAndANewOneWorks) {
  auto rt = std::make_unique<weir::runtime>(with_workers(2));
  ASSERT_TRUE(rt->submit([] {}));
  ASSERT_TRUE(rt->wait_idle());
  EXPECT_EQ(in_child([&](child_checks& check) {
              every_call_is_stopped(*rt, check);
              a_new_runtime_works(check);
              rt.reset();
              a_new_runtime_works(check);
            }),
            "");
  EXPECT_EQ(rt->run([] { return 7; }), 7) << "the parent goes on";
}

TEST(ForkedChild, OfABusyAndFullRuntimeIsInert) {
  std::atomic<std::size_t> ran{0};
  weir::options o = with_workers(2);
  o.capacity = 10;
  auto rt = std::make_unique<weir::runtime>(o);
  plug p(*rt);
  auto running = rt->spawn([] { return 1; });
  auto queued = rt->spawn([] { return 2; });
  auto unread = rt->spawn([] { return 3; });
  EXPECT_EQ(fill(*rt, ran), 7u);
  EXPECT_EQ(in_child([&](child_checks& check) {
              every_call_is_stopped(*rt, check);
              check(!queued.ready(), "a pending handle is not ready");
              auto r = queued.get();
              check(!r && r.error().code == errc::stopped, "get of a pending handle answers stopped");
              auto timed = running.get_until(weir::clock_type::now() + 1s);
              check(!timed && timed.error().code == errc::stopped, "so does get_until");
              unread.cancel();
              { auto gone = std::move(unread); }
              rt.reset();
              a_new_runtime_works(check);
            }),
            "");
  p.release();
  EXPECT_EQ(queued.get().value_or(0), 2);
  EXPECT_EQ(running.get().value_or(0), 1);
  EXPECT_EQ(unread.get().value_or(0), 3) << "a cancel in the child is not one in the parent";
  ASSERT_TRUE(rt->wait_idle());
  EXPECT_EQ(ran, 7u);
}

TEST(ForkedChild, AHandleThatWasReadyKeepsItsResult) {
  weir::runtime rt(with_workers(1));
  auto h = rt.spawn([] { return 11; });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(h.ready(), "it is still ready");
              check(h.get().value_or(0) == 11, "its value is there");
            }),
            "");
  EXPECT_EQ(h.get().value_or(0), 11);
}

TEST(ForkedChild, MayForkWhileOtherThreadsSubmit) {
  weir::runtime rt(with_workers(2));
  std::atomic<bool> enough{false};
  std::atomic<long> accepted{0}, ran{0};
  std::vector<std::thread> threads;
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (!enough) {
        if (rt.submit([&] { ++ran; })) ++accepted;
      }
    });
  }
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(in_child([&](child_checks& check) {
                check(is_stopped(rt.submit([] {})), "submit answers stopped");
                check(!rt.wait_idle(), "wait_idle is false");
                auto h = rt.spawn([] {});
                check(h.ready(), "spawn answers");
              }),
              "");
  }
  enough = true;
  for (auto& t : threads) t.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, accepted);
}

TEST(ForkedChild, OfAWorkerIsOutsideOfAnyRuntime) {
  weir::runtime rt(with_workers(2));
  const std::string wrong = rt.run([&] {
    return in_child([&](child_checks& check) {
      every_call_is_stopped(rt, check);
      auto both = weir::fork_join([] { return 1; }, [] { return 2; });
      check(both.first + both.second == 3, "fork_join still runs, serially");
      a_new_runtime_works(check);
    });
  });
  EXPECT_EQ(wrong, "");
  EXPECT_EQ(rt.run([] { return 1; }), 1);
}

// ---- a child that returns from the task in which it was forked goes nowhere: it is ended, with a message

// In the child: false, and it is killed should it hang.
bool forked(std::atomic<pid_t>& child) {
  const pid_t p = ::fork();
  if (p == 0) return ::alarm(20), false;
  child = p;
  return true;
}
constexpr const char* aborted = "the child died of signal 6";

TEST(ForkedChild, ThatReturnsFromItsTaskIsAborted) {
  std::atomic<pid_t> child{0};
  weir::runtime rt(with_workers(1));
  ASSERT_TRUE(rt.submit([&] { forked(child); }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(wait_for_child(child), aborted);
  EXPECT_EQ(rt.run([] { return 1; }), 1);
}

TEST(ForkedChild, ThatReturnsFromABlockingTaskIsAborted) {
  std::atomic<pid_t> child{0};
  weir::runtime rt(with_workers(1));
  auto forks = rt.blocking([&] { return forked(child); });
  EXPECT_TRUE(forks.get().value());
  EXPECT_EQ(wait_for_child(child), aborted);
}

TEST(ForkedChild, ThatReturnsToAJoinWithAThreadOfTheParentIsAborted) {
  std::atomic<pid_t> child{0};
  std::atomic<bool> begun{false};
  weir::runtime rt(with_workers(2));
  rt.run([&] {
    weir::fork_join(
        [&] {
          EXPECT_TRUE(eventually([&] { return begun.load(); }));
          forked(child);
        },
        [&] {
          begun = true;
          EXPECT_TRUE(eventually([&] { return child != 0; }));
        });
  });
  EXPECT_EQ(wait_for_child(child), aborted);
}

TEST(ForkedChild, ThatReturnsFromAStolenForkIsAborted) {
  std::atomic<pid_t> child{0};
  weir::runtime rt(with_workers(2));
  rt.run([&] {
    weir::fork_join([&] { EXPECT_TRUE(eventually([&] { return child != 0; })); }, [&] { forked(child); });
  });
  EXPECT_EQ(wait_for_child(child), aborted);
}

TEST(ForkedChild, OfAnAlreadyDrainedRuntimeIsInert) {
  weir::runtime rt(with_workers(2));
  rt.drain();
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(is_stopped(rt.submit([] {})), "submit answers stopped");
              a_new_runtime_works(check);
            }),
            "");
}

TEST(ForkedChild, OfAChildWorksToo) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime first(with_workers(2));
              check(first.run([] { return 1; }) == 1, "the child's runtime works");
              check(in_child([&](child_checks& inner) {
                      inner(is_stopped(first.submit([] {})), "the child's runtime is inert in the grandchild");
                      a_new_runtime_works(inner);
                    }).empty(),
                    "the grandchild is well");
              check(first.run([] { return 2; }) == 2, "the child's runtime goes on");
            }),
            "");
}

#if __has_include(<weir/task_group.hpp>)
TEST(ForkedChild, WaitsOfGroupsAnswerStopped) {
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(1));
  auto g = std::make_unique<weir::task_group>(rt);
  plug p(rt);
  g->run([&] { ++ran; });
  EXPECT_EQ(in_child([&](child_checks& check) {
              check(is_stopped(g->wait()), "wait answers stopped");
              check(is_stopped(g->wait_until(weir::clock_type::now() + 1s)), "wait_until answers stopped");
              g.reset();  // returns
              weir::task_group after(rt);
              after.run([] {});
              check(is_stopped(after.wait()), "a new group on the parent's runtime, too");
            }),
            "");
  p.release();
  EXPECT_TRUE(g->wait());
  EXPECT_EQ(ran, 1);
}

// Its locks may be held for ever by threads that are not there: nothing waits for them.
TEST(ForkedChild, StopsAndCancelsWhatWaitsInTheParentWithoutTouchingIt) {
  std::stop_source stop, parent;
  std::atomic<int> ran{0};
  weir::runtime rt(with_workers(1));
  plug p(rt);
  auto waits = rt.spawn([&] { return ++ran; }, {.stop = stop.get_token()});
  auto large = rt.spawn([&, block = std::array<char, 4096>{}] { return ran += 1 + block[0]; });
  weir::task_group g(rt, {.limit = 1, .parent = parent.get_token()});
  g.run([&] { ++ran; });
  g.run([&] { ++ran; });
  EXPECT_EQ(in_child([&](child_checks& check) {
              stop.request_stop();
              check(!waits.ready(), "a stop there ends nothing here");
              parent.request_stop();
              g.cancel();
              g.set_limit(5);
              g.run(std::function<void()>());
              static_cast<void>(g.token());
              check(is_stopped(g.wait()), "wait answers stopped");
              large = {};
            }),
            "");
  p.release();
  EXPECT_TRUE(g.wait());
  EXPECT_TRUE(waits.get());
  EXPECT_TRUE(large.get());
  EXPECT_EQ(ran, 4);
}
#endif

}  // namespace
}  // namespace promise_fork_test
