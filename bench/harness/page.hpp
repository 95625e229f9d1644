// The report: one HTML file that opens offline, with everything in it.
#pragma once

#include "result.hpp"

#include <string>

namespace bench {

std::string page(const result& r);

}  // namespace bench
