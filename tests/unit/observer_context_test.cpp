// The context that an observer carries from whoever submits a task to the task, and to the forks of it.
#include <weir/weir.hpp>

#include <recorder.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>
#include <thread>
#include <vector>

namespace observer_context_test {
namespace {

using namespace test;
using weir::errc;

struct in_context {
  explicit in_context(std::uintptr_t c) : before(std::exchange(recorder::context, c)) {}
  ~in_context() { recorder::context = before; }
  in_context(const in_context&) = delete;
  std::uintptr_t before;
};

TEST(Context, FollowsATaskThroughEveryKindOfSubmission) {
  recorder seen;
  std::atomic<unsigned> right{0}, all{0};
  {
    weir::runtime rt(observed_by(seen, with_workers(2)));
    const auto look = [&] {
      ++all;
      right += recorder::context == 42;
    };
    const in_context here(42);
    EXPECT_TRUE(rt.submit(look));
    EXPECT_TRUE(rt.submit([&look, x = std::string(100, 'x')] { look(); }));
    EXPECT_TRUE(rt.submit(look, {.prio = weir::lane::low, .name = "named"}));
    std::vector<std::function<void()>> bulk(3, look);
    EXPECT_TRUE(rt.try_submit_bulk(bulk));
    rt.spawn(look).get().value();
    rt.run(look);
    rt.blocking(look).get().value();
    weir::strand one(rt);
    EXPECT_TRUE(weir::executor_ref(one).submit(look));
    EXPECT_TRUE(weir::executor_ref(one).try_submit_bulk(bulk));
    weir::executor_ref(weir::limited(one, 1, 10)).spawn(look).get().value();
    weir::task_group g(rt, {.limit = 1});
    for (int i = 0; i < 3; ++i) g.run(look);
    EXPECT_TRUE(g.wait());
    weir::result_stream<void> s(rt);
    EXPECT_TRUE(s.submit(look));
    EXPECT_TRUE(s.next().value());
    weir::after(rt, std::chrono::milliseconds(1), look).detach();
    auto series = weir::every(rt, std::chrono::milliseconds(1), look);
    ASSERT_TRUE(eventually([&] { return all >= 20; }));
    series.cancel();
    const weir::retry_policy quick{.max_attempts = 3, .base = std::chrono::nanoseconds(1)};
    EXPECT_FALSE(rt.spawn([&] { look(), throw 1; }, {.retry = &quick}).get());
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(recorder::context, 42u);
  }
  EXPECT_EQ(right, all);
  for (const event& e : seen.events()) {
    if (e.what == told::start || e.what == told::end) {
      EXPECT_EQ(e.context, 42u) << "what is told of a run is told in its context";
    }
    EXPECT_EQ(e.info.captured, reinterpret_cast<void*>(std::uintptr_t{42}));
  }
  EXPECT_EQ(seen.captured(), seen.released());
}

TEST(Context, OfATaskIsInheritedByWhatItSubmits) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(2)));
  std::uintptr_t child = 0, changed = 0;
  const in_context here(1);
  rt.spawn([&] {
      rt.spawn([&] { child = recorder::context; }).get().value();
      const in_context span(2);  // as a span within the task
      rt.spawn([&] { changed = recorder::context; }).get().value();
    })
      .get()
      .value();
  EXPECT_EQ(child, 1u);
  EXPECT_EQ(changed, 2u);
}

TEST(Context, DoesNotLeakToWhatRunsNext) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(1)));
  std::uintptr_t after = 99;
  {
    const in_context here(5);
    EXPECT_TRUE(rt.submit([] { recorder::context = 6; }));  // and changes it
    EXPECT_TRUE(rt.submit([] { throw 1; }));
  }
  EXPECT_TRUE(rt.submit([&] { after = recorder::context; }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(after, 0u);
}

TEST(Context, IsWhatItWasAfterAnotherTaskHasRunInPlace) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(1)));
  const in_context here(1);
  rt.spawn([&] {
      auto other = [&] {
        const in_context outside(3);
        return rt.spawn([] { EXPECT_EQ(recorder::context, 3u); });
      }();
      const in_context span(2);
      other.get().value();  // there is one worker: here
      EXPECT_EQ(recorder::context, 2u) << "what the task has made of its context, not what it began with";
    })
      .get()
      .value();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.captured(), seen.released()) << "what was captured to go back is released, too";
}

