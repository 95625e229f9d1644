#include "progress.hpp"

#include "clock.hpp"

#include <fmt/format.h>

#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <cstdio>

namespace bench {
namespace {

constexpr double patience_s = 2, log_every_s = 30;

std::size_t columns() {
  winsize w{};
  return ioctl(STDERR_FILENO, TIOCGWINSZ, &w) == 0 && w.ws_col > 10 ? w.ws_col : 80;
}

}  // namespace

progress::progress() : terminal_(isatty(STDERR_FILENO) == 1), began_(seconds_now()) {}
progress::~progress() { clear(); }

void progress::show(const std::string& what, double left_s) {
  const double now = seconds_now();
  if (now - began_ + left_s < patience_s) return;
  if (!terminal_) {
    if (now - (shown_ > 0 ? shown_ : began_) < log_every_s) return;
    fmt::print(stderr, "{}, about {} left\n", what, duration_text(left_s));
  } else {
    std::string line = fmt::format("about {} left, {}", duration_text(left_s), what);
    if (line.size() >= columns()) line.resize(columns() - 1);
    fmt::print(stderr, "\r\x1b[K{}", line);
  }
  std::fflush(stderr);
  shown_ = now;
}

void progress::note(const std::string& line) {
  clear();
  fmt::print(stderr, "{}\n", line);
}

void progress::clear() {
  if (terminal_ && shown_ > 0) fmt::print(stderr, "\r\x1b[K");
}

std::string duration_text(double s) {
  const long n = std::lround(std::max(0.0, s));
  return n < 120 ? fmt::format("{} s", n) : fmt::format("{} min {} s", n / 60, n % 60);
}

}  // namespace bench
