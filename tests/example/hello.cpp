#include <weir/weir.hpp>
#include <cstdio>

long fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = weir::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

int main() {
  weir::runtime rt;  // a pinned worker for each core, a bounded queue; the destructor drains
  if (!rt.submit([] { std::puts("hello from a worker"); })) return 1;  // full or stopped
  const auto answer = rt.spawn([] { return fib(30); }).get();          // a result<long>
  return std::printf("fib(30) = %ld\n", answer.value()) < 0;
}
