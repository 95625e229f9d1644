// What one open-loop run measured. A run is a process of its own and prints this as one line of JSON, whatever language it
// is written in (bench/README.md has the protocol).
#pragma once

#include "histogram.hpp"

#include <nlohmann/json_fwd.hpp>

namespace bench {

struct load_reading {
  double tasks = 0;                       // that arrived, and ended
  double wall_s = 0;                      // from the first arrival's zero to the last end
  double drained_s = 0;                   // from the last submit() to the last end
  double cpu_s = 0;                       // of all threads but the generator
  double voluntary = 0, involuntary = 0;  // context switches, likewise
  histogram waited, ran, whole;           // ns: due to start, start to end, due to end
  histogram cost, behind, lag;            // ns: what the generator did, see load.hpp
};

void to_json(nlohmann::json& j, const histogram& h);
// Throws std::runtime_error when the buckets do not fit together, nlohmann::json::exception when one is missing.
void from_json(const nlohmann::json& j, histogram& h);
void to_json(nlohmann::json& j, const load_reading& r);
void from_json(const nlohmann::json& j, load_reading& r);

}  // namespace bench
