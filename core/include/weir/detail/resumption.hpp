// Where a coroutine goes on, as a queue holds it. Layer 1; who fills it in is core/src/coroutine.cpp.
#pragma once

#include <weir/detail/gate_entry.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

struct coroutine_chain;

// Lies in the coroutine's own frame, where it is suspended. So a resumption needs no memory, and whoever takes it out of its
// queue must be done with it before he resumes.
struct resume_point : gate_entry {
  void* frame = nullptr;
  coroutine_chain* chain = nullptr;
};

extern const job_ops resume_ops;
inline bool is_resumption(const job& j) noexcept { return &j.ops() == &resume_ops; }

}  // namespace detail
}  // namespace v0
}  // namespace weir
