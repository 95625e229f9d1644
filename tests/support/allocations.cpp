// Replaces the global operator new of the test executable, and so of the libraries that it loads.
#include <allocations.hpp>

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<std::size_t> count{0};
thread_local bool failing = false;
thread_local std::size_t successes_left = 0;

void* get(std::size_t size, std::size_t align) {
  count.fetch_add(1, std::memory_order_relaxed);
  if (failing) {
    if (successes_left == 0) throw std::bad_alloc();
    --successes_left;
  }
  if (size == 0) size = 1;
  void* p = nullptr;
  if (align <= alignof(std::max_align_t)) p = std::malloc(size);
  else if (::posix_memalign(&p, align, size) != 0) p = nullptr;
  if (p == nullptr) throw std::bad_alloc();
  return p;
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
void operator delete(void* p) noexcept { std::free(p); }
void operator delete[](void* p) noexcept { std::free(p); }
void operator delete(void* p, std::size_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t) noexcept { std::free(p); }
void operator delete(void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete[](void* p, std::size_t, std::align_val_t) noexcept { std::free(p); }
void operator delete(void* p, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, const std::nothrow_t&) noexcept { std::free(p); }
