// The subcommands. Each add_ describes its options to CLI11 and runs as the callback; `status` becomes the exit status:
// 0 all is well, 1 something was measured wrongly, crashed or could not be written, 2 it was asked for wrongly. What
// is thrown is printed and ends with 1.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace bench {

std::vector<std::string> command_line();  // of this process

void add_run(CLI::App& app, int& status);
void add_latency(CLI::App& app, int& status);
void add_compare(CLI::App& app, int& status);
void add_report(CLI::App& app, int& status);
void add_list(CLI::App& app, int& status);
void add_block(CLI::App& app, int& status);
void add_load(CLI::App& app, int& status);  // load and capacity

}  // namespace bench
