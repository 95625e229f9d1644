// Runs a program to its end, with a limit of time, and keeps what it says.
#pragma once

#include <string>
#include <vector>

namespace bench {

struct program_end {
  std::string out, err;  // at most 16 MiB each; what is beyond is thrown away
  std::string failure;  // "": it ended with 0. Else "hung after 60 s", "died: Segmentation fault", "exit status 1: …"
  bool interrupted = false;
  double peak_bytes = 0;  // largest resident set
  double cpu_s = 0;       // of the program and the children it waited for
};

// The program gets a process group of its own, nothing on standard input, and is killed with its group at the limit, on an
// interrupt, and when this process dies. Call from one thread.
program_end run_program(const std::vector<std::string>& command, double limit_s);

// Since this was made SIGINT and SIGTERM do not end the process; they end the program that is being run, and are told here.
class interrupts {
 public:
  interrupts();
  interrupts(const interrupts&) = delete;
  interrupts& operator=(const interrupts&) = delete;
  ~interrupts();
  static bool seen() noexcept;
};

}  // namespace bench
