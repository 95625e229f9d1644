// What the rest of the core knows of coroutines. Layer 6; see coroutine.cpp.
#pragma once

#include "worker.hpp"

#include <weir/detail/coroutine.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

// From when a worker resumes a coroutine to when it is suspended again, or has ended: on that worker's stack.
struct coroutine_segment {
  coroutine_chain* chain;  // that runs
  bool done = false;       // the task's own chain has ended
};

/// Posts what was suspended there to where it goes on. From here on the point belongs to whoever runs it.
void resume_later(resume_point& p) noexcept;
/// Of the chain that runs there.
std::stop_token segment_token(const coroutine_segment& s) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
