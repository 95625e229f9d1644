// Several threads at once, for tests of parts that have no runtime around them.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

namespace test {

/// Runs f(0) … f(n - 1), each on a thread of its own, all let go at the same moment; returns when all have ended.
template <class F>
void together(unsigned n, F f) {
  std::atomic<unsigned> ready{0};
  std::vector<std::thread> threads;
  for (unsigned i = 0; i < n; ++i) {
    threads.emplace_back([&, i] {
      for (ready.fetch_add(1); ready.load() < n;) std::this_thread::yield();
      f(i);
    });
  }
  for (std::thread& t : threads) t.join();
}

}  // namespace test
