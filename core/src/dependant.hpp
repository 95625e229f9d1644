// What stands in front of a runtime and may outlive it: strands, limits, streams. Layer 5.
//
// It keeps the core by count, and the core knows it: a shutdown sends away who waits for room in it, takes out what waits in
// it, and tells it when nothing will come any more.
#pragma once

#include "references.hpp"

#include <weir/detail/job.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

class dependant {
 public:
  dependant(const dependant&) = delete;
  dependant& operator=(const dependant&) = delete;

  void add_ref() noexcept { add_reference(refs_); }
  void drop_ref() noexcept;  // the last one destroys it, and may destroy the core

  virtual void closing() noexcept {}  // outside tasks are refused from here on: so is who waits for room
  virtual void stopped() noexcept {}  // nothing will be accepted, run or end any more, until a restart
  virtual bool take_unstarted(job&) noexcept { return false; }  // one that waits, for a flush

 protected:
  explicit dependant(core* c) noexcept : core_(c) {}  // null: of no runtime
  void enlist() noexcept;                // the last thing that a constructor does: from here on the core calls
  virtual ~dependant() = default;

 private:
  friend class core;
  core* const core_;
  atomic<std::uint64_t> refs_{1};
  dependant *next_ = nullptr, *previous_ = nullptr;  // in the core's list, under its lock
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
