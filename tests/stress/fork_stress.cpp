// Random fork trees with leaves of random length: the checksum says that each leaf ran once and each value arrived.
#include <weir/fork_each.hpp>
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <functional>
#include <thread>
#include <vector>

namespace fork_stress {
namespace {

using namespace test;

class Forks : public stress, public ::testing::WithParamInterface<unsigned> {};

std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

// Shape, leaf times and values all follow from the node's number, so the serial walk knows the sum.
struct shape {
  int busy_one_in;         // of so many leaves one is busy
  std::uint64_t busy_ns;   // for at most so long
  std::uint64_t unbalance; // 0: a full tree; else of so many inner nodes one is cut off
};

template <bool Serial>
std::uint64_t walk(const shape& s, std::uint64_t node, int level, std::atomic<std::uint64_t>* leaves) {
  const std::uint64_t h = mix(node);
  if (level == 0 || (s.unbalance != 0 && h % s.unbalance == 0)) {
    if constexpr (!Serial) {
      leaves->fetch_add(1, std::memory_order_relaxed);
      if (s.busy_one_in != 0 && h % static_cast<std::uint64_t>(s.busy_one_in) == 1) burn(std::chrono::nanoseconds(mix(h) % (s.busy_ns + 1)));
    }
    return h;
  }
  const std::uint64_t left = node * 2 + 1, right = node * 2 + 2;
  if constexpr (Serial) {
    return h ^ (walk<true>(s, left, level - 1, leaves) * 3 + walk<true>(s, right, level - 1, leaves));
  } else {
    const auto [a, b] = weir::fork_join([&] { return walk<false>(s, left, level - 1, leaves); },
                                        [&] { return walk<false>(s, right, level - 1, leaves); });
    return h ^ (a * 3 + b);
  }
}

std::uint64_t leaves_of(const shape& s, std::uint64_t node, int level) {
  if (level == 0 || (s.unbalance != 0 && mix(node) % s.unbalance == 0)) return 1;
  return leaves_of(s, node * 2 + 1, level - 1) + leaves_of(s, node * 2 + 2, level - 1);
}

TEST_P(Forks, GiveTheSerialChecksum) {
  const shape shapes[] = {{0, 0, 0}, {64, 20'000, 0}, {8, 2'000, 6}, {1024, 200'000, 9}, {2, 300, 5}};
  weir::runtime rt(with_workers(GetParam()));
  random_numbers random(GetParam());
  for (std::size_t i = 0; i < rounds(60); ++i) {
    const shape& s = shapes[i % 5];
    const std::uint64_t root = random.below(1u << 30);
    const int level = 8 + static_cast<int>(random.below(5));
    std::atomic<std::uint64_t> leaves{0};
    EXPECT_EQ(rt.run([&] { return walk<false>(s, root, level, &leaves); }), walk<true>(s, root, level, nullptr)) << "root " << root;
    EXPECT_EQ(leaves, leaves_of(s, root, level)) << "root " << root;
  }
}

// Nodes of any number of children, from none to many.
template <bool Serial>
std::uint64_t bush(std::uint64_t node, int level) {
  const std::uint64_t h = mix(node);
  if (level == 0) return h;
  const std::size_t n = h % 32 == 0 ? 40 : h % 6;
  std::uint64_t below[40];
  const auto child = [&below, node, level](std::size_t i) { below[i] = bush<Serial>(node * 41 + i + 1, level - 1); };
  if constexpr (Serial) {
    for (std::size_t i = 0; i < n; ++i) child(i);
  } else {
    if (h % 64 == 1) burn(std::chrono::nanoseconds(h % 5'000));
    if (h % 2 == 0) weir::fork_each(n, child);  // by copy
    else weir::fork_each(n, std::ref(child));
  }
  std::uint64_t sum = h;
  for (std::size_t i = 0; i < n; ++i) sum = sum * 3 + below[i];
  return sum;
}

TEST_P(Forks, OfAsManyChildrenAsANodeHasGiveTheSerialChecksum) {
  weir::runtime rt(with_workers(GetParam()));
  for (std::size_t i = 0; i < rounds(40); ++i) {
    const std::uint64_t root = i * GetParam();
    ASSERT_EQ(rt.run([&] { return bush<false>(root, 6); }), bush<true>(root, 6)) << "tree " << i;
  }
}

TEST_P(Forks, OfManyTreesAtOnceDoNotMix) {
  weir::runtime rt(with_workers(GetParam()));
  random_numbers random(GetParam() + 100);
  for (std::size_t i = 0; i < rounds(40); ++i) {
    const shape s{32, 5'000, 7};
    std::vector<weir::join_handle<std::uint64_t>> trees;
    std::vector<std::uint64_t> roots;
    std::atomic<std::uint64_t> leaves{0};
    for (int k = 0; k < 8; ++k) {
      roots.push_back(random.below(1u << 30));
      trees.push_back(rt.spawn([&s, &leaves, root = roots.back()] { return walk<false>(s, root, 9, &leaves); }));
    }
    for (std::size_t k = 0; k < trees.size(); ++k) {
      EXPECT_EQ(trees[k].get().value_or(0), walk<true>(s, roots[k], 9, nullptr)) << "root " << roots[k];
    }
  }
}

// A flat loop of tiny forks: the deque is empty, one, empty, one … while thieves look at it.
TEST_P(Forks, OfOneAtATimeEachGoToExactlyOneSide) {
  weir::runtime rt(with_workers(GetParam()));
  const std::size_t n = rounds(400'000);
  std::uint64_t sum = 0;
  rt.run([&] {
    random_numbers random(7);
    for (std::size_t i = 0; i < n; ++i) {
      const auto [a, b] = weir::fork_join([&] { return i; }, [&] { return i * 2; });
      sum += a + b;
      if (random.one_in(1000)) burn(std::chrono::nanoseconds(random.below(20'000)));
    }
  });
  EXPECT_EQ(sum, 3 * (static_cast<std::uint64_t>(n) * (n - 1) / 2));
}

// Spines around the deque's capacity, in which thieves take from the old end while the young end overflows.
std::uint64_t spine(int depth, std::atomic<std::uint64_t>& ran) {
  if (depth == 0) {
    burn(50us);
    return 0;
  }
  const auto [a, b] = weir::fork_join([&] { return spine(depth - 1, ran); },
                                      [&] {
                                        ran.fetch_add(1, std::memory_order_relaxed);
                                        return static_cast<std::uint64_t>(depth);
                                      });
  return a + b;
}

TEST_P(Forks, AroundTheDequesCapacityAreNeitherLostNorDoubled) {
  weir::options o = with_workers(GetParam());
  o.stack_size = std::size_t{64} << 20;
  weir::runtime rt(o);
  random_numbers random(GetParam());
  for (std::size_t i = 0; i < rounds(100); ++i) {
    const int depth = random.one_in(2) ? 4000 + static_cast<int>(random.below(200)) : 1 + static_cast<int>(random.below(300));
    std::atomic<std::uint64_t> ran{0};
    const auto d = static_cast<std::uint64_t>(depth);
    EXPECT_EQ(rt.run([&] { return spine(depth, ran); }), d * (d + 1) / 2) << depth;
    EXPECT_EQ(ran, d);
  }
}

INSTANTIATE_TEST_SUITE_P(Workers, Forks, ::testing::Values(1u, 2u, 3u, 8u));

}  // namespace
}  // namespace fork_stress
