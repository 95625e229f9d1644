// Every state word of every runtime of the process, written to a file descriptor. Layer 5.
//
// For a process that hangs: may be called from any thread, a signal handler included. It takes no lock that it has to wait for,
// allocates nothing, and reads words that others are writing; so a line may be a little out of date against the next one,
// and a runtime must not be destroyed meanwhile.
#pragma once

namespace weir {
inline namespace v0 {
namespace detail {

class core;

void diagnose(int fd) noexcept;

// admission.cpp
void for_registered_cores(void (*f)(const core&, void*) noexcept, void* argument) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
