// One measured block of weir-forkjoin: a workload under a peer, in a process of its own.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bench {

enum class sizes { quick, full };

// What a block returns, in this order.
enum reading : unsigned { wall_s, cpu_s, voluntary, involuntary, allocated, right, readings };

struct contender {
  std::string name;  // "weir 2"
  unsigned workers = 1;
  std::function<std::vector<double>()> block;
};

struct event {
  std::string name;  // "fib(39)"
  std::vector<contender> contenders;
};

// serial, weir with one worker, weir with `workers`, and oneTBB with as many where it was found.
std::vector<event> events(sizes s, unsigned workers);

}  // namespace bench
