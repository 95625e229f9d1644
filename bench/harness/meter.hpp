// Takes the reading of a stretch of code: time, CPU time, context switches, allocations.
#pragma once

#include "clock.hpp"
#include "reading.hpp"
#include "usage.hpp"

#include <allocations.hpp>

#include <algorithm>
#include <cstddef>

namespace bench {

// A share by which every stretch is made longer, to see whether the statistics find it: weir-bench run --handicap.
inline double handicap = 0;

class meter {
 public:
  enum threads { all, others };  // others: all but the one that measures, where it spins on purpose

  explicit meter(threads who = all) : who_(who) {}

  void start() {
    bytes_ = test::allocated_bytes();
    made_ = test::allocations();
    used_ = usage_of();
    began_ = seconds_now();
  }
  // Ends the stretch. May be called again after another start(): the last stretch counts.
  void stop(double tasks) {
    if (handicap > 0)
      for (const double until = began_ + (seconds_now() - began_) * (1 + handicap); seconds_now() < until;) {}
    const double wall = seconds_now() - began_;
    const usage u = usage_of() - used_;
    const std::size_t made = test::allocations() - made_, bytes = test::allocated_bytes() - bytes_;
    got_.tasks = tasks;
    got_.wall_s = wall;
    got_.cpu_s = std::max(u.cpu, 0.0);  // of others that slept it is the difference of two roundings
    got_.voluntary = u.voluntary;
    got_.involuntary = u.involuntary;
    got_.allocations = static_cast<double>(made);
    got_.bytes = static_cast<double>(bytes);
  }
  // Of the last stretch; metrics and curves may be added, and wall_s replaced where only parts of the stretch count.
  reading& got() noexcept { return got_; }

 private:
  usage usage_of() const { return who_ == all ? usage::now() : usage::others(); }
  threads who_;
  std::size_t made_ = 0, bytes_ = 0;
  usage used_;
  double began_ = 0;
  reading got_;
};

}  // namespace bench
