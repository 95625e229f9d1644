// What all workers of a runtime share, and its life. Layer 5.
//
// Life of a task submitted from outside: a credit of the caller's lease (credits.hpp) → the inject queue of its lane →
// a worker's run queue → run, ended_[outcome] + 1. At rest the sums of `submitted` and `ended` are equal, and that is
// how wait_idle, drain and abort know: no shared counter is written for a task.
// Its edges are those of its parts, each of which is a header of its own.
#pragma once

#include "aftermath.hpp"
#include "attention.hpp"
#include "backlog_evidence.hpp"
#include "codel.hpp"
#include "counter.hpp"
#include "blocking_pool.hpp"
#include "credits.hpp"
#include "crew.hpp"
#include "doors.hpp"
#include "entry_list.hpp"
#include "idle.hpp"
#include "inject_lane.hpp"
#include "leader.hpp"
#include "observation.hpp"
#include "presence.hpp"
#include "quiescence.hpp"
#include "references.hpp"
#include "retry_terms.hpp"
#include "slab.hpp"
#include "slot_table.hpp"
#include "stop_hub.hpp"
#include "throw.hpp"
#include "timekeeper.hpp"
#include "topology.hpp"
#include "waiting_line.hpp"

#include <weir/detail/admission.hpp>
#include <weir/detail/task_node.hpp>
#include <weir/metrics.hpp>

#include <memory>
#include <mutex>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

class worker;
class dependant;   // dependant.hpp

inline constexpr unsigned max_slots = 1024;  // workers and spares of one runtime
inline constexpr unsigned first_spare = max_slots;  // numbers of spares: no worker has them
inline constexpr std::size_t lane_count = 3;
inline constexpr std::size_t outcome_count = 10;  // ok and the errcs

using counter = own_counter<os_atomics>;
using counter_of_all = shared_counter<os_atomics>;

// What one outside thread holds of a runtime. Kept and reused when the thread ends, so the number of leases is the
// largest number of threads that submitted at the same time.
struct lease {
  lease(core& c, inject_lane& normal, page_source& pages) : owner(&c), producer(normal), heap(pages) {}
  ~lease() { forget_recent(); }
  void forget_recent() noexcept {
    stop_hub::forget(recent_hub);
    retry_terms::forget(recent_terms);
  }
  credit_lease<os_atomics> credits;
  core* owner;
  inject_lane::producer producer;                        // normal lane
  std::unique_ptr<inject_lane::producer> side[lane_count];  // the others, made when first used
  slab_heap heap;
  counter returned, rejected;
  std::uint64_t posted = 0, swept_at = 0;  // what went past admission; what had been used and posted at the last sweep
  presence<os_atomics> call;  // of submit(), from the publication on
  caller_seat seat;
  stop_hub* recent_hub = nullptr;
  retry_terms* recent_terms = nullptr;
};

// Bits of the attention word. halted: an abort, or a drain past its limit; nothing new starts, and it is paused, too, but what is
// kept goes on. leftovers: such a drain gave up, and what comes to a queue after that is stopped by whichever worker sees it.
namespace attention {
inline constexpr std::uint32_t stop = 1, paused = 2, halted = 4, entries = 8, quiesce = 16, blocked = 32, mail = 64, leftovers = 128, kept = 2048;
constexpr std::uint32_t lane_bit(lane l) noexcept { return 256u << static_cast<unsigned>(l); }
inline constexpr std::uint32_t side_lanes = 256u | 1024u;
}  // namespace attention

using entries = entry_list<os_atomics, entry_job>;

class core {
 public:
  core(const options& o, topology t);
  ~core();
  core(const core&) = delete;
  core& operator=(const core&) = delete;

  void start();  // throws std::system_error; then nothing runs

