// Children of a group whose ends a worker tells together: nobody waits for an end that is kept back.
#include <weir/weir.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <stdexcept>
#include <thread>
#include <vector>

namespace late_ends_test {
namespace {

using namespace test;
using weir::errc;

// A runtime whose worker takes its tasks in batches, for it has seen how small they are.
struct LateEnds : testing::Test {
  weir::runtime rt{with_workers(1)};

  // What is submitted in `fill` lies in one batch, if it is not too much.
  template <class Fill>
  void in_one_batch(Fill fill) {
    ASSERT_TRUE(rt.wait_idle());
    rt.pause();
    for (int i = 0; i < 40; ++i) ASSERT_TRUE(rt.submit([] {}));
    fill();
    rt.resume();
  }
};

TEST_F(LateEnds, AGroupHearsOfItsChildBeforeAnythingElseBegins) {
  for (int round = 0; round < 50; ++round) {
    gate told;
    weir::task_group g(rt);
    in_one_batch([&] {
      for (int i = 0; i < 3; ++i) g.run([] {});
      ASSERT_TRUE(rt.submit([&] { told.wait(); }));
    });
    EXPECT_TRUE(g.wait());
    told.open();
    ASSERT_TRUE(rt.wait_idle());
  }
}

TEST_F(LateEnds, AGroupHearsOfItsChildBeforeAnothersBegins) {
  for (int round = 0; round < 50; ++round) {
    gate told;
    weir::task_group a(rt), b(rt);
    in_one_batch([&] {
      for (int i = 0; i < 3; ++i) a.run([] {});
      b.run([&] { told.wait(); });
    });
    EXPECT_TRUE(a.wait());
    told.open();
    EXPECT_TRUE(b.wait());
  }
}

TEST_F(LateEnds, AGroupHearsOfItsLastChild) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    weir::task_group g(rt);
    in_one_batch([&] {
      for (int i = 0; i < 100; ++i) g.run([&] { ++ran; });
    });
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 100);
  }
}

TEST_F(LateEnds, AChildsOwnGroupHearsBeforeItsWaitEnds) {
  std::atomic<int> ran{0};
  weir::task_group g(rt);
  in_one_batch([&] {
    for (int i = 0; i < 10; ++i)
      g.run([&] {
        weir::task_group inner(weir::here());
        for (int k = 0; k < 70; ++k) inner.run([&] { ++ran; });
        EXPECT_TRUE(inner.wait());
      });
  });
  EXPECT_TRUE(g.wait());
  EXPECT_EQ(ran, 700);
}

TEST_F(LateEnds, AnErrorAmongThemEndsTheRest) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    weir::task_group g(rt);
    in_one_batch([&] {
      for (int i = 0; i < 5; ++i) g.run([&] { ++ran; });
      g.run([] { throw std::runtime_error("child"); });
      for (int i = 0; i < 5; ++i) g.run([&] { ++ran; });
    });
    const weir::status s = g.wait();
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::failed);
    EXPECT_EQ(ran, 5);
    g.run([&] { ++ran; });
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 6);
  }
}

TEST_F(LateEnds, ALimitThatComesMeanwhileLetsAllChildrenEnd) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> ran{0};
    weir::task_group g(rt);
    in_one_batch([&] {
      for (int i = 0; i < 6; ++i) g.run([&] { ++ran; });
      g.run([&] {
        g.set_limit(1);
        for (int i = 0; i < 6; ++i) g.run([&] { ++ran; });
      });
    });
    EXPECT_TRUE(g.wait());
    EXPECT_EQ(ran, 12);
  }
}

// The third child needs a place for another one, beside its own: none that has ended may hold it.
TEST(LateEndsUnderALimit, HoldNoPlaceThatARunningChildNeeds) {
  weir::runtime rt(with_workers(2));
  enum : std::uint8_t { from_outside, by_a_child, while_the_child_runs };
  for (const auto how : {from_outside, by_a_child, while_the_child_runs}) {
    for (int round = 0; round < 50; ++round) {
      gate second, limited;
      std::atomic<bool> ran{false};
      weir::task_group g(rt);
      ASSERT_TRUE(rt.wait_idle());
      rt.pause();
      for (int i = 0; i < 40; ++i) ASSERT_TRUE(rt.submit([] {}));
      for (int i = 0; i < 3; ++i) g.run([] {});
      if (how != while_the_child_runs) {
        g.run([&] {
          second.open();
          if (how == from_outside) limited.wait();
          else g.set_limit(2);
        });
      }
      g.run([&] {
        if (how == while_the_child_runs) {
          second.open();
          limited.wait();
        }
        g.run([&] { ran = true; });
        while (!ran) std::this_thread::yield();
      });
      rt.resume();
      if (how != by_a_child) {
        second.wait();
        g.set_limit(2);
        limited.open();
      }
      EXPECT_TRUE(g.wait());
    }
  }
}

weir::task<int> after(weir::task_group& g, const std::atomic<int>& ran) {
  EXPECT_TRUE(co_await g);
  co_return ran.load();
}

TEST_F(LateEnds, ACoroutineThatAwaitsTheGroupGoesOn) {
  for (int round = 0; round < 50; ++round) {
    weir::task_group g(rt);
    std::atomic<int> ran{0};
    in_one_batch([&] {
      for (int i = 0; i < 5; ++i) g.run([&] { ++ran; });
    });
    const weir::result<int> r = weir::spawn(rt, after(g, ran)).get();
    ASSERT_TRUE(r);
    EXPECT_EQ(*r, 5);
    EXPECT_TRUE(g.wait());
  }
}

TEST_F(LateEnds, ADrainAndAPauseFindNothingKeptBack) {
  std::atomic<int> ran{0};
  weir::task_group g(rt);
  in_one_batch([&] {
    for (int i = 0; i < 20; ++i) g.run([&] { ++ran; });
    g.run([&] { rt.pause(); });
  });
  while (ran != 20) std::this_thread::yield();
  EXPECT_TRUE(g.wait()) << "in the pause";
  EXPECT_TRUE(rt.drain().complete);
}

TEST(LateEndsOfMany, EachRoundEndsWithWhoeverRunsItsChildren) {
  for (const unsigned workers : {1u, 2u, 4u}) {
    weir::runtime rt(with_workers(workers));
    rt.run([&] {
      weir::task_group g(weir::here());
      for (int round = 0; round < 200; ++round) {
        std::atomic<int> ran{0};
        const int n = 1 + round % 90;
        for (int i = 0; i < n; ++i) g.run([&] { ++ran; });
        EXPECT_TRUE(g.wait());
        EXPECT_EQ(ran, n);
      }
    });
  }
}

}  // namespace
}  // namespace late_ends_test
