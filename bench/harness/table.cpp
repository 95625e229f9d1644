#include "table.hpp"

#include "host.hpp"
#include "targets.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

namespace bench {
namespace {

// Columns on a terminal: bytes that do not continue a UTF-8 character.
std::size_t width(const std::string& s) {
  return static_cast<std::size_t>(std::count_if(s.begin(), s.end(), [](char c) { return (c & 0xC0) != 0x80; }));
}

std::string line_of(const std::vector<std::string>& cells, const std::vector<std::size_t>& widths,
                    std::size_t text_columns) {
  std::string line;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const std::string fill(widths[i] - width(cells[i]), ' ');
    line += (i == 0 ? "" : "  ") + (i < text_columns ? cells[i] + fill : fill + cells[i]);
  }
  line.erase(line.find_last_not_of(' ') + 1);
  return line + "\n";
}

std::string markdown_line(const std::vector<std::string>& cells) {
  std::string line = "|";
  for (const std::string& c : cells) line += " " + c + " |";
  return line + "\n";
}

std::string share(const interval& x) {
  return std::isnan(x.mid) ? "-" : fmt::format("{:.3f} [{:.3f} {:.3f}]", x.mid, x.low, x.high);
}

const ratio* find(const result& r, const row& of, const std::string& to, const std::string& metric) {
  const auto found = std::find_if(r.ratios.begin(), r.ratios.end(), [&](const ratio& x) {
    return x.suite == of.what.suite && x.name == of.what.name && x.metric == metric && x.of == of.peer &&
           x.of_workers == of.workers && x.to == to;
  });
  return found == r.ratios.end() ? nullptr : &*found;
}

// weir over this row, where weir has as many workers (or this peer only one number of them, then weir's largest).
const ratio* weir_over(const result& r, const row& to, const std::string& metric) {
  const ratio* best = nullptr;
  for (const ratio& x : r.ratios) {
    if (x.suite != to.what.suite || x.name != to.what.name || x.metric != metric || x.of != "weir" || x.to != to.peer ||
        x.to_workers != to.workers)
      continue;
    if (best == nullptr || x.of_workers == to.workers ||
        (best->of_workers != to.workers && x.of_workers > best->of_workers))
      best = &x;
  }
  return best;
}

std::string value_text(const std::string& metric, double x) {
  return metric == "wall" || metric == "cpu" ? nanoseconds(x) : number(x);
}

class suite_table {
 public:
  suite_table(const result& r, std::string suite) : r_(r), suite_(std::move(suite)) {
    for (const row& x : r.rows) {
      if (x.what.suite != suite_) continue;
      rows_.push_back(&x);
      serial_ = serial_ || (x.what.against_serial && x.peer == "serial");
      for (const std::string& m : x.what.compared) add(m);
    }
    add("wall"), add("cpu");
    for (const row* x : rows_)
      for (const auto& [m, column] : x->samples)
        if (!fixed_.contains(m)) add(m);
    std::vector<std::string> order;
    for (const row* x : rows_)
      if (std::find(order.begin(), order.end(), x->what.name) == order.end()) order.push_back(x->what.name);
    const auto rank = [&order](const row* x) {
      const int peer = x->peer == "serial" ? 0 : x->peer == "weir" ? 1 : 2;
      return std::tuple(std::find(order.begin(), order.end(), x->what.name), peer, x);  // else as in the result, of which they are elements
    };
    std::sort(rows_.begin(), rows_.end(), [&rank](const row* x, const row* y) { return rank(x) < rank(y); });
  }

  table make() const {
    table t;
    t.text_columns = 2;
    t.head = {suite_, "peer"};
    std::vector<std::string> ratio_of;
    for (const std::string& m : metrics_) {
      t.head.push_back(metric_title(m));
      if (is_compared(m)) t.head.push_back("weir / it (95 %)"), ratio_of.push_back(m);
    }
    if (serial_) t.head.emplace_back("it / serial (95 %)");
    for (const char* h : {"voluntary", "involunt.", "allocs", "bytes", "peak MB"}) t.head.emplace_back(h);
    std::string last;
    for (const row* x : rows_) {
      if (!last.empty() && last != x->what.name) t.rows.emplace_back();
      last = x->what.name;
      t.rows.push_back(cells(*x));
    }
    return t;
  }

 private:
  void add(const std::string& m) {
    if (std::find(metrics_.begin(), metrics_.end(), m) == metrics_.end()) metrics_.push_back(m);
  }
  bool is_compared(const std::string& m) const {
    return std::any_of(rows_.begin(), rows_.end(), [&m](const row* x) {
      return std::find(x->what.compared.begin(), x->what.compared.end(), m) != x->what.compared.end();
    });
  }
  std::vector<std::string> cells(const row& x) const {
    std::vector<std::string> c = {title(x.what), fmt::format("{} {}", x.peer, x.workers)};
    for (const std::string& m : metrics_) {
      c.push_back(value_text(m, x.median_of(m)));
      if (!is_compared(m)) continue;
      const ratio* w = weir_over(r_, x, m);
      c.push_back(w == nullptr ? "" : share(w->value) + (w->said == verdict::not_told_apart ? " ?" : "  "));
    }
    if (serial_) {
      const ratio* s = find(r_, x, "serial", "wall");
      c.push_back(s == nullptr ? "" : share(s->value));
    }
    for (const char* m : {"voluntary", "involuntary", "allocations", "bytes", "peak_mb"})
      c.push_back(number(x.median_of(m)));
    return c;
  }

