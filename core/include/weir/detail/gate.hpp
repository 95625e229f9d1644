// Getting a place in a strand or limit, then queueing into it: admission.hpp's steps once more. Layer 5 as templates see it.
#pragma once

#include <weir/detail/admission.hpp>
#include <weir/detail/gate_entry.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

// What an executor_ref that leads nowhere refers to.
extern WEIR_API gate gate_stopped;  // no runtime
extern WEIR_API gate gate_invalid;  // built from nonsense, or moved from
extern WEIR_API gate gate_failed;   // built without memory

struct gate_shape {
  unsigned places;       // so many of its tasks run at once
  std::size_t capacity;  // so many wait; 0: as many as its parents let
  on_full full;
  bool limits = false;   // has a capacity
};
// A gate in front of c, or of `parent` if that is not null. Never null itself: it is one of the above where the shape is
// nonsense, the memory is missing, or the parent is one of them.
WEIR_API gate* gate_open(core* c, gate* parent, const gate_shape& s) noexcept;
WEIR_API void gate_acquire(gate& g) noexcept;
WEIR_API void gate_release(gate& g) noexcept;

// As admit(), enqueue() and unadmit(), by way of all gates up to the runtime. Entries begin to run in the order given;
// gate_push fails with errc::failed (no memory): then nothing was accepted.
WEIR_API outcome gate_admit(gate& g, const task_options* opts, patience p, admission& a, std::size_t n = 1) noexcept;
WEIR_API outcome gate_push(gate& g, const admission& a, gate_entry* const* all, std::size_t n = 1) noexcept;
WEIR_API void gate_unadmit(gate& g, const admission& a, std::size_t n = 1) noexcept;
// The same for a task that was admitted before; it needs no memory.
WEIR_API void gate_post(gate& g, gate_entry& e) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
