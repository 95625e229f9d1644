// From rows to ratios and verdicts.
#pragma once

#include "result.hpp"

#include <string>
#include <vector>

namespace bench {

// Fewer rounds give no verdict: six is where the whole range of the ratios is a 95 % interval for their median.
inline constexpr std::size_t least_rounds = 6;
// A difference below this is none, however sure: layout alone makes as much.
inline constexpr double least_effect = 0.01;

verdict verdict_of(const interval& ratio, std::size_t rounds);

// of / to in each round that measured both.
std::vector<double> paired(const row& of, const row& to, const std::string& metric);
ratio ratio_of(const row& of, const row& to, const std::string& metric);

// For each case: the first peer with each number of workers over every other peer with as many (or with the only number that
// it has), and everything over "serial" where the case asks for it.
std::vector<ratio> all_ratios(const std::vector<row>& rows, const std::string& first = "weir");

}  // namespace bench
