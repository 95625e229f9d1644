// What weir must reach beside others, by ratios of one run.
#pragma once

#include "result.hpp"

#include <string>
#include <vector>

namespace bench {

enum class bound { at_most, at_least, none };

struct target {
  bound kind = bound::none;
  double value = 0;
};

// "PASS", "MISS", or with a trailing "?" when the interval contains the target: then more rounds are needed.
std::string meets(const interval& measured, const target& t);

struct goal {
  std::string what;
  interval value;
  target wanted;
};

// Those that can be judged from this result.
std::vector<goal> goals(const result& r);

}  // namespace bench
