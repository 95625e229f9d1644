// Callables that are destroyed unrun, on whatever thread: they may be the last that hold the runtime, and wait for no rest.
#include <weir/runtime.hpp>
#include <weir/timer.hpp>

#include <core_of.hpp>
#include <runtime_tools.hpp>
#include <thread_named.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <stop_token>
#include <thread>

namespace destroyed_unrun_test {
namespace {

using namespace test;
using weir::errc;

// By a cancel or a stop on a thread outside.
TEST(WhatIsDestroyedUnrun, MayBeTheLastThatHoldsTheRuntime) {
  for (int round = 0; round < 10; ++round) {
    auto rt = std::make_shared<weir::runtime>(with_workers(1));
    weir::runtime& raw = *rt;
    raw.pause();
    std::stop_source stop;
    auto cancelled = raw.spawn([rt] {});
    auto stopped = raw.spawn([rt = std::move(rt)] {}, {.stop = stop.get_token()});
    if (round % 2 == 0) stop.request_stop();
    cancelled.cancel();
    stop.request_stop();
    EXPECT_EQ(cancelled.get().error().code, errc::cancelled);
    EXPECT_EQ(stopped.get().error().code, errc::cancelled);
  }
  EXPECT_TRUE(eventually([] { return thread_named("weir/w0") == 0; }));
}

// By the very shutdown that destroys it.
TEST(WhatIsDestroyedUnrun, MayBeTheLastThatHoldsARuntimeWhileItShutsDown) {
  for (int round = 0; round < 30; ++round) {
    auto rt = std::make_shared<weir::runtime>(with_workers(1 + static_cast<unsigned>(round) % 2));
    weir::runtime& raw = *rt;
    raw.pause();
    switch (round % 5) {
      case 0: ASSERT_TRUE(raw.submit([rt] {})); break;
      case 1: raw.spawn([rt] {}).detach(); break;
      case 2: weir::after(raw, 1h, [rt] {}).detach(); break;
      case 3: ASSERT_TRUE(raw.submit([rt, block = std::array<char, 200>{}] { static_cast<void>(block); })); break;
      default: raw.blocking([rt] { EXPECT_TRUE(eventually([&] { return core_of(*rt).closed(); })); }).detach();  // a pause does not hold it up
    }
    rt.reset();
    if (round % 3 == 0) raw.abort();
    else if (round % 3 == 1) raw.drain(weir::clock_type::now());
    else raw.abort([](weir::task_fn&&) {});
  }
  EXPECT_TRUE(eventually([] { return thread_named("weir/w0") == 0; }));
}

TEST(WhatIsDestroyedUnrun, WaitsForNoRest) {
  struct waits {
    weir::runtime* rt;
    explicit waits(weir::runtime* r) : rt(r) {}
    ~waits() { EXPECT_FALSE(rt->wait_idle()); }
  };
  weir::runtime rt(with_workers(1));
  rt.pause();
  rt.spawn([w = std::make_shared<waits>(&rt)] {}).cancel();
  ASSERT_TRUE(rt.submit([w = std::make_shared<waits>(&rt)] {}));
  rt.spawn([w = std::make_shared<waits>(&rt)] {}).detach();
  ASSERT_TRUE(rt.submit([w = std::make_shared<waits>(&rt)] {}));
  int out = 0;
  EXPECT_TRUE(rt.abort([&out](weir::task_fn&&) { ++out; }).complete);
  EXPECT_EQ(out, 3);
}

}  // namespace
}  // namespace destroyed_unrun_test
