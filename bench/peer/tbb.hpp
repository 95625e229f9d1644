// oneTBB as the public runtime-benchmarks suite uses it: parallel_invoke for two and four, task_group for the rest.
#pragma once

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/global_control.h>
#include <oneapi/tbb/parallel_for.h>
#include <oneapi/tbb/parallel_invoke.h>
#include <oneapi/tbb/task_arena.h>
#include <oneapi/tbb/task_group.h>
#include <oneapi/tbb/version.h>

#include <chrono>
#include <cstddef>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace bench {

class tbb_peer {
 public:
  static constexpr const char* name = "oneTBB";
  static std::string version() { return std::to_string(TBB_VERSION_MAJOR) + "." + std::to_string(TBB_VERSION_MINOR); }

  // Two arenas: in run() the caller is one of the workers, as oneTBB wants it; submitted tasks have workers of their
  // own, as many as weir's.
  explicit tbb_peer(unsigned workers)
      : workers_(workers),
        threads_(oneapi::tbb::global_control::max_allowed_parallelism, workers + 1),
        joined_(static_cast<int>(workers)),
        outside_(static_cast<int>(workers), 0) {}

  unsigned workers() const noexcept { return workers_; }

  template <class F>
  auto run(F&& f) {
    return joined_.execute(std::forward<F>(f));
  }
  template <class F, class G>
  static auto both(F&& f, G&& g) {
    std::pair<std::invoke_result_t<F&>, std::invoke_result_t<G&>> values;
    oneapi::tbb::parallel_invoke([&values, &f] { values.first = f(); }, [&values, &g] { values.second = g(); });
    return values;
  }
  template <class... F>
  static void fork(F&&... f) {
    oneapi::tbb::parallel_invoke(std::forward<F>(f)...);
  }
  template <class F>
  static void fork_each(std::size_t n, F&& f) {
    if (n == 0) return;
    oneapi::tbb::task_group group;
    for (std::size_t i = 0; i + 1 < n; ++i) group.run([&f, i] { f(i); });
    group.run_and_wait([&f, n] { f(n - 1); });
  }
  template <class F>
  static void for_range(std::size_t first, std::size_t last, std::size_t grain, F&& f) {
    using range = oneapi::tbb::blocked_range<std::size_t>;
    oneapi::tbb::parallel_for(range(first, last, grain != 0 ? grain : 1), [&f](const range& r) {
      for (std::size_t i = r.begin(); i != r.end(); ++i) f(i);
    });
  }

  template <class F>
  void submit(F&& f) {
    outside_.enqueue(std::forward<F>(f));
  }
  // oneTBB has no handle of a single task; a promise is what its users reach for.
  template <class F>
  auto spawn(F&& f) {
    using R = std::invoke_result_t<F&>;
    auto task = std::make_shared<std::packaged_task<R()>>(std::forward<F>(f));
    auto handle = task->get_future();
    outside_.enqueue([task] { (*task)(); });
    return handle;
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get();
  }
  template <class F>
  static void group_of(std::size_t n, F&& f) {
    oneapi::tbb::task_group group;
    for (std::size_t i = 0; i < n; ++i) group.run([&f, i] { f(i); });
    group.wait();
  }
  // An arena cannot be waited for: look every 100 µs.
  template <class Done>
  void wait_until(Done&& done) {
    while (!done()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  unsigned workers_;
  oneapi::tbb::global_control threads_;
  oneapi::tbb::task_arena joined_, outside_;
};

}  // namespace bench
