// The heavy side of every asymmetric fence is a system call: a sandbox may refuse it from the beginning, or later.
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <string_view>
#include <thread>

#include <linux/filter.h>
#include <linux/membarrier.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

namespace membarrier_test {
namespace {

using namespace test;

// From here on membarrier(2) fails with EPERM in all threads of this process; `registering`: that part of it, too.
void refuse_membarrier(bool registering) {
  sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_membarrier, 0, 3),
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, args[0])),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, registering ? ~0u : unsigned{MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED}, 1, 0),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  const sock_fprog program{std::size(code), code};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) {
    std::perror("seccomp");
    std::_Exit(2);
  }
}

void use(weir::runtime& rt) {
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(1ms);  // workers go to sleep, which is a heavy fence
    if (rt.spawn([i] { return i; }).get().value_or(-1) != i) std::_Exit(3);
  }
}

class MembarrierDeathTest : public testing::Test {
 protected:
  void SetUp() override {
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const std::uint32_t refuse = SECCOMP_RET_ERRNO;
    if (syscall(SYS_membarrier, MEMBARRIER_CMD_QUERY, 0, 0) < MEMBARRIER_CMD_PRIVATE_EXPEDITED) GTEST_SKIP() << "no membarrier(2) here";
    if (syscall(SYS_seccomp, SECCOMP_GET_ACTION_AVAIL, 0, &refuse) != 0) GTEST_SKIP() << "no filters of system calls here";
  }
};

[[noreturn]] void refused_first(bool registering) {
  refuse_membarrier(registering);
  weir::runtime rt(with_workers(2));
  use(rt);
  std::_Exit(0);
}

TEST_F(MembarrierDeathTest, RefusedFromTheBeginningIsDoneWithout) {
  EXPECT_EXIT(refused_first(true), testing::ExitedWithCode(0), "");
  EXPECT_EXIT(refused_first(false), testing::ExitedWithCode(0), "");
}

[[noreturn]] void refused_later() {
  weir::runtime rt(with_workers(2));
  use(rt);
  refuse_membarrier(true);
  use(rt);
  std::_Exit(0);
}

TEST_F(MembarrierDeathTest, RefusedLaterEndsTheProcessAndSaysWhy) {
  const char* const e = std::getenv("WEIR_MEMBARRIER");
  if (e != nullptr && std::string_view(e) == "0") {
    EXPECT_EXIT(refused_later(), testing::ExitedWithCode(0), "");
  } else {
    EXPECT_EXIT(refused_later(), testing::KilledBySignal(SIGABRT), "membarrier.2. does not work any more");
  }
}

}  // namespace
}  // namespace membarrier_test
