// A number of the command line that must lie between two others.
#pragma once

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <string>

namespace bench {

// CLI11's own Range lets nan pass, for nan is neither below nor above anything.
inline CLI::Validator between(double low, double high) {
  const std::string range = fmt::format("FLOAT in [{:g} - {:g}]", low, high);
  return {[low, high](std::string& text) -> std::string {
            double x = 0;
            if (CLI::detail::lexical_cast(text, x) && x >= low && x <= high) return {};
            return fmt::format("'{}' is no number from {:g} to {:g}", text, low, high);
          },
          range, "BETWEEN"};
}

}  // namespace bench
