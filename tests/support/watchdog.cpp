// A test that hangs is named and aborted, and tells what it knows first. Linked into every GoogleTest executable; nothing
// needs to call it.
//   WEIR_TEST_TIMEOUT  seconds a test may take (default 20, times the stress scale, more under a sanitizer and in the chaos build)
//
// By alarm(2) instead of a thread: it wakes nobody before its time, it does not exist in a forked child, and a thread
// of its own would be counted by the tests that count threads. Only alarm's own signal counts, so that tests may send
// SIGALRM to their threads.
//
// What it writes: the test, the state words of each runtime (state_dump.cpp), and for each thread its name and its stack, which
// the thread itself prints: workers block what is asynchronous, but SIGTRAP gets through. Lines like program(+0x1234) are for
// addr2line -Cfpe PROGRAM 0x1234.
#include <watchdog.hpp>

#include <sanitizers.hpp>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include <dlfcn.h>
#include <execinfo.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>
#include <unwind.h>

#if defined(WEIR_TEST_TSAN)
// The fork tests start a runtime in the child on purpose.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
// TSan's sigaction() puts a handler off until the thread calls something that TSan knows, and fails in TSan's own threads, so
// stacks go past it: the C library's sigaction, and code without instrumentation.
extern "C" int __sigaction(int number, const struct sigaction* action, struct sigaction* before) noexcept;
extern "C" void __tsan_init();
#define WEIR_TEST_RAW __attribute__((disable_sanitizer_instrumentation))
#else
#define WEIR_TEST_RAW
#endif

namespace {

char watched[256];
int answered = 0;  // the thread that has printed its stack; negative: it wants to be asked again

void say(const char* text) { static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text))); }
void say(long n) {
  char digits[24], *p = digits + sizeof digits;
  *--p = 0;
  do *--p = static_cast<char>('0' + n % 10);
  while ((n /= 10) != 0);
  say(p);
}

// Is a thread in the sanitizer's runtime? There it may hold a lock that finding its stack takes, too; TSan's own threads always are.
WEIR_TEST_RAW bool in_sanitizer([[maybe_unused]] void* context) {
#if defined(WEIR_TEST_TSAN)
  const mcontext_t& m = static_cast<ucontext_t*>(context)->uc_mcontext;
#if defined(__x86_64__)
  void* const place = reinterpret_cast<void*>(m.gregs[REG_RIP]);
#else
  void* const place = reinterpret_cast<void*>(m.pc);
#endif
  dl_find_object here, runtime;
  return ::_dl_find_object(place, &here) == 0 && ::_dl_find_object(reinterpret_cast<void*>(&__tsan_init), &runtime) == 0 &&
         here.dlfo_link_map == runtime.dlfo_link_map;
#else
  return false;
#endif
}
struct stack {
  void* frames[48];
  int depth;
};
WEIR_TEST_RAW _Unwind_Reason_Code next_frame(_Unwind_Context* context, void* argument) {
  auto& s = *static_cast<stack*>(argument);
  s.frames[s.depth++] = reinterpret_cast<void*>(::_Unwind_GetIP(context));
  return s.depth < 48 ? _URC_NO_REASON : _URC_NORMAL_STOP;
}
WEIR_TEST_RAW void say_stack() {  // not by backtrace(), which TSan stands before
  stack s;
  s.depth = 0;
  ::_Unwind_Backtrace(&next_frame, &s);
  ::backtrace_symbols_fd(s.frames, s.depth, STDERR_FILENO);
}
WEIR_TEST_RAW void on_trap(int, siginfo_t*, void* context) {
  const int before = errno;
  const bool later = in_sanitizer(context);
  if (!later) say_stack();
  const int me = static_cast<int>(::syscall(SYS_gettid));
  __atomic_store_n(&answered, later ? -me : me, __ATOMIC_RELEASE);
  errno = before;
}

