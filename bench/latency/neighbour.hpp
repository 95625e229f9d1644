// A process that does nothing but use up one core, as long as this lives.
#pragma once

#include "../harness/clock.hpp"
#include "placement.hpp"

#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

class neighbour {
 public:
  // On the first of these. Throws std::runtime_error when there can be no process.
  explicit neighbour(const std::vector<int>& cores) : core_(cores.empty() ? -1 : cores.front()) {
    const pid_t parent = getpid();
    child_ = fork();
    if (child_ < 0) throw std::runtime_error(std::string("no neighbour: fork: ") + std::strerror(errno));
    if (child_ != 0) return;
    setpgid(0, 0);  // an interrupt is for the one that ends it
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);
    try {
      if (core_ >= 0) stay_on({core_});
    } catch (const std::exception&) { _exit(1); }
    for (;;) burn(1'000'000);
  }
  neighbour(const neighbour&) = delete;
  ~neighbour() {
    kill(child_, SIGKILL);
    while (waitpid(child_, nullptr, 0) < 0 && errno == EINTR) {}
  }
  int core() const noexcept { return core_; }

 private:
  int core_;
  pid_t child_;
};

}  // namespace bench
