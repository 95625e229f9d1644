// Threads that come, submit and go: nothing is lost with them, and nothing of them is left behind.
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <thread>
#include <vector>

namespace submitters_stress {
namespace {

using namespace test;

class Submitters : public stress {};

void submit_some(weir::runtime& rt, ledger& books, std::uint64_t stream) {
  random_numbers random(stream);
  for (std::uint64_t n = random.below(100); n > 0; --n) {
    ticket t(books);
    if (random.one_in(4)) {
      auto h = rt.spawn(std::move(t));
      EXPECT_TRUE(!random.one_in(4) || h.get());
    } else if (!rt.submit(std::move(t))) {
      t.refused();
    }
  }
}

TEST_F(Submitters, FiveHundredOneAfterTheOther) {
  const std::size_t n = rounds(500);
  ledger books(n * 100);
  weir::options o = with_workers(2);
  o.capacity = 512;
  weir::runtime rt(o);
  for (std::size_t i = 0; i < n; ++i) std::thread([&, i] { submit_some(rt, books, i); }).join();
  ASSERT_TRUE(rt.wait_idle());
  books.check();
  EXPECT_EQ(books.count(fate::ran), books.opened());
}

TEST_F(Submitters, InWavesOfFifty) {
  const std::size_t waves = rounds(10);
  ledger books(waves * 50 * 100);
  weir::options o = with_workers(2);
  o.capacity = 512;
  weir::runtime rt(o);
  for (std::size_t w = 0; w < waves; ++w) {
    std::vector<std::thread> threads;
    gate start;
    for (std::size_t i = 0; i < 50; ++i) {
      threads.emplace_back([&, i] {
        start.wait();
        submit_some(rt, books, w * 50 + i);
      });
    }
    start.open();
    for (auto& t : threads) t.join();
  }
  ASSERT_TRUE(rt.wait_idle());
  books.check();
  EXPECT_EQ(books.count(fate::ran), books.opened());
}

// Capacity that a thread had in hand when it ended is there for the next.
TEST_F(Submitters, LeaveNoCapacityBehind) {
  constexpr std::size_t capacity = 100;
  std::atomic<std::size_t> ran{0};
  weir::options o = with_workers(2);
  o.capacity = capacity;
  o.full = weir::on_full::reject;
  weir::runtime rt(o);
  for (std::size_t i = 0; i < rounds(500); ++i) {
    std::thread([&] {
      random_numbers random(i);
      for (std::uint64_t n = random.below(50); n > 0; --n) static_cast<void>(rt.submit([&ran] { ++ran; }).has_value());
    }).join();
    if (i % 50 != 49) continue;
    ASSERT_TRUE(rt.wait_idle());
    plug p(rt);
    ASSERT_EQ(fill(rt, ran), capacity) << "after " << i << " threads";
  }
  ASSERT_TRUE(rt.wait_idle());
}

// Each thread uses many runtimes, each runtime sees many threads, and both end in any order.
TEST_F(Submitters, ThreadsAndRuntimesEndInAnyOrder) {
  const std::size_t n = rounds(40);
  ledger books(n * 4 * 3 * 100);
  for (std::size_t i = 0; i < n; ++i) {
    auto a = std::make_unique<weir::runtime>(with_workers(1 + static_cast<unsigned>(i % 3)));
    auto b = std::make_unique<weir::runtime>(with_workers(1));
    gate a_is_gone;
    std::vector<std::thread> threads;
    std::atomic<int> done_with_a{0};
    for (std::size_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        submit_some(*a, books, i * 16 + t);
        submit_some(*b, books, i * 16 + 4 + t);
        ++done_with_a;
        a_is_gone.wait();
        submit_some(*b, books, i * 16 + 8 + t);
      });
    }
    EXPECT_TRUE(eventually([&] { return done_with_a == 4; }));
    a.reset();
    a_is_gone.open();
    for (auto& t : threads) t.join();
    b.reset();
  }
  books.check();
  EXPECT_EQ(books.count(fate::ran), books.opened());
}

}  // namespace
}  // namespace submitters_stress
