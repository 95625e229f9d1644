// A run as it is kept: out.json. bench/README.md shows the file; `weir-bench compare` and `report` read nothing else.
#pragma once

#include "reading.hpp"
#include "registry.hpp"
#include "stats.hpp"

#include <map>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

namespace bench {

inline constexpr int result_version = 1;

struct failure {
  unsigned round = 0;
  std::string why;  // "hung: killed after 60 s", "died: Segmentation fault", "tasks were lost or doubled"
};

// One peer with so many workers in one situation, and what each round measured of it. samples[m][i] and curves[c][i]
// belong to rounds[i]; a block that failed has no sample but a failure.
struct row {
  situation what;
  std::string peer;
  unsigned workers = 1;
  std::vector<unsigned> rounds;
  // "wall", "cpu": nanoseconds a task; "voluntary", "involuntary", "allocations", "bytes": a task; "peak_mb": of the
  // process; "tasks"; and the metrics of the reading.
  std::map<std::string, std::vector<double>> samples;
  std::map<std::string, std::vector<curve>> curves;
  std::vector<failure> failures;

  void add(unsigned round, const reading& r, double peak_bytes);
  double median_of(const std::string& metric) const;  // not a number when nothing was measured
};

// How the host behaved while one round was measured.
struct round_check {
  unsigned round = 0;
  unsigned tries = 1;  // above 1: disturbed and repeated; what was thrown away is in no row
  double seconds = 0;
  double others = 0;       // processors that other programs kept busy, on average
  double steal = 0;        // share of the processors' time that the hypervisor gave to other machines
  double throttled_s = 0;  // a quota held us back for so long
  double speed = 1;        // of the processor's clock, over the best of the run
  std::string disturbed;   // why the last try was not quiet; "" is good
};

enum class verdict { faster, slower, not_told_apart };

// The left one over the right one, paired by round: below 1 the left one took less.
struct ratio {
  std::string suite, name, metric;
  std::string of, to;  // peers
  unsigned of_workers = 1, to_workers = 1;
  interval value;  // median of the ratios, and its 95 % interval by bootstrap
  verdict said = verdict::not_told_apart;
};

struct result {
  std::vector<std::string> command;
  std::string started;  // UTC, ISO 8601
  double seconds = 0;
  bool quick = false, complete = true;             // incomplete: interrupted
  std::map<std::string, std::string> environment;  // processor, cores, kernel, compiler, weir, …
  std::map<std::string, std::string> peers;        // name → version
  std::vector<std::string> warnings;               // "the machine was not idle: load 0.8"
  std::vector<round_check> rounds;
  std::vector<row> rows;
  std::vector<ratio> ratios;
};

void to_json(nlohmann::json& j, const result& r);
// Throws std::runtime_error that says what is wrong with the file, or nlohmann::json::exception.
void from_json(const nlohmann::json& j, result& r);

// Throw std::runtime_error with the path and the cause. A file is replaced in one step.
void write_file(const std::string& path, const std::string& text);
void save(const result& r, const std::string& path);
result load(const std::string& path);

const char* to_string(verdict v) noexcept;

}  // namespace bench
