// Waits inside of tasks inside of waits: nothing deadlocks, nothing unrelated runs, every answer is right.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace nested_wait_stress {
namespace {

using namespace test;

class NestedWaits : public stress, public ::testing::WithParamInterface<unsigned> {};

// A random tree whose inner nodes wait for their children in a random way. Its value is the number of its nodes, which a
// serial walk with the same seeds tells beforehand.
class tree {
 public:
  explicit tree(weir::runtime& rt) : rt_(rt) {}

  static long serial(std::uint64_t node, int level) {
    long n = 1;
    for (std::uint64_t i = 0; level > 0 && i < width(node); ++i) n += serial(child(node, i), level - 1);
    return n;
  }
  long walk(std::uint64_t node, int level) {
    if (level == 0) return 1;
    const std::uint64_t n = width(node);
    switch (node >> 8 & 3) {
      case 0: return 1 + by_handles(node, level, n, true);
      case 1: return 1 + by_handles(node, level, n, false);
      case 2: return 1 + by_forks(node, level, 0, n);
      default: return 1 + by_group(node, level, n);
    }
  }

 private:
  static std::uint64_t child(std::uint64_t node, std::uint64_t i) {
    std::uint64_t z = (node + i + 1) * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    return z ^ (z >> 27);
  }
  static std::uint64_t width(std::uint64_t node) { return node % 4; }

