// Linking allocs.cpp replaces the global operator new and delete by counting ones.
// What goes to malloc directly (moodycamel's blocks) or to a pool of its own (oneTBB's allocator) is not seen.
#pragma once

#include <cstdint>

namespace bench {

struct allocations {
  std::uint64_t count = 0, bytes = 0;
  static allocations now() noexcept;  // of all threads since the start
  friend allocations operator-(const allocations& a, const allocations& b) noexcept {
    return {a.count - b.count, a.bytes - b.bytes};
  }
};

}  // namespace bench
