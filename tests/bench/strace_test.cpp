// What `strace -c` prints, and what is read from it.
#include "suite/strace.hpp"

#include <gtest/gtest.h>

#include <stdexcept>

namespace strace_test {
namespace {

using bench::futex_calls_in;

TEST(Strace, TableTellsTheCallsOfFutex) {
  EXPECT_EQ(futex_calls_in("% time     seconds  usecs/call     calls    errors syscall\n"
                           "------ ----------- ----------- --------- --------- ----------------\n"
                           "100.00    0.785236          10     76682       296 futex\n"
                           "------ ----------- ----------- --------- --------- ----------------\n"
                           "100.00    0.785236          10     76682       296 total\n"),
            76682);
  EXPECT_EQ(futex_calls_in("% time     seconds  usecs/call     calls    errors syscall\n"
                           "100.00    0.000002           2         1           futex\n"),
            1)
      << "no errors: the column is empty";
}

TEST(Strace, WithoutACallThereIsNoTable) { EXPECT_EQ(futex_calls_in(""), 0); }

TEST(Strace, SomethingElseIsAnErrorThatShowsIt) {
  try {
    futex_calls_in("strace: ptrace(PTRACE_SEIZE): Operation not permitted");
    FAIL();
  } catch (const std::runtime_error& e) { EXPECT_NE(std::string(e.what()).find("not permitted"), std::string::npos); }
}

}  // namespace
}  // namespace strace_test
