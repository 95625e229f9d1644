// The C library's calls that sleep, lock or tell the time, taken over for simulated threads, so that std::mutex,
// std::condition_variable, std::stop_callback, std::atomic's waits, sleeps and clocks are simulated, too. Any other thread
// gets what it asked for. The program's own definitions come before those of the C library, for shared libraries, too.
#include "simulator.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>
#include <ctime>

#include <dlfcn.h>
#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WEIR_INTERPOSE extern "C" __attribute__((visibility("default")))

namespace sim = weir::sim;

namespace {

// The simulated clocks begin at different times, as real ones do.
constexpr std::int64_t monotonic_start = 1'000'000'000'000'000, system_start = 1'700'000'000'000'000'000;

bool simulated() noexcept { return sim::inside() && !sim::describing; }

template <class F>
F* next_of(const char* name) noexcept {
  return reinterpret_cast<F*>(dlsym(RTLD_NEXT, name));
}

int answer(long r) noexcept {
  if (r >= 0) return static_cast<int>(r);
  errno = static_cast<int>(-r);
  return -1;
}

constexpr std::uint8_t kind_of(sim::step_kind k) noexcept { return static_cast<std::uint8_t>(k); }

std::int64_t nanoseconds(const timespec& t) noexcept {
  if (t.tv_sec > 9'000'000'000) return sim::never / 2;
  return static_cast<std::int64_t>(t.tv_sec) * 1'000'000'000 + t.tv_nsec;
}
timespec to_timespec(std::int64_t ns) noexcept {
  return {static_cast<time_t>(ns / 1'000'000'000), static_cast<long>(ns % 1'000'000'000)};
}
bool is_system_clock(clockid_t c) noexcept { return c == CLOCK_REALTIME || c == CLOCK_REALTIME_COARSE; }
std::int64_t start_of(clockid_t c) noexcept { return is_system_clock(c) ? system_start : monotonic_start; }
std::int64_t after(std::int64_t ns) noexcept {
  return ns > sim::never - sim::active->now ? sim::never : sim::active->now + std::max<std::int64_t>(ns, 0);
}
// When the simulation's own time reaches what `t` says on clock c.
std::int64_t at(clockid_t c, const timespec* t) noexcept {
  return t == nullptr ? sim::never : std::max<std::int64_t>(0, nanoseconds(*t) - start_of(c));
}

void sleep_until(std::int64_t when) noexcept {
  sim::active->step(kind_of(sim::step_kind::sleep), "sleep", 0, when <= sim::active->now);
  while (sim::active->now < when) sim::active->wait("a sleep's end", nullptr, when);
}

long simulated_futex(void* word, int operation, std::uint32_t value, const timespec* limit) noexcept {
  const int what = operation & FUTEX_CMD_MASK;
  if (what == FUTEX_WAKE || what == FUTEX_WAKE_BITSET) {
    sim::active->step(kind_of(sim::step_kind::futex_wake), "futex", 0);
    return sim::active->wake(word, value);
  }
  if (what != FUTEX_WAIT && what != FUTEX_WAIT_BITSET) return -ENOSYS;
  sim::active->step(kind_of(sim::step_kind::futex_wait), "futex", 0);
  if (static_cast<std::atomic<std::uint32_t>*>(word)->load() != value) return -EAGAIN;
  const clockid_t clock = (operation & FUTEX_CLOCK_REALTIME) != 0 ? CLOCK_REALTIME : CLOCK_MONOTONIC;
  const std::int64_t until = limit == nullptr ? sim::never : what == FUTEX_WAIT ? after(nanoseconds(*limit)) : at(clock, limit);
  return sim::active->wait("a futex", word, until) ? 0 : -ETIMEDOUT;
}

using mutex_call = int(pthread_mutex_t*);
int real_lock(pthread_mutex_t* m) noexcept {
  static mutex_call* const f = next_of<mutex_call>("pthread_mutex_lock");
  return f(m);
}
int real_trylock(pthread_mutex_t* m) noexcept {
  static mutex_call* const f = next_of<mutex_call>("pthread_mutex_trylock");
  return f(m);
}
int real_unlock(pthread_mutex_t* m) noexcept {
  static mutex_call* const f = next_of<mutex_call>("pthread_mutex_unlock");
  return f(m);
}

int lock(pthread_mutex_t* m) noexcept {
  int e;
  while ((e = real_trylock(m)) == EBUSY) sim::active->wait("a mutex", m, sim::never);
  if (e == 0) sim::active->mutex_taken(m);
  return e;
}
int unlock(pthread_mutex_t* m) noexcept {
  const int e = real_unlock(m);
  if (e == 0) {
    sim::active->mutex_given(m);
    sim::active->wake(m, ~0u);
  }
  return e;
}

int wait_on(pthread_cond_t* c, pthread_mutex_t* m, std::int64_t until) noexcept {
  sim::active->step(kind_of(sim::step_kind::condition), "condition", 0);
  unlock(m);
  const bool woken = sim::active->wait("a condition", c, until);
  lock(m);
  return woken ? 0 : ETIMEDOUT;
}
int wake(pthread_cond_t* c, unsigned n) noexcept {
  sim::active->step(kind_of(sim::step_kind::condition), "condition", 0);
  sim::active->wake(c, n);
  return 0;
}

}  // namespace

namespace weir {
inline namespace v0 {
namespace sim {
void forget_mutexes(simulator& s) noexcept {
  for (void* m : s.held_mutexes) real_unlock(static_cast<pthread_mutex_t*>(m));
  s.held_mutexes.clear();
}
}  // namespace sim
}  // namespace v0
}  // namespace weir

// ---- time ----

WEIR_INTERPOSE int clock_gettime(clockid_t c, timespec* t) noexcept {
  if (!simulated() || c == CLOCK_PROCESS_CPUTIME_ID || c == CLOCK_THREAD_CPUTIME_ID)
    return answer(sim::raw_syscall(SYS_clock_gettime, c, reinterpret_cast<long>(t)));
  sim::active->step(kind_of(sim::step_kind::clock), "clock", 0);
  *t = to_timespec(start_of(c) + sim::active->now);
  return 0;
}

WEIR_INTERPOSE int clock_nanosleep(clockid_t c, int flags, const timespec* t, timespec* left) {
  if (!simulated())
    return static_cast<int>(-sim::raw_syscall(SYS_clock_nanosleep, c, flags, reinterpret_cast<long>(t), reinterpret_cast<long>(left)));
  sleep_until((flags & TIMER_ABSTIME) != 0 ? at(c, t) : after(nanoseconds(*t)));
  return 0;
}

WEIR_INTERPOSE int nanosleep(const timespec* t, timespec* left) {
  if (!simulated()) return answer(sim::raw_syscall(SYS_nanosleep, reinterpret_cast<long>(t), reinterpret_cast<long>(left)));
  sleep_until(after(nanoseconds(*t)));
  return 0;
}

WEIR_INTERPOSE int sched_yield() noexcept {
  if (!simulated()) return answer(sim::raw_syscall(SYS_sched_yield));
  sim::active->step(kind_of(sim::step_kind::sleep), "yield", 0, true);
  return 0;
}

// ---- futexes, as the C++ library calls them ----

WEIR_INTERPOSE long syscall(long number, ...) noexcept {
  long a[6];
  va_list args;
  va_start(args, number);
  for (long& x : a) x = va_arg(args, long);
  va_end(args);
  const long r = number == SYS_futex && simulated()
                     ? simulated_futex(reinterpret_cast<void*>(a[0]), static_cast<int>(a[1]), static_cast<std::uint32_t>(a[2]),
                                       reinterpret_cast<const timespec*>(a[3]))
                     : sim::raw_syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
  if (r < 0 && r > -4096) {
    errno = static_cast<int>(-r);
    return -1;
  }
  return r;
}

// ---- mutexes and conditions ----

WEIR_INTERPOSE int pthread_mutex_lock(pthread_mutex_t* m) noexcept {
  if (!simulated()) return real_lock(m);
  sim::active->step(kind_of(sim::step_kind::mutex), "mutex", 0);
  return lock(m);
}
WEIR_INTERPOSE int pthread_mutex_trylock(pthread_mutex_t* m) noexcept {
  if (!simulated()) return real_trylock(m);
  sim::active->step(kind_of(sim::step_kind::mutex), "mutex", 0);
  const int e = real_trylock(m);
  if (e == 0) sim::active->mutex_taken(m);
  return e;
}
WEIR_INTERPOSE int pthread_mutex_unlock(pthread_mutex_t* m) noexcept {
  if (!simulated()) return real_unlock(m);
  sim::active->step(kind_of(sim::step_kind::unlock), "mutex", 0);
  return unlock(m);
}

WEIR_INTERPOSE int pthread_cond_wait(pthread_cond_t* c, pthread_mutex_t* m) {
  static auto* const real = next_of<int(pthread_cond_t*, pthread_mutex_t*)>("pthread_cond_wait");
  return simulated() ? wait_on(c, m, sim::never) : real(c, m);
}
WEIR_INTERPOSE int pthread_cond_timedwait(pthread_cond_t* c, pthread_mutex_t* m, const timespec* t) {
  static auto* const real = next_of<int(pthread_cond_t*, pthread_mutex_t*, const timespec*)>("pthread_cond_timedwait");
  return simulated() ? wait_on(c, m, at(CLOCK_REALTIME, t)) : real(c, m, t);
}
WEIR_INTERPOSE int pthread_cond_clockwait(pthread_cond_t* c, pthread_mutex_t* m, clockid_t clock, const timespec* t) {
  static auto* const real = next_of<int(pthread_cond_t*, pthread_mutex_t*, clockid_t, const timespec*)>("pthread_cond_clockwait");
  return simulated() ? wait_on(c, m, at(clock, t)) : real(c, m, clock, t);
}
WEIR_INTERPOSE int pthread_cond_signal(pthread_cond_t* c) noexcept {
  static auto* const real = next_of<int(pthread_cond_t*)>("pthread_cond_signal");
  return simulated() ? wake(c, 1) : real(c);
}
WEIR_INTERPOSE int pthread_cond_broadcast(pthread_cond_t* c) noexcept {
  static auto* const real = next_of<int(pthread_cond_t*)>("pthread_cond_broadcast");
  return simulated() ? wake(c, ~0u) : real(c);
}