// ---- stolen forks

// f does not end before g has run elsewhere.
template <class G>
void fork_that_is_stolen(G g) {
  std::atomic<bool> over{false};
  static_cast<void>(weir::fork_join(
      [&] {
        while (!over) std::this_thread::yield();
      },
      [&] {
        g();
        over = true;
      }));
}

TEST(Context, AStolenForkRunsInTheContextOfItsTask) {
  recorder seen;
  weir::runtime rt(observed_by(seen, with_workers(3)));
  for (int i = 0; i < 50; ++i) {
    const in_context here(7);
    for (const bool entry : {false, true}) {
      const auto body = [&] {
        const std::thread::id forker = std::this_thread::get_id();
        fork_that_is_stolen([&] {
          EXPECT_NE(std::this_thread::get_id(), forker);
          EXPECT_EQ(recorder::context, 7u);
          fork_that_is_stolen(
              [&] { EXPECT_EQ(recorder::context, 7u); });  // by a third worker, or by the first one's wait
          EXPECT_TRUE(rt.submit([] { EXPECT_EQ(recorder::context, 7u); }, {.name = "child"}));
        });
      };
      if (entry) rt.run(body);
      else rt.spawn(body, {.name = "task"}).get().value();
    }
  }
  EXPECT_TRUE(rt.submit([] { EXPECT_EQ(recorder::context, 0u); }));
  ASSERT_TRUE(rt.wait_idle());
  std::set<std::uint64_t> parents;
  for (const event& e : seen.of(told::start, "child")) parents.insert(e.info.parent);
  EXPECT_EQ(parents.size(), 100u) << "each is a child of the task that forked";
  EXPECT_FALSE(parents.contains(0));
  EXPECT_EQ(seen.captured(), seen.released());
}

TEST(Token, AStolenForkHasThatOfItsTask) {
  weir::runtime rt(with_workers(2));  // without an observer, too
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> inside{false};
    auto h = rt.spawn([&] {
      fork_that_is_stolen([&] {
        const std::stop_token mine = weir::this_task::token();
        inside = true;
        while (!mine.stop_requested()) std::this_thread::yield();
      });
    });
    ASSERT_TRUE(eventually([&] { return inside.load(); }));
    h.cancel();
    EXPECT_TRUE(h.get());
  }
  // Nor does it keep it.
  rt.run([] { EXPECT_FALSE(weir::this_task::token().stop_requested()); });
}

TEST(Token, AForkOfATaskThatRunsAnotherInPlaceHasThatOfTheOneThatForked) {
  weir::runtime rt(with_workers(2));
  for (int i = 0; i < 50; ++i) {
    std::atomic<bool> inside{false}, over{false};
    std::stop_source outer_stop;
    auto outer = rt.spawn(
        [&] {
          static_cast<void>(weir::fork_join(
              [&] {
                auto inner = rt.spawn([&] {
                  while (!over) std::this_thread::yield();  // the fork that is stolen meanwhile lies below this task
                  EXPECT_FALSE(weir::this_task::token().stop_requested());
                });
                inner.get().value();
              },
              [&] {
                const std::stop_token mine = weir::this_task::token();
                inside = true;
                while (!mine.stop_requested()) std::this_thread::yield();
                over = true;
              }));
        },
        {.stop = outer_stop.get_token()});
    ASSERT_TRUE(eventually([&] { return inside.load(); }));
    outer_stop.request_stop();
    EXPECT_TRUE(outer.get());
  }
}

TEST(Token, WhatAStolenForkAwaitsIsNotItsOwnTask) {
  weir::runtime rt(with_workers(2));
  std::atomic<weir::join_handle<void>*> own{nullptr};
  auto h = rt.spawn([&] {
    fork_that_is_stolen([&] {
      while (own == nullptr) std::this_thread::yield();
      const auto r = own.load()->get_until(weir::time_point::max());
      ASSERT_FALSE(r) << "it would wait for itself";
      EXPECT_EQ(r.error().code, errc::starved);
    });
  });
  own = &h;
  EXPECT_TRUE(eventually([&] { return h.ready(); }));
}

}  // namespace
}  // namespace observer_context_test
