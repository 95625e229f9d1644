// The machine: what it is, and whether it did anything else while something was measured.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace bench {

// Sums since the machine (the cgroup) began; their differences tell.
struct host_times {
  double wall_s = 0;
  double busy_s = 0;       // of all processors together, everybody's
  double ours_s = 0;       // of that this process's and its ended children's
  double steal_s = 0;      // of all processors together, given to other machines by the hypervisor
  double throttled_s = 0;  // held back by a quota

  static host_times now();
};

// The line "cpu …" of /proc/stat, in seconds: {busy, steal}. Zeros when it is not there.
struct cpu_line {
  double busy_s = 0, steal_s = 0;
};
cpu_line parse_proc_stat(std::string_view text, double ticks_a_second);

// throttled_usec (cgroup v2) or throttled_time (v1, nanoseconds) of a cpu.stat, in seconds.
double parse_throttled(std::string_view text);

// What a stretch between two looks was like.
struct host_stretch {
  double others = 0;  // processors that somebody else kept busy, on average
  double steal = 0;   // share of the processors' time
  double throttled_s = 0;
};
host_stretch between(const host_times& from, const host_times& to, unsigned cores);

// Why such a stretch should be measured again; "" when it was quiet. `speed`: of the processor, 1 is the fastest seen.
std::string disturbance(const host_stretch& s, double speed);

// Seconds that a fixed chain of multiplications takes now: the processor's clock and nothing else. Takes 3 ms.
double clock_probe();

unsigned cores();  // that this process may use

// processor, cores, kernel, compiler, libc, governor, clocksource, quota, hypervisor, …
std::map<std::string, std::string> environment();

// The most important of it in a line.
std::string machine(const std::map<std::string, std::string>& e);

// A warning when somebody else uses the machine now, by its load, else "".
std::string not_idle();

double load_average();  // of the last minute; not a number when unknown

}  // namespace bench
