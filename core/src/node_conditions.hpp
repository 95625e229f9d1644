// What a task's options have asked for beyond the node itself. Layer 5; made when there is a need for it.
//
// State    task_node::extra is null, or a node_conditions*, or with its low bits set what most tasks have alone: a stop_hub or
//          retry_terms. It is replaced by conditions that hold the same, once:
//          set_once.hpp.
#pragma once

#include "retry_terms.hpp"
#include "set_once.hpp"
#include "stop_hub.hpp"
#include "worker.hpp"

#include <weir/detail/resumption.hpp>

#include <exception>
#include <optional>
#include <stop_token>

namespace weir {
inline namespace v0 {
namespace detail {

// A task's own stop source: made when its token is asked for, or when it is cancelled while it runs.
struct node_source {
  struct relay {
    node_source* to;
    void operator()() const noexcept { to->source.request_stop(); }
  };
  std::stop_source source;
  std::optional<std::stop_callback<relay>> parent, halt;  // halt: the runtime's, for a coroutine that is suspended then
};

struct node_conditions {
  stop_hub* hub = nullptr;
  retry_terms* terms = nullptr;
  time_point deadline = time_point::max();  // unless it is in the entry: node_state::dated
  const char* name = nullptr;
  atomic<node_source*> source{nullptr};
  std::exception_ptr cause{};  // retries: of the last attempt
  std::uint32_t attempts = 0;  // retries: that have failed; the claimer's
  std::int16_t bound = -1;     // to this worker
  lane prio = lane::normal;    // of a task that comes back
  resume_point* awaiter = nullptr;  // node_state::awaited
};

inline constexpr std::uintptr_t extra_hub = 1, extra_terms = 2, extra_kind = 3;

inline node_conditions* conditions_in(std::uintptr_t extra) noexcept {
  return (extra & extra_kind) == 0 ? reinterpret_cast<node_conditions*>(extra) : nullptr;
}
inline stop_hub* hub_in(std::uintptr_t extra) noexcept {
  if ((extra & extra_kind) == extra_hub) return reinterpret_cast<stop_hub*>(extra - extra_hub);
  return (extra & extra_kind) == 0 && extra != 0 ? conditions_in(extra)->hub : nullptr;
}
inline retry_terms* terms_in(std::uintptr_t extra) noexcept {
  if ((extra & extra_kind) == extra_terms) return reinterpret_cast<retry_terms*>(extra - extra_terms);
  return (extra & extra_kind) == 0 && extra != 0 ? conditions_in(extra)->terms : nullptr;
}

inline node_conditions* conditions_or_null(const task_node& n) noexcept { return conditions_in(look(n.extra)); }
inline stop_hub* hub_of(const task_node& n) noexcept { return hub_in(look(n.extra)); }
inline retry_terms* terms_of(const task_node& n) noexcept { return terms_in(look(n.extra)); }

// task_node.cpp
node_conditions& node_conditions_of(task_node& n);  // throws std::bad_alloc
void node_tell_to_stop(task_node& n) noexcept;
// What a task that runs is told to stop by, if it was not told yet. The copy may be used when the task has gone.
bool node_stop_source(task_node& n, std::optional<std::stop_source>& out) noexcept;

inline void node_set_entry(task_node& n, std::uint64_t tick, std::uint8_t kind) noexcept {
  const std::uint32_t flags = n.state.load(relaxed);
  const unsigned before = (flags & node_state::gated) != 0 ? before_ticket : (flags & node_state::stoppable) != 0 ? before_links : 0u;
  node_entry(n).set(tick, static_cast<std::uint8_t>(kind | before));
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
