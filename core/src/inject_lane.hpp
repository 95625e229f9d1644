// What outside threads submit with one priority: an inject queue, and a slot ahead of it for the job that finds it empty. Layer 2.
//
// Order. The jobs of one thread are in the slot or in the queue, never in both: it goes through the slot only when its earlier ones have
// left the queue, and before it enqueues one it takes back what still lies in the slot, and enqueues that first. So it does not
// matter which of the two a worker looks at first.
//
// Such a job is not there for a moment: it was published, and a worker may go to sleep meanwhile. So whoever submits publishes again,
// also when there is no memory for his own job; and if he loses his processor just then, the job waits for him.
//
// A take that gets the slot's job takes of the queue, too, unless that has just been seen empty. Where it may take one job only, the next
// one looks at the queue first. So nobody's job waits for long behind those of others that come through the slot.
//
// The slot is for a submitter that waits for each of its tasks, or leaves pauses between them. A stream goes through the
// queue, where a claim costs six cache lines for 48 jobs; so a take that finds several makes submitters forget the slot, and one
// that finds just one for the second time, or a worker that has spun for a while, reminds them of it.
#pragma once

#include "express_slot.hpp"
#include "futex.hpp"
#include "inject_queue.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class Queue>
class lane_adaptor {
 public:
  using element = typename Queue::element;

  // One for each thread that submits. Its jobs are taken in order, but for what is said above.
  class producer {
   public:
    explicit producer(lane_adaptor& l) : token_(l.queue_) { l.producers_.fetch_add(1, relaxed); }  // throws std::bad_alloc

   private:
    friend class lane_adaptor;
    typename Queue::producer token_;
    enum : std::uint8_t { nowhere, slot, queue } last_ = nowhere;  // where its last job went, and may still be
    unsigned passed_ = 0;  // submits that have not looked whether it still is
    typename express_slot<A>::turn turn_ = 0;
  };
  // One for each thread that takes.
  class consumer {
   public:
    explicit consumer(lane_adaptor& l) : token_(l.queue_) {}

   private:
    friend class lane_adaptor;
    typename Queue::consumer token_;
    bool queue_first_ = false;
    bool single_ = false;
    bool lately_ = false;
  };

  /// `express`: whether there is a slot.
  explicit lane_adaptor(bool express) : express_(express) {}

  /// False: no memory; the job was not queued, and an earlier one of its thread may have been out of sight for a moment.
  bool submit(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    if (slot_.hot() || p.last_ != producer::queue) [[unlikely]] return submit_slowly(p, ops, first, second);
    return queue_.enqueue(p.token_, element(ops, first, second));
  }
  /// Behind all that its thread has submitted, and not through the slot. False: as above.
  bool enqueue(producer& p, const element& j) noexcept {
    return (p.last_ == producer::queue || nothing_in_slot(p)) && queue_.enqueue(p.token_, j);
  }
  bool enqueue(producer& p, const job* jobs, std::size_t n) noexcept {
    return (p.last_ == producer::queue || nothing_in_slot(p)) && queue_.enqueue(p.token_, jobs, n);
  }

  /// `nothing_queued`: the queue has just been seen empty.
  std::size_t take(consumer& c, job* out, std::size_t n, bool nothing_queued = false) noexcept {
    const bool express = !(n == 1 && c.queue_first_) && slot_.take(*out);
    if (express) {
      c.lately_ = true;
      c.queue_first_ = !nothing_queued;
      if (nothing_queued || n == 1) return 1;
    }
    c.queue_first_ = false;
    const std::size_t got = queue_.take(c.token_, out + express, n - express);
    if (got == 0) return express || (slot_.take(*out) && (c.lately_ = true));
    if (!express) c.lately_ = false;
    if (got > 2) slot_.cool();
    else if (got == 1 && n > 1 && c.single_) heat();
    c.single_ = got == 1;
    return got + express;
  }
  std::size_t take(job* out, std::size_t n) noexcept { return slot_.take(*out) ? 1 : queue_.take(out, n); }
  /// Only what this producer has put into the queue.
  std::size_t take_own(producer& p, job* out, std::size_t n) noexcept { return queue_.take_own(p.token_, out, n); }

  /// For one who spins.
  enum class look : std::uint8_t { unknown, nothing, slot_only, queued };
  look poll() const noexcept { return !queue_.empty() ? look::queued : slot_.filled() ? look::slot_only : look::nothing; }
  /// A worker spins: submitters may try the slot.
  void heat() noexcept {
    if (express_) slot_.heat();
  }
  bool hot() const noexcept { return slot_.hot(); }
  bool express_waits() const noexcept { return slot_.filled(); }
  /// The last that this one found here came through the slot, so he may look at that alone for a while. Until he finds something
  /// elsewhere, and says so.
  bool lately(const consumer& c) const noexcept { return c.lately_; }
  void found_elsewhere(consumer& c) noexcept { c.lately_ = false; }

  bool empty() const noexcept { return !slot_.filled() && queue_.empty(); }
  std::size_t size() const noexcept { return queue_.size() + (slot_.filled() ? 1 : 0); }

 private:
  friend class diagnosis;
  // All in one function, and not in line: a stream needs neither registers nor a frame for it (gate/submit).
  WEIR_NOINLINE bool submit_slowly(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    return (slot_.hot() && through_slot(p, ops, first, second)) || enqueue(p, element(ops, first, second));
  }
  bool through_slot(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    if (p.last_ == producer::queue) {  // the look walks over all producers there have ever been, so not each submit takes it
      if (p.passed_++ < producers_.load(relaxed) / look_at_most) return false;
      p.passed_ = 0;
      if (!queue_.empty()) return slot_.cool(), false;
      p.last_ = producer::nowhere;
    }
    if (!slot_.offer(p.turn_, ops, first, second)) return false;
    p.last_ = producer::slot;
    return true;
  }
  // What follows goes to the queue. False: no memory for what still lies in the slot; it stays there.
  WEIR_NOINLINE bool nothing_in_slot(producer& p) noexcept {
    if (job j; p.last_ == producer::slot && slot_.take_back(p.turn_, j)) {
      if (!queue_.enqueue(p.token_, element(j))) return slot_.put_back(p.turn_), false;
      slot_.let_go(p.turn_);
    }
    p.last_ = producer::queue;
    return true;
  }

  static constexpr unsigned look_at_most = 16;  // producers, for each submit

  Queue queue_;
  express_slot<A> slot_;
  typename A::template atomic<unsigned> producers_{0};
  const bool express_;
};
using inject_lane = lane_adaptor<os_atomics, inject_queue>;

}  // namespace detail
}  // namespace v0
}  // namespace weir
