#include "system.hpp"

#include "topology.hpp"

#include <chrono>

#include <signal.h>
#include <sched.h>
#include <sys/prctl.h>

namespace weir {
inline namespace v0 {
namespace detail {

int thread_start(pthread_t& out, const char* name, std::size_t stack, void* (*body)(void*), void* argument) noexcept {
  sigset_t mask, old;
  sigfillset(&mask);
  for (int synchronous : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGABRT, SIGSYS}) sigdelset(&mask, synchronous);
  pthread_attr_t attr;
  int e = pthread_attr_init(&attr);
  if (e != 0) return e;
  if (stack != 0) e = pthread_attr_setstacksize(&attr, (stack + 4095) & ~std::size_t{4095});
  if (e == 0) {
    pthread_sigmask(SIG_BLOCK, &mask, &old);
    e = pthread_create(&out, &attr, body, argument);
    pthread_sigmask(SIG_SETMASK, &old, nullptr);
  }
  pthread_attr_destroy(&attr);
  if (e == 0) pthread_setname_np(out, name);
  return e;
}

void thread_join(pthread_t t) noexcept { pthread_join(t, nullptr); }
void thread_detach(pthread_t t) noexcept { pthread_detach(t); }

void thread_settle(int cpu, const topology& allowed) noexcept {
  if (cpu >= 0) pin_this_thread(cpu);
  else unpin_this_thread(allowed);
  prctl(PR_SET_TIMERSLACK, 1000ul, 0ul, 0ul, 0ul);
}

void thread_yield() noexcept { sched_yield(); }
int thread_cpu() noexcept { return sched_getcpu(); }

double measure_ticks() noexcept {
  using clock = std::chrono::steady_clock;
  const auto t0 = clock::now();
  const std::uint64_t c0 = ticks();
  while (clock::now() - t0 < std::chrono::milliseconds(2)) cpu_relax();
  const std::uint64_t c1 = ticks();
  return static_cast<double>(c1 - c0) /
         static_cast<double>(std::chrono::duration_cast<std::chrono::nanoseconds>(clock::now() - t0).count());
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
