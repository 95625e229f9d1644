// Compiled with optimisation whatever the rest is: that is when a compiler makes use of what it may assume.
#include <weir/runtime.hpp>

#include <atomic>
#include <optional>

namespace test {

namespace {
[[gnu::noinline]] long some_value() { return 7; }
}  // namespace

// The value of an empty optional was never written.
[[gnu::noinline]] bool submit_optional(weir::runtime& rt, bool full, std::atomic<long>& with, std::atomic<int>& without) {
  static std::atomic<long>* sum = nullptr;
  static std::atomic<int>* count = nullptr;
  sum = &with, count = &without;
  std::optional<long> o;
  if (full) o = some_value();
  return rt.submit([o] {
             if (o) *sum += *o;
             else ++*count;
           })
      .has_value();
}

}  // namespace test
