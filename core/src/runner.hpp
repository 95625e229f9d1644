// What a thread that runs tasks shows of them to others: workers, the threads of the blocking pool, and submitters that run what did
// not fit (on_full::caller_runs). Layer 3.
#pragma once

#include "futex.hpp"
#include "running_list.hpp"

#include <weir/detail/task_node.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

using running_nodes = running_list<os_atomics, task_node>;  // those that have a node

struct runner {
  running_nodes running;
  atomic<const char*> current_name{nullptr};
};

// A submitter's; taken while it runs a task, which need not have a node.
struct caller_seat : runner {
  atomic<bool> taken{false};
};

/// The calling thread's, or null.
runner* current_runner() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
