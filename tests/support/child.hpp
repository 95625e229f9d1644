// Facts that need a process of their own: a fork()ed child, or limits that cannot be taken back.
#pragma once

#include <cerrno>
#include <csignal>
#include <exception>
#include <string>

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace test {

/// What a child found out; its exit code is the number of wrong facts.
class child_checks {
 public:
  void operator()(bool fact, const char* what) {
    if (fact) return;
    ++wrong_;
    static_cast<void>(!::dprintf(STDERR_FILENO, "in the child: not true that %s\n", what));
  }
  int wrong() const { return wrong_; }

 private:
  int wrong_ = 0;
};

/// How the child ended; empty when all was well. A child that hangs is killed by its own alarm.
inline std::string wait_for_child(pid_t pid) {
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return "waitpid failed";
  }
  if (WIFSIGNALED(status)) {
    return WTERMSIG(status) == SIGALRM ? "the child hung" : "the child died of signal " + std::to_string(WTERMSIG(status));
  }
  return WEXITSTATUS(status) == 0 ? "" : std::to_string(WEXITSTATUS(status)) + " facts were wrong in the child";
}

/// Runs f(child_checks&) in a forked child.
template <class F>
std::string in_child(F f) {
  const pid_t pid = ::fork();
  if (pid < 0) return "fork failed";
  if (pid == 0) {
    ::signal(SIGALRM, SIG_DFL);
    sigset_t alarm_signal;  // a worker blocks it, and the child inherits that
    sigemptyset(&alarm_signal);
    sigaddset(&alarm_signal, SIGALRM);
    ::sigprocmask(SIG_UNBLOCK, &alarm_signal, nullptr);
    ::alarm(15);
    child_checks check;
    try {
      f(check);
    } catch (const std::exception& e) {
      static_cast<void>(!::dprintf(STDERR_FILENO, "in the child: %s\n", e.what()));
      ::_exit(100);
    } catch (...) {
      ::_exit(101);
    }
    ::_exit(check.wrong());
  }
  return wait_for_child(pid);
}

}  // namespace test
