// Replaces the global operator new of the test executable, and so of the libraries that it loads.
#include <allocations.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> count{0}, freed{0};
thread_local bool failing = false;
thread_local std::size_t successes_left = 0;

// One failure for the whole process.
std::atomic<std::size_t> passed{0}, fail_at{0};  // 0: none
std::atomic<bool> for_good{false};
thread_local int exempt = 0;

bool is_to_fail() noexcept {
  const std::size_t at = fail_at.load(std::memory_order_relaxed);
  if (at == 0 || exempt != 0) return false;
  const std::size_t n = passed.fetch_add(1, std::memory_order_relaxed) + 1;
  return n == at || (n > at && for_good.load(std::memory_order_relaxed));
}
void* checked(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  count.fetch_add(1, std::memory_order_relaxed);
  return p;
}
void release(void* p) noexcept {
  if (p != nullptr) freed.fetch_add(1, std::memory_order_relaxed);
  std::free(p);
}

void* get(std::size_t size, std::size_t align) {
  if (is_to_fail()) throw std::bad_alloc();
  if (failing) {
    if (successes_left == 0) throw std::bad_alloc();
    --successes_left;
  }
  if (size == 0) size = 1;
  void* p = nullptr;
  const test::own_allocations once;  // what malloc itself may be told to do (faults.cpp)
  if (align <= alignof(std::max_align_t)) p = std::malloc(size);
  else if (::posix_memalign(&p, align, size) != 0) p = nullptr;
  return checked(p);
}
void* get_or_null(std::size_t size, std::size_t align) noexcept {
  try {
    return get(size, align);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

}  // namespace

namespace test {

std::size_t allocations() noexcept { return count.load(std::memory_order_relaxed); }
failing_allocations::failing_allocations(std::size_t spare) noexcept {
  successes_left = spare;
  failing = true;
}
failing_allocations::~failing_allocations() { failing = false; }
std::size_t live_allocations() noexcept {
  const std::size_t out = freed.load();  // first: the difference must not go below zero
  return count.load() - out;
}
bool allocation_is_to_fail() noexcept { return is_to_fail(); }
own_allocations::own_allocations() noexcept { ++exempt; }
own_allocations::~own_allocations() { --exempt; }
nth_allocation_fails::nth_allocation_fails(std::size_t n, bool and_all_after) noexcept {
  passed = 0;
  for_good = and_all_after;
  fail_at = n;
}
nth_allocation_fails::~nth_allocation_fails() { fail_at = 0; }
bool nth_allocation_fails::happened() const noexcept { return passed.load() >= fail_at.load(); }

}  // namespace test

void* operator new(std::size_t n) { return get(n, 1); }
void* operator new[](std::size_t n) { return get(n, 1); }
void* operator new(std::size_t n, std::align_val_t a) { return get(n, static_cast<std::size_t>(a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return get(n, static_cast<std::size_t>(a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return get_or_null(n, 1); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return get_or_null(n, 1); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return get_or_null(n, static_cast<std::size_t>(a));
}
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept {
  return get_or_null(n, static_cast<std::size_t>(a));
}
void operator delete(void* p) noexcept { release(p); }
void operator delete[](void* p) noexcept { release(p); }
void operator delete(void* p, std::size_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t) noexcept { release(p); }
void operator delete(void* p, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { release(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { release(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { release(p); }
