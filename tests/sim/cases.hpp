// Small programs for the simulator, each a promise: it must hold in every run. The bodies, without how often they run.
#pragma once

#include <weir/weir.hpp>

#include <cstdint>
#include <memory_resource>
#include <string>
#include <utility>

namespace cases {

using body = void (*)();

// submit.cpp
void every_accepted_task_runs_once();
void lanes_bulk_and_bound_tasks_run_once();
void capacity_holds_and_the_blocked_get_room();
void one_place_is_not_slept_over();
void a_refusal_is_true();
void threads_come_and_go();
void a_task_may_wait_for_a_later_one();
void stale_tickets_are_swept();
void a_swept_lane_is_marked_again();
void what_a_sweep_holds_goes_with_its_runtime();
void what_a_sweep_holds_over_a_restart_is_let_go_of();
void what_is_passed_over_goes_with_its_runtime();
void a_refused_task_gives_its_place_to_the_blocked();
void room_in_advance_is_not_slept_over();
void who_gives_up_leaves_his_place();
void the_caller_runs_what_does_not_fit();
void the_oldest_makes_room();
void what_does_not_fit_is_discarded();
void an_overload_ends_each_task_once();
void a_stream_passes_over_no_child();
void who_waits_for_each_task_keeps_its_order();

// fork.cpp
void nested_joins_add_up();
void children_of_a_node_run_once();
void a_fork_that_throws_ends_its_sibling_first();
void joins_in_one_frame_follow_each_other();
void a_fork_under_a_long_leaf_is_found();
void two_forks_under_a_long_leaf_are_found();
void loops_cover_their_range();
void what_a_thief_runs_is_asked_to_stop();

// group.cpp
void a_group_reports_its_first_error();
void a_group_keeps_its_limit();
void a_worker_that_is_let_go_tells_its_groups();
void a_group_hears_of_its_children_before_anything_else_begins();
void a_cancel_meets_one_round();
void a_cancelled_group_runs_nothing_more();
void waits_in_waits_get_spares();
void a_handle_ends_once();
void a_stop_token_ends_what_has_not_begun();

// serial.cpp
void a_strand_is_serial();
void a_strand_against_a_shutdown();
void a_task_holds_the_last_of_its_strand();
void a_strand_goes_while_it_is_flushed();
void a_limit_uses_all_its_places();
void room_in_a_limit_is_not_slept_over();
void the_oldest_of_a_limit_makes_room();
void what_does_not_fit_in_a_limit_runs_there_or_ends();
void a_stream_hands_out_each_result_once();

// life.cpp
void drain_against_submit();
void drain_past_its_limit();
void what_a_drain_left_is_stopped();
void abort_against_submit();
void abort_hands_out_what_did_not_run();
void two_shut_down_at_once();
void pause_and_resume();
void a_short_pause_holds_nothing_up();
void wait_idle_sees_rest();
void nothing_runs_at_rest();
void children_are_drained();
void the_destructor_on_an_own_worker();
void a_task_owns_the_runtime();
void run_from_outside();
void run_against_drain();
void a_runtime_in_a_runtime();
void handles_outlive_the_runtime();
void wait_idle_beside_a_drain();
void two_look_at_what_runs();
void two_stops_at_once();
void resized_while_it_works();
void a_worker_that_is_let_go_reads_its_mail();
void started_again_it_works_again();
void wait_idle_over_a_restart();
void what_comes_after_a_pause_waits();

// timers.cpp
void timers_run_once_and_never_early();
void an_earlier_timer_wakes_the_timekeeper();
void a_timer_is_cancelled_or_runs();
void a_series_never_runs_beside_itself_or_after_its_cancel();
void timers_against_drain();
void timers_are_handed_out_by_abort();
void a_timer_may_destroy_its_runtime();
void a_task_expires_or_runs();
void a_deadline_stops_what_runs();
void retries_end_once();
void a_retry_may_be_faster_than_its_submitter();
void an_expired_task_may_destroy_its_runtime();

// coroutines.cpp
void a_sleep_is_ended_once();
void a_coroutine_awaits_what_ends();
void branches_end_before_who_waits_for_them();
void coroutines_against_a_shutdown();
void a_strand_of_coroutines_is_serial_to_the_end();
void a_frame_that_has_gone_is_left_alone();
void a_limit_of_coroutines_leaves_no_turn_behind();

// blocking.cpp
void blocking_calls_end_once();
void a_blocking_thread_that_goes_is_not_counted_on();
void a_call_that_a_drain_has_missed_is_stopped_beside();
void a_blocking_call_may_destroy_its_runtime();

// elastic.cpp
void blocked_workers_bring_others();
void surplus_workers_go_and_come_again();
void a_surplus_worker_that_goes_is_not_counted_on();
void a_backlog_outlasts_a_pause();
void elastic_beside_all_that_changes_it();
void an_elastic_runtime_may_end_on_its_own_worker();

// observer.cpp
void an_observer_hears_of_each_task_once();
void what_stalls_is_told_once();
void an_observer_forks_when_a_worker_parks();

struct named {
  const char* name;
  body run;
  bool needs_membarrier = false;  // without it, what is promised less (core/README.md, "The axiom")
};
extern const named all[];
extern const std::size_t count;

// What the bodies say.
#define HOLDS(what) weir::sim::check(static_cast<bool>(what), #what)

/// What the runtimes of a run have taken and not given back. Simulated threads are fibers of one thread: no lock, no atomic.
class counted_memory final : public std::pmr::memory_resource {
 public:
  std::int64_t out = 0;

 private:
  void* do_allocate(std::size_t n, std::size_t align) override {
    void* const p = std::pmr::new_delete_resource()->allocate(n, align);
    ++out;
    return p;
  }
  void do_deallocate(void* p, std::size_t n, std::size_t align) override {
    --out;
    std::pmr::new_delete_resource()->deallocate(p, n, align);
  }
  bool do_is_equal(const std::pmr::memory_resource& o) const noexcept override { return this == &o; }
};
inline counted_memory memory;

inline weir::options with_workers(unsigned n) {
  weir::options o;
  o.memory = &memory;
  o.workers = n;
  o.spin = std::chrono::microseconds(weir::sim::random() % 2 * 20);
  return o;
}
/// 1 … n, the same for the same seed.
inline unsigned up_to(unsigned n) { return 1 + static_cast<unsigned>(weir::sim::random() % n); }

template <class T>
using shared = weir::sim::atomic<T>;
inline constexpr auto rlx = std::memory_order_relaxed;

struct counts_its_end {  // moved about, destroyed once where it counts
  shared<int>* n;
  explicit counts_its_end(shared<int>& m) : n(&m) {}
  counts_its_end(counts_its_end&& o) noexcept : n(std::exchange(o.n, nullptr)) {}
  ~counts_its_end() {
    if (n != nullptr) n->fetch_add(1, std::memory_order_relaxed);
  }
};

}  // namespace cases
