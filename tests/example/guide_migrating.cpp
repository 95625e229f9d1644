// What core/guide/migrating.md shows: what others spell in another way.
#include <weir/weir.hpp>

#include <atomic>
#include <cstdio>
#include <stdexcept>
#include <vector>

int main() {
  weir::runtime rt({.workers = 2});

  // std::async: a handle. Its destructor does not wait; an error that nobody reads is reported, not lost.
  auto a = rt.spawn([] { return 6 * 7; });
  std::printf("%d\n", a.get().value());

  // sync.WaitGroup, tokio::task::JoinSet, tbb::task_group: a group. Children may refer to what outlives it.
  std::atomic<int> sum{0};
  weir::task_group group(rt);
  for (int i = 1; i <= 100; ++i) group.run([&sum, i] { sum += i; });
  group.wait().value();
  std::printf("%d\n", sum.load());

  // folly::collectAll, future::join_all: spawn all, then get all. The order of the gets does not matter.
  std::vector<weir::join_handle<int>> all;
  for (int i = 0; i < 3; ++i) all.push_back(rt.spawn([i] { return i; }));
  for (auto& h : all) std::printf("%d\n", h.get().value());

  // errgroup.WithContext, a CancellationToken: the group's token, which its first error fires.
  weir::task_group work(rt, {.limit = 2});
  work.run([](std::stop_token token) {
    while (!token.stop_requested()) {}
  });
  work.run([] { throw std::runtime_error("the first error"); });
  try {
    work.wait().value();
  } catch (const std::runtime_error& e) { std::printf("%s\n", e.what()); }

  // tbb::parallel_invoke, rayon::join
  const auto [x, y, z] = rt.run([] { return weir::invoke([] { return 1; }, [] { return 2; }, [] { return 3; }); });
  std::printf("%d %d %d\n", x, y, z);
}

// prints:
// 42
// 5050
// 0
// 1
// 2
// the first error
// 1 2 3
