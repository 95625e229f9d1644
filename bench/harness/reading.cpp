#include "reading.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <stdexcept>

namespace bench {
namespace {

double checked(const nlohmann::json& j, const char* key) {
  const double x = j.at(key).get<double>();
  if (!std::isfinite(x) || x < 0) throw std::runtime_error(std::string(key) + " is not a count or a time");
  return x;
}

std::optional<double> counted(const nlohmann::json& j, const char* key) {
  if (!j.contains(key) || j.at(key).is_null()) return std::nullopt;
  return checked(j, key);
}

nlohmann::json or_null(const std::optional<double>& x) { return x ? nlohmann::json(*x) : nlohmann::json(nullptr); }

}  // namespace

void to_json(nlohmann::json& j, const reading& r) {
  j = {{"tasks", r.tasks},         {"wall_s", r.wall_s},           {"cpu_s", r.cpu_s},
       {"voluntary", r.voluntary}, {"involuntary", r.involuntary}, {"allocations", or_null(r.allocations)},
       {"bytes", or_null(r.bytes)}};
  if (!r.metrics.empty()) j["metrics"] = r.metrics;
  if (!r.curves.empty()) j["curves"] = r.curves;
}

void from_json(const nlohmann::json& j, reading& r) {
  r = {};
  r.tasks = checked(j, "tasks");
  if (r.tasks == 0) throw std::runtime_error("no task was run");
  r.wall_s = checked(j, "wall_s");
  r.cpu_s = checked(j, "cpu_s");
  r.voluntary = checked(j, "voluntary");
  r.involuntary = checked(j, "involuntary");
  r.allocations = counted(j, "allocations");
  r.bytes = counted(j, "bytes");
  if (j.contains("metrics")) {
    for (const auto& [key, value] : j.at("metrics").items()) {
      const double x = value.is_number() ? value.get<double>() : std::nan("");
      if (!std::isfinite(x)) throw std::runtime_error(key + " is not a number");
      r.metrics[key] = x;
    }
  }
  if (j.contains("curves")) j.at("curves").get_to(r.curves);
}

}  // namespace bench
