// weir-bench: measures weir and its peers, compares runs, draws reports. Each subcommand is a file in command/.
#include "command/command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <cstdio>
#include <exception>

namespace {
std::vector<std::string> given;
}

std::vector<std::string> bench::command_line() { return given; }

int main(int argc, char** argv) {
  given.assign(argv, argv + argc);
  CLI::App app{"Measures weir beside its peers: run, then report or compare."};
  app.require_subcommand(1);
  int status = 0;
  bench::add_run(app, status);
  bench::add_latency(app, status);
  bench::add_compare(app, status);
  bench::add_report(app, status);
  bench::add_list(app, status);
  bench::add_block(app, status);
  bench::add_load(app, status);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& e) {
    const int code = app.exit(e);
    return code == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    fmt::print(stderr, "weir-bench: {}\n", e.what());
    return 1;
  }
  return status;
}
