#include "host.hpp"

#include "clock.hpp"
#include "usage.hpp"

#include <fmt/format.h>
#include <gnu/libc-version.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <sstream>
#include <vector>

namespace bench {
namespace {

std::string read_file(const std::string& path) {
  std::ifstream in(path);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string first_line(const std::string& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  return line;
}

// The value behind `key` at the start of a line, or "".
std::string value_of(std::string_view text, std::string_view key) {
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(key)) continue;
    const std::size_t at = line.find_first_not_of(" \t:", key.size());
    return at == std::string::npos ? "" : line.substr(at);
  }
  return "";
}

// Folders of this process's cgroup for the processor, itself and its ancestors, as far as they can be seen here.
std::vector<std::string> cgroup_folders() {
  std::vector<std::string> found;
  std::ifstream in("/proc/self/cgroup");
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = fmt::format(",{},", line.substr(first + 1, second - first - 1));
    std::filesystem::path path = line.substr(second + 1);
    std::string mount;
    if (controllers == ",,") mount = "/sys/fs/cgroup";
    else if (controllers.find(",cpu,") != std::string::npos) mount = "/sys/fs/cgroup/cpu";
    else continue;
    for (;; path = path.parent_path()) {
      found.push_back(mount + (path == "/" ? "" : path.string()));
      if (path.empty() || path == path.parent_path()) break;
    }
  }
  return found;
}

std::string quota() {
  double least = std::numeric_limits<double>::infinity();
  for (const std::string& folder : cgroup_folders()) {
    double most = -1, period = 0;
    std::istringstream v2(read_file(folder + "/cpu.max"));
    if (!(v2 >> most >> period)) {
      std::istringstream a(read_file(folder + "/cpu.cfs_quota_us")), b(read_file(folder + "/cpu.cfs_period_us"));
      if (!(a >> most) || !(b >> period)) continue;
    }
    if (most > 0 && period > 0) least = std::min(least, most / period);
  }
  return std::isinf(least) ? "none" : fmt::format("{:.2f} processors", least);
}

double children_cpu() {
  rusage r{};
  getrusage(RUSAGE_CHILDREN, &r);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  return seconds(r.ru_utime) + seconds(r.ru_stime);
}

}  // namespace

cpu_line parse_proc_stat(std::string_view text, double ticks_a_second) {
  // user nice system idle iowait irq softirq steal; guests are in user already
  std::istringstream in(value_of(text, "cpu "));
  double t[8] = {};
  for (double& x : t)
    if (!(in >> x)) break;
  return {(t[0] + t[1] + t[2] + t[5] + t[6]) / ticks_a_second, t[7] / ticks_a_second};
}

double parse_throttled(std::string_view text) {
  if (const std::string us = value_of(text, "throttled_usec"); !us.empty()) return std::atof(us.c_str()) * 1e-6;
  return std::atof(value_of(text, "throttled_time").c_str()) * 1e-9;
}

host_times host_times::now() {
  host_times t;
  t.wall_s = seconds_now();
  const cpu_line cpu = parse_proc_stat(read_file("/proc/stat"), static_cast<double>(sysconf(_SC_CLK_TCK)));
  t.busy_s = cpu.busy_s;
  t.steal_s = cpu.steal_s;
  t.ours_s = cpu_seconds(CLOCK_PROCESS_CPUTIME_ID) + children_cpu();
  for (const std::string& folder : cgroup_folders())
    t.throttled_s = std::max(t.throttled_s, parse_throttled(read_file(folder + "/cpu.stat")));
  return t;
}

host_stretch between(const host_times& from, const host_times& to, unsigned cores) {
  const double wall = std::max(to.wall_s - from.wall_s, 1e-9);
  const double others = (to.busy_s - from.busy_s) - (to.ours_s - from.ours_s);
  return {std::max(0.0, others / wall), (to.steal_s - from.steal_s) / wall / std::max(1u, cores),
          to.throttled_s - from.throttled_s};
}

std::string disturbance(const host_stretch& s, double speed) {
  if (s.throttled_s > 0) return fmt::format("held back by a quota for {:.0f} ms", s.throttled_s * 1e3);
  if (s.steal > 0.02) return fmt::format("{:.1f} % of the time went to other machines (steal)", s.steal * 100);
  if (s.others > 0.1) return fmt::format("other programs kept {:.2f} processors busy", s.others);
  if (speed < 0.95) return fmt::format("the processor ran at {:.0f} % of its best speed", speed * 100);
  return "";
}

double clock_probe() {
  constexpr std::uint64_t steps = 100'000;
  double best = 1;
  for (int i = 0; i < 40; ++i) {
    const std::uint64_t t = ticks();
    burn(steps);
    best = std::min(best, us_between(t, ticks()) * 1e-6);
  }
  return best;
}

unsigned cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  return sched_getaffinity(0, sizeof set, &set) == 0 ? static_cast<unsigned>(CPU_COUNT(&set)) : 1;
}

double load_average() {
  double load = 0;
  return getloadavg(&load, 1) == 1 ? load : std::nan("");
}

std::map<std::string, std::string> environment() {
  std::map<std::string, std::string> e;
  const std::string cpuinfo = read_file("/proc/cpuinfo");
  e["processor"] = value_of(cpuinfo, "model name");
  if (e["processor"].empty()) e["processor"] = "unknown";
  e["cores"] = std::to_string(cores());
  utsname u{};
  uname(&u);
  e["kernel"] = std::string(u.sysname) + " " + u.release + " " + u.machine;
#if defined(__clang__)
  e["compiler"] = "clang " __clang_version__;
#else
  e["compiler"] = "gcc " __VERSION__;
#endif
#if defined(__OPTIMIZE__)
  e["build"] = "optimised";
#else
  e["build"] = "not optimised";
#endif
#if !defined(NDEBUG)
  e["build"] += ", with assertions";
#endif
  e["libc"] = std::string("glibc ") + gnu_get_libc_version();
  const auto put = [&e](const char* key, const std::string& path) {
    if (const std::string line = first_line(path); !line.empty()) e[key] = line;
  };
  put("governor", "/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor");
  put("boost", "/sys/devices/system/cpu/cpufreq/boost");
  put("smt", "/sys/devices/system/cpu/smt/active");
  put("clocksource", "/sys/devices/system/clocksource/clocksource0/current_clocksource");
  put("transparent huge pages", "/sys/kernel/mm/transparent_hugepage/enabled");
  if (value_of(cpuinfo, "flags").find(" hypervisor") != std::string::npos) e["hypervisor"] = "yes";
  e["quota"] = quota();
  if (const double load = load_average(); std::isfinite(load)) e["load at the start"] = fmt::format("{:.2f}", load);
  e["loops"] = "Google Benchmark (Debian's says that it is a DEBUG build: its own loop is, not what is measured)";
  return e;
}

std::string machine(const std::map<std::string, std::string>& e) {
  const auto get = [&e](const char* key) {
    const auto found = e.find(key);
    return found == e.end() ? std::string("?") : found->second;
  };
  return fmt::format("{} cores of {}, {}, {}, quota {}, load at the start {}", get("cores"), get("processor"),
                     get("kernel"), get("compiler"), get("quota"), get("load at the start"));
}

std::string not_idle() {
  const double load = load_average();
  return load > 0.3 ? fmt::format("the machine was not idle when this began: load {:.2f}", load) : "";
}

}  // namespace bench
