// What tests of concurrency need to be exact instead of lucky: a gate that opens once, a wait for a fact, a look at
// whether a thread sleeps.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <thread>

#include <sys/syscall.h>
#include <unistd.h>

namespace test {

using namespace std::chrono_literals;

/// Closed until open() is called once; then it lets everybody through for ever.
class gate {
 public:
  void open() {
    std::lock_guard lock(mutex_);  // over the notify, too: whoever was let through may destroy the gate
    open_ = true;
    opened_.notify_all();
  }
  void wait() {
    std::unique_lock lock(mutex_);
    opened_.wait(lock, [&] { return open_; });
  }
  bool wait_for(std::chrono::milliseconds limit) {
    std::unique_lock lock(mutex_);
    return opened_.wait_for(lock, limit, [&] { return open_; });
  }
  bool is_open() {
    std::lock_guard lock(mutex_);
    return open_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable opened_;
  bool open_ = false;
};

/// Waits for a fact that must come true; false when it did not within a limit that no sane run reaches.
template <class Fact>
bool eventually(Fact fact, std::chrono::milliseconds limit = 10s) {
  const auto until = std::chrono::steady_clock::now() + limit;
  for (int i = 0; !fact(); ++i) {
    if (std::chrono::steady_clock::now() > until) return fact();
    if (i < 100) std::this_thread::yield();
    else std::this_thread::sleep_for(100us);
  }
  return true;
}

/// Gives a wrong runtime the time to do what it must not. What is checked afterwards must hold however long this takes.
inline void let_it_misbehave(std::chrono::milliseconds span = 20ms) { std::this_thread::sleep_for(span); }

inline int thread_id() { return static_cast<int>(::syscall(SYS_gettid)); }

/// Does that thread of this process sleep?
inline bool asleep(int tid) {
  char path[64], text[512] = {};
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  std::FILE* f = std::fopen(path, "r");
  if (f == nullptr) return false;
  const std::size_t n = std::fread(text, 1, sizeof text - 1, f);
  std::fclose(f);
  text[n] = 0;
  const char* end_of_name = std::strrchr(text, ')');
  return end_of_name != nullptr && end_of_name[1] == ' ' && end_of_name[2] == 'S';
}

/// Busy for about that long, without sleeping.
inline void burn(std::chrono::nanoseconds span) {
  const auto until = std::chrono::steady_clock::now() + span;
  while (std::chrono::steady_clock::now() < until) {}
}

}  // namespace test
