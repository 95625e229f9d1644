#include "program.hpp"

#include "clock.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <csignal>
#include <cstddef>
#include <cstring>

namespace bench {
namespace {

constexpr std::size_t most_output = std::size_t{16} << 20;

volatile std::sig_atomic_t interrupted = 0;
struct sigaction old_int, old_term;

extern "C" void on_interrupt(int) { interrupted = 1; }

[[noreturn]] void become(const std::vector<std::string>& command, int out, int err, pid_t parent) {
  setpgid(0, 0);
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);  // it died before the line above
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  const int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
  dup2(nothing, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& s : command) argv.push_back(const_cast<char*>(s.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  const char* why = std::strerror(errno);
  static_cast<void>(!write(STDERR_FILENO, why, std::strlen(why)));
  _exit(127);
}

// Reads what is there; false at the end.
bool drain(int fd, std::string& into) {
  char part[65536];
  const ssize_t n = read(fd, part, sizeof part);
  if (n > 0 && into.size() < most_output) into.append(part, static_cast<std::size_t>(n));
  return n > 0 || (n < 0 && (errno == EINTR || errno == EAGAIN));
}

std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.pop_back();
  const std::size_t at = text.rfind('\n');
  return at == std::string::npos ? text : text.substr(at + 1);
}

std::string reason(int status, const std::string& err) {
  if (WIFSIGNALED(status)) return std::string("died: ") + strsignal(WTERMSIG(status));
  if (WEXITSTATUS(status) == 0) return "";
  const std::string said = last_line(err);
  return said.empty() ? "exit status " + std::to_string(WEXITSTATUS(status)) : said;
}

}  // namespace

program_end run_program(const std::vector<std::string>& command, double limit_s) {
  program_end end;
  int out[2], err[2];
  if (pipe2(out, O_CLOEXEC) != 0) {
    end.failure = std::string("pipe: ") + std::strerror(errno);
    return end;
  }
  if (pipe2(err, O_CLOEXEC) != 0) {
    end.failure = std::string("pipe: ") + std::strerror(errno);
    close(out[0]), close(out[1]);
    return end;
  }
  const pid_t parent = getpid(), child = fork();
  if (child == 0) become(command, out[1], err[1], parent);
  close(out[1]), close(err[1]);
  if (child < 0) {
    end.failure = std::string("fork: ") + std::strerror(errno);
    close(out[0]), close(err[0]);
    return end;
  }
  setpgid(child, child);  // whoever of the two comes first

  std::array<pollfd, 2> ends{{{out[0], POLLIN, 0}, {err[0], POLLIN, 0}}};
  const double deadline = seconds_now() + limit_s;
  bool killed = false;
  while (ends[0].fd >= 0 || ends[1].fd >= 0) {
    const double left = deadline - seconds_now();
    if (interrupted != 0 || left <= 0) {
      killed = true;
      end.interrupted = interrupted != 0;
      break;
    }
    // Short, for a signal between the check and the call would else be seen only at the end.
    if (poll(ends.data(), ends.size(), static_cast<int>(std::min(std::ceil(left * 1e3), 200.0))) <= 0) continue;
    if (ends[0].revents != 0 && !drain(out[0], end.out)) ends[0].fd = -1;
    if (ends[1].revents != 0 && !drain(err[0], end.err)) ends[1].fd = -1;
  }
  // It may have closed both and live on. It is reaped last: until then nobody else can get its number.
  siginfo_t ended{};
  while (!killed && waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG | WNOWAIT) == 0 &&
         ended.si_pid == 0) {
    killed = interrupted != 0 || seconds_now() > deadline;
    end.interrupted = interrupted != 0;
    usleep(200);
  }
  kill(-child, SIGKILL);  // what it left behind in its group, too
  int status = 0;
  rusage used{};
  while (wait4(child, &status, 0, &used) < 0 && errno == EINTR) {}
  close(out[0]), close(err[0]);

  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  end.peak_bytes = static_cast<double>(used.ru_maxrss) * 1024;
  end.cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime);
  if (end.interrupted) end.failure = "interrupted";
  else if (killed) end.failure = "hung: killed after " + std::to_string(std::lround(limit_s)) + " s";
  else end.failure = reason(status, end.err);
  return end;
}

interrupts::interrupts() {
  interrupted = 0;
  struct sigaction a {};
  a.sa_handler = on_interrupt;
  sigemptyset(&a.sa_mask);
  sigaction(SIGINT, &a, &old_int);
  sigaction(SIGTERM, &a, &old_term);
}

interrupts::~interrupts() {
  sigaction(SIGINT, &old_int, nullptr);
  sigaction(SIGTERM, &old_term, nullptr);
  interrupted = 0;
}

bool interrupts::seen() noexcept { return interrupted != 0; }

}  // namespace bench
