// run_queue.hpp: a worker refills and empties it while others steal.
#include "relacy.hpp"

#include "run_queue.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

// The shipped slot, and a look at what Relacy cannot show: without order between them a thief's read of the slot may sink
// below the compare-exchange that makes the job its own, and find the next batch there. So a read that counted must
// happen before the next write to that slot.
struct watched : model_atomics {};

template <>
class job_slot<watched> {
 public:
  using value_type = job;
  void store(const job& j) noexcept {
    const rl::thread_info_base& me = *rl::ctx().threadx_;
    if (writes_ + 1 < most) ++writes_;
    for (int i = 0; i < threads; ++i) {
      known_[writes_][i] = me.acq_rel_order_[i];
      MODEL_CHECK(me.acq_rel_order_[i] >= counted_[i]);
    }
    slot_.store(j);
  }
  job load() const noexcept {
    const unsigned before = writes_;
    const job j = slot_.load();
    rl::thread_info_base& me = *rl::ctx().threadx_;
    last_read[me.index_] = {const_cast<job_slot*>(this), before, me.own_acq_rel_order_};
    return j;
  }
  /// The calling thread's last read of any slot has counted.
  static void confirm() {
    const auto& r = last_read[rl::ctx().current_thread()];
    const auto me = static_cast<std::size_t>(rl::ctx().current_thread());
    if (r.slot->writes_ != r.writes) MODEL_CHECK(r.slot->known_[r.writes + 1][me] >= r.stamp);
    else r.slot->counted_[me] = r.stamp;
  }

 private:
  static constexpr int threads = 3;
  static constexpr unsigned most = 6;
  struct read {
    job_slot* slot;
    unsigned writes;
    rl::timestamp_t stamp;
  };
  inline static read last_read[threads];
  job_slot<model_atomics> slot_;
  unsigned writes_ = 0;
  rl::timestamp_t known_[most][threads]{}, counted_[threads]{};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir

using namespace weir::detail;

namespace run_queue_model {
namespace {

template <class Self, unsigned Thieves, unsigned Batches, unsigned Size>
struct batches : model::test<Self, 1 + Thieves> {
  static constexpr const char* files = "run_queue.hpp; split_deque.hpp";
  run_queue<watched> q;
  unsigned runs[Batches * Size]{};

  static job make(unsigned id) { return {id + 1, {id * 3 + 7, id * 5 + 11}}; }
  void run(const job& j) {
    const auto id = static_cast<unsigned>(j.tagged_ops - 1);
    MODEL_CHECK(id < Batches * Size);
    MODEL_CHECK(j.data[0] == id * 3 + 7 && j.data[1] == id * 5 + 11);  // not torn
    ++runs[id];
    MODEL_CHECK(runs[id] == 1);
  }
  void worker() {
    for (unsigned b = 0; b < Batches; ++b) {
      job batch[Size];
      for (unsigned i = 0; i < Size; ++i) batch[i] = make(b * Size + i);
      MODEL_CHECK(q.owner_empty());
      q.refill(batch, Size);
      job j;
      while (q.pop(j)) run(j);
    }
  }
  void thief(const char* program) {
    for (; *program != 0; ++program) {
      job j;
      const bool force = *program == 'f' || (*program == '?' && rl::rand(2) == 0);
      if ((force && model_atomics::asymmetric() ? q.force(j) : q.steal(j)) != steal_outcome::stolen) continue;
      job_slot<watched>::confirm();
      run(j);
    }
  }
  void after() {
    for (const unsigned n : runs) MODEL_CHECK(n == 1);
    MODEL_CHECK(!q.visible());
  }
};

struct run_queue_refill : batches<run_queue_refill, 1, 3, 1> {
  static constexpr const char* fact = "a job that a thief took is not taken from the next batch, nor torn";
  static constexpr model::effort work{.preemptions = 3, .bounded = 20'000, .random = 20'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? worker() : thief("ff"); }
};
MODEL_ADD(run_queue_refill);

struct run_queue_thieves : batches<run_queue_thieves, 2, 2, 4> {
  static constexpr const char* fact = "each claimed job runs once, by the worker or by one of two thieves";
  static constexpr model::effort work{.preemptions = 2, .bounded = 10'000, .random = 40'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? worker() : thief("f???"); }
};
MODEL_ADD(run_queue_thieves);

}  // namespace
}  // namespace run_queue_model
