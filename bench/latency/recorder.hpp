// Where running tasks note how long they waited and ran: histograms for each thread, merged when all have ended.
#pragma once

#include "histogram.hpp"

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

namespace bench {

// Threads that live at the same time have different numbers below `last`; a thread's number goes to a later one when it
// ends (std::async starts one for each task). Past that many threads they share `last`.
class thread_number {
 public:
  static constexpr std::size_t last = 255;

  static std::size_t mine() {
    thread_local const thread_number number;
    return number.value_;
  }

 private:
  struct pool {
    std::mutex mutex;
    std::vector<std::size_t> free;
    std::size_t next = 0;
  };
  static pool& numbers() {
    static pool& p = *new pool;  // never destroyed: threads may end after main
    return p;
  }
  thread_number() {
    pool& p = numbers();
    const std::lock_guard hold(p.mutex);
    if (!p.free.empty()) {
      value_ = p.free.back();
      p.free.pop_back();
    } else {
      value_ = p.next < last ? p.next++ : last;
    }
  }
  ~thread_number() {
    if (value_ == last) return;
    pool& p = numbers();
    const std::lock_guard hold(p.mutex);
    p.free.push_back(value_);
  }
  std::size_t value_ = last;
};

struct task_times {
  histogram waited, ran, whole;  // ns: intended start to start; start to end; intended start to end
};

class recorder {
 public:
  recorder() = default;
  recorder(const recorder&) = delete;
  ~recorder() {
    for (auto& s : shards_) delete s.load(std::memory_order_relaxed);
  }

  // By the thread that ran a task, as its last act. `counted` is false in the warm-up: only the number of tasks is kept.
  void note(bool counted, std::uint64_t waited, std::uint64_t took) {
    const std::size_t n = thread_number::mine();
    if (n == thread_number::last) [[unlikely]] {
      const std::lock_guard hold(crowd_);
      put(shard_at(n), counted, waited, took);
    } else put(shard_at(n), counted, waited, took);
  }
  // Tasks that have ended. What they noted is visible to whoever sees them counted here.
  std::uint64_t ended() const noexcept {
    std::uint64_t sum = 0;
    for (const auto& s : shards_)
      if (const shard* one = s.load(std::memory_order_acquire)) sum += one->ended.load(std::memory_order_acquire);
    return sum;
  }
  // Only while ended() is known not to grow.
  task_times merged() const {
    task_times all;
    for (const auto& s : shards_)
      if (const shard* one = s.load(std::memory_order_acquire)) {
        all.waited.merge(one->times.waited);
        all.ran.merge(one->times.ran);
        all.whole.merge(one->times.whole);
      }
    return all;
  }

 private:
  struct alignas(128) shard {
    task_times times;
    std::atomic<std::uint64_t> ended{0};
  };
  shard& shard_at(std::size_t n) {
    shard* s = shards_[n].load(std::memory_order_relaxed);
    if (s == nullptr) [[unlikely]]
      shards_[n].store(s = new shard, std::memory_order_release);
    return *s;
  }
  static void put(shard& s, bool counted, std::uint64_t waited, std::uint64_t took) noexcept {
    if (counted) {
      s.times.waited.add(waited);
      s.times.ran.add(took);
      s.times.whole.add(waited + took);
    }
    s.ended.store(s.ended.load(std::memory_order_relaxed) + 1, std::memory_order_release);
  }
  std::array<std::atomic<shard*>, thread_number::last + 1> shards_{};
  std::mutex crowd_;
};

}  // namespace bench
