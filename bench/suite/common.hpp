// What the situations share: tasks that are counted, and the peers' own counters.
#pragma once

#include "../harness/reading.hpp"
#include "../harness/shards.hpp"
#include "../peer/concepts.hpp"

#include <cstdint>
#include <stdexcept>

namespace bench {

inline constinit sharded_counter ran;  // what a counted task raises

class exactly_once {
 public:
  void expect(std::uint64_t tasks) noexcept { expected_ += tasks; }
  bool all_ran() const noexcept { return ran.sum() == expected_; }
  void check() const {
    if (!all_ran()) throw std::runtime_error("tasks were lost or doubled");
  }

 private:
  std::uint64_t expected_ = ran.sum();
};

// From its construction on: the metrics "steals" and "parks", each a task; nothing for a peer that does not count.
template <class Peer>
class own_counters {
 public:
  explicit own_counters(const Peer& p) : peer_(p) {
    if constexpr (counts<Peer>) {
      steals_ = p.steals();
      parks_ = p.parks();
    }
  }
  void add_to(reading& r) const {
    if constexpr (counts<Peer>) {
      r.metrics["steals"] = static_cast<double>(peer_.steals() - steals_) / r.tasks;
      r.metrics["parks"] = static_cast<double>(peer_.parks() - parks_) / r.tasks;
    }
  }

 private:
  const Peer& peer_;
  std::uint64_t steals_ = 0, parks_ = 0;
};

}  // namespace bench
