// Exact admission without a shared write for each task. Layer 3.
//
// A credit is the right to have one accepted, unstarted task. The pool has `capacity` of them; each outside thread
// holds a lease with a few of them in advance, so that its fast path touches only its own line. Workers give nothing
// back explicitly: the pool counts what they started.
//
// State
//   pool.taken_     credits handed to leases, minus those handed back
//   started         Σ of the workers' own counters of started outside tasks, asked for through a callable; only grows
//   lease.used_     credits consumed = tasks accepted through it; written by its owner only
//   lease.limit_    used_ may grow to it without asking; 0 = trap: go the slow way
//   lease.granted_  the true limit, under the lease's lock
//
// Invariants
//   I1  free credits of the pool = capacity + started − taken_; a grant is a CAS on taken_, so it never exceeds them.
//   I2  Σ granted_ = taken_ but for what is between the two, which belongs to nobody; Σ used_ <= Σ granted_.
//   I3  used_ <= granted_, or its owner is on its way to the slow path with used_ = granted_ + 1.
//   Hence accepted − started <= capacity, always.
//
// Edges
//   [recall]  try_use's light fence ↔ recall's and shut_all's heavy fence: either the owner sees the trap, or the recaller
//             sees the credit used. An owner that saw the trap settles with the recaller under the lease's lock.
//   [full]    give_back's count ↔ the refuser's two looks at returns(): nobody handed credits back between them.
//   [taken]   a grant's CAS on taken_ → the next look at taken_: who sees credits as taken sees the starts that gave them. With an
//             older sum he would find none free where there are some, and not serve those who wait for the room that he has made.
//             give_back's fetch_sub continues the release sequence: it needs no order, for with an older taken_ less is free.
//
// `full` is answered only when it was true: acquire() failed, then every lease was seen without spare credits, and
// between the two neither did `started` grow nor did anybody hand credits back. In that span no lease could be refilled,
// so at its end the pool and all leases were empty.
#pragma once

#include <weir/detail/atomics.hpp>

#include <algorithm>
#include <cstdint>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class credit_pool {
 public:
  explicit credit_pool(std::uint64_t capacity) noexcept : capacity_(capacity) {}

  std::uint64_t capacity() const noexcept { return capacity_; }

  /// Takes at least `least` and at most `most` credits; 0 when fewer than `least` are free. `started()` sums the starts.
  template <class Started>
  std::uint64_t acquire(std::uint64_t least, std::uint64_t most, Started&& started) noexcept {
    std::uint64_t taken = taken_.load(std::memory_order_acquire);  // [taken] ← acquire
    for (;;) {
      const std::uint64_t limit = capacity_ + started();  // read after taken: an old sum only understates what is free
      if (limit < taken + least) return 0;
      const std::uint64_t n = std::min(most, limit - taken);
      if (taken_.compare_exchange_weak(taken, taken + n, release, std::memory_order_acquire)) return n;  // [taken] → acquire, free
    }
  }
  template <class Started>
  std::uint64_t free(Started&& started) const noexcept {
    const std::uint64_t taken = taken_.load(std::memory_order_acquire);  // [taken] ← acquire
    const std::uint64_t limit = capacity_ + started();
    return limit > taken ? limit - taken : 0;
  }
  void give_back(std::uint64_t n) noexcept {
    taken_.fetch_sub(n, relaxed);
    returns_.fetch_add(1, release);  // [full] → returns
  }
  std::uint64_t returns() const noexcept { return returns_.load(std::memory_order_acquire); }  // [full]

 private:
  friend class diagnosis;
  const std::uint64_t capacity_;
  alignas(cache_line) typename A::template atomic<std::uint64_t> taken_{0};
  typename A::template atomic<std::uint64_t> returns_{0};
};

template <class A>
class credit_lease {
 public:
  /// Owner's fast path. False: settle() must follow.
  WEIR_ALWAYS_INLINE bool try_use() noexcept {
    const std::uint64_t n = used_.load(relaxed) + 1;
    used_.store(n, relaxed);
    A::light_fence();  // [recall] ↔ recall, shut_all
    return n <= limit_.load(relaxed);
  }

