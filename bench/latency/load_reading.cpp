#include "load_reading.hpp"

#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <stdexcept>

namespace bench {

using nlohmann::json;

void to_json(json& j, const histogram& h) {
  json buckets = json::array();
  for (std::size_t i = 0; i < histogram::buckets; ++i)
    if (const std::uint64_t n = h.in_bucket(i); n != 0) buckets.push_back({i, n});
  j = {{"precision", histogram::precision}, {"count", h.count()}, {"least", h.least()},
       {"greatest", h.greatest()},          {"sum", h.sum()},     {"buckets", std::move(buckets)}};
}

void from_json(const json& j, histogram& h) {
  h.clear();
  if (j.at("precision").get<unsigned>() != histogram::precision)
    throw std::runtime_error("a histogram of another precision");
  for (const json& b : j.at("buckets")) {
    const auto i = b.at(0).get<std::size_t>();
    if (i >= histogram::buckets) throw std::runtime_error("a histogram with a bucket that does not exist");
    h.add_bucket(i, b.at(1).get<std::uint64_t>());
  }
  if (j.at("count").get<std::uint64_t>() != h.count())
    throw std::runtime_error("a histogram whose buckets do not add up");
  if (h.count() != 0)
    h.widen(j.at("least").get<std::uint64_t>(), j.at("greatest").get<std::uint64_t>(), j.at("sum").get<double>());
}

void to_json(json& j, const load_reading& r) {
  j = {{"tasks", r.tasks},         {"wall_s", r.wall_s},
       {"drained_s", r.drained_s}, {"cpu_s", r.cpu_s},
       {"voluntary", r.voluntary}, {"involuntary", r.involuntary},
       {"waited", r.waited},       {"ran", r.ran},
       {"whole", r.whole},         {"cost", r.cost},
       {"behind", r.behind},       {"lag", r.lag}};
}

void from_json(const json& j, load_reading& r) {
  const auto number = [&j](const char* name) {
    const auto x = j.at(name).get<double>();
    if (!std::isfinite(x) || x < 0) throw std::runtime_error(std::string(name) + " is not a number of its kind");
    return x;
  };
  r.tasks = number("tasks");
  r.wall_s = number("wall_s");
  r.drained_s = number("drained_s");
  r.cpu_s = number("cpu_s");
  r.voluntary = number("voluntary");
  r.involuntary = number("involuntary");
  j.at("waited").get_to(r.waited);
  j.at("ran").get_to(r.ran);
  j.at("whole").get_to(r.whole);
  j.at("cost").get_to(r.cost);
  j.at("behind").get_to(r.behind);
  j.at("lag").get_to(r.lag);
}

}  // namespace bench
