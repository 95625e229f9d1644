// Parking races waking: work comes in at random moments around the one at which workers go to sleep. Whatever is lost
// here is lost for ever, so a lost wake-up shows as a test that hangs and is named by the watchdog.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <algorithm>
#include <thread>
#include <tuple>
#include <vector>

namespace park_stress {
namespace {

using namespace test;

class Parking : public stress, public ::testing::WithParamInterface<std::tuple<unsigned, int>> {
 protected:
  weir::options opts() const {
    weir::options o = with_workers(std::get<0>(GetParam()));
    o.spin = std::chrono::microseconds(std::get<1>(GetParam()));
    return o;
  }
  // Half of the gaps are of the order of the spin, where the race is.
  static void gap(random_numbers& random) {
    switch (random.below(4)) {
      case 0: return;
      case 1: burn(std::chrono::nanoseconds(random.below(20'000))); return;
      case 2: burn(std::chrono::nanoseconds(random.below(200'000))); return;
      default: std::this_thread::sleep_for(std::chrono::nanoseconds(random.below(200'000)));
    }
  }
};

// The submitter does not help: if the wake-up is lost, the task waits for ever.
TEST_P(Parking, ASubmitAfterARandomGapAlwaysStarts) {
  weir::runtime rt(opts());
  random_numbers random(1);
  std::atomic<std::size_t> ran{0};
  for (std::size_t i = 0; i < rounds(700); ++i) {
    gap(random);
    ASSERT_TRUE(rt.submit([&] { ++ran; }));
    if (random.one_in(2)) {
      ASSERT_TRUE(eventually([&] { return ran == i + 1; })) << "a lost wake-up, round " << i;
    }
  }
  EXPECT_TRUE(eventually([&] { return ran == rounds(700); })) << "a lost wake-up at the end";
}

TEST_P(Parking, AWaiterIsAlwaysWoken) {
  weir::runtime rt(opts());
  random_numbers random(2);
  for (std::size_t i = 0; i < rounds(1000); ++i) {
    gap(random);
    const std::uint64_t work = random.below(3) * random.below(60'000);
    auto h = rt.spawn([work] { burn(std::chrono::nanoseconds(work)); });
    if (random.one_in(2)) gap(random);
    switch (random.below(3)) {
      case 0: EXPECT_TRUE(h.get()); break;
      case 1: EXPECT_TRUE(rt.wait_idle()); break;
      default: EXPECT_EQ(rt.run([] { return 1; }), 1);
    }
  }
}

// A burst wakes as many as it needs: tasks that wait for each other need them all.
TEST_P(Parking, ABurstWakesEveryWorkerItNeeds) {
  weir::runtime rt(opts());
  random_numbers random(3);
  const unsigned workers = std::get<0>(GetParam());
  for (std::size_t i = 0; i < rounds(300); ++i) {
    gap(random);
    std::atomic<unsigned> inside{0};
    std::atomic<bool> met{true};
    for (unsigned k = 0; k < workers; ++k) {
      ASSERT_TRUE(rt.submit([&] {
        ++inside;
        if (!eventually([&] { return inside >= workers; })) met = false;
      }));
      if (random.one_in(4)) gap(random);
    }
    ASSERT_TRUE(rt.wait_idle());
    ASSERT_TRUE(met) << "only " << inside << " of " << workers << " workers came, round " << i;
  }
}

// The same for what a task submits, and for forks.
TEST_P(Parking, WorkFromInsideReachesParkedWorkers) {
  weir::options o = opts();
  o.workers = std::max(2u, o.workers);  // somebody to wake
  weir::runtime rt(o);
  random_numbers random(4);
  for (std::size_t i = 0; i < rounds(300); ++i) {
    const bool forks = random.one_in(2);
    gap(random);
    const bool met = rt.run([&] {
      std::atomic<bool> other{false};
      bool ok = false;
      gap(random);
      if (forks) {
        weir::fork_join([&] { ok = eventually([&] { return other.load(); }); }, [&] { other = true; });
      } else {
        auto h = rt.spawn([&] { other = true; });
        ok = eventually([&] { return other.load(); });
        EXPECT_TRUE(h.get());
      }
      return ok;
    });
    ASSERT_TRUE(met) << (forks ? "a fork" : "a task") << " stayed alone, round " << i;
  }
}

// A pause, a resume and a drain in between.
TEST_P(Parking, PauseAndResumeLoseNothing) {
  weir::runtime rt(opts());
  random_numbers random(5);
  std::atomic<std::size_t> ran{0};
  std::size_t sent = 0;
  for (std::size_t i = 0; i < rounds(300); ++i) {
    rt.pause();
    for (std::uint64_t k = random.below(4); k > 0; --k, ++sent) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    if (random.one_in(2)) gap(random);
    rt.resume();
    for (std::uint64_t k = random.below(4); k > 0; --k, ++sent) ASSERT_TRUE(rt.submit([&] { ++ran; }));
    if (random.one_in(2)) {
      ASSERT_TRUE(rt.wait_idle());
      ASSERT_EQ(ran, sent);
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, sent);
}

// Blocked submitters are woken by starts, by cancels, and by nothing else.
TEST_P(Parking, BlockedSubmittersAreAlwaysWoken) {
  weir::options o = opts();
  o.capacity = 1;
  weir::runtime rt(o);
  std::atomic<std::size_t> ran{0};
  std::vector<std::thread> threads;
  const std::size_t each = rounds(300);
  for (std::uint64_t t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      random_numbers random(10 + t);
      for (std::size_t i = 0; i < each; ++i) {
        if (random.one_in(4)) gap(random);
        const std::uint64_t work = random.one_in(2) ? random.below(30'000) : 0;
        ASSERT_TRUE(rt.submit([&ran, work] {
          burn(std::chrono::nanoseconds(work));
          ++ran;
        }));
      }
    });
  }
  for (auto& t : threads) t.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 3 * each);
}

INSTANTIATE_TEST_SUITE_P(WorkersAndSpin, Parking,
                         ::testing::Combine(::testing::Values(1u, 2u, 8u), ::testing::Values(0, 50)), [](const auto& i) {
                           return std::to_string(std::get<0>(i.param)) + "workers" + std::to_string(std::get<1>(i.param)) + "us";
                         });

}  // namespace
}  // namespace park_stress
