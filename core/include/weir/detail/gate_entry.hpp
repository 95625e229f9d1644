// What a strand or limit queues: a link and operations in front of a callable or of a task, all in one block. Layer 1.
//
//   a callable      {entry}{callable}          made by submit; operations of boxed_job
//   a task          {ticket}{task_node_of}     made by spawn, by submit with conditions, by groups
//   another's turn  {entry, that gate}         core/src/gate_state.cpp
#pragma once

#include <weir/detail/job.hpp>

#include <algorithm>

namespace weir {
inline namespace v0 {
namespace detail {

// What executor_ref knows of a strand or limit; the rest is in core/src/gate_state.hpp.
struct gate {
  outcome refusal = outcome_ok;  // else this is all that it answers
};

struct gate_entry {
  atomic<gate_entry*> next{nullptr};
  std::uintptr_t tagged_ops = 0;  // as in job

  job as_job() const noexcept { return {tagged_ops, {static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(this)), 0}}; }
};

struct gate_ticket : gate_entry {
  gate* via = nullptr;
  std::int64_t queued = 0;  // ns, if the task is clocked
};

// Bytes in front of the callable.
template <class F>
inline constexpr std::size_t entry_front = std::max<std::size_t>(sizeof(gate_entry), alignof(F));

template <class F>
struct gated_box {
  using box = boxed_job<F, false, entry_front<F>>;
  static gate_entry* make(core& c, auto&& f) {  // throws what allocating and F's constructor throw
    const job j = box::make(c, std::forward<decltype(f)>(f));
    auto* e = ::new (j.pointer()) gate_entry;
    e->tagged_ops = j.tagged_ops;
    return e;
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
