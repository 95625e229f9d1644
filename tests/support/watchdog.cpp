// A test that hangs is named and aborted. Linked into every GoogleTest executable; nothing needs to call it.
//   WEIR_TEST_TIMEOUT  seconds a test may take (default 20, times the stress scale, more under a sanitizer)
//
// By alarm(2) instead of a thread: it wakes nobody before its time, it does not exist in a forked child, and a thread
// of its own would be counted by the tests that count threads.
#include <sanitizers.hpp>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#include <gtest/gtest.h>
#include <unistd.h>

#if defined(WEIR_TEST_TSAN)
// The fork tests start a runtime in the child on purpose.
extern "C" const char* __tsan_default_options() { return "die_after_fork=0"; }
#endif

namespace {

char hung[256];

void on_alarm(int) {
  const char head[] = "\nWATCHDOG: this test hangs: ";
  static_cast<void>(!::write(STDERR_FILENO, head, sizeof head - 1));
  static_cast<void>(!::write(STDERR_FILENO, hung, std::strlen(hung)));
  static_cast<void>(!::write(STDERR_FILENO, "\n", 1));
  std::signal(SIGABRT, SIG_DFL);
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
    std::snprintf(hung, sizeof hung, "%s.%s", info.test_suite_name(), info.name());
    struct sigaction action {};
    action.sa_handler = &on_alarm;
    ::sigaction(SIGALRM, &action, nullptr);
    ::alarm(limit());
  }
  void OnTestEnd(const ::testing::TestInfo&) override { ::alarm(0); }
};

[[maybe_unused]] const bool installed = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new watchdog);
  return true;
}();

}  // namespace
