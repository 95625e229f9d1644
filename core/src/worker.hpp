// One worker: a thread, its queues, its way of finding work. Layer 5, with the core; the only place that orders the
// queues.
#pragma once

#include "core.hpp"
#include "duty.hpp"
#include "follower.hpp"
#include "late_ends.hpp"
#include "mailbox.hpp"
#include "runner.hpp"
#include "run_queue.hpp"
#include "sleeper.hpp"

#include <weir/detail/worker.hpp>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace detail {

struct held_place;  // gate_state.hpp
struct coroutine_segment;  // coroutine.hpp

class worker final : public worker_base, public runner {
 public:
  worker(core& c, unsigned index, unsigned number);
  ~worker() { forget_recent(); }
  void forget_recent() noexcept {
    stop_hub::forget(recent_hub);
    retry_terms::forget(recent_terms);
  }
  worker(const worker&) = delete;
  worker& operator=(const worker&) = delete;

  static worker* current() noexcept { return static_cast<worker*>(this_worker); }
  static worker* current_of(const core& c) noexcept {
    worker* w = current();
    return w != nullptr && &w->owner == &c ? w : nullptr;
  }

  void main(int cpu) noexcept;  // the thread's body
  void run(job& j) noexcept;

  // Sleeps in a wait. When that lasts, a spare stands in for this worker until it goes on. park(ns) is the sleep itself:
  // true when what it waits for may be there.
  template <class Park>
  void park_in_wait(Park park) noexcept {
    waits.store(true, relaxed);
    if (!park(vacate_after_ns)) {  // true also when its own limit has passed
      worker* const stand_in = owner.vacate();
      park(forever);
      if (stand_in != nullptr) owner.occupy(*stand_in);
    }
    waits.store(false, relaxed);
  }
  static constexpr std::int64_t vacate_after_ns = 50'000;  // P14

  void wait_for_duty() noexcept;
  void hand_claimed_back() noexcept;
  bool give_back(job& j) noexcept;
  void join_stolen(fork_deque::index h, fork_job& j) noexcept;
  void answer_bell() noexcept;

  // For turns of strands and limits (gate_state.hpp): what is left of the batch, and whether others should come first.
  bool one_more_in_turn() noexcept { return extra_ != 0 && (--extra_, true); }
  bool wanted_elsewhere() const noexcept;
  bool somebody_waits() const noexcept;
  void next_batch_in_turn() noexcept;

  outcome admit_children(std::size_t n) noexcept;
  bool take_mail(bool searching) noexcept;
  bool take_kept(bool searching) noexcept;

  // A hold on the core, and the end of one, with no word that all share but once in many.
  void hold_core() noexcept {
    if (core_refs_ == 0) owner.add_refs(core_refs_ = refs_at_once);
    --core_refs_;
  }
  void let_go_of_core() noexcept {
    if (++core_refs_ < 2 * refs_at_once) return;
    core_refs_ -= refs_at_once;
    owner.drop_refs(refs_at_once);
  }
  // So many children in a wait, before their tickets came: those are stale now. Amortised O(1) a child.
  void ran_in_place(std::uint64_t n, bool (*stale)(const job&)) noexcept {
    if ((in_place_ += n) < sweep_at_) return;
    in_place_ = 0;
    sweep_at_ = std::max<std::uint64_t>(stale_at_most, owner.sweep(*this, stale));
  }
  static constexpr std::uint64_t stale_at_most = 4096;
  void count_start() noexcept { started_outside.add(); }
  void count_end(outcome o) noexcept { ended[o].add(); }

  core& owner;
  const unsigned index;   // its slot
  const unsigned number;  // what users call it: 0, 1, …; spares count from first_spare
  const bool spare;
  sleeper<os_atomics> bed;
  run_queue<os_atomics> claimed;
  mailbox<os_atomics, job> mail;  // ahead of the producers: making it may fail, and theirs would be used again
  inject_queue::producer local_producer;
  std::unique_ptr<inject_lane::producer> lane_producers[lane_count];
  inject_lane::consumer normal_consumer;
  inject_queue::consumer local_consumer;
  slab_heap heap;
  stop_hub* recent_hub = nullptr;
  retry_terms* recent_terms = nullptr;
  held_place* places = nullptr;  // in strands and limits: whose turns it is in
  coroutine_segment* segment = nullptr;  // of the coroutine that it runs
  late_ends ends;
  pthread_t thread{};
  bool has_thread = false;                // under spare_mutex_: a thread that nobody has joined yet
  atomic<std::uint64_t> looked{0};        // ticks: its last look at the queues, while it drains
  atomic<bool> drains{false};             // takes tiny tasks in batches: looks at the queues every few microseconds
  duty<os_atomics> on_duty;
  atomic<bool> waits{false};              // asleep in a wait: what is bound to it cannot start
  atomic<bool> surplus{false};            // a spare that came for a backlog; written under spare_mutex_
  bool stands_in = false;                 // a spare that came for a waiter; under spare_mutex_

