// What somebody else's program looks like.
#include <weir/weir.hpp>

#include <atomic>
#include <cstdio>

int main() {
  weir::runtime rt;
  std::atomic<int> ran{0};
  for (int i = 0; i < 100; ++i)
    if (!rt.submit([&ran] { ran.fetch_add(1, std::memory_order_relaxed); })) return 1;
  if (!rt.wait_idle()) return 2;
  const int answer = rt.run([] { return 42; });
  if (!weir::parallel_for(rt, 0, 100, [&ran](int) { ran.fetch_sub(1, std::memory_order_relaxed); })) return 4;
  if (ran.exchange(100, std::memory_order_relaxed) != 0) return 5;
  std::printf("ran %d, answer %d\n", ran.load(), answer);
  return ran.load() == 100 && answer == 42 ? 0 : 3;
}
