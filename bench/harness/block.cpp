#include "block.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <exception>

namespace bench {
namespace {

void write_all(int fd, const void* data, std::size_t bytes) {
  const char* p = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t n = write(fd, p, bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return;
    p += n;
    bytes -= static_cast<std::size_t>(n);
  }
}

std::string read_all(int fd) {
  std::string got;
  char part[4096];
  for (;;) {
    const ssize_t n = read(fd, part, sizeof part);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return got;
    got.append(part, static_cast<std::size_t>(n));
  }
}

[[noreturn]] void run_child(const std::function<std::vector<double>()>& block, unsigned limit, int out) {
  std::signal(SIGALRM, SIG_DFL);
  alarm(limit);
  int code = 0;
  try {
    const std::vector<double> values = block();
    write_all(out, values.data(), values.size() * sizeof(double));
  } catch (const std::exception& e) {
    std::fprintf(stderr, "block: %s\n", e.what());
    code = 1;
  }
  _exit(code);  // the parent's exit handlers and buffers are not the child's
}

}  // namespace

outcome in_child(const std::function<std::vector<double>()>& block, unsigned limit) {
  outcome result;
  int pipes[2];
  std::fflush(nullptr);
  if (pipe(pipes) != 0) {
    result.failure = std::string("pipe: ") + std::strerror(errno);
    return result;
  }
  const pid_t child = fork();
  if (child == 0) {
    close(pipes[0]);
    run_child(block, limit, pipes[1]);
  }
  close(pipes[1]);
  if (child < 0) {
    close(pipes[0]);
    result.failure = std::string("fork: ") + std::strerror(errno);
    return result;
  }
  const std::string bytes = read_all(pipes[0]);
  close(pipes[0]);
  int status = 0;
  rusage used{};
  while (wait4(child, &status, 0, &used) < 0 && errno == EINTR) {}
  result.peak_rss = static_cast<double>(used.ru_maxrss) * 1024;
  if (WIFSIGNALED(status)) {
    result.failure = WTERMSIG(status) == SIGALRM ? "hung" : std::string("died: ") + strsignal(WTERMSIG(status));
  } else if (WEXITSTATUS(status) != 0) {
    result.failure = "failed";
  } else {
    result.values.resize(bytes.size() / sizeof(double));
    if (!result.values.empty()) std::memcpy(result.values.data(), bytes.data(), result.values.size() * sizeof(double));
  }
  return result;
}

}  // namespace bench
