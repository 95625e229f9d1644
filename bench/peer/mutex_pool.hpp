// What people write when they need a pool: threads, a deque of functions, one mutex, one condition variable.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

namespace bench {

class mutex_pool {
 public:
  static constexpr const char* name = "mutex pool";
  static std::string version() { return ""; }

  explicit mutex_pool(unsigned workers) {
    for (unsigned i = 0; i < workers; ++i) threads_.emplace_back([this] { loop(); });
  }
  mutex_pool(const mutex_pool&) = delete;
  ~mutex_pool() {
    {
      const std::lock_guard hold(mutex_);
      stopping_ = true;
    }
    some_.notify_all();
    for (std::thread& t : threads_) t.join();
  }

  template <class F>
  void submit(F&& f) {
    {
      const std::lock_guard hold(mutex_);
      tasks_.emplace_back(std::forward<F>(f));
    }
    some_.notify_one();
  }
  template <class F>
  auto spawn(F&& f) {
    using R = std::invoke_result_t<F&>;
    auto task = std::make_shared<std::packaged_task<R()>>(std::forward<F>(f));
    auto handle = task->get_future();
    submit([task] { (*task)(); });
    return handle;
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get();
  }
  template <class Done>
  void wait_until(Done&& done) {
    while (!done()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  void loop() {
    std::unique_lock hold(mutex_);
    for (;;) {
      some_.wait(hold, [this] { return stopping_ || !tasks_.empty(); });
      if (tasks_.empty()) return;
      std::function<void()> task = std::move(tasks_.front());
      tasks_.pop_front();
      hold.unlock();
      task();
      task = nullptr;
      hold.lock();
    }
  }
  std::mutex mutex_;
  std::condition_variable some_;
  std::deque<std::function<void()>> tasks_;
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace bench