  // ---- life (lifecycle.cpp) ----
  void acquire_ref() noexcept { add_reference(refs_); }
  void release_ref() noexcept;
  void add_refs(std::uint64_t n) noexcept { refs_.fetch_add(n, relaxed); }    // of a worker, for tasks and frames to come
  void drop_refs(std::uint64_t n) noexcept { drop_references(refs_, n); }     // while others hold it
  report drain(time_point until);
  report abort(std::function<void(task_fn&&)> sink);
  void hand_off() noexcept;   // the destructor's way out on an own worker
  bool wait_quiescent(time_point until, bool unless_halted = false) noexcept;
  bool quiescent() const noexcept;
  void check_quiescent() noexcept;  // whoever may have ended the last task, once rest_.asked()
  void tell_if_asked() noexcept {   // after the count of an end, or of a submit that was taken back
    if (rest_.asked()) check_quiescent();
  }
  bool has_leftovers() const noexcept;
  void stop_leftovers() noexcept;
  void leave_leftovers() noexcept;
  void pause() noexcept;
  void resume() noexcept;
  status resize(unsigned n);
  status restart();
  worker* vacate() noexcept;         // a worker sleeps in a wait: a spare for its slot, or null
  void occupy(worker& spare) noexcept;
  void spare_is_free(worker& s) noexcept;
  // ---- workers that come by themselves (elastic.cpp) ----
  void note_if_all_are_busy() noexcept;  // after should_wake() said no, when something was published or claimed
  void look_after_backlog() noexcept;    // whoever stops searching, or others' waiting
  std::int64_t look_at_backlog() noexcept;  // the timekeeper; nanoseconds to the next look
  bool surplus_goes(worker& s) noexcept;
  void worker_left() noexcept;      // a thread's last act
  void lock_for_fork() noexcept { lease_mutex_.lock(); }
  void unlock_after_fork() noexcept { lease_mutex_.unlock(); }
  void run_entry(entry_job& e);
  void undo_entry() noexcept;       // of who came in by the doors, and was refused after all
  entry_job* take_entry() noexcept;
  void put_entry_back(entry_job& e) noexcept;
  status admit_beside() noexcept;
  void unadmit_beside() noexcept;
  bool admit_children_beside(std::size_t n) noexcept;  // of a task of the blocking pool, while the runtime drains
  bool dead() const noexcept { return (unusual_.load(relaxed) & is_dead) != 0; }
  bool unusual() const noexcept { return unusual_.load(relaxed) != 0; }
  void die() noexcept;              // in the child of a fork()

  // ---- admission (admission.cpp) ----
  lease& my_lease();                // throws std::bad_alloc
  void give_lease_back(lease& l) noexcept;
  outcome admit_outside(lease& l, const task_options* opts, patience p, std::uint64_t n, admission& a) noexcept;
  outcome let_caller_in(lease& l, admission& a) noexcept;  // on_full::caller_runs: ok or stopped
  outcome run_on_caller(lease& l, job j) noexcept;
  template <class F>
  void each_caller(F f) const {  // f(caller_seat&) of each submitter that runs a task; outside of the lock, for leases stay
    for (std::size_t i = 0;; ++i) {
      lease* l = nullptr;
      {
        const std::lock_guard lock(lease_mutex_);
        if (i >= leases_.size()) return;
        l = leases_[i].get();
      }
      if (l->seat.taken.load(relaxed)) f(l->seat);
    }
  }
  bool drop_oldest(lease& from, lane l) noexcept;
  outcome discard(const char* name) noexcept;  // on_full::discard: dropped or stopped
  void look_late() noexcept;
  inject_lane::producer* producer_of(lease& l, lane prio) noexcept;
  void end_for_want_of_memory(job& j) noexcept;
  // Take stale tickets out of the caller's own sub-queues. How many others a worker has there.
  bool wants_sweep(const lease& l, std::uint64_t n) const noexcept;
  void sweep(lease& l) noexcept;
  void sweep_posted() noexcept;
  std::size_t sweep(worker& w, bool (*stale)(const job&)) noexcept;
  template <class Queue, class Stale>
  std::size_t turn_over(Queue& q, typename Queue::producer& own, lane l, Stale&& stale) noexcept;
  void room_made(bool in_bulk = false) noexcept;  // serves the blocked; in bulk: only when there is room for many
  outcome wait_for_room(lease& l, const task_options* opts) noexcept;
  void recall_all() noexcept;
  std::uint64_t in_advance() const noexcept;
  void give_up_rest(lease& l) noexcept;  // under lease_mutex_
  void hand_on_rest(lease& l) noexcept;
  void shut_leases() noexcept;
  std::uint64_t started_sum() const noexcept;
  std::uint64_t started_by_workers() const noexcept;

