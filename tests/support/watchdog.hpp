// A test that hangs is named, the state of every runtime is dumped, and every thread says where it is. See watchdog.cpp.
#pragma once

namespace test {

/// What else to write when a test hangs: async-signal-safe, to a file descriptor. Set by state_dump.cpp.
inline void (*dump_state)(int fd) noexcept = nullptr;

/// How many times as long as usual a test may take; set by what slows tests down.
inline double patience = 1.0;

/// Watches from here on, in the place of what was watched before; 0 seconds: nothing. GoogleTest's tests need not call this.
void watch(const char* name, unsigned seconds) noexcept;

}  // namespace test
