// What both programs print: the machine, and numbers beside what they must reach.
#pragma once

#include "stats.hpp"

#include <string>
#include <vector>

namespace bench {

// One paragraph: cores, processor, kernel, compiler, load, and what a shared or small machine cannot tell.
std::string machine();

enum class bound { at_most, at_least, none };

struct target {
  bound kind = bound::none;
  double value = 0;
};

// "PASS", "MISS", or with a trailing "?" when the interval contains the target: then more rounds are needed.
std::string verdict(const interval& measured, const target& t);

// Four significant digits, "-" for not a number.
std::string number(double x);

}  // namespace bench
