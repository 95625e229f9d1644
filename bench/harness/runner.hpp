// Measures a plan: rounds in which every block runs once, in random order, each in a process of its own.
#pragma once

#include "plan.hpp"
#include "result.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace bench {

struct run_settings {
  unsigned rounds = 9;
  double limit_s = 1500;       // no block begins after it, and no round but the first that would pass it
  double seconds = 0;          // of a loop; 0: what fits into limit_s
  double block_limit_s = 120;  // a block that takes longer has hung
  bool quick = false;
  std::uint64_t seed = 0;
  double handicap = 0;  // percent by which weir's own blocks are made longer, but not those of weir@against
};

// One block, as the runner knows it; a test puts its own in the place of processes.
struct block_end {
  reading got;
  double peak_bytes = 0;
  std::string failure;  // "": got is good
  bool interrupted = false;
};
using block_starter = std::function<block_end(const entrant&, const run_settings&)>;
block_end start_block(const entrant& e, const run_settings& s);

// What happens, for whoever tells people: before each block, and after each try of a round.
struct run_events {
  std::function<void(const entrant&, unsigned round, std::size_t block, double left_s)> block;
  std::function<void(const result&, const round_check&, bool repeat)> round;
};

// Fills in rows, rounds, ratios and warnings; adds to `r` as it goes on, so that what is there is always good. Stops
// early, with complete = false, when interrupts::seen(). A disturbed round is measured once more if time is left for it.
void measure(const plan& p, const run_settings& s, const block_starter& start, const run_events& tell, result& r);

// seconds that a loop gets when so many blocks must fit into the limit
double loop_seconds(const run_settings& s, std::size_t blocks);

}  // namespace bench
