// The jobs that a worker has claimed from a queue and not started yet, still there for others to steal. Layer 2.
//
// A worker claims jobs in bulk, since that is many times cheaper than one at a time; what it claimed must not hide
// behind the one that turns out long. So the batch lies in a split_deque, oldest at the bottom where the owner takes
// it, and an idle worker may steal the youngest from the top, or force the exposure. Refilled only when it is empty:
// at most `capacity` claimed and unstarted jobs a worker, which is what the order promise (P31) needs.
//
// Edges: those of split_deque.hpp. A job's three words are relaxed atomics; a torn read is thrown away, because the
// CAS that would make the job the thief's own fails when its slot was written meanwhile (I1, I2, I4 there).
#pragma once

#include <weir/detail/job.hpp>
#include <weir/detail/split_deque.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A>
class job_slot {
 public:
  using value_type = job;
  void store(const job& j) noexcept {
    ops_.store(j.tagged_ops, relaxed);
    data_[0].store(j.data[0], relaxed);
    data_[1].store(j.data[1], relaxed);
  }
  job load() const noexcept { return {ops_.load(relaxed), {data_[0].load(relaxed), data_[1].load(relaxed)}}; }

 private:
  typename A::template atomic<std::uintptr_t> ops_{0};
  typename A::template atomic<std::uint64_t> data_[2]{};
};

template <class A>
class run_queue {
 public:
  static constexpr std::uint32_t capacity = 64;

  /// Owner, when empty: jobs[0] is the oldest.
  void refill(const job* jobs, std::size_t n) noexcept {
    for (std::size_t i = 0; i < n; ++i) deque_.push_quietly(static_cast<std::uint32_t>(i), jobs[n - 1 - i]);
  }
  /// Owner: the oldest one.
  bool pop(job& out) noexcept {
    const auto n = deque_.head();
    if (n == 0) return false;
    out = deque_.at(n - 1);
    if (deque_.pop(n - 1) || deque_.reclaim(n - 1)) return true;
    deque_.close(0);  // what is below was stolen before it
    return false;
  }
  bool owner_empty() const noexcept { return deque_.head() == 0; }
  bool owner_hides() const noexcept { return deque_.head() > 1; }  // more than the one that is next

  steal_outcome steal(job& out) noexcept { return deque_.steal(out); }
  steal_outcome force(job& out) noexcept { return deque_.force(out); }
  bool visible() const noexcept { return deque_.visible(); }

 private:
  friend class diagnosis;
  split_deque<A, job_slot<A>, capacity> deque_;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
