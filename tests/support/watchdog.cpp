// A test that hangs is named and aborted, and tells what it knows first. Linked into every GoogleTest executable; nothing
// needs to call it.
//   WEIR_TEST_TIMEOUT  seconds a test may take (default 20, times the stress scale, more under a sanitizer)
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
#include <atomic>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gtest/gtest.h>

#include <execinfo.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(WEIR_TEST_TSAN)
// The fork tests start a runtime in the child on purpose.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace {

char watched[256];
std::atomic<int> answered{0};  // the thread that has printed its stack

void say(const char* text) { static_cast<void>(!::write(STDERR_FILENO, text, std::strlen(text))); }
void say(long n) {
  char digits[24], *p = digits + sizeof digits;
  *--p = 0;
  do *--p = static_cast<char>('0' + n % 10);
  while ((n /= 10) != 0);
  say(p);
}
int thread_id() { return static_cast<int>(::syscall(SYS_gettid)); }

void on_trap(int) {
  void* frames[48];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, 48), STDERR_FILENO);
  answered = thread_id();
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
  action.sa_handler = &on_trap;
  ::sigaction(SIGTRAP, &action, nullptr);
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
      answered = 0;
      if (::syscall(SYS_tgkill, ::getpid(), tid, SIGTRAP) != 0) continue;
      for (int i = 0; i < 200 && answered != tid; ++i) ::usleep(1000);
      if (answered != tid) say("  (does not answer)\n");
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
  return static_cast<unsigned>(20.0 * factor * (test::sanitized ? 4.0 : 1.0));
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
  ::backtrace(frame, 1);  // loads what it needs, which a signal handler must not
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
