// Whether public work waits for want of workers. Layer 3.
//
// No task is stamped when it is queued, and nobody counts for this alone. Between two looks: if fewer tasks were started than had
// waited at the first look, one of those has waited all the while, whatever the order in which they are taken.
//
// Single thread: the timekeeper's. `waiting` may count too many (tickets of cancelled tasks) for a moment, never for long, for
// whoever is awake takes those away; `started` may fall.
#pragma once

#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

class backlog_evidence {
 public:
  /// What is seen now; true: something has waited since the last look.
  bool look(std::uint64_t waiting, std::uint64_t started) noexcept {
    const std::uint64_t starts = started > started_ ? started - started_ : 0;
    const bool waited = starts < waiting_;
    waiting_ = waiting;
    started_ = started;
    return waited;
  }
  /// The next look is the first again.
  void forget() noexcept { waiting_ = 0; }

 private:
  std::uint64_t waiting_ = 0, started_ = 0;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
