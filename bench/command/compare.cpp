// compare: two runs, or the two builds of one. The exit status is for a CI.
#include "../harness/compare.hpp"

#include "../harness/table.hpp"
#include "between.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>
#include <vector>

namespace bench {
namespace {

struct compare_options {
  std::string before, after;
  double percent = 3;
  compare_settings how;
  bool markdown = false;
};

std::string value_text(const std::string& metric, double x) {
  return metric == "wall" || metric == "cpu" ? nanoseconds(x) : number(x);
}

table table_of(const comparison& c) {
  table t;
  t.text_columns = 3;
  t.head = {"case", "peer", "", "before", "after", "after / before (95 %)", "p", ""};
  for (const difference& d : c.all)
    t.rows.push_back({d.what.suite + "/" + title(d.what), fmt::format("{} {}", d.peer, d.workers),
                      metric_title(d.metric), value_text(d.metric, d.before), value_text(d.metric, d.after),
                      fmt::format("{:.3f} [{:.3f} {:.3f}]", d.ratio.mid, d.ratio.low, d.ratio.high),
                      fmt::format("{:.2g}", d.p), d.control ? "control" : to_string(d.said)});
  return t;
}

int run(compare_options& o) {
  o.how.threshold = o.percent / 100;
  comparison c;
  try {
    c = o.after.empty() ? compare_builds(load(o.before), o.how) : compare(load(o.before), load(o.after), o.how);
  } catch (const std::exception& e) {
    fmt::print(stderr, "weir-bench: {}\n", e.what());
    return 2;
  }
  for (const std::string& w : c.warnings) fmt::print("warning: {}\n", w);
  if (c.all.empty()) {
    fmt::print(stderr, "weir-bench: {}\n",
               o.after.empty() ? o.before + " has no case of two builds: it needs a run with --against"
                               : "the two runs have no row in common");
    return 2;
  }
  fmt::print("{}\n{} slower, {} faster, of {}: by more than {:g} %, and by chance with p < {:g} in all\n",
             draw(table_of(c), o.markdown ? look::markdown : look::terminal), c.slower(), c.faster(),
             std::count_if(c.all.begin(), c.all.end(), [](const difference& d) { return !d.control; }), o.percent,
             o.how.certainty);
  return c.slower() > 0 ? 1 : 0;
}

}  // namespace

void add_compare(CLI::App& app, int& status) {
  auto o = std::make_shared<compare_options>();
  CLI::App* sub =
      app.add_subcommand("compare", "What became faster or slower: 0 nothing slower, 1 something, 2 not comparable");
  sub->add_option("before", o->before, "a result of run; alone: of a run with --against, which has both builds")
      ->required();
  sub->add_option("after", o->after, "another");
  sub->add_option("--threshold", o->percent, "percent; a difference of less is none")
      ->check(between(0.0, 1000.0))
      ->capture_default_str();
  sub->add_option("--peers", o->how.peers, "whose verdicts count; the others are controls")
      ->delimiter(',')
      ->capture_default_str();
  sub->add_flag("--markdown", o->markdown, "tables in Markdown");
  sub->callback([o, &status] { status = run(*o); });
}

}  // namespace bench