  /// Owner, after try_use() said false. True: the credit was granted after all (a trap had been set). False: it is
  /// undone, the lease is empty.
  bool settle() noexcept {
    lock l(mutex_);
    const std::uint64_t n = used_.load(relaxed);
    if (n <= granted_) {
      if (!shut_ && A::asymmetric()) limit_.store(granted_, relaxed);
      return true;
    }
    used_.store(n - 1, relaxed);
    return false;
  }

  /// Owner: adds n credits from the pool and uses `use` of them at once. False: the lease is shut, nothing was added.
  bool grant(std::uint64_t n, std::uint64_t use) noexcept {
    lock l(mutex_);
    if (shut_) return false;
    add(n, use);
    return true;
  }

  /// Owner: acquires from the pool, and uses `use` of it, in one step for whoever recalls: he waits for the lock, so no credit
  /// is on its way from the pool to a lease while he decides that there is none. False: none were free, or the lease is shut.
  template <class Started>
  bool draw(credit_pool<A>& pool, std::uint64_t least, std::uint64_t most, std::uint64_t use, Started&& started) noexcept {
    lock l(mutex_);
    if (shut_) return false;
    const std::uint64_t n = pool.acquire(least, most, started);
    if (n != 0) add(n, use);
    return n != 0;
  }

  /// Owner: what it has not used, for the pool. Nobody else uses it, so nothing is to be waited for.
  std::uint64_t give_up() noexcept {
    lock l(mutex_);
    limit_.store(0, relaxed);
    return take_unused();
  }

  /// Anybody: takes back what is not used. Cheap when there is nothing.
  std::uint64_t recall() noexcept {
    if (spare() == 0) return 0;
    lock l(mutex_);
    limit_.store(0, relaxed);
    A::heavy_fence();  // [recall] ↔ try_use
    return take_unused();
  }

  /// Anybody, for good: every use goes the slow way from now on. For a lease that others may use, see shut_all().
  void shut() noexcept {
    lock l(mutex_);
    shut_ = true;
    limit_.store(0, relaxed);
  }
  /// After that, and a heavy fence: what was not used is void (returned, for the pool), and settle() refuses.
  std::uint64_t seal() noexcept {
    lock l(mutex_);
    return take_unused();
  }
  /// The pool may be used again. What was accepted meanwhile: nothing.
  void reopen() noexcept {
    lock l(mutex_);
    shut_ = false;
  }
  /// In the child of a fork(): no lock, no other thread.
  void shut_in_child() noexcept { limit_.store(0, relaxed); }

  std::uint64_t used() const noexcept { return used_.load(relaxed); }
  /// After a heavy fence: never less than what was accepted, and exact once the owner has left the slow path.
  std::uint64_t used_settled() noexcept {
    lock l(mutex_);
    return std::min(used_.load(relaxed), granted_);
  }

 private:
  friend class diagnosis;
  struct lock {
    explicit lock(typename A::mutex& m) : m_(m) { m_.lock(); }
    ~lock() { m_.unlock(); }
    typename A::mutex& m_;
  };
  void add(std::uint64_t n, std::uint64_t use) noexcept {
    granted_ += n;
    used_.store(used_.load(relaxed) + use, relaxed);
    // Without membarrier nobody could recall what is cached, so the limit stays a trap and settle() does the counting.
    if (A::asymmetric()) limit_.store(granted_, relaxed);
  }
  std::uint64_t take_unused() noexcept {
    const std::uint64_t used = std::min(used_.load(relaxed), granted_);
    const std::uint64_t n = granted_ - used;
    granted_ = used;
    return n;
  }
  std::uint64_t spare() noexcept {
    lock l(mutex_);
    const std::uint64_t used = used_.load(relaxed);
    return granted_ > used ? granted_ - used : 0;
  }

  alignas(cache_line) typename A::template atomic<std::uint64_t> used_{0};
  typename A::template atomic<std::uint64_t> limit_{0};
  std::uint64_t granted_ = 0;
  bool shut_ = false;
  typename A::mutex mutex_;
};

/// Shuts all leases for good, with one heavy fence for all of them, and gives back to the pool what they have not used. each(f) calls
/// f(lease) for each; it is asked twice.
template <class A, class Each>
void shut_all(credit_pool<A>& pool, Each&& each) noexcept {
  each([](credit_lease<A>& l) { l.shut(); });
  A::heavy_fence();  // [recall] ↔ try_use
  each([&pool](credit_lease<A>& l) { pool.give_back(l.seal()); });
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