  void count_refusal() noexcept;

  // ---- strands, limits, streams (dependant.cpp) ----
  void add_dependant(dependant& d) noexcept;
  void remove_dependant(dependant& d) noexcept;
  dependant* next_dependant(dependant* d) noexcept;
  template <class F>
  void for_each_dependant(F&& f) noexcept {
    for (dependant* d = next_dependant(nullptr); d != nullptr; d = next_dependant(d)) f(*d);
  }

  // ---- publishing ----
  void published(lane l) noexcept {
    if (l != lane::normal) attention_.mark(attention::lane_bit(l));
    if (const std::uint32_t h = idle.published(); h != 0) [[unlikely]] wake_if_needed(h);
  }
  bool post(const job& j, lane prio = lane::normal, int target = -1) noexcept;  // a ticket of an admitted task; false: no memory
  bool post_while_held(const job& j, lane prio = lane::normal, int target = -1) noexcept;  // the caller holds the runtime
  // Resumptions, and turns with such, that a queue has no memory for, or that go on in a halted runtime. No memory is needed.
  void keep(gate_entry& e) noexcept;
  gate_entry* take_kept() noexcept;
  bool any_kept() const noexcept { return kept_mark_.left() != 0; }
  void wake_if_needed(std::uint32_t hint) noexcept;
  void wake_or_note() noexcept;
  WEIR_NOINLINE void look_after_drainer() noexcept;
  int slot_here() const noexcept;  // of the worker that is pinned to the caller's processor; -1: none
  bool wake_one(bool for_forks = false) noexcept;
  void wake_all() noexcept;
  outcome deliver(worker& w, const job* jobs, std::size_t n, std::uintptr_t tag) noexcept;
  std::uint32_t attention_bits() const noexcept { return attention_.bits(); }
  bool halted() const noexcept { return (attention_bits() & attention::halted) != 0; }
  // Whoever asks with a job in hand that came after pause() had returned is told yes, for the job came by an edge.
  bool paused() const noexcept { return (attention_bits() & attention::paused) != 0; }
  void tell_blocked() noexcept {  // after a start, or credits that were given back
    if (attention_.told(attention::blocked)) [[unlikely]] room_made();
  }
  bool queues_empty() const noexcept;  // jobs that any worker may take; false positives only before a fence

  worker* slot(unsigned i) const noexcept { return slots_.at(i); }
  unsigned slot_count() const noexcept { return slots_.count(); }
  worker* numbered(unsigned n) const noexcept { return by_number_.at(n); }
  unsigned active_workers() const noexcept { return by_number_.on_duty(); }
  unsigned workers_on_duty() const noexcept { return active_workers() + surplus_.load(relaxed); }

  const options opts;
  const topology topo;
  const unsigned initial_workers;
  const bool elastic;  // more workers may come by themselves
  const std::uint64_t id;
  const std::unique_ptr<observation> seen;  // null: nobody looks
  // What the shortest way in compares with: id, or of nobody where tasks are queued with the time, or observed.
  const std::uint64_t plain_id;
  page_source pages;
  inject_lane lanes[lane_count];
  inject_queue local;  // what workers submit: a sub-queue each, taken first by its worker, then by anybody
  idle_state<os_atomics> idle;
  credit_pool<os_atomics> credits;
  // Asked to stop when the runtime is, past the limit of its drain or by an abort; another one in each life.
  std::stop_source end_source() const noexcept {
    if (dead()) return end_source_;
    const std::lock_guard lock(end_mutex_);
    return end_source_;
  }
  timekeeper time;
  blocking_pool side;

