#include "page.hpp"

#include "table.hpp"
#include "targets.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

namespace bench {

// From report/, by report/embed.py
extern const char page_html[], page_css[], charts_js[], page_js[];

namespace {

using nlohmann::json;

json number_or_null(double x) { return std::isfinite(x) ? json(x) : json(nullptr); }

// Enough digits to draw.
double rounded(double x) {
  return std::isfinite(x) && x != 0 ? std::strtod(fmt::format("{:.6g}", x).c_str(), nullptr) : x;
}

json triple(const interval& x) {
  return {number_or_null(rounded(x.mid)), number_or_null(rounded(x.low)), number_or_null(rounded(x.high))};
}

json intervals_of(const row& x) {
  json all = json::object();
  for (const auto& [metric, column] : x.samples) {
    std::vector<double> v = column;
    std::erase_if(v, [](double d) { return !std::isfinite(d); });
    if (!v.empty()) all[metric] = triple(bootstrap_median(v));
  }
  return all;
}

// Each x of a curve with the median of what the rounds say there, and its interval.
json curves_of(const row& x) {
  json all = json::object();
  for (const auto& [name, rounds] : x.curves) {
    std::map<double, std::vector<double>> at;
    for (const curve& c : rounds)
      for (const auto& [px, py] : c)
        if (std::isfinite(py)) at[px].push_back(py);
    json points = json::array();
    for (const auto& [px, ys] : at) {
      json p = triple(bootstrap_median(ys));
      p.insert(p.begin(), px);
      points.push_back(std::move(p));
    }
    all[name] = std::move(points);
  }
  return all;
}

json derived_of(const result& r) {
  json d = {
      {"intervals", json::array()}, {"curves", json::array()}, {"goals", json::array()}, {"titles", json::object()}};
  for (const row& x : r.rows) {
    d["intervals"].push_back(intervals_of(x));
    d["curves"].push_back(curves_of(x));
    for (const auto& [metric, column] : x.samples) d["titles"][metric] = metric_title(metric);
    for (const auto& [name, column] : x.curves) d["titles"][name] = metric_title(name);
  }
  for (const goal& g : goals(r))
    d["goals"].push_back(
        {{"what", g.what},
         {"value", triple(g.value)},
         {"target", fmt::format("{} {}", g.wanted.kind == bound::at_most ? "≤" : "≥", number(g.wanted.value))},
         {"said", meets(g.value, g.wanted)}});
  return d;
}

void put(std::string& into, std::string_view mark, const std::string& text) {
  const std::size_t at = into.find(mark);
  into.replace(at, mark.size(), text);
}

// Within a script element only "</" and "<!--" could end or bend it; JSON allows the escape.
std::string for_script(const std::string& text) {
  std::string safe;
  safe.reserve(text.size());
  for (const char c : text) {
    if (c == '<') safe += "\\u003c";
    else safe += c;
  }
  return safe;
}

}  // namespace

std::string page(const result& r) {
  std::string html = page_html;
  put(html, "/*STYLE*/", page_css);
  put(html, "/*SCRIPT*/", std::string(charts_js) + page_js);
  // Last, for it may contain anything.
  put(html, "/*DATA*/", for_script(json{{"result", r}, {"derived", derived_of(r)}}.dump()));
  return html;
}

}  // namespace bench
