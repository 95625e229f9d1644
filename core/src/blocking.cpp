// The blocking pool as the templates see it. Layer 6.
#include <weir/detail/blocking.hpp>

#include "core.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

status blocking_admit(core& c, const task_options* o) noexcept {
  if (c.dead()) return errc::stopped;
  if (o != nullptr) {
    if (o->worker != -1 || o->prio > lane::low) return errc::invalid;
    if (o->stop.stop_requested()) return errc::cancelled;
    if (o->start_by != time_point::max() && clock_type::now() > o->start_by) return errc::expired;
  }
  return c.admit_beside();
}

void blocking_unadmit(core& c) noexcept { c.unadmit_beside(); }
void blocking_put(core& c, task_node& n) noexcept { c.side.put(node_ticket(n)); }

}  // namespace detail
}  // namespace v0
}  // namespace weir