  // Single-writer counters.
  alignas(cache_line) counter started, started_outside, submitted, ended[outcome_count];
  counter rejected, steals, parks, wakes, forced;
  follower<os_atomics> follows;  // who waits for a job that this worker stole

 private:
  friend class diagnosis;
  static constexpr unsigned local_source = lane_count;
  void loop() noexcept;
  bool attend(std::uint32_t bits, bool searching = false) noexcept;
  void run_observed(entry_job& e) noexcept;
  bool claim(bool nothing_queued = false) noexcept;
  std::size_t most_at_once() const noexcept;
  void settle_turns() noexcept;
  void measure(std::uint64_t now) noexcept;
  bool worth_a_wake(std::uint64_t now) noexcept;
  bool drained_lately(std::uint64_t now) const noexcept;
  bool senior_drains() const noexcept;
  bool somebody_hides() const noexcept;
  std::size_t take_lane(lane l, std::size_t n, bool nothing_queued) noexcept;
  std::size_t take_source(unsigned source, std::size_t n, bool nothing_queued) noexcept;
  void search() noexcept;
  bool has_work(bool forks_too) const noexcept;
  bool hoards() const noexcept;
  bool steal_once(std::uint64_t now, bool force_now, std::uint64_t& force_stuck_at) noexcept;
  void ring_all() noexcept;
  bool stuck(const worker& v, std::uint64_t now) const noexcept;
  void note_look(std::uint64_t now) noexcept;
  bool somebody_drains() const noexcept;
  bool somebody_answered() const noexcept;
  void came_too_late() noexcept { unpaid_ = std::min(unpaid_ + 1, most_unpaid); }
  bool drain_goes_on() const noexcept;
  void run_fork(fork_job& j, fork_job::run_fn call, worker& victim) noexcept;
  static running_entry task_of(const fork_job& j, worker& v) noexcept;
  bool steal_forks_of(worker& v, fork_deque::index lowest, bool force_now, const fork_job* awaited) noexcept;
  void sleep_in_join(fork_job& j, worker& thief, fork_deque::index base) noexcept;
  void leave_search() noexcept;
  void longer_spin() noexcept;
  bool sleep(bool nap, bool late) noexcept;
  void rise() noexcept;
  void get_up() noexcept;
  std::int64_t longest_sleep() const noexcept;
  bool gives_up_duty() noexcept;

  // Batch sizes follow the measured time of a task; see claim().
  job batch_[run_queue<os_atomics>::capacity];
  std::size_t limit_ = 1, batch_size_ = 0;
  unsigned granted_ = 0, extra_ = 0;      // starts that turns may make beyond the claimed jobs; what is left of them
  std::uint64_t batch_start_ = 0, each_ = 0;  // ticks; the mean task of the last batch
  std::uint64_t full_since_ = 0;
  unsigned age_[lane_count + 1]{};  // starts since a source was served last; the local queue is the last one
  unsigned last_source_ = 0, same_source_ = 0;
  bool mixed_ = false;        // several sources are in use
  bool emptied_ = false;      // the last batch was not what it could have been
  const bool one_at_a_time_;  // nobody could force out, or drop, what a larger batch hides
  std::uint64_t spin_ = 0;    // ticks, adaptive
  unsigned tiny_batches_ = 0;  // in a row, since it woke
  static constexpr unsigned most_unpaid = 7;
  unsigned unpaid_ = 0;       // steals in a row that took longer than they ran, or came too late
  std::uint64_t children_ = 0;
  std::uint64_t in_place_ = 0, sweep_at_ = stale_at_most;
  static constexpr std::uint64_t refs_at_once = 64;
  std::uint64_t core_refs_ = 0;  // holds on the core that are nobody's yet: a task's, or a coroutine frame's
  std::uint64_t last_found_ = 0, idle_since_ = 0;  // of a surplus worker: what it had run when it looked last; ticks
  std::int64_t watch_ns_ = 60'000;
  std::uint64_t rng_;
};

// Ticks in a nanosecond, measured once.
double ticks_per_ns() noexcept;
inline std::uint64_t ticks_of(double ns) noexcept { return static_cast<std::uint64_t>(ns * ticks_per_ns()); }

// Ticks from `then`, as another thread noted it, to `now`, which may have been read a little earlier.
inline std::uint64_t ticks_since(std::uint64_t then, std::uint64_t now) noexcept { return now > then ? now - then : 0; }

// Nanoseconds until t for a futex: forever, or >= 0.
std::int64_t until_ns(time_point t) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
