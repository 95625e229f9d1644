// What the process has used: CPU time, context switches, memory.
#pragma once

#include <sys/resource.h>

#include <cstdint>
#include <cstdio>
#include <ctime>

namespace bench {

inline double cpu_seconds(clockid_t clock) noexcept {
  timespec t{};
  clock_gettime(clock, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

struct usage {
  double cpu = 0;        // seconds, all threads, those that have ended included
  double voluntary = 0;  // context switches
  double involuntary = 0;

  static usage now(int who = RUSAGE_SELF) noexcept {
    rusage r{};
    getrusage(who, &r);
    return {cpu_seconds(who == RUSAGE_SELF ? CLOCK_PROCESS_CPUTIME_ID : CLOCK_THREAD_CPUTIME_ID),
            static_cast<double>(r.ru_nvcsw), static_cast<double>(r.ru_nivcsw)};
  }
  // Everybody but the calling thread. Its own part is read before and after the process's: a switch of it between the
  // two would otherwise be counted as one of the others', and a difference of two such readings could be negative.
  static usage others() noexcept {
    for (usage mine = now(RUSAGE_THREAD);;) {
      const usage whole = now(), again = now(RUSAGE_THREAD);
      if (mine.voluntary == again.voluntary && mine.involuntary == again.involuntary) return whole - again;
      mine = again;
    }
  }
  double switches() const noexcept { return voluntary + involuntary; }
  friend usage operator-(const usage& a, const usage& b) noexcept {
    return {a.cpu - b.cpu, a.voluntary - b.voluntary, a.involuntary - b.involuntary};
  }
};

// Resident bytes now. smaps_rollup is exact; statm lags by some pages for each thread.
inline double resident_bytes() noexcept {
  std::FILE* f = std::fopen("/proc/self/smaps_rollup", "r");
  if (f == nullptr) return 0;
  char line[256];
  unsigned long kib = 0;
  while (std::fgets(line, sizeof line, f) != nullptr)
    if (std::sscanf(line, "Rss: %lu kB", &kib) == 1) break;
  std::fclose(f);
  return static_cast<double>(kib) * 1024;
}

}  // namespace bench
