// Numbers and tables for people: on a terminal, in Markdown.
#pragma once

#include "result.hpp"

#include <string>
#include <vector>

namespace bench {

std::string number(double x);       // four significant digits, "-" for not a number
std::string nanoseconds(double x);  // "17.2 ns", "3.41 ms"

struct table {
  std::vector<std::string> head;
  std::vector<std::vector<std::string>> rows;  // each as long as head; an empty row is a line between groups
  std::size_t text_columns = 1;                // that many from the left are text, the rest are numbers: to the right
};
enum class look { terminal, markdown };
std::string draw(const table& t, look how);

// What a run measured: a table for each suite, what was disturbed or failed, and the machine.
std::string summary(const result& r, look how);

std::string title(const situation& s);
std::string metric_title(const std::string& metric);  // "p99_us" → "p99 µs"

}  // namespace bench
