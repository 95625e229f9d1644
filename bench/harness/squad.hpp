// Outside threads that submit: created before the clock starts, released together.
#pragma once

#include <barrier>
#include <cstddef>
#include <functional>
#include <thread>
#include <vector>

namespace bench {

class squad {
 public:
  explicit squad(unsigned threads) : gate_(static_cast<std::ptrdiff_t>(threads) + 1) {
    for (unsigned i = 0; i < threads; ++i) threads_.emplace_back([this, i] { loop(i); });
  }
  squad(const squad&) = delete;
  ~squad() {
    job_ = nullptr;
    gate_.arrive_and_wait();
    for (std::thread& t : threads_) t.join();
  }
  // Runs job(i) on every thread i and returns when the last has returned.
  void run(std::function<void(unsigned)> job) {
    job_ = std::move(job);
    gate_.arrive_and_wait();
    gate_.arrive_and_wait();
  }

 private:
  void loop(unsigned i) {
    for (;;) {
      gate_.arrive_and_wait();
      if (!job_) return;
      job_(i);
      gate_.arrive_and_wait();
    }
  }
  std::barrier<> gate_;
  std::function<void(unsigned)> job_;
  std::vector<std::thread> threads_;
};

}  // namespace bench
