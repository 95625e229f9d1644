#include "report.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/utsname.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

namespace bench {
namespace {

std::string processor() {
  std::ifstream in("/proc/cpuinfo");
  for (std::string line; std::getline(in, line);)
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  return "unknown processor";
}

}  // namespace

std::string machine() {
  cpu_set_t set;
  CPU_ZERO(&set);
  const int cores = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
  utsname u{};
  uname(&u);
  double load[3] = {0, 0, 0};
  if (getloadavg(load, 3) < 1) load[0] = std::nan("");
#if defined(__clang__)
  const char* const compiler = "clang " __clang_version__;
#else
  const char* const compiler = "gcc " __VERSION__;
#endif
  std::string text = fmt::format("{} cores of {}, {} {}, {}, load {:.2f}", cores, processor(), u.sysname, u.release,
                                 compiler, load[0]);
  if (load[0] > 0.3) text += "\nThe machine is not idle: the numbers below are not worth much.";
  return text;
}

std::string verdict(const interval& measured, const target& t) {
  if (t.kind == bound::none || std::isnan(measured.mid)) return "";
  const auto meets = [&t](double x) { return t.kind == bound::at_most ? x <= t.value : x >= t.value; };
  std::string text = meets(measured.mid) ? "PASS" : "MISS";
  if (meets(measured.low) != meets(measured.high)) text += "?";
  return text;
}

std::string number(double x) {
  if (std::isnan(x)) return "-";
  return std::fabs(x) >= 10000 ? fmt::format("{:.0f}", x) : fmt::format("{:.4g}", x);
}

}  // namespace bench
