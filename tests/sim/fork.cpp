// Forks, joins and loops.
#include "cases.hpp"

#include <array>
#include <numeric>
#include <stdexcept>

namespace cases {

namespace {
int tree(int depth) {
  if (depth == 0) return 1;
  const auto [a, b] = weir::fork_join([&] { return tree(depth - 1); }, [&] { return tree(depth - 1); });
  weir::sim::point();
  return a + b;
}
}  // namespace

void nested_joins_add_up() {
  weir::runtime rt(with_workers(1 + up_to(3)));
  shared<bool> ran{false};
  weir::sim::thread other([&] { HOLDS(rt.run([] { return tree(2); }) == 4); });
  HOLDS(rt.submit([&] { ran.store(true, std::memory_order_relaxed); }));
  HOLDS(rt.run([] { return tree(4); }) == 16);
  other.join();
  rt.drain();
  HOLDS(ran.load(std::memory_order_relaxed));
}

void a_fork_that_throws_ends_its_sibling_first() {
  weir::runtime rt(with_workers(2 + up_to(2)));
  const bool left = weir::sim::random() % 2 == 0;
  shared<int> inside{0};
  const auto side = [&](bool throws) {
    inside.fetch_add(1, std::memory_order_relaxed);
    weir::sim::point();
    const int sum = tree(2);
    inside.fetch_sub(1, std::memory_order_relaxed);
    if (throws) throw std::runtime_error("one side");
    return sum;
  };
  bool caught = false;
  rt.run([&] {
    try {
      weir::fork_join([&] { return side(left); }, [&] { return side(!left); });
    } catch (const std::runtime_error&) {
      caught = true;
      HOLDS(inside.load(std::memory_order_relaxed) == 0);
    }
    HOLDS(tree(2) == 4);
  });
  HOLDS(caught);
}

// The jobs lie at one address, one after the other: a thief that is late must not touch the next one.
void joins_in_one_frame_follow_each_other() {
  weir::runtime rt(with_workers(2 + up_to(2)));
  rt.run([] {
    for (int i = 0; i < 6; ++i) {
      std::array<std::uint64_t, 4> guard{1, 2, 3, 4};
      const auto [a, b] = weir::fork_join(
          [&] {
            for (int k = 0; k < 3; ++k) weir::sim::point();
            return i;
          },
          [&] {
            weir::sim::point();
            return -i;
          });
      HOLDS(a + b == 0 && a == i);
      HOLDS((guard == std::array<std::uint64_t, 4>{1, 2, 3, 4}));
    }
  });
}

void children_of_a_node_run_once() {
  weir::runtime rt(with_workers(1 + up_to(3)));
  const std::size_t n = up_to(21);
  const bool throws = up_to(3) == 1;
  std::array<shared<int>, 21> calls{};
  rt.run([&] {
    bool caught = false;
    try {
      weir::fork_each(n, [&](std::size_t i) {
        HOLDS(calls[i].fetch_add(1, std::memory_order_relaxed) == 0);
        if (i % 3 == 0) weir::sim::point();
        if (throws && i == n / 2) throw std::runtime_error("one child");
      });
    } catch (const std::runtime_error&) {
      caught = true;
    }
    HOLDS(caught == throws);
    for (std::size_t i = 0; i < n; ++i) HOLDS(calls[i].load(std::memory_order_relaxed) == 1 || (throws && i > n / 2));
    HOLDS(tree(3) == 8);
  });
}

void a_fork_under_a_long_leaf_is_found() {
  weir::runtime rt(with_workers(2));
  shared<bool> second{false};
  rt.run([&] {
    weir::fork_join([] {}, [] {});  // answers the bell, which rings from the beginning
    weir::fork_join(
        [&] {
          // Waits for its sibling: somebody else must come and get it, although the owner answers no bell.
          for (int i = 0; i < 100 && !second.load(std::memory_order_relaxed); ++i)
            std::this_thread::sleep_for(std::chrono::milliseconds(1));
          HOLDS(second.load(std::memory_order_relaxed));
        },
        [&] { second.store(true, std::memory_order_relaxed); });
  });
}

// Both siblings and the leaf need each other, so the second fork must find its way to a worker while the first one's thief is
// busy for good.
void two_forks_under_a_long_leaf_are_found() {
  weir::runtime rt(with_workers(3));
  shared<int> together{0};
  const auto meet = [&] {
    together.fetch_add(1, std::memory_order_relaxed);
    for (int i = 0; i < 20000 && together.load(std::memory_order_relaxed) < 3; ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    HOLDS(together.load(std::memory_order_relaxed) == 3);
  };
  rt.run([&] { weir::fork_join([&] { weir::fork_join(meet, meet); }, meet); });
}

void loops_cover_their_range() {
  weir::runtime rt(with_workers(up_to(3)));
  std::array<shared<int>, 24> hits{};
  rt.run([&] {
    const auto hit = [&](int i) { hits[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed); };
    HOLDS(weir::parallel_for(0, 24, hit, {.grain = up_to(5)}));
    const auto sum = weir::parallel_reduce(0, 24, 0, [](int i) { return i; }, [](int a, int b) { return a + b; }, {.grain = 3});
    HOLDS(sum && *sum == 276);
  });
  for (auto& h : hits) HOLDS(h.load(std::memory_order_relaxed) == 1);
}

// A thief's part of a task has that one's token, and is found by whoever asks what runs to stop; the task may end right after it.
void what_a_thief_runs_is_asked_to_stop() {
  weir::runtime rt(with_workers(2));
  const std::stop_source never;
  shared<int> ran{0};
  const auto task = [&] {
    const auto part = [&ran] {
      const std::stop_token mine = weir::this_task::token();
      HOLDS(mine.stop_possible());
      weir::sim::point();
      ran.fetch_add(1, std::memory_order_relaxed);
    };
    static_cast<void>(weir::fork_join(part, [&] { static_cast<void>(weir::fork_join(part, part)); }));
  };
  for (int i = 0; i < 2; ++i) HOLDS(rt.submit(task, {.stop = never.get_token()}));
  while (weir::sim::random() % 8 != 0) weir::sim::point();
  static_cast<void>(rt.drain(weir::clock_type::now()));
  HOLDS(rt.drain().complete);
  HOLDS(ran.load(std::memory_order_relaxed) == 3 * static_cast<int>(rt.metrics().ok));
}

}  // namespace cases
