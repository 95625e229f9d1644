// std::async(launch::async): a thread for each task, and no pool. The destructor of its future waits for the task, so
// whoever fires and forgets has to keep the futures somewhere.
#pragma once

#include <chrono>
#include <deque>
#include <future>
#include <mutex>
#include <string>
#include <utility>

namespace bench {

class std_async {
 public:
  static constexpr const char* name = "std::async";
  static std::string version() { return ""; }
  static constexpr bool thread_each = true;

  explicit std_async(unsigned) {}

  template <class F>
  void submit(F&& f) {
    std::future<void> started = std::async(std::launch::async, std::forward<F>(f));
    const std::lock_guard hold(mutex_);
    pending_.push_back(std::move(started));
    while (!pending_.empty() && pending_.front().wait_for(std::chrono::seconds(0)) == std::future_status::ready)
      pending_.pop_front();
  }
  template <class F>
  auto spawn(F&& f) {
    return std::async(std::launch::async, std::forward<F>(f));
  }
  template <class Gate>
  auto unfinished(Gate& g) {
    return spawn([&g] { g.wait(); });
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get();
  }

 private:
  std::mutex mutex_;
  std::deque<std::future<void>> pending_;
};

}  // namespace bench
