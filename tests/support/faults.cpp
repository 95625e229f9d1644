// Stands between weir and the system: the linker sends the library's calls of syscall(), pthread_create() and malloc() here.
// What shared libraries call stays as it is, so the test's own threads and memory are not hit.
#include <faults.hpp>

#include <allocations.hpp>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdint>
#include <cstdlib>
#include <ctime>

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace {

std::atomic<std::size_t> created{0}, fail_thread{0};
std::atomic<bool> threads_for_good{false};

unsigned from_environment() {
  const char* text = std::getenv("WEIR_FAULT_FUTEX");
  return text == nullptr ? 0 : static_cast<unsigned>(std::atoi(text));
}
std::atomic<unsigned> one_in{from_environment()};
std::atomic<std::size_t> early{0};

std::uint32_t draw() noexcept {
  static std::atomic<std::uint32_t> streams{1};
  static thread_local std::uint32_t state = streams.fetch_add(1) * 0x9e3779b9u;
  state ^= state << 13;
  state ^= state >> 17;
  return state ^= state << 5;
}

}  // namespace

extern "C" {

long __real_syscall(long number, ...);
int __real_pthread_create(pthread_t* out, const pthread_attr_t* attr, void* (*body)(void*), void* argument);
void* __real_malloc(std::size_t n);
void* __real_calloc(std::size_t n, std::size_t size);

long __wrap_syscall(long number, ...) {
  long a[6];
  va_list list;
  va_start(list, number);
  for (long& x : a) x = va_arg(list, long);
  va_end(list);
  const unsigned n = one_in.load(std::memory_order_relaxed);
  if (number == SYS_futex && n != 0 && draw() % n == 0) {
    if (a[1] == FUTEX_WAKE_PRIVATE) {
      for (std::uint32_t i = draw() % 8; i > 0; --i) ::sched_yield();
    } else if (a[1] == FUTEX_WAIT_PRIVATE) {
      early.fetch_add(1, std::memory_order_relaxed);
      if (draw() % 2 == 0) ::sched_yield();  // who waits by turning round lets go on what he waits for
      switch (draw() % 4) {
        case 0: return 0;
        case 1: return errno = EINTR, -1;
        case 2: return errno = EAGAIN, -1;
        default: {  // cut short: for a wait with a limit this is an early timeout
          const timespec brief{0, 20'000};
          return __real_syscall(number, a[0], a[1], a[2], &brief, a[4], a[5]);
        }
      }
    }
  }
  return __real_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

int __wrap_pthread_create(pthread_t* out, const pthread_attr_t* attr, void* (*body)(void*), void* argument) {
  if (const std::size_t at = fail_thread.load(); at != 0) {
    const std::size_t n = created.fetch_add(1) + 1;
    if (n == at || (n > at && threads_for_good)) return EAGAIN;
  }
  return __real_pthread_create(out, attr, body, argument);
}

// moodycamel's blocks come from malloc.
void* __wrap_malloc(std::size_t n) { return test::allocation_is_to_fail() ? nullptr : __real_malloc(n); }
void* __wrap_calloc(std::size_t n, std::size_t size) {
  return test::allocation_is_to_fail() ? nullptr : __real_calloc(n, size);
}

}  // extern "C"

namespace test {

nth_thread_fails::nth_thread_fails(std::size_t n, bool and_all_after) noexcept {
  created = 0;
  threads_for_good = and_all_after;
  fail_thread = n;
}
nth_thread_fails::~nth_thread_fails() { fail_thread = 0; }
bool nth_thread_fails::happened() const noexcept { return created.load() >= fail_thread.load(); }

restless_futexes::restless_futexes(unsigned n) noexcept : before_(one_in.exchange(n)) {}
restless_futexes::~restless_futexes() { one_in = before_; }
std::size_t restless_futexes::early_returns() noexcept { return early.load(); }

}  // namespace test