void say_name(int tid) {
  char path[64], name[32] = {};
  std::snprintf(path, sizeof path, "/proc/self/task/%d/comm", tid);
  const int fd = ::open(path, O_RDONLY);
  if (fd < 0) return;
  if (const ssize_t n = ::read(fd, name, sizeof name - 1); n > 0) name[n - 1] = 0;
  ::close(fd);
  say("thread ");
  say(tid);
  say(" \"");
  say(name);
  say("\"\n");
}

void say_stacks() {
  struct sigaction action {};
  action.sa_sigaction = &on_trap;
  action.sa_flags = SA_SIGINFO | SA_RESTART;
#if defined(WEIR_TEST_TSAN)
  __sigaction(SIGTRAP, &action, nullptr);
#else
  ::sigaction(SIGTRAP, &action, nullptr);
#endif
  const int folder = ::open("/proc/self/task", O_RDONLY | O_DIRECTORY);
  if (folder < 0) return;
  alignas(8) char entries[4096];
  for (;;) {  // opendir() would allocate
    const long n = ::syscall(SYS_getdents64, folder, entries, sizeof entries);
    if (n <= 0) break;
    for (long at = 0; at < n;) {
      unsigned short length;  // struct linux_dirent64: inode 8, offset 8, length 2, type 1, name
      std::memcpy(&length, entries + at + 16, sizeof length);
      const int tid = std::atoi(entries + at + 19);
      at += length;
      if (tid <= 0) continue;
      say_name(tid);
      if (tid == ::syscall(SYS_gettid)) {  // in a handler, perhaps with all signals blocked
        say_stack();
        continue;
      }
      __atomic_store_n(&answered, -tid, __ATOMIC_RELAXED);
      int from = -tid;
      for (int i = 0; i < 200 && from != tid; ++i) {
        if (from == -tid) {
          __atomic_store_n(&answered, 0, __ATOMIC_RELAXED);
          if (::syscall(SYS_tgkill, ::getpid(), tid, SIGTRAP) != 0) break;
        }
        ::usleep(1000);
        from = __atomic_load_n(&answered, __ATOMIC_ACQUIRE);
      }
      if (from != tid) say("  (does not answer)\n");
    }
  }
}

void on_alarm(int, siginfo_t* info, void*) {
  if (info->si_code <= 0) return;  // somebody's kill()
  say("\nWATCHDOG: this test hangs: ");
  say(watched);
  say("\n");
  for (const int s : {SIGABRT, SIGSEGV, SIGBUS}) std::signal(s, SIG_DFL);
  if (test::dump_state != nullptr) test::dump_state(STDERR_FILENO);
  say_stacks();
  std::abort();
}

unsigned limit() {
  if (const char* text = std::getenv("WEIR_TEST_TIMEOUT"); text != nullptr) return static_cast<unsigned>(std::atoi(text));
  const char* scale = std::getenv("WEIR_STRESS_SCALE");
  const double factor = scale == nullptr ? 1.0 : std::max(1.0, std::strtod(scale, nullptr));
  return static_cast<unsigned>(20.0 * factor * (test::sanitized ? 4.0 : 1.0) * test::patience);
}

class watchdog final : public ::testing::EmptyTestEventListener {
  void OnTestStart(const ::testing::TestInfo& info) override {
    char name[sizeof watched];
    std::snprintf(name, sizeof name, "%s.%s", info.test_suite_name(), info.name());
    test::watch(name, limit());
  }
  void OnTestEnd(const ::testing::TestInfo&) override { ::alarm(0); }
};

[[maybe_unused]] const bool installed = [] {
  void* frame[1];
  ::backtrace_symbols_fd(frame, 0, STDERR_FILENO);  // loads what it needs, which a signal handler must not
  ::testing::UnitTest::GetInstance()->listeners().Append(new watchdog);
  return true;
}();

}  // namespace

namespace test {

void watch(const char* name, unsigned seconds) noexcept {
  std::snprintf(watched, sizeof watched, "%s", name);
  struct sigaction action {};
  action.sa_sigaction = &on_alarm;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGALRM, &action, nullptr);
  ::alarm(seconds);
}

}  // namespace test
