// What core/guide/parallel.md shows: loops, reductions, groups, and whom a worker serves meanwhile.
#include <weir/weir.hpp>

#include <algorithm>
#include <atomic>
#include <cstdio>
#include <numeric>
#include <stdexcept>
#include <vector>

long sum(const std::vector<int>& v) {
  return weir::parallel_reduce(
             v.begin(), v.end(), 0l, [](int x) { return static_cast<long>(x); }, [](long a, long b) { return a + b; })
      .value();
}

void sort(std::vector<int>::iterator first, std::vector<int>::iterator last) {
  if (last - first < 2000) return std::sort(first, last);
  const auto middle = first + (last - first) / 2;
  std::nth_element(first, middle, last);
  weir::fork_join([=] { sort(first, middle); }, [=] { sort(middle, last); });
}

struct node {
  long value = 1;
  std::vector<node> children;
};

long sum(const node& n) {
  std::vector<long> below(n.children.size());
  weir::fork_each(below.size(), [&](std::size_t i) { below[i] = sum(n.children[i]); });
  return std::accumulate(below.begin(), below.end(), n.value);
}

int main() {
  weir::runtime rt;
  std::vector<int> v(100'000);

  weir::parallel_for(rt, 0, v.size(), [&](std::size_t i) { v[i] = static_cast<int>(i * 7919 % 100'000); }).value();
  std::printf("on the workers %ld, ", rt.run([&] { return sum(v); }));
  std::printf("and on this thread, serially, %ld\n", sum(v));
  rt.run([&] { sort(v.begin(), v.end()); });
  std::printf("sorted: %s\n", std::is_sorted(v.begin(), v.end()) ? "yes" : "no");

  const node bush{1, std::vector<node>(10, node{10, std::vector<node>(10)})};
  std::printf("a bush of %ld\n", rt.run([&] { return sum(bush); }));

  // The first error ends the loop; what has begun ends before it is told.
  const weir::status s = weir::parallel_for(rt, 0, 1'000'000, [](int i) {
    if (i == 4711) throw std::out_of_range("4711");
  });
  try {
    s.value();
  } catch (const std::out_of_range& e) { std::printf("the loop says %s\n", e.what()); }

  // One worker: a task that comes while it is inside of a loop waits until the whole loop has ended.
  weir::runtime one({.workers = 1});
  std::atomic<int> done{0}, done_before_the_request{0};
  one.run([&] {
    weir::parallel_for(0, 100, [&](int i) {
      if (i == 0 && !one.submit([&] { done_before_the_request = done.load(); })) std::puts("not accepted");
      ++done;
    }).value();
  });
  one.wait_idle();
  std::printf("iterations before the request: %d\n", done_before_the_request.load());
}

// prints:
// on the workers 4999950000, and on this thread, serially, 4999950000
// sorted: yes
// a bush of 201
// the loop says 4711
// iterations before the request: 100
