// Many threads, one at a time, without asking the kernel to switch between them.
//
// Each simulated thread is a real one that sleeps in the kernel for good, and whose stack and thread-local storage are used
// by the thread that called sim::run: enter() loads the stack pointer and the thread pointer (fs on x86-64, tpidr_el0 on
// aarch64) of the other one. So thread_local variables, exception handling, pthread_self and sanitizers see the simulated
// thread, for everything that they look at is where it would be; a switch costs some 20 ns. (In some virtual machines programs
// may not write fs; then it is a system call.)
//
// At its end a context runs the destructors of its thread_local variables by a call that glibc has for that. Where it is not
// to be found, it goes back to its own kernel thread (`native`), whose end runs them; then a switch is a hand-over between
// two kernel threads.
//
// Linux, glibc; x86-64 and aarch64.
#pragma once

#include <atomic>
#include <cstdint>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace sim {

/// A system call past every interposer. -errno on failure.
long raw_syscall(long number, long a = 0, long b = 0, long c = 0, long d = 0, long e = 0, long f = 0) noexcept;

class context {
 public:
  context() = default;
  context(const context&) = delete;
  context& operator=(const context&) = delete;

  /// Prepares body(argument); 0 or an errno. body is followed by the destructors of thread_local variables, and these by
  /// `last`.
  int create(void (*body)(void*), void (*last)(void*), void* argument) noexcept;

  /// From the thread that called run(): until a context leaves, which need not be this one (pass).
  void enter() noexcept;
  /// After enter(), of the one that came back: false when it has ended, thread_local destructors and all.
  bool goes_on() noexcept;
  /// From the context: back to enter().
  void leave() noexcept;
  /// From the context: on to another, which has been entered before and is not native. One switch in the place of two.
  void pass(context& to) noexcept;
  bool takes_over() const noexcept { return begun_ && !native_; }

  /// After goes_on() said no, for its memory.
  void join() noexcept { pthread_join(real_, nullptr); }

 private:
  static void* real_main(void* self) noexcept;
  static void begin(context* self) noexcept;
  static void at_exit(void* self) noexcept;
  static pthread_key_t exit_key() noexcept;

  pthread_t real_{};
  void* stack_ = nullptr;          // where the context goes on, while it does not run
  std::uintptr_t tls_ = 0;         // its thread pointer
  void (*body_)(void*) = nullptr;
  void (*last_)(void*) = nullptr;
  void* argument_ = nullptr;
  std::atomic<std::uint32_t> door_{0};  // the kernel thread sleeps on it
  std::atomic<std::uint32_t> home_{0};  // the caller of enter() sleeps on it
  bool begun_ = false, native_ = false, on_own_ = false, ended_ = false;
};

}  // namespace sim
}  // namespace v0
}  // namespace weir
