// How often operator new was called, by any thread, while a count was being taken; and calls that fail. Needs
// allocations.cpp.
// What goes to malloc directly (moodycamel's blocks) or to a pool of its own (oneTBB's allocator) is not seen.
#pragma once

#include <cstddef>

namespace test {

std::size_t allocations() noexcept;      // of all threads since the start
std::size_t allocated_bytes() noexcept;  // as asked for

/// Counts from its birth.
class allocation_count {
 public:
  allocation_count() noexcept : before_(allocations()) {}
  std::size_t operator()() const noexcept { return allocations() - before_; }

 private:
  std::size_t before_;
};

/// Makes operator new fail on this thread while it lives, after `spare` more successes.
class failing_allocations {
 public:
  explicit failing_allocations(std::size_t spare = 0) noexcept;
  ~failing_allocations();
  failing_allocations(const failing_allocations&) = delete;
  failing_allocations& operator=(const failing_allocations&) = delete;
};

/// Blocks of operator new that are out.
std::size_t live_allocations() noexcept;

/// While it lives, the n-th allocation of any thread fails (1: the first), and with `and_all_after` those after it.
class nth_allocation_fails {
 public:
  explicit nth_allocation_fails(std::size_t n, bool and_all_after = false) noexcept;
  ~nth_allocation_fails();
  nth_allocation_fails(const nth_allocation_fails&) = delete;
  nth_allocation_fails& operator=(const nth_allocation_fails&) = delete;
  bool happened() const noexcept;
};
/// What this thread allocates while it lives is the test's own business: it does not count for nth_allocation_fails.
class own_allocations {
 public:
  own_allocations() noexcept;
  ~own_allocations();
  own_allocations(const own_allocations&) = delete;
  own_allocations& operator=(const own_allocations&) = delete;
};
bool allocation_is_to_fail() noexcept;  // for faults.cpp

}  // namespace test
