// Which cores the generator and the workers may use. A generator that shares its core with a worker measures itself: it
// gets a core of its own whenever there is one more core than workers.
#pragma once

#include <sched.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {

inline std::vector<int> allowed_cores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof set, &set) == 0)
    for (int c = 0; c < CPU_SETSIZE; ++c)
      if (CPU_ISSET(c, &set)) cores.push_back(c);
  return cores;
}

struct placement {
  int generator = -1;        // -1: wherever the kernel puts it
  std::vector<int> workers;  // empty: likewise
  bool shared = true;        // the generator has no core of its own
};

// The last core generates; workers have the others, or all of them when they are too many for that.
inline placement place(const std::vector<int>& cores, unsigned workers) {
  placement p;
  if (cores.empty()) return p;
  p.generator = cores.back();
  p.workers = cores;
  p.shared = cores.size() < workers + std::size_t{1};
  if (!p.shared) p.workers.pop_back();
  return p;
}

// The calling thread, and the threads that it starts from now on. Throws std::runtime_error when the kernel refuses.
inline void stay_on(const std::vector<int>& cores) {
  if (cores.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int c : cores)
    if (c >= 0 && c < CPU_SETSIZE) CPU_SET(c, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0)
    throw std::runtime_error(std::string("cannot stay on the cores that were asked for: ") + std::strerror(errno));
}

}  // namespace bench
