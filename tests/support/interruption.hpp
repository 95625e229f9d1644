// Interleavings by hand: one thread does something to a primitive, and right before its k-th atomic operation something
// else happens to the same primitive. With k from 1 to the last, each gap between two operations is tried once, every time.
// The other thing is done whole, so this finds two-thread races with one switch and back, without luck.
#pragma once

#include <weir/detail/hooked_atomics.hpp>

#include <functional>
#include <mutex>
#include <utility>

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace test {

class interruption {
 public:
  explicit interruption(int at) : left_(at) {}
  interruption(const interruption&) = delete;
  interruption& operator=(const interruption&) = delete;
  ~interruption() { armed = nullptr; }

  /// From here on operations count.
  void arm(std::function<void()> action) {
    action_ = std::move(action);
    armed = this;
  }
  /// From here on they do not. True: it has happened.
  bool disarm() {
    armed = nullptr;
    return happened_;
  }
  bool happened() const { return happened_; }

  // The hook of interrupted_atomics.
  static void before(weir::detail::atomic_op, const void*, const char*, int) noexcept {
    interruption* const me = armed;
    if (me == nullptr || --me->left_ != 0) return;
    armed = nullptr;  // what happens is not itself interrupted
    me->happened_ = true;
    me->action_();
    armed = me;
  }

 private:
  static inline thread_local interruption* armed = nullptr;
  int left_;
  bool happened_ = false;
  std::function<void()> action_;
};

/// The policy to build the primitive with.
struct interrupted_atomics : weir::detail::hooked_atomics<interruption> {
  using mutex = std::mutex;
  static void wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t ns) noexcept {
    interruption::before(weir::detail::atomic_op::load, nullptr, nullptr, 0);
    const timespec limit{0, static_cast<long>(ns < 0 ? 5'000'000 : ns)};  // alone it would never wake
    ::syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, &limit, nullptr, 0);
  }
  static void wake(const atomic<std::uint32_t>& word) noexcept {
    ::syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }
};

/// scene(interruption&) sets everything up anew, arms, acts, disarms and checks; called for each place. The number of places.
template <class Scene>
int at_each_operation(Scene scene) {
  for (int k = 1;; ++k) {
    interruption i(k);
    scene(i);
    if (!i.happened()) return k - 1;
  }
}

}  // namespace test
