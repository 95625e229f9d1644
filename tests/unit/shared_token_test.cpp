// Many tasks under one stop token: they share its callback (core/src/stop_hub.hpp).
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <optional>
#include <stop_token>
#include <thread>
#include <vector>

namespace shared_token_test {
namespace {

using namespace test;
using weir::errc;

TEST(SharedToken, EndsAllUnstartedTasksThatWaitUnderItAndNoOthers) {
  weir::runtime rt(with_workers(1));
  std::stop_source first, second;
  std::atomic<int> ran{0};
  std::vector<weir::join_handle<void>> handles;
  {
    plug p(rt);
    for (int i = 0; i < 1000; ++i) {
      const std::stop_source& s = i % 2 == 0 ? first : second;  // the cache of one token is of no use here
      if (i % 4 < 2) ASSERT_TRUE(rt.submit([&] { ++ran; }, {.stop = s.get_token()}));
      else handles.push_back(rt.spawn([&] { ++ran; }, {.stop = s.get_token()}));
    }
    first.request_stop();
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 500);
  EXPECT_EQ(rt.metrics().cancelled, 500u);
  int cancelled = 0;
  for (auto& h : handles)
    if (auto r = h.get(); !r && r.error().code == errc::cancelled) ++cancelled;
  EXPECT_EQ(cancelled, 250);
}

TEST(SharedToken, ReachesTheRunningTaskThatAskedForIts) {
  weir::runtime rt(with_workers(2));
  std::stop_source source;
  std::atomic<int> waiting{0};
  auto until_told = [&](std::stop_token t) {
    ++waiting;
    while (!t.stop_requested()) std::this_thread::yield();
  };
  auto h = rt.spawn(until_told, {.stop = source.get_token()});
  ASSERT_TRUE(rt.submit(until_told, {.stop = source.get_token()}));
  ASSERT_TRUE(eventually([&] { return waiting == 2; }));
  source.request_stop();
  EXPECT_TRUE(h.get());
  EXPECT_TRUE(rt.wait_idle());
}

TEST(SharedToken, FiredBeforeTheTaskAsksIsSeenByIt) {
  weir::runtime rt(with_workers(1));
  std::stop_source source;
  gate started, go;
  auto h = rt.spawn(
      [&] {
        started.open();
        go.wait();
        return weir::this_task::token().stop_requested();
      },
      {.stop = source.get_token()});
  started.wait();
  source.request_stop();
  go.open();
  EXPECT_TRUE(h.get().value());
}

TEST(SharedToken, ACallableThatSubmitsUnderItFromItsDestructorIsRefused) {
  weir::runtime rt(with_workers(1));
  std::stop_source source;
  struct submits_at_its_end {
    weir::runtime* rt;
    std::stop_source* source;
    std::atomic<int>* refused;
    std::shared_ptr<int> owner = std::make_shared<int>(0);
    void operator()() const {}
    ~submits_at_its_end() {
      if (owner.use_count() == 1 && !rt->submit([] {}, {.stop = source->get_token()})) ++*refused;
    }
  };
  std::atomic<int> refused{0};
  {
    plug p(rt);
    for (int i = 0; i < 10; ++i) {
      submits_at_its_end f{&rt, &source, &refused};
      ASSERT_TRUE(rt.submit(f, {.stop = source.get_token()}));
    }
    source.request_stop();
    EXPECT_EQ(refused, 10);
  }
}

// The last references to everything go inside the callback itself.
TEST(SharedToken, MayFireWhileItsTaskIsAllThatKeepsTheRuntimeAlive) {
  std::stop_source source;
  weir::join_handle<void> h;
  {
    weir::runtime rt(with_workers(1));
    h = rt.spawn([] {}, {.stop = source.get_token()});
    ASSERT_TRUE(rt.wait_idle());
  }
  source.request_stop();
  EXPECT_TRUE(h.get());
}

TEST(SharedToken, OutlivesTheRuntimeAndItsThreads) {
  std::stop_source source;
  for (int i = 0; i < 3; ++i) {
    weir::runtime rt(with_workers(2));
    std::thread([&] { EXPECT_TRUE(rt.submit([] {}, {.stop = source.get_token()})); }).join();
    rt.run([&] { EXPECT_TRUE(weir::here().submit([] {}, {.stop = source.get_token()})); });
  }
  source.request_stop();
}

}  // namespace
}  // namespace shared_token_test
