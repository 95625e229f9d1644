// Compiled with optimisation whatever the rest is: gcc does symmetric transfer as a tail call only then.
#include <weir/runtime.hpp>
#include <weir/task.hpp>

namespace test {

namespace {
weir::task<int> one() { co_return 1; }
weir::task<int> sum(int n) {
  int s = 0;
  for (int i = 0; i < n; ++i) s += co_await one();
  co_return s;
}
}  // namespace

int sum_of_ready_tasks(weir::runtime& rt, int n) { return weir::spawn(rt, sum(n)).get().value_or(-1); }

}  // namespace test
