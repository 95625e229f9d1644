// What weir asks of the operating system besides futexes and facts: threads and the rate of the clock. Layer 0.
//
// A simulation has its own of each of these (core/sim), so nothing else in core/ may create, join or pin a thread.
#pragma once

#include <weir/detail/platform.hpp>

#include <cstddef>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace detail {

struct topology;

/// Starts body(argument) on a new thread that has all asynchronous signals blocked from its first instruction on. 0 or an
/// errno. `stack` is its size in bytes, 0: the system's default. `name` is cut to the kernel's 15 characters.
int thread_start(pthread_t& out, const char* name, std::size_t stack, void* (*body)(void*), void* argument) noexcept;
void thread_join(pthread_t t) noexcept;
void thread_detach(pthread_t t) noexcept;
/// A thread's first act: binds it to a CPU (-1: to all of `allowed`, not to that of the worker that happened to start it), and lets
/// its timed sleeps be exact.
void thread_settle(int cpu, const topology& allowed) noexcept;
/// Lets whoever else is ready to run on this CPU go first.
void thread_yield() noexcept;
/// The caller's CPU at this moment; -1: unknown.
int thread_cpu() noexcept;

/// Ticks in a nanosecond. Takes some milliseconds.
double measure_ticks() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
