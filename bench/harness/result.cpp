#include "result.hpp"

#include <nlohmann/json.hpp>

#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

namespace bench {

using nlohmann::json;

NLOHMANN_JSON_SERIALIZE_ENUM(verdict, {{verdict::faster, "faster"},
                                       {verdict::slower, "slower"},
                                       {verdict::not_told_apart, "not told apart"}})
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(failure, round, why)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(round_check, round, tries, seconds, others, steal, throttled_s, speed, disturbed)
NLOHMANN_DEFINE_TYPE_NON_INTRUSIVE(situation, suite, name, size, task, compared, axis, x, against_serial, label)

namespace {

// JSON has no such number.
json or_null(double x) { return std::isfinite(x) ? json(x) : json(nullptr); }
double or_nan(const json& j) { return j.is_null() ? std::nan("") : j.get<double>(); }

}  // namespace

void row::add(unsigned round, const reading& r, double peak_bytes) {
  const std::size_t before = rounds.size();
  rounds.push_back(round);
  const auto put = [&](const std::string& metric, double x) {
    std::vector<double>& column = samples[metric];
    column.resize(before, std::nan(""));  // a metric that earlier rounds did not have
    column.push_back(x);
  };
  const auto each = [&](const std::optional<double>& total) { return total ? *total / r.tasks : std::nan(""); };
  put("tasks", r.tasks);
  put("wall", r.wall_s * 1e9 / r.tasks);
  put("cpu", r.cpu_s * 1e9 / r.tasks);
  put("voluntary", r.voluntary / r.tasks);
  put("involuntary", r.involuntary / r.tasks);
  put("allocations", each(r.allocations));
  put("bytes", each(r.bytes));
  put("peak_mb", peak_bytes / 1e6);
  for (const auto& [metric, x] : r.metrics) put(metric, x);
  for (auto& [metric, column] : samples) column.resize(rounds.size(), std::nan(""));
  for (const auto& [name, c] : r.curves) curves[name].resize(before), curves[name].push_back(c);
  for (auto& [name, column] : curves) column.resize(rounds.size());
}

double row::median_of(const std::string& metric) const {
  const auto found = samples.find(metric);
  if (found == samples.end()) return std::nan("");
  std::vector<double> v = found->second;
  std::erase_if(v, [](double x) { return std::isnan(x); });
  return median(std::move(v));
}

const char* to_string(verdict v) noexcept {
  switch (v) {
    case verdict::faster: return "faster";
    case verdict::slower: return "slower";
    case verdict::not_told_apart: return "not told apart";
  }
  return "";
}

void to_json(json& j, const row& r) {
  json medians = json::object(), samples = json::object();
  for (const auto& [metric, column] : r.samples) {
    medians[metric] = or_null(r.median_of(metric));
    for (const double x : column) samples[metric].push_back(or_null(x));
  }
  j = {{"what", r.what},       {"peer", r.peer},
       {"workers", r.workers}, {"median", std::move(medians)},
       {"rounds", r.rounds},   {"samples", std::move(samples)},
       {"curves", r.curves},   {"failures", r.failures}};
}

void from_json(const json& j, row& r) {
  j.at("what").get_to(r.what);
  j.at("peer").get_to(r.peer);
  j.at("workers").get_to(r.workers);
  j.at("rounds").get_to(r.rounds);
  for (const auto& [metric, column] : j.at("samples").items()) {
    for (const json& x : column) r.samples[metric].push_back(or_nan(x));
    if (r.samples[metric].size() != r.rounds.size())
      throw std::runtime_error(r.what.suite + "/" + r.what.name + ": " + metric + " does not have a sample a round");
  }
  j.at("curves").get_to(r.curves);
  j.at("failures").get_to(r.failures);
}

void to_json(json& j, const ratio& r) {
  j = {{"suite", r.suite},
       {"name", r.name},
       {"metric", r.metric},
       {"of", {{"peer", r.of}, {"workers", r.of_workers}}},
       {"to", {{"peer", r.to}, {"workers", r.to_workers}}},
       {"median", or_null(r.value.mid)},
       {"low", or_null(r.value.low)},
       {"high", or_null(r.value.high)},
       {"verdict", r.said}};
}

void from_json(const json& j, ratio& r) {
  j.at("suite").get_to(r.suite);
  j.at("name").get_to(r.name);
  j.at("metric").get_to(r.metric);
  j.at("of").at("peer").get_to(r.of);
  j.at("of").at("workers").get_to(r.of_workers);
  j.at("to").at("peer").get_to(r.to);
  j.at("to").at("workers").get_to(r.to_workers);
  r.value = {or_nan(j.at("median")), or_nan(j.at("low")), or_nan(j.at("high"))};
  j.at("verdict").get_to(r.said);
}

void to_json(json& j, const result& r) {
  j = {{"format", "weir-bench"}, {"version", result_version}, {"command", r.command},   {"started", r.started},
       {"seconds", r.seconds},   {"quick", r.quick},          {"complete", r.complete}, {"environment", r.environment},
       {"peers", r.peers},       {"warnings", r.warnings},    {"rounds", r.rounds},     {"rows", r.rows},
       {"ratios", r.ratios}};
}

void from_json(const json& j, result& r) {
  if (!j.is_object() || j.value("format", "") != "weir-bench") throw std::runtime_error("not a result of weir-bench");
  if (const int v = j.at("version").get<int>(); v != result_version)
    throw std::runtime_error("version " + std::to_string(v) + " of the format, and this program reads version " +
                             std::to_string(result_version));
  j.at("command").get_to(r.command);
  j.at("started").get_to(r.started);
  j.at("seconds").get_to(r.seconds);
  j.at("quick").get_to(r.quick);
  j.at("complete").get_to(r.complete);
  j.at("environment").get_to(r.environment);
  j.at("peers").get_to(r.peers);
  j.at("warnings").get_to(r.warnings);
  j.at("rounds").get_to(r.rounds);
  j.at("rows").get_to(r.rows);
  j.at("ratios").get_to(r.ratios);
}

void write_file(const std::string& path, const std::string& text) {
  // What is no file (a terminal, /dev/null) is written to and not replaced.
  std::error_code ignored;
  const auto kind = std::filesystem::status(path, ignored).type();
  const bool in_place = kind != std::filesystem::file_type::regular && kind != std::filesystem::file_type::not_found;
  const std::string part = in_place ? path : path + ".part";
  std::ofstream out(part, std::ios::trunc);
  if (!out) throw std::runtime_error(path + ": cannot be written: " + std::strerror(errno));
  out << text;
  out.close();
  if (!out || (!in_place && std::rename(part.c_str(), path.c_str()) != 0)) {
    const std::string why = std::strerror(errno);
    if (!in_place) unlink(part.c_str());
    throw std::runtime_error(path + ": cannot be written: " + why);
  }
}

void save(const result& r, const std::string& path) { write_file(path, json(r).dump(1) + "\n"); }

result load(const std::string& path) {
  std::ifstream in(path);
  if (!in) throw std::runtime_error(path + ": cannot be read: " + std::strerror(errno));
  std::ostringstream text;
  text << in.rdbuf();
  try {
    return json::parse(text.str()).get<result>();
  } catch (const std::exception& e) { throw std::runtime_error(path + ": " + e.what()); }
}

}  // namespace bench
