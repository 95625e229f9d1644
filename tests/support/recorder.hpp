// An observer that writes everything down, and carries a number as its context.
#pragma once

#include <weir/options.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

namespace test {

enum class told : unsigned char { start, end, discard, stall };

struct event {
  told what;
  weir::task_info info;
  weir::errc code{};
  std::uintptr_t context = 0;  // of the thread, when it was told
  std::thread::id thread{};
};

class recorder : public weir::observer {
 public:
  /// The calling thread's context.
  static inline thread_local std::uintptr_t context = 0;

  void on_start(const weir::task_info& i) noexcept override {
    note({told::start, i, {}, context, std::this_thread::get_id()});
  }
  void on_end(const weir::task_info& i, weir::errc e) noexcept override {
    note({told::end, i, e, context, std::this_thread::get_id()});
  }
  void on_discard(const weir::task_info& i, weir::errc e) noexcept override {
    note({told::discard, i, e, context, std::this_thread::get_id()});
  }
  void on_stall(const weir::task_info& i) noexcept override {
    note({told::stall, i, {}, context, std::this_thread::get_id()});
  }
  void* capture() noexcept override {
    captured_.fetch_add(1);
    return reinterpret_cast<void*>(context);
  }
  void restore(void* p) noexcept override { context = reinterpret_cast<std::uintptr_t>(p); }
  void release(void*) noexcept override { released_.fetch_add(1); }

  std::vector<event> events() const {
    const std::lock_guard lock(mutex_);
    return events_;
  }
  std::vector<event> of(told what) const {
    std::vector<event> found;
    for (const event& e : events())
      if (e.what == what) found.push_back(e);
    return found;
  }
  /// Of tasks with that name.
  std::vector<event> of(told what, std::string_view name) const {
    std::vector<event> found;
    for (const event& e : of(what))
      if (e.info.name != nullptr && e.info.name == name) found.push_back(e);
    return found;
  }
  std::size_t count(told what) const { return of(what).size(); }
  std::uint64_t captured() const { return captured_.load(); }
  std::uint64_t released() const { return released_.load(); }
  void clear() {
    const std::lock_guard lock(mutex_);
    events_.clear();
  }

  /// At rest, without retries: each task has started and ended once, or was discarded once; `tasks` of them.
  void check(std::uint64_t tasks) const {
    struct fate {
      int starts = 0, ends = 0, discards = 0;
    };
    std::map<std::uint64_t, fate> fates;
    for (const event& e : events()) {
      EXPECT_NE(e.info.id, 0u);
      fate& f = fates[e.info.id];
      if (e.what == told::start) ++f.starts;
      if (e.what == told::end) {
        EXPECT_EQ(f.starts, 1) << "it has ended before it has started";
        ++f.ends;
      }
      if (e.what == told::discard) ++f.discards;
    }
    std::size_t wrong = 0;
    for (const auto& [id, f] : fates)
      wrong += !(f.starts == 1 && f.ends == 1 && f.discards == 0) && !(f.starts == 0 && f.ends == 0 && f.discards == 1);
    EXPECT_EQ(wrong, 0u) << "of " << fates.size();
    EXPECT_EQ(fates.size(), tasks);
    EXPECT_EQ(captured(), released());
  }

 private:
  void note(event e) {
    const std::lock_guard lock(mutex_);
    events_.push_back(e);
  }
  mutable std::mutex mutex_;
  std::vector<event> events_;
  std::atomic<std::uint64_t> captured_{0}, released_{0};
};

inline weir::options observed_by(recorder& r, weir::options o) {
  o.obs = &r;
  return o;
}

}  // namespace test
