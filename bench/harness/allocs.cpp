#include "allocs.hpp"

#include "shards.hpp"

#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constinit bench::sharded_counter calls, asked;

void* take(std::size_t bytes) noexcept {
  calls.add();
  asked.add(bytes);
  return std::malloc(bytes != 0 ? bytes : 1);
}

void* take(std::size_t bytes, std::align_val_t align) noexcept {
  const auto a = static_cast<std::size_t>(align);
  calls.add();
  asked.add(bytes);
  return std::aligned_alloc(a, (bytes + a - 1) / a * a);
}

void* check(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  return p;
}

}  // namespace

bench::allocations bench::allocations::now() noexcept { return {calls.sum(), asked.sum()}; }

void* operator new(std::size_t n) { return check(take(n)); }
void* operator new[](std::size_t n) { return check(take(n)); }
void* operator new(std::size_t n, std::align_val_t a) { return check(take(n, a)); }
void* operator new[](std::size_t n, std::align_val_t a) { return check(take(n, a)); }
void* operator new(std::size_t n, const std::nothrow_t&) noexcept { return take(n); }
void* operator new[](std::size_t n, const std::nothrow_t&) noexcept { return take(n); }
void* operator new(std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return take(n, a); }
void* operator new[](std::size_t n, std::align_val_t a, const std::nothrow_t&) noexcept { return take(n, a); }

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
void operator delete(void* p, std::align_val_t, const std::nothrow_t&) noexcept { std::free(p); }
void operator delete[](void* p, std::align_val_t, const std::nothrow_t&) noexcept { std::free(p); }
