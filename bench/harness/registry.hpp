// What can be measured: situations, and the peers that can be put into each. A suite is a function template over a peer
// that enrols its situations; a peer is one translation unit that instantiates all suites (peer/NAME.cpp).
#pragma once

#include "reading.hpp"

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace bench {

// What a case is, whoever is measured in it.
struct situation {
  std::string suite;       // "fork"
  std::string name;        // "fib": unique within its suite, [a-z0-9_/.+-]
  std::uint64_t size = 0;  // of one run, in the unit that the case is about: 35, 1000 tasks, 90 % load
  std::string task;        // what a row is divided by: "a fork"
  // What ratios and verdicts are made of: "wall" and "cpu" are nanoseconds a task, others are keys of reading::metrics.
  // Of each, less is better: a throughput is a time a task.
  std::vector<std::string> compared = {"wall"};
  // Cases of one suite and axis make one line of the report, at x; "" stands alone.
  std::string axis = {};
  double x = 0;
  bool against_serial = false;  // ratios to the peer "serial" are given, too
  std::string label = {};       // for people: "fib(35)"; "": the name
};

// What a block is asked to do.
struct ask {
  std::uint64_t size = 0;
  unsigned workers = 1;
  bool quick = false;
  double seconds = 0.3;  // how long a loop is to be measured, about; what is run once is not bound by it
};

// Measures one block, in a process that nothing else has been measured in. Throws when a task was lost, doubled or
// refused, or an answer is wrong: the block has failed then, and the others go on.
using block = std::function<reading(const ask&)>;

struct contestant {
  situation what;
  std::string peer;
  unsigned workers = 1;
  block run;
};

class registry {
 public:
  registry(bool quick, unsigned workers, bool published = false);

  bool quick() const noexcept { return quick_; }
  unsigned workers() const noexcept { return workers_; }
  // Sizes differ between a quick and a full run.
  template <class T>
  T pick(T quick, T full) const {
    return quick_ ? quick : full;
  }
  // The third is what others have published their figures for.
  template <class T>
  T pick(T quick, T full, T published) const {
    return published_ ? published : pick(quick, full);
  }
  void add(const situation& what, const char* peer, unsigned workers, block run);
  // With one worker, with all, and with the powers of two between; in a quick run peers other than weir with all alone.
  template <class Peer>
  void add_scaling(const situation& what, const block& run) {
    for (const unsigned n : scaling(fixed_workers<Peer>(), Peer::name)) add(what, Peer::name, n, run);
  }
  // With all workers.
  template <class Peer>
  void add_full(const situation& what, block run) {
    const unsigned fixed = fixed_workers<Peer>();
    add(what, Peer::name, fixed != 0 ? fixed : workers_, std::move(run));
  }
  const std::vector<contestant>& all() const noexcept { return all_; }

 private:
  template <class Peer>
  static constexpr unsigned fixed_workers() {
    if constexpr (requires { Peer::fixed_workers; }) return Peer::fixed_workers;
    else return 0;
  }
  std::vector<unsigned> scaling(unsigned fixed, std::string_view peer) const;
  bool quick_, published_;
  unsigned workers_;
  std::vector<contestant> all_;
};

// Peers enrol themselves before main: `const bench::enrolment here{...};` in peer/NAME.cpp.
struct peer_entry {
  std::string name, version;
  void (*enrol)(registry&);
};
const std::vector<peer_entry>& peers();  // by name, weir first

struct enrolment {
  explicit enrolment(peer_entry e);
};

// Everything that this program can measure itself.
registry everything(bool quick, unsigned workers, bool published = false);

}  // namespace bench
