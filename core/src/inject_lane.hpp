// What outside threads submit with one priority: an inject queue, and a slot ahead of it for the job that finds it empty. Layer 2.
//
// Order. The jobs of one thread are in the slot or in the queue, never in both: it goes through the slot only when its earlier ones have
// left the queue, and before it enqueues one it takes back what still lies in the slot, and enqueues that first. So it does not
// matter which of the two a worker looks at first.
//
// A take that gets it takes of the queue, too, unless that was seen empty since the last one. Where it may take one job only, it makes
// submitters forget the slot if there is more. So nobody's job waits for long behind those of others that come through the slot.
//
// The slot is for a submitter that waits for each of its tasks, or leaves pauses between them. A stream goes through the
// queue, where a claim costs six cache lines for 48 jobs; so a take that finds several makes submitters forget the slot, and one
// that finds just one for the second time, or a worker that has spun for a while, reminds them of it.
#pragma once

#include "express_slot.hpp"
#include "futex.hpp"
#include "inject_queue.hpp"

#include <utility>

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
    explicit producer(lane_adaptor& l) : token_(l.queue_) {}  // throws std::bad_alloc

   private:
    friend class lane_adaptor;
    typename Queue::producer token_;
    enum : std::uint8_t { nowhere, slot, queue } last_ = nowhere;  // where its last job went, and may still be
    typename express_slot<A>::turn turn_ = 0;
  };
  // One for each thread that takes.
  class consumer {
   public:
    explicit consumer(lane_adaptor& l) : token_(l.queue_) {}

   private:
    friend class lane_adaptor;
    typename Queue::consumer token_;
    bool nothing_queued_ = false;  // seen since the last take
    bool single_ = false;
  };

  /// `express`: whether there is a slot.
  explicit lane_adaptor(bool express) : express_(express) {}

  /// False: no memory; nothing was queued.
  bool submit(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    if (slot_.hot() || p.last_ != producer::queue) [[unlikely]] return submit_slowly(p, ops, first, second);
    return queue_.enqueue(p.token_, element(ops, first, second));
  }
  /// Behind all that is in the queue. False: no memory; nothing was queued.
  bool enqueue(producer& p, const element& j) noexcept {
    return (p.last_ == producer::queue || nothing_in_slot(p)) && queue_.enqueue(p.token_, j);
  }
  bool enqueue(producer& p, const job* jobs, std::size_t n) noexcept {
    return (p.last_ == producer::queue || nothing_in_slot(p)) && queue_.enqueue(p.token_, jobs, n);
  }

  std::size_t take(consumer& c, job* out, std::size_t n) noexcept {
    const bool express = slot_.take(*out);
    if (express) {
      if (std::exchange(c.nothing_queued_, false)) return 1;
      if (n == 1) {
        if (!queue_.empty()) slot_.cool();
        return 1;
      }
    }
    const std::size_t got = queue_.take(c.token_, out + express, n - express);
    if (got > 2) slot_.cool();
    else if (got == 1 && n > 1 && c.single_) heat();
    c.single_ = got == 1;
    c.nothing_queued_ = false;
    return got + express;
  }
  std::size_t take(job* out, std::size_t n) noexcept { return slot_.take(*out) ? 1 : queue_.take(out, n); }
  /// Only what this producer has put into the queue.
  std::size_t take_own(producer& p, job* out, std::size_t n) noexcept { return queue_.take_own(p.token_, out, n); }

  /// Whether there is something, for one who spins: what he then finds in the slot he need not keep waiting for a look at the queue.
  bool poll(consumer& c) noexcept {
    c.nothing_queued_ = queue_.empty();
    return !c.nothing_queued_ || slot_.filled();
  }
  /// A worker spins, and may look at the slot alone for a while.
  void heat() noexcept {
    if (express_) slot_.heat();
  }
  bool hot() const noexcept { return slot_.hot(); }
  bool express_waits() const noexcept { return slot_.filled(); }

  bool empty() const noexcept { return !slot_.filled() && queue_.empty(); }
  std::size_t size() const noexcept { return queue_.size() + (slot_.filled() ? 1 : 0); }

 private:
  friend class diagnosis;
  // All in one function, and not in line: a stream needs neither registers nor a frame for it (gate/submit).
  WEIR_NOINLINE bool submit_slowly(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    return (slot_.hot() && through_slot(p, ops, first, second)) || enqueue(p, element(ops, first, second));
  }
  bool through_slot(producer& p, std::uintptr_t ops, std::uint64_t first, std::uint64_t second) noexcept {
    if (p.last_ == producer::queue) {
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

  Queue queue_;
  express_slot<A> slot_;
  const bool express_;
};
using inject_lane = lane_adaptor<os_atomics, inject_queue>;

}  // namespace detail
}  // namespace v0
}  // namespace weir
