// report: a result as tables or as a page.
#include "../harness/page.hpp"
#include "../harness/table.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>
#include <memory>
#include <string>

namespace bench {
namespace {

struct report_options {
  std::string in, out;
  bool markdown = false;
};

int run(const report_options& o) {
  result r;
  try {
    r = load(o.in);
  } catch (const std::exception& e) {
    fmt::print(stderr, "weir-bench: {}\n", e.what());
    return 2;
  }
  if (o.out.empty()) {
    fmt::print("{}", summary(r, o.markdown ? look::markdown : look::terminal));
    return 0;
  }
  write_file(o.out, page(r));
  fmt::print("{}: open it in a browser; it needs no network\n", o.out);
  return 0;
}

}  // namespace

void add_report(CLI::App& app, int& status) {
  auto o = std::make_shared<report_options>();
  CLI::App* sub = app.add_subcommand("report", "Tables of a result on the terminal, or with -o a page for a browser");
  sub->add_option("result", o->in, "what run wrote")->required();
  sub->add_option("-o,--output", o->out, "an HTML file");
  sub->add_flag("--markdown", o->markdown, "tables in Markdown");
  sub->callback([o, &status] { status = run(*o); });
}

}  // namespace bench
