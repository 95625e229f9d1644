// Eigen's ThreadPool, the one under TensorFlow. A queue of it holds 1024 tasks; past that Schedule() runs the task itself.
#pragma once

#include <unsupported/Eigen/CXX11/ThreadPool>

#include <chrono>
#include <future>
#include <memory>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>

namespace bench {

class eigen_pool {
 public:
  static constexpr const char* name = "Eigen";
  static std::string version() {
    return std::to_string(EIGEN_WORLD_VERSION) + "." + std::to_string(EIGEN_MAJOR_VERSION) + "." +
           std::to_string(EIGEN_MINOR_VERSION);
  }

  explicit eigen_pool(unsigned workers) : pool_(static_cast<int>(workers)) {}

  template <class F>
  void submit(F&& f) {
    pool_.Schedule(std::forward<F>(f));
  }
  template <class F>
  auto spawn(F&& f) {
    using R = std::invoke_result_t<F&>;
    auto task = std::make_shared<std::packaged_task<R()>>(std::forward<F>(f));
    auto handle = task->get_future();
    pool_.Schedule([task] { (*task)(); });
    return handle;
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get();
  }
  // There is nothing to wait for: look every 100 µs.
  template <class Done>
  void wait_until(Done&& done) {
    while (!done()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  Eigen::ThreadPool pool_;
};

}  // namespace bench
