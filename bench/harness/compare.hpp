// Two runs, or the two builds of one run: what became faster or slower.
#pragma once

#include "result.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace bench {

struct compare_settings {
  double threshold = 0.03;                    // a difference of less is none
  double certainty = 0.05;                    // of one mistaken verdict among all, by Holm's correction
  std::vector<std::string> peers = {"weir"};  // the others are controls: nobody changed them
};

struct difference {
  situation what;
  std::string peer, metric;
  unsigned workers = 1;
  bool control = false;
  double before = 0, after = 0;  // medians
  interval ratio;                // after / before, and its 95 % interval by bootstrap
  double p = 1;  // of such a difference by chance, corrected for the number of verdicts; of a control as it is
  std::size_t rounds = 0;  // that it rests on: of the run with fewer
  verdict said = verdict::not_told_apart;
};

struct comparison {
  std::vector<difference> all;        // in the order of the rows
  std::vector<std::string> warnings;  // what was not compared, and what makes the comparison doubtful
  std::size_t slower() const;         // of those that are no controls
  std::size_t faster() const;
};

// By the medians' ratio and the rank sum test of Mann and Whitney.
comparison compare(const result& before, const result& after, const compare_settings& s);

// weir@against and weir of one run, paired by round: by the median of the ratios and Wilcoxon's signed rank test.
comparison compare_builds(const result& r, const compare_settings& s);

}  // namespace bench