  const result& r_;
  std::string suite_;
  std::vector<const row*> rows_;
  std::vector<std::string> metrics_;
  bool serial_ = false;
  static inline const std::set<std::string> fixed_ = {"tasks", "voluntary", "involuntary", "allocations",
                                                      "bytes", "peak_mb",   "steals",      "parks"};
};

// Columns that say nothing anywhere are left out.
void drop_empty(table& t) {
  for (std::size_t i = t.head.size(); i-- > 0;) {
    const bool says = std::any_of(t.rows.begin(), t.rows.end(), [i](const std::vector<std::string>& r) {
      return !r.empty() && !r[i].empty() && r[i] != "-";
    });
    if (says) continue;
    t.head.erase(t.head.begin() + static_cast<std::ptrdiff_t>(i));
    for (auto& r : t.rows)
      if (!r.empty()) r.erase(r.begin() + static_cast<std::ptrdiff_t>(i));
  }
}

}  // namespace

std::string number(double x) {
  if (std::isnan(x)) return "-";
  return std::fabs(x) >= 10000 ? fmt::format("{:.0f}", x) : fmt::format("{:.4g}", x);
}

std::string nanoseconds(double x) {
  if (std::isnan(x)) return "-";
  if (x < 1e3) return fmt::format("{:.3g} ns", x);
  if (x < 1e6) return fmt::format("{:.3g} µs", x / 1e3);
  return x < 1e9 ? fmt::format("{:.4g} ms", x / 1e6) : fmt::format("{:.4g} s", x / 1e9);
}

std::string title(const situation& s) { return s.label.empty() ? s.name : s.label; }

std::string metric_title(const std::string& metric) {
  if (metric == "wall") return "time a task";
  if (metric == "cpu") return "CPU a task";
  std::string t = metric;
  for (const auto& [end, unit] : {std::pair{"_us", " µs"}, {"_ns", " ns"}, {"_ms", " ms"}, {"_mb", " MB"}})
    if (t.ends_with(end)) return t.substr(0, t.size() - 3) + unit;
  std::replace(t.begin(), t.end(), '_', ' ');
  return t;
}

std::string draw(const table& t, look how) {
  std::string text;
  if (how == look::markdown) {
    text = markdown_line(t.head) + "|";
    for (std::size_t i = 0; i < t.head.size(); ++i) text += i < t.text_columns ? " --- |" : " ---: |";
    text += "\n";
    for (const auto& r : t.rows)
      if (!r.empty()) text += markdown_line(r);
    return text;
  }
  std::vector<std::size_t> widths;
  for (const std::string& h : t.head) widths.push_back(width(h));
  for (const auto& r : t.rows)
    for (std::size_t i = 0; i < r.size(); ++i) widths[i] = std::max(widths[i], width(r[i]));
  text = line_of(t.head, widths, t.text_columns);
  for (const auto& r : t.rows) text += r.empty() ? "\n" : line_of(r, widths, t.text_columns);
  return text;
}

std::string summary(const result& r, look how) {
  std::string text;
  std::vector<std::string> suites;
  for (const row& x : r.rows)
    if (std::find(suites.begin(), suites.end(), x.what.suite) == suites.end()) suites.push_back(x.what.suite);
  for (const std::string& s : suites) {
    table t = suite_table(r, s).make();
    drop_empty(t);
    text += draw(t, how) + "\n";
  }
  text += fmt::format(
      "{} rounds in {:.0f} s, each block a fresh process, random order, medians; ratios are paired by round. "
      "A task: see the head of each case. \"?\": not told apart.\n",
      r.rounds.size(), r.seconds);
  text += machine(r.environment) + "\n";
  for (const std::string& w : r.warnings) text += "warning: " + w + "\n";
  for (const row& x : r.rows)
    if (!x.failures.empty())
      text += fmt::format("failed: {}/{} {} {}, {} times: {}\n", x.what.suite, x.what.name, x.peer, x.workers,
                          x.failures.size(), x.failures.back().why);
  const std::vector<goal> wanted = goals(r);
  if (wanted.empty()) return text;
  table t;
  t.head = {"What must be reached", "median", "95 %", "target", ""};
  for (const goal& g : wanted)
    t.rows.push_back({g.what, number(g.value.mid), fmt::format("[{} {}]", number(g.value.low), number(g.value.high)),
                      fmt::format("{} {}", g.wanted.kind == bound::at_most ? "<=" : ">=", number(g.wanted.value)),
                      meets(g.value, g.wanted)});
  return text + "\n" + draw(t, how);
}

}  // namespace bench
