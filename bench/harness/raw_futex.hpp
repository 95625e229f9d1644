// The limit of waking: one thread that sleeps in a futex and, woken, notes the time. Nothing can wake faster.
#pragma once

#include "clock.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <thread>

namespace bench {

class raw_sleeper {
 public:
  raw_sleeper() : thread_([this] { loop(); }) {}
  raw_sleeper(const raw_sleeper&) = delete;
  ~raw_sleeper() {
    stop_.store(true, std::memory_order_relaxed);
    post();
    thread_.join();
  }

  void post() noexcept {
    word_.fetch_add(1, std::memory_order_release);
    syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
  // When the thread ran after a post(); 0 until then.
  std::atomic<std::uint64_t> started{0};

 private:
  void loop() noexcept {
    std::uint32_t seen = 0;
    for (;;) {
      while (word_.load(std::memory_order_acquire) == seen)
        syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
      ++seen;
      if (stop_.load(std::memory_order_relaxed)) return;
      started.store(ticks(), std::memory_order_release);
    }
  }
  std::atomic<std::uint32_t> word_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace bench