  long by_handles(std::uint64_t node, int level, std::uint64_t n, bool in_order) {
    std::vector<weir::join_handle<long>> handles;
    for (std::uint64_t i = 0; i < n; ++i) handles.push_back(rt_.spawn([=, this] { return walk(child(node, i), level - 1); }));
    long sum = 0;
    while (!handles.empty()) {
      const auto at = in_order ? handles.begin() : handles.end() - 1;
      auto r = at->get();
      EXPECT_TRUE(r) << weir::to_string(r ? weir::errc{} : r.error().code);
      sum += r.value_or(0);
      handles.erase(at);
    }
    return sum;
  }
  long by_forks(std::uint64_t node, int level, std::uint64_t first, std::uint64_t last) {
    if (first == last) return 0;
    const auto [a, b] = weir::fork_join([&] { return walk(child(node, first), level - 1); },
                                        [&] { return by_forks(node, level, first + 1, last); });
    return a + b;
  }
  long by_group(std::uint64_t node, int level, std::uint64_t n) {
#if __has_include(<weir/task_group.hpp>)
    std::atomic<long> sum{0};
    weir::task_group g(rt_, {.limit = static_cast<unsigned>(node >> 16 & 1)});
    for (std::uint64_t i = 0; i < n; ++i) g.run([&, i] { sum += walk(child(node, i), level - 1); });
    EXPECT_TRUE(g.wait());
    return sum;
#else
    return by_handles(node, level, n, true);
#endif
  }
  weir::runtime& rt_;
};

TEST_P(NestedWaits, OfRandomTreesEndWithTheRightSum) {
  weir::runtime rt(with_workers(GetParam()));
  tree t(rt);
  random_numbers random(GetParam());
  for (std::size_t i = 0; i < rounds(150); ++i) {
    const std::uint64_t root = random.next() | 3;
    const long expected = tree::serial(root, 9);
    switch (random.below(3)) {
      case 0: EXPECT_EQ(rt.run([&] { return t.walk(root, 9); }), expected) << "root " << root; break;
      case 1: EXPECT_EQ(rt.spawn([&] { return t.walk(root, 9); }).get().value_or(-1), expected) << "root " << root; break;
      default: {  // two at once
        auto other = rt.spawn([&] { return t.walk(root, 8); });
        EXPECT_EQ(rt.run([&] { return t.walk(root, 9); }), expected) << "root " << root;
        EXPECT_EQ(other.get().value_or(-1), tree::serial(root, 8)) << "root " << root;
      }
    }
  }
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  EXPECT_EQ(m.submitted, m.ok);
}

// Handles that are waited for by somebody else than who spawned them: claims race with starts.
TEST_P(NestedWaits, ClaimsRacingStartsRunEachTaskOnce) {
  weir::runtime rt(with_workers(GetParam()));
  for (std::size_t i = 0; i < rounds(300); ++i) {
    std::vector<std::atomic<int>> ran(64);
    std::vector<weir::join_handle<int>> handles;
    for (std::size_t k = 0; k < ran.size(); ++k) {
      handles.push_back(rt.spawn([&ran, k] {
        ++ran[k];
        return static_cast<int>(k);
      }));
    }
    const auto wait_for = [&](std::size_t first, std::size_t last) {
      for (std::size_t k = last; k-- > first;) EXPECT_EQ(handles[k].get().value_or(-1), static_cast<int>(k));
    };
    auto half = rt.spawn([&] { wait_for(0, 32); });
    rt.run([&] { wait_for(32, 64); });
    EXPECT_TRUE(half.get());
    for (auto& r : ran) ASSERT_EQ(r, 1);
  }
}

// Every task takes the same mutex and waits under it: foreign work in that wait would lock up.
TEST_P(NestedWaits, UnderAMutexMeetNothingUnrelated) {
  static thread_local bool holding;
  weir::runtime rt(with_workers(GetParam()));
  tree t(rt);
  std::mutex mutex;
  std::atomic<int> met{0}, ran{0};
  const std::size_t n = rounds(400);
  for (std::size_t i = 0; i < n; ++i) {
    ASSERT_TRUE(rt.submit([&, i] {
      if (holding) {
        ++met;
        return;
      }
      std::lock_guard lock(mutex);
      holding = true;
      EXPECT_EQ(t.walk(i, 4), tree::serial(i, 4));
      holding = false;
      ++ran;
    }));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(met, 0);
  EXPECT_EQ(static_cast<std::size_t>(ran), n);
}

INSTANTIATE_TEST_SUITE_P(Workers, NestedWaits, ::testing::Values(1u, 2u, 3u, 8u));

// Runtimes that wait for each other in a ring: only spares keep it going.
TEST(NestedWaitsAcross, ARingOfRuntimesGoesOn) {
  std::vector<std::unique_ptr<weir::runtime>> ring;
  for (int i = 0; i < 3; ++i) ring.push_back(std::make_unique<weir::runtime>(with_workers(1)));
  std::function<int(std::size_t, int)> round_trip = [&](std::size_t at, int left) -> int {
    if (left == 0) return 0;
    weir::runtime& next = *ring[(at + 1) % ring.size()];
    if (left % 2 == 0) return 1 + next.run([&] { return round_trip(at + 1, left - 1); });
    auto h = next.spawn([&round_trip, at, left] { return round_trip(at + 1, left - 1); });
    return 1 + h.get().value_or(-1000);
  };
  for (std::size_t i = 0; i < rounds(60); ++i) {
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 3; ++t) {
      threads.emplace_back([&, t] { EXPECT_EQ(ring[t]->run([&, t] { return round_trip(t, 12); }), 12); });
    }
    for (auto& t : threads) t.join();
  }
}

// More waits at once than there may be spares: each get ends with a value or with `starved`, none hangs.
TEST(NestedWaitsAcross, WithFewSparesGetsEndWithAValueOrStarved) {
  for (std::size_t i = 0; i < rounds(100); ++i) {
    weir::options o = with_workers(2);
    o.max_spares = 2;
    weir::runtime rt(o);
    std::atomic<int> values{0}, starved{0};
    std::vector<weir::join_handle<void>> waiters;
    for (int k = 0; k < 16; ++k) {
      waiters.push_back(rt.spawn([&, k] {
        auto bound = rt.spawn([] { return 1; }, {.worker = k % 2});
        auto r = bound.get();
        if (r) ++values;
        else if (r.error().code == weir::errc::starved && bound.valid()) ++starved;
      }));
    }
    for (auto& w : waiters) EXPECT_TRUE(w.get());
    EXPECT_EQ(values + starved, 16);
    ASSERT_TRUE(rt.wait_idle());
  }
}

}  // namespace
}  // namespace nested_wait_stress
