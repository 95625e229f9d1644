// options::stall_after: tasks that run too long are counted, named and told, once each.
#include <weir/weir.hpp>

#include <recorder.hpp>
#include <runtime_tools.hpp>
#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <thread>
#include <utility>

namespace stall_test {
namespace {

using namespace test;

weir::options stalling(std::chrono::microseconds limit, unsigned workers = 1) {
  weir::options o = with_workers(workers);
  o.stall_after = limit;
  return o;
}

TEST(Stall, IsCountedAndNamedWithoutAnObserver) {
  weir::options o = stalling(2ms);
  o.context = &o;
  weir::runtime rt(o);
  gate go;
  const auto before = weir::clock_type::now();
  auto h = rt.spawn([&] { go.wait(); }, {.name = "slow"});
  ASSERT_TRUE(eventually([&] { return rt.metrics().stalled == 1; }));
  EXPECT_GE(weir::clock_type::now() - before, 2ms) << "never early";
  weir::snapshot m = rt.metrics();
  ASSERT_EQ(m.stalling.size(), 1u);
  EXPECT_STREQ(m.stalling[0].name, "slow");
  EXPECT_EQ(m.stalling[0].worker, 0);
  EXPECT_EQ(m.stalling[0].context, &o);
  EXPECT_NE(m.stalling[0].id, 0u);
  EXPECT_GE(m.stalling[0].started, before);
  const std::string text = m.prometheus();
  EXPECT_NE(text.find("\nweir_tasks_stalled_total 1\n"), std::string::npos);
  EXPECT_NE(text.find("\nweir_tasks_stalling{task=\"slow\"} 1\n"), std::string::npos);
  let_it_misbehave();
  EXPECT_EQ(rt.metrics().stalled, 1u) << "once";
  go.open();
  h.get().value();
  ASSERT_TRUE(rt.wait_idle());
  m = rt.metrics();
  EXPECT_EQ(m.stalled, 1u);
  EXPECT_TRUE(m.stalling.empty());
}

TEST(Stall, IsToldOnceOfEachKindOfTask) {
  recorder seen;
  weir::runtime rt(observed_by(seen, stalling(1ms, 2)));
  const auto long_enough = [&](std::size_t n) {
    ASSERT_TRUE(eventually([&] { return seen.count(told::stall) >= n; }));
  };
  EXPECT_TRUE(rt.submit([&] { long_enough(1); }, {.name = "a"}));
  ASSERT_TRUE(rt.wait_idle());
  rt.run([&] { long_enough(2); });
  rt.blocking([&] { long_enough(3); }, {.name = "c"}).get().value();
  weir::task_group g(rt);
  g.run([&] { long_enough(4); });
  EXPECT_TRUE(g.wait());
  weir::after(rt, 1ms, [&] { long_enough(5); }).detach();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(weir::executor_ref(weir::strand(rt)).submit([&] { long_enough(6); }));
  ASSERT_TRUE(rt.wait_idle());
  // One inside of another: both run.
  rt.spawn([&] { rt.spawn([&] { long_enough(8); }).get().value(); }).get().value();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(eventually([&] { return rt.metrics().stalled == seen.count(told::stall); })) << "counted before it is told";
  std::set<std::uint64_t> ids;
  for (const event& e : seen.of(told::stall)) EXPECT_TRUE(ids.insert(e.info.id).second) << "told twice";
}

TEST(Stall, WhatAThiefRunsOfATaskIsNotToldAgain) {
  weir::runtime rt(stalling(1ms, 2));
  rt.spawn([&] {
      static_cast<void>(weir::fork_join([&] { ASSERT_TRUE(eventually([&] { return rt.metrics().stalled == 1; })); },
                                        [&] { ASSERT_TRUE(eventually([&] { return rt.metrics().stalled == 1; })); }));
      let_it_misbehave();
    })
      .get()
      .value();
  EXPECT_EQ(rt.metrics().stalled, 1u);
}

TEST(Stall, TheObserverMayUseTheRuntime) {
  struct asks final : recorder {
    weir::runtime* rt = nullptr;
    void on_stall(const weir::task_info& i) noexcept override {
      if (i.name != nullptr) return recorder::on_stall(i);  // its own task, on a slow host
      EXPECT_EQ(rt->metrics().stalling.size(), 1u);
      EXPECT_TRUE(rt->submit([] {}, {.name = "by the observer"}));
      recorder::on_stall(i);
    }
  } seen;
  weir::runtime rt(observed_by(seen, stalling(1ms, 2)));
  seen.rt = &rt;
  rt.run([&] { ASSERT_TRUE(eventually([&] { return seen.of(told::end, "by the observer").size() == 1; })); });
}

TEST(Stall, AfterARestartAndAResizeTasksAreWatched) {
  weir::runtime rt(stalling(1ms));
  EXPECT_TRUE(rt.submit([] {}));
  EXPECT_TRUE(rt.drain().complete);
  ASSERT_TRUE(rt.restart());
  auto before = rt.metrics().stalled;  // on a slow host the first one may have, too
  rt.run([&] { ASSERT_TRUE(eventually([&] { return rt.metrics().stalled > before; })); });
  ASSERT_TRUE(rt.resize(3));
  before = rt.metrics().stalled;
  rt.spawn([&] { ASSERT_TRUE(eventually([&] { return rt.metrics().stalled > before; })); }, {.worker = 2}).get().value();
}

// How often the thread of this process with that name went to sleep.
long sleeps(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string called;
    std::ifstream(task.path() / "comm") >> called;
    if (called != name) continue;
    std::ifstream in(task.path() / "status");
    for (std::string word; in >> word;)
      if (word == "voluntary_ctxt_switches:") return static_cast<void>(in >> word), std::stol(word);
  }
  return -1;
}

TEST(Stall, NobodyLooksWhileNothingRuns) {
  weir::options o = stalling(1ms, 2);
  o.name = "stalls";
  weir::runtime rt(o);
  rt.run([&] { ASSERT_TRUE(eventually([&] { return rt.metrics().stalled == 1; })); });
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_TRUE(eventually([&] { return sleeps("stalls/t") > 0; }));
  EXPECT_TRUE(eventually([&] {  // after the last look
    const long before = sleeps("stalls/t");
    std::this_thread::sleep_for(300ms);
    return sleeps("stalls/t") == before;
  }));
}

}  // namespace
}  // namespace stall_test
