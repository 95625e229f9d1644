// What one block measured. A block is a process of its own and prints its reading as one line of JSON: the blocks of
// weir-bench itself and those of other programs alike.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace bench {

// {x, y} with x rising; each block of a case gives the same x, so that rounds can be put above each other.
using curve = std::vector<std::array<double, 2>>;

struct reading {
  double tasks = 1;      // what the totals below are divided by in a row
  double wall_s = 0;     // from the first to the last of them
  double cpu_s = 0;      // of the whole process, submitters included
  double voluntary = 0;  // context switches
  double involuntary = 0;
  std::optional<double> allocations, bytes;  // null: this program cannot count them
  std::map<std::string, double> metrics;     // whatever else the case tells, not divided: "p50_us", "over_ideal"
  std::map<std::string, curve> curves;       // "latency_us": quantile → microseconds
};

void to_json(nlohmann::json& j, const reading& r);
// Throws nlohmann::json::exception when a number is missing, and std::runtime_error when one is not finite or negative.
void from_json(const nlohmann::json& j, reading& r);

}  // namespace bench
