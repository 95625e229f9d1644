// How often operator new was called, by any thread, while a count was being taken. Needs allocations.cpp.
#pragma once

#include <cstddef>

namespace test {

std::size_t allocations() noexcept;

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

}  // namespace test
