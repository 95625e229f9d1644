// Replaces the global operator new of the program, and so of the libraries that it loads. Benches measure with it: while
// nothing is to fail, an allocation costs a plain add in a line of the thread's own beside malloc.
#include <allocations.hpp>

#include <array>
#include <atomic>
#include <cstdlib>
#include <new>

namespace {

struct alignas(128) shard {
  std::atomic<std::size_t> calls{0}, bytes{0}, freed{0};
};
constinit std::array<shard, 512> shards;

// Threads number themselves; those past the last shard share it.
shard& mine(bool& shared) noexcept {
  static constinit std::atomic<std::size_t> next{0};
  thread_local constinit std::size_t own = shards.size();
  if (own == shards.size()) [[unlikely]] {
    const std::size_t n = next.fetch_add(1, std::memory_order_relaxed);
    own = n < shards.size() ? n : shards.size() - 1;
  }
  shared = own == shards.size() - 1;
  return shards[own];
}
void raise(std::atomic<std::size_t>& n, std::size_t by, bool shared) noexcept {
  if (shared) [[unlikely]] n.fetch_add(by, std::memory_order_relaxed);
  else n.store(n.load(std::memory_order_relaxed) + by, std::memory_order_relaxed);
}
std::size_t sum(std::atomic<std::size_t> shard::*which) noexcept {
  std::size_t s = 0;
  for (const shard& x : shards) s += (x.*which).load(std::memory_order_relaxed);
  return s;
}

std::atomic<int> armed{0};  // objects that live and make something fail

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
bool fails_now() noexcept {
  if (is_to_fail()) return true;
  if (!failing) return false;
  if (successes_left == 0) return true;
  --successes_left;
  return false;
}

void* get_or_null(std::size_t size, std::size_t align) noexcept {
  const bool watched = armed.load(std::memory_order_relaxed) != 0;
  if (watched && fails_now()) [[unlikely]] return nullptr;
  void* p = nullptr;
  if (watched) ++exempt;  // what malloc itself may be told to do (faults.cpp)
  if (align <= alignof(std::max_align_t)) p = std::malloc(size != 0 ? size : 1);
  else if (::posix_memalign(&p, align, size != 0 ? size : 1) != 0) p = nullptr;
  if (watched) --exempt;
  if (p == nullptr) return nullptr;
  bool shared = false;
  shard& s = mine(shared);
  raise(s.calls, 1, shared);
  raise(s.bytes, size, shared);
  return p;
}
void* get(std::size_t size, std::size_t align) {
  void* const p = get_or_null(size, align);
  if (p == nullptr) throw std::bad_alloc();
  return p;
}
void release(void* p) noexcept {
  if (p == nullptr) return;
  bool shared = false;
  raise(mine(shared).freed, 1, shared);
  std::free(p);
}

}  // namespace

namespace test {

std::size_t allocations() noexcept { return sum(&shard::calls); }
std::size_t allocated_bytes() noexcept { return sum(&shard::bytes); }
failing_allocations::failing_allocations(std::size_t spare) noexcept {
  successes_left = spare;
  failing = true;
  ++armed;
}
failing_allocations::~failing_allocations() {
  --armed;
  failing = false;
}
std::size_t live_allocations() noexcept {
  const std::size_t out = sum(&shard::freed);  // first: the difference must not go below zero
  return allocations() - out;
}
bool allocation_is_to_fail() noexcept { return is_to_fail(); }
own_allocations::own_allocations() noexcept { ++exempt; }
own_allocations::~own_allocations() { --exempt; }
nth_allocation_fails::nth_allocation_fails(std::size_t n, bool and_all_after) noexcept {
  passed = 0;
  for_good = and_all_after;
  fail_at = n;
  ++armed;
}
nth_allocation_fails::~nth_allocation_fails() {
  --armed;
  fail_at = 0;
}
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
