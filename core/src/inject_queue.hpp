// The way in from outside: moodycamel::ConcurrentQueue behind weir's rules. Layer 2; the only file that names it.
//
// moodycamel is trusted, not proven. What weir relies on, and what it works around:
//   - Each producer token is a FIFO queue of its own. weir leases tokens and never destroys one before the queue, so
//     neither implicit producers nor token recycling (bugs in Debian's 1.0.3) are ever used.
//   - try_dequeue may answer "empty" while an element is there and another consumer is in the middle of a call. So
//     emptiness is never decided by it: empty() asks size_approx(), whose head index moves only on success and
//     therefore never hides an enqueue that was fenced before.
//
// Edges
//   [fifo]   enqueue ↔ take: moodycamel publishes an element with release and takes it with acquire (its own proof).
//
// What was enqueued before idle_state::published() is there for empty() after prepare(): an edge of that file.
#pragma once

#include <weir/detail/job.hpp>

#if __has_include(<concurrentqueue/concurrentqueue.h>)
#include <concurrentqueue/concurrentqueue.h>
#elif __has_include(<concurrentqueue/moodycamel/concurrentqueue.h>)
#include <concurrentqueue/moodycamel/concurrentqueue.h>
#else
#include <concurrentqueue.h>
#endif

namespace weir {
inline namespace v0 {
namespace detail {

struct inject_traits : moodycamel::ConcurrentQueueDefaultTraits {
  static constexpr std::size_t BLOCK_SIZE = 128;  // bench submit/1: 32 → 128 saves a block hand-over in four
  static constexpr std::size_t EXPLICIT_BLOCK_EMPTY_COUNTER_THRESHOLD = 32;
  static constexpr std::uint32_t EXPLICIT_CONSUMER_CONSUMPTION_QUOTA_BEFORE_ROTATE = 32;
  static constexpr std::size_t EXPLICIT_INITIAL_INDEX_SIZE = 32;
};

// A job as it lies in the queue. It is copied word by word, as it was written a moment ago: a wider load cannot be served from
// the store buffer, and waits until every earlier store is done, the one to the queue's tail among them, whose line a
// consumer may just have. That was 60 % of a submit (bench submit/1).
struct queued_job {
  queued_job(std::uintptr_t o, std::uint64_t a, std::uint64_t b) noexcept : ops(o), first(a), second(b) {}
  queued_job(const job& j, std::uintptr_t tag = 0) noexcept
      : queued_job(word(j.tagged_ops) | tag, word(j.data[0]), word(j.data[1])) {}
  queued_job(const queued_job& o) noexcept : queued_job(word(o.ops), word(o.first), word(o.second)) {}
  queued_job& operator=(const queued_job&) = delete;
  operator job() const noexcept { return {ops, {first, second}}; }

  template <class Word>
  static Word word(const Word& w) noexcept {
    return __atomic_load_n(&w, __ATOMIC_RELAXED);  // compilers join plain ones
  }
  std::uintptr_t ops;
  std::uint64_t first, second;
};

// A template on the queue for tests/model, which brings one that makes moodycamel's promises and no others.
template <class Queue, class Element = job>
class inject_adaptor {
 public:
  using element = Element;

  // One for each thread that enqueues. Its tasks are taken in order.
  class producer {
   public:
    explicit producer(inject_adaptor& q) : token_(q.q_) {  // throws std::bad_alloc
#if WEIR_EXCEPTIONS
      if (!token_.valid()) throw std::bad_alloc();
#endif
    }

   private:
    friend class inject_adaptor;
    typename Queue::producer_token_t token_;
  };
  // One for each thread that takes.
  class consumer {
   public:
    explicit consumer(inject_adaptor& q) : token_(q.q_) {}

   private:
    friend class inject_adaptor;
    typename Queue::consumer_token_t token_;
  };

  inject_adaptor() : q_(inject_traits::BLOCK_SIZE) {}

  /// False: no memory; nothing was queued.
  bool enqueue(producer& p, const Element& j) noexcept {
    seam::foreign_call();
    WEIR_TRY { return q_.enqueue(p.token_, j); }  // [fifo] → take
    WEIR_CATCH_ALL { return false; }
  }
  bool enqueue(producer& p, const job* jobs, std::size_t n) noexcept {
    seam::foreign_call();
    WEIR_TRY { return q_.enqueue_bulk(p.token_, jobs, n); }
    WEIR_CATCH_ALL { return false; }
  }
  std::size_t take(consumer& c, job* out, std::size_t n) noexcept {
    seam::foreign_call();
    return q_.try_dequeue_bulk(c.token_, out, n);  // [fifo]
  }
  std::size_t take(job* out, std::size_t n) noexcept {
    seam::foreign_call();
    return q_.try_dequeue_bulk(out, n);
  }
  /// Only what this producer enqueued.
  std::size_t take_own(producer& p, job* out, std::size_t n) noexcept {
    seam::foreign_call();
    return q_.try_dequeue_bulk_from_producer(p.token_, out, n);
  }
  bool empty() const noexcept { return size() == 0; }
  std::size_t size() const noexcept {
    seam::foreign_call();
    return q_.size_approx();
  }

 private:
  Queue q_;
};
using inject_queue = inject_adaptor<moodycamel::ConcurrentQueue<queued_job, inject_traits>, queued_job>;

}  // namespace detail
}  // namespace v0
}  // namespace weir
