// inject_queue.hpp, its adaptor, and inject_lane.hpp: what an idle worker may believe, and in which order jobs come. moodycamel itself is trusted; here a queue of one producer
// makes the promises that weir relies on, and has the weakness that weir works around: a consumer in the middle of a call
// has counted itself in, and until it takes that back another one is told "empty" though an element is there.
#include "relacy.hpp"

#include "idle.hpp"
#include "inject_lane.hpp"
#include "inject_queue.hpp"
#include "parker.hpp"

#include <utility>

using namespace weir::detail;

namespace inject_model {
namespace {

using A = model_atomics;

class promised_queue {
 public:
  struct producer_token_t {
    explicit producer_token_t(promised_queue&) {}
    static constexpr bool valid() { return true; }
  };
  using consumer_token_t = producer_token_t;
  explicit promised_queue(std::size_t) {}

  bool enqueue(producer_token_t&, const job& j) {
    const unsigned t = tail_.load(relaxed);
    slots_[t].set(j.data[0]);
    tail_.store(t + 1, release);
    return true;
  }
  bool enqueue_bulk(producer_token_t& p, const job* jobs, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) enqueue(p, jobs[i]);
    return true;
  }
  std::size_t try_dequeue_bulk(consumer_token_t&, job* out, std::size_t n) { return try_dequeue_bulk(out, n); }
  std::size_t try_dequeue_bulk_from_producer(producer_token_t&, job* out, std::size_t n) { return try_dequeue_bulk(out, n); }
  std::size_t try_dequeue_bulk(job* out, std::size_t) {
    const unsigned repaid = repaid_.load(acquire);
    if (counted_in_.load(relaxed) - repaid >= tail_.load(relaxed)) return 0;
    const unsigned mine = counted_in_.fetch_add(1, acq_rel);
    if (mine - repaid < tail_.load(acquire)) {
      out->data[0] = slots_[head_.fetch_add(1, acq_rel)].get();
      return 1;
    }
    repaid_.fetch_add(1, release);
    return 0;
  }
  std::size_t size_approx() const {
    const unsigned t = tail_.load(relaxed), h = head_.load(relaxed);
    return h < t ? t - h : 0;
  }

 private:
  static constexpr unsigned most = 3;
  A::atomic<unsigned> tail_{0}, head_{0}, counted_in_{0}, repaid_{0};
  model::plain<std::uint64_t> slots_[most];
};

// Worker 0 takes until the second job has been taken, and parks meanwhile. Worker 1 looks once and is busy elsewhere after.
struct inject_empty : model::test<inject_empty, 3> {
  static constexpr const char* fact = "a worker that parks has not overlooked what was enqueued before its fence";
  static constexpr const char* files = "inject_queue.hpp; idle.hpp; parker.hpp";
  static constexpr const char* steps = "inject: ask for the size";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 40'000};

  using queue = inject_adaptor<promised_queue>;
  queue q;
  queue::producer p{q};
  queue::consumer c[2]{queue::consumer{q}, queue::consumer{q}};
  idle_state<A> idle{1};
  parker<A> bed;
  A::atomic<unsigned> over{0};
  unsigned taken[2]{};

  bool take(unsigned me) {
    job j{};
    if (q.take(c[me], &j, 1) == 0) return false;
    MODEL_CHECK(j.data[0] < 2 && taken[j.data[0]]++ == 0);
    if (j.data[0] == 1) {
      over.store(1, relaxed);
      A::fence_seq_cst();
      wake();
    }
    return true;
  }
  void wake() {
    if (idle.claim() >= 0) bed.unpark();
  }
  void worker() {
    while (over.load(relaxed) == 0) {
      if (take(0)) continue;
      idle.enter_search();
      idle.prepare(0, false);
      // What it must not do is to ask take() whether there is something.
      const bool some = model::keeps("inject: ask for the size") ? !q.empty() : take(0);
      if (!((some || over.load(relaxed) != 0) && idle.cancel(0))) bed.park();
      idle.leave_with_work();
      A::pause();
    }
  }
  void publish(std::uint64_t id) {
    MODEL_CHECK(q.enqueue(p, job{0, {id, 0}}));
    if (idle.published() != 0 && idle.should_wake()) wake();
  }
  void thread(unsigned i) {
    if (i == 0) return worker();
    if (i == 1) return static_cast<void>(take(1));
    publish(0);
    publish(1);
  }
  void after() { MODEL_CHECK(taken[0] == 1 && taken[1] == 1 && q.empty()); }
};
MODEL_ADD(inject_empty);

// No memory for the first job that comes.
class refusing_queue : public promised_queue {
 public:
  using promised_queue::promised_queue;
  bool enqueue(producer_token_t& p, const job& j) { return std::exchange(refused_, true) && promised_queue::enqueue(p, j); }

