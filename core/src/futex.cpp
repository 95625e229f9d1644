// Edges
//   [hint] ↔ idle.hpp: the heavy side.
//   [trap] ↔ split_deque.hpp: the heavy side.
//   [recall] ↔ credits.hpp: the heavy side.
#include "futex.hpp"

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace weir {
inline namespace v0 {
namespace detail {

void futex_wait(const atomic<std::uint32_t>& word, std::uint32_t expected, std::int64_t nanoseconds) noexcept {
  timespec limit{}, *p = nullptr;
  if (nanoseconds >= 0) {
    limit.tv_sec = static_cast<time_t>(nanoseconds / 1'000'000'000);
    limit.tv_nsec = static_cast<long>(nanoseconds % 1'000'000'000);
    p = &limit;
  }
  syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, expected, p, nullptr, 0);
}

void futex_wake(const atomic<std::uint32_t>* word, int n) noexcept {
  syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, nullptr, nullptr, 0);
}

namespace {
// WEIR_MEMBARRIER=0 in the environment forces the fallback, so that a test can see it work.
bool register_membarrier() noexcept {
  const char* e = std::getenv("WEIR_MEMBARRIER");
  if (e != nullptr && e[0] == '0') return false;
  return syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0 &&
         syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0;
}

// It was granted before, and the light sides rely on it: a sandbox that comes later must leave it. Or the kernel is short of memory.
WEIR_COLD void membarrier_failed() noexcept {
  if (errno == ENOMEM) return static_cast<void>(usleep(100));
  std::fprintf(stderr, "weir: membarrier(2) does not work any more: %s. A filter of system calls that is installed after the "
                       "first runtime must allow it; with WEIR_MEMBARRIER=0 in the environment it is never used\n", std::strerror(errno));
  std::abort();
}
}  // namespace

bool asymmetric_fences_known = false;

bool asymmetric_fences() noexcept {
  static const bool registered = asymmetric_fences_known = register_membarrier();
  return registered;
}

void heavy_fence() noexcept {
  if (asymmetric_fences())
    while (syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) != 0) membarrier_failed();
  std_atomics::fence_seq_cst();  // [hint] [trap] [recall]: the heavy side, and the whole of it without membarrier
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
