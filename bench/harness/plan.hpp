// What a run will measure: the contestants of this program and of others, as far as they were asked for.
#pragma once

#include "registry.hpp"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// One contestant and the program that measures it.
struct entrant {
  situation what;
  std::string peer;       // as shown
  std::string asked_for;  // as the program calls it
  unsigned workers = 1;
  std::string program;
};

struct wishes {
  std::vector<std::string> suites, peers;  // empty: all
  std::vector<std::string> only;           // parts of SUITE/NAME
  std::vector<std::string> programs;       // beside those that lie where this program does
  std::string against;                     // another build of weir-bench: its weir takes part as "weir@against"
  bool quick = false;
  bool published = false;  // the sizes that others have published their figures for
  unsigned workers = 1;
};

struct plan {
  std::vector<entrant> entrants;
  std::map<std::string, std::string> versions;  // peer → version
  std::vector<std::string> troubles;            // a peer that is missing, a program that crashed: the rest is measured
};

// Throws std::invalid_argument for a suite that does not exist.
plan make_plan(const wishes& w);

// The lines of `PROGRAM list`, put into `p` where they name cases of `own`. Throws when a line is not of the protocol.
void read_listing(std::string_view text, const std::string& program, const registry& own, const std::string& suffix,
                  plan& p);

std::string this_program();                  // its path
std::vector<std::string> programs_beside();  // weir-bench-peer-*, executable, in the folder of this program

}  // namespace bench