  // Ends and starts outside of workers: a stop token or a handle that cancels.
  // Tickets in the queues whose task was claimed without them.
  atomic<std::int64_t> stale_tickets{0};

  counter_of_all started_elsewhere, ended_elsewhere[outcome_count];

  codel<os_atomics> overload;
  counter_of_all shed;
  bool sheds(std::int64_t queued) noexcept;  // a task that was queued then is taken now

  snapshot metrics() const;
  std::uint64_t submitted_sum() const noexcept;
  std::uint64_t ended_sum(outcome o) const noexcept;
  std::uint64_t ended_sum() const noexcept;
  bool closed() const noexcept { return doors_.closed(); }
  bool stopped() const noexcept { return doors_.now() == phase::stopped; }
  bool on_own_thread() const noexcept;  // a worker, a spare, the timekeeper, one of the blocking pool

 private:
  friend class worker;
  friend class timekeeper;
  friend class blocking_pool;
  friend class diagnosis;
  worker& add_worker(unsigned number);  // throws
  int start_thread(worker& w) noexcept;
  int start_all() noexcept;
  status start_again() noexcept;
  worker* free_spare() noexcept;
  void all_spares_are_free() noexcept;
  enum class coming : std::uint8_t { came, enough, failed };
  coming call_surplus() noexcept;
  void uncount_surplus(worker& s) noexcept;
  void dismiss_surplus(worker& s) noexcept;
  void trim_surplus() noexcept;
  void note_backlog() noexcept;
  void look_again() noexcept;
  bool work_waits() const noexcept;
  std::uint64_t waiting() const noexcept;
  void end_threads() noexcept;
  void end_for_good() noexcept;
  void begin_close(bool keep_timers = false) noexcept;
  void open_again() noexcept;
  void flush(const std::function<void(task_fn&&)>* sink, std::exception_ptr& thrown) noexcept;
  report make_report(bool complete) const;
  void request_stop() noexcept;
  void halt() noexcept;
  void stop_at_limit() noexcept;
  void let_go_of_late(std::unique_lock<mutex>& life) noexcept;
  void stop_for_leader(std::unique_lock<mutex>& life) noexcept;
  void wait_for_stoppers(std::unique_lock<mutex>& life) noexcept;
  template <class Finish>
  report shut_down(time_point until, bool keep_timers, Finish finish);

  alignas(cache_line) attention_word<os_atomics> attention_;
  static constexpr std::uint8_t is_dead = 1, is_observed = 2;
  atomic<std::uint8_t> unusual_{0};
  alignas(cache_line) atomic<std::uint64_t> last_claim_{0};  // ticks; see wake_if_needed()
  counted_mark<os_atomics> letters_{attention_, attention::mail};
  counted_mark<os_atomics> kept_mark_{attention_, attention::kept};
  mutex kept_mutex_;
  gate_entry *first_kept_ = nullptr, *last_kept_ = nullptr;
  alignas(cache_line) entries entries_{attention_.raw(), attention::entries};
  slot_table<os_atomics, worker, max_slots> slots_;      // workers and spares, in the order of their making
  slot_table<os_atomics, worker, max_slots> by_number_;  // workers; who is on duty is written under life_mutex_
  std::vector<std::unique_ptr<worker>> owned_;  // under spare_mutex_ after start()
  mutable mutex spare_mutex_;
  std::vector<worker*> idle_spares_;  // under spare_mutex_, and so are the number of all, and of those that stand in for waiters
  unsigned spares_ = 0, stand_ins_ = 0;
  bool stopping_ = false;  // under spare_mutex_: no thread is started any more

