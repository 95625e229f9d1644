// What the inlined fork needs to see of a worker. Layer 5; the rest of the worker is private.
#pragma once

#include <weir/detail/split_deque.hpp>
#include <weir/options.hpp>

#include <exception>

namespace weir {
inline namespace v0 {
namespace detail {

struct fork_job;
class core;

// 4095 nested forks; deeper ones run inline, where nobody can take them.
using fork_deque = split_deque<seam, pointer_slot<seam, fork_job>, 4095>;

// A fork that lives on its owner's stack. `word` tells where it is:
//   the address of its run function     not started
//   running | thief | base              a thief is at it; what it forked lies at `base` and above in the thief's deque
//   waiting | owner                     the same, and the owner is parked, or about to be, until it is told
//   done, threw                         over: the thief will not touch the job again
struct fork_job {
  using run_fn = void (*)(fork_job&) noexcept;
  atomic<std::uintptr_t> word;
};

struct worker_base {
  fork_deque forks;
};

// The worker that this thread is, or null. Never cached over a call that may suspend. A callable that forks the process may not
// return in the child: whoever comes back to a worker there is ended.
extern WEIR_API constinit thread_local worker_base* this_worker __attribute__((tls_model("initial-exec")));

// push() asked for it: answers the bell; runs nothing. false: the deque is full, the job is not in it.
WEIR_API bool fork_slow(worker_base& w, fork_deque::index h, fork_job& j) noexcept;
// pop(h) failed. true: the job is the caller's after all. false: a thief has run it to its end.
WEIR_API bool join_slow(worker_base& w, fork_deque::index h, fork_job& j) noexcept;
// A thief's last touch of the job.
WEIR_API void fork_finish(fork_job& j, bool threw) noexcept;
// Rethrows. Not declared noreturn on purpose: a block that ends in a call without return, like a landing pad that
// resumes, keeps clang from shrink-wrapping the caller (see fork_join).
WEIR_API void fork_rethrow(std::exception_ptr& e);
WEIR_API bool fork_threw(const fork_job& j) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