 private:
  bool refused_ = false;
};

// The same of a lane whose slot is tried: what lies there is as good as enqueued.
template <class Self, class Queue>
struct express_parker : model::test<Self, 3> {
  static constexpr const char* files = "inject_lane.hpp; express_slot.hpp; idle.hpp; parker.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 40'000};

  using lane = lane_adaptor<A, inject_adaptor<Queue, queued_job>>;
  lane l{true};
  typename lane::producer p{l};
  using consumer = typename lane::consumer;
  consumer c[2]{consumer{l}, consumer{l}};
  idle_state<A> idle{1};
  parker<A> bed;
  A::atomic<unsigned> left{3};
  A::atomic<unsigned> taken[3]{};

  void before() { l.heat(); }
  bool take(unsigned me) {
    const auto seen = l.poll();
    if (seen == lane::look::nothing) return false;
    job j[2]{};
    const std::size_t n = l.take(c[me], j, 2, seen == lane::look::slot_only);
    for (std::size_t i = 0; i < n; ++i) {
      MODEL_CHECK(j[i].data[0] < 3 && taken[j[i].data[0]].fetch_add(1, relaxed) == 0);
      if (!Self::counts(j[i].data[0]) || left.fetch_sub(1, relaxed) != 1) continue;
      A::fence_seq_cst();
      wake();
    }
    return n != 0;
  }
  void wake() {
    if (idle.claim() >= 0) bed.unpark();
  }
  void worker() {
    while (left.load(relaxed) != 0) {
      if (take(0)) continue;
      idle.enter_search();
      idle.prepare(0, false);
      if (!((!l.empty() || left.load(relaxed) == 0) && idle.cancel(0))) bed.park();
      idle.leave_with_work();
      A::pause();
    }
  }
  void thread(unsigned i) {
    if (i == 0) return worker();
    if (i == 1) return static_cast<void>(take(1));
    for (std::uint64_t n = 0; n < 3; ++n) {
      MODEL_CHECK(l.submit(p, 2, n, 0));
      publish();
    }
  }
  static bool counts(std::uint64_t) { return true; }
  void publish() {
    if (idle.published() != 0 && idle.should_wake()) wake();
  }
  void after() { MODEL_CHECK(left.load(relaxed) == 0 && l.empty()); }
};
struct express_parks : express_parker<express_parks, promised_queue> {
  static constexpr const char* fact = "a worker that parks has not overlooked what lies in the slot or behind it";
};
MODEL_ADD(express_parks);
// Two are submitted; the second is refused while the first lies in the slot, or goes through it, too.
struct express_refused : express_parker<express_refused, refusing_queue> {
  static constexpr const char* fact = "nor what its submitter took back for a job that was refused";
  static constexpr const char* steps = "lane: publish though refused";
  static bool counts(std::uint64_t id) { return id == 0; }
  void before() {
    l.heat();
    left.store(1, relaxed);
  }
  void thread(unsigned i) {
    if (i != 2) return express_parker::thread(i);
    for (std::uint64_t n = 0; n < 2; ++n)
      if (l.submit(p, 2, n, 0) || model::keeps("lane: publish though refused")) publish();
  }
  void after() { MODEL_CHECK(left.load(relaxed) == 0); }
};
MODEL_ADD(express_refused);

// A worker that reminds submitters of the slot may do so long after it has seen the queue empty.
struct express_order : model::test<express_order, 3> {
  static constexpr const char* fact = "one worker takes the jobs of one thread in order, whichever way they go";
  static constexpr const char* files = "inject_lane.hpp; express_slot.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 40'000};
  static constexpr auto modes = model::one_mode;

  using lane = lane_adaptor<A, inject_adaptor<promised_queue, queued_job>>;
  lane l{true};
  lane::producer p{l};
  lane::consumer c{l};
  std::uint64_t next = 0;

  void take(std::size_t most, bool nothing_queued = false) {
    job j[2]{};
    for (std::size_t n = l.take(c, j, most, nothing_queued), i = 0; i < n; ++i) MODEL_CHECK(j[i].data[0] == next++);
  }
  void thread(unsigned i) {
    if (i == 0) {
      take(1);
      take(2, l.poll() == lane::look::slot_only);
    } else if (i == 1) {
      l.heat();
    } else {
      for (std::uint64_t n = 0; n < 3; ++n) MODEL_CHECK(l.submit(p, 2, n, 0));
    }
  }
  void after() {
    for (int i = 0; i < 3; ++i) take(2);
    MODEL_CHECK(next == 3 && l.empty());
  }
};
MODEL_ADD(express_order);

}  // namespace
}  // namespace inject_model
