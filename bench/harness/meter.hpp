// Takes the reading of a stretch of code: time, CPU time, context switches, allocations.
#pragma once

#include "allocs.hpp"
#include "clock.hpp"
#include "reading.hpp"
#include "usage.hpp"

namespace bench {

class meter {
 public:
  enum threads { all, others };  // others: all but the one that measures, where it spins on purpose

  explicit meter(threads who = all) : who_(who) {}

  void start() {
    made_ = allocations::now();
    used_ = usage_of();
    began_ = seconds_now();
  }
  // Ends the stretch. May be called again after another start(): the last stretch counts.
  void stop(double tasks) {
    const double wall = seconds_now() - began_;
    const usage u = usage_of() - used_;
    const allocations a = allocations::now() - made_;
    got_.tasks = tasks;
    got_.wall_s = wall;
    got_.cpu_s = u.cpu;
    got_.voluntary = u.voluntary;
    got_.involuntary = u.involuntary;
    got_.allocations = static_cast<double>(a.count);
    got_.bytes = static_cast<double>(a.bytes);
  }
  // Of the last stretch; metrics and curves may be added, and wall_s replaced where only parts of the stretch count.
  reading& got() noexcept { return got_; }

 private:
  usage usage_of() const { return who_ == all ? usage::now() : usage::others(); }
  threads who_;
  allocations made_;
  usage used_;
  double began_ = 0;
  reading got_;
};

}  // namespace bench
