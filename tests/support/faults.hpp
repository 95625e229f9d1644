// What the system does to a program on a bad day. Needs faults.cpp and an executable that is linked with
// -Wl,--wrap=syscall,--wrap=pthread_create,--wrap=malloc,--wrap=calloc.
#pragma once

#include <cstddef>

namespace test {

/// While it lives, the n-th thread that weir creates (1: the next one) cannot be had, and with `and_all_after` none after it.
class nth_thread_fails {
 public:
  explicit nth_thread_fails(std::size_t n, bool and_all_after = false) noexcept;
  ~nth_thread_fails();
  nth_thread_fails(const nth_thread_fails&) = delete;
  nth_thread_fails& operator=(const nth_thread_fails&) = delete;
  bool happened() const noexcept;
};

/// While it lives, one in n of weir's futex waits returns early: at once with 0, EINTR or EAGAIN, or from a sleep that was
/// cut short; and as many wakes come late. WEIR_FAULT_FUTEX=n does the same to a whole run.
class restless_futexes {
 public:
  explicit restless_futexes(unsigned one_in) noexcept;
  ~restless_futexes();
  restless_futexes(const restless_futexes&) = delete;
  restless_futexes& operator=(const restless_futexes&) = delete;
  static std::size_t early_returns() noexcept;  ///< so far, of the process

 private:
  unsigned before_;
};

}  // namespace test
