// What a thread that runs tasks shows of them to others: workers, the threads of the blocking pool, and submitters that run what did
// not fit (on_full::caller_runs). Layer 3.
#pragma once

#include "futex.hpp"
#include "running_list.hpp"

#include <weir/detail/task_node.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

using running_nodes = running_list<os_atomics, task_node>;

class observed_run;  // observation.hpp
struct fork_job;
struct coroutine_segment;  // coroutine.hpp

// What a thread is inside of: tasks that have a node, those that are observed, and forks of either that were taken from another worker.
struct running_entry : running_nodes::entry {
  std::uint32_t forks_from = 0;      // where its own forks begin in the deque of its worker
  const fork_job* stolen = nullptr;  // that fork, of a task that runs elsewhere and waits for it
  observed_run* run = nullptr;       // null: nobody observes it
  const coroutine_segment* segment = nullptr;  // of a coroutine
};
inline running_entry& entry_of(running_nodes::entry& e) noexcept { return static_cast<running_entry&>(e); }
inline const running_entry& entry_of(const running_nodes::entry& e) noexcept { return static_cast<const running_entry&>(e); }

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