  attention_word<os_atomics> backlog_;       // elastic.cpp, and what follows
  atomic<std::uint64_t> no_keeper_since_{0};  // ticks; 0: there is one, or nobody has missed it
  backlog_evidence evidence_;                 // the timekeeper's
  worker* newest_ = nullptr;                  // the last surplus worker that came, until it has found something; under spare_mutex_
  std::uint64_t newest_found_ = 0;
  atomic<unsigned> surplus_{0};               // on duty; written under spare_mutex_
  counter surplus_came_, surplus_went_;       // written under spare_mutex_

  std::vector<int> plan_;

  mutable mutex lease_mutex_;
  std::vector<std::unique_ptr<lease>> leases_;
  std::vector<lease*> free_leases_;
  waiting_line<os_atomics> line_{attention_, attention::blocked};
  struct pool_room {  // what the line is served from
    core& c;
    bool take() noexcept {
      return c.credits.acquire(1, 1, [this] { return c.started_sum(); }) != 0;
    }
    void give_back() noexcept { c.credits.give_back(1); }
  };
  pool_room room() noexcept { return {*this}; }
  mutex dependants_mutex_;
  dependant* first_dependant_ = nullptr;

  mutex life_mutex_;
  mutable mutex end_mutex_;
  std::stop_source end_source_;  // under end_mutex_
  doors<os_atomics> doors_;
  leader<os_atomics> shutdown_;  // under life_mutex_: of drains, aborts, and letting go of what came late
  aftermath<os_atomics> aftermath_;  // under life_mutex_, too
  // Under life_mutex_: how often it was started again; who stops for the leader; whether that one needs nobody for it (he aborts, or is about to
  // leave); whether one of the threads of a life that is not open yet has asked for its end.
  std::uint64_t restarts_ = 0;
  unsigned stoppers_ = 0;
  bool leader_stops_ = false, leader_joins_ = false, close_when_open_ = false;
  bool closed_ = false;
  report last_report_;  // of the last complete shutdown
  quiescence<os_atomics> rest_{attention_.raw(), attention::quiesce};
  crew<os_atomics> crew_;
  atomic<std::uint64_t> refs_{1};
};

// Which runtime's lease the calling thread used last; the rest of its leases are behind my_lease().
struct lease_cache {
  std::uint64_t core_id = 0;
  lease* last = nullptr;
};
extern constinit thread_local lease_cache this_lease __attribute__((tls_model("initial-exec")));

// The task that the calling thread runs because a queue was full (on_full::caller_runs). To it the runtime is what it is to a
// task on a worker: it cannot wait for its own end there.
struct caller_run {
  core* owner = nullptr;        // null: none
  caller_seat* seat = nullptr;  // null: no task, but the end of one that was dropped
};
extern constinit thread_local caller_run this_caller __attribute__((tls_model("initial-exec")));
// What a callable does when it is destroyed unrun it does as a task of its runtime: it waits for no rest, and ends no runtime.
class as_task_of {
 public:
  explicit as_task_of(core& c) noexcept : before_(this_caller) {
    if (!c.on_own_thread()) this_caller = {&c, nullptr};
  }
  ~as_task_of() { this_caller = before_; }
  as_task_of(const as_task_of&) = delete;
  as_task_of& operator=(const as_task_of&) = delete;

 private:
  const caller_run before_;
};
// Cancelled or expired before it comes in; else ok.
inline outcome refusal_of(const task_options& o) noexcept {
  if (o.stop.stop_requested()) return outcome_of(errc::cancelled);
  if (o.start_by != time_point::max() && clock_type::now() > o.start_by) return outcome_of(errc::expired);
  return outcome_ok;
}
void register_core(core& c);
void unregister_core(core& c) noexcept;
unsigned registered_cores() noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
