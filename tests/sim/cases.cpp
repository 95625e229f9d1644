#include "cases.hpp"

// What a failed run holds is leaked on purpose; all that a simulated thread allocates has this function in its stack.
extern "C" const char* __lsan_default_suppressions();  // NOLINT: the name is the sanitizer's
extern "C" const char* __lsan_default_suppressions() { return "leak:weir_sim_start\n"; }

namespace cases {

#define CASE(name) {#name, &name}
#define CASE_WITH_MEMBARRIER(name) {#name, &name, true}
const named all[] = {
    CASE(every_accepted_task_runs_once),
    CASE(lanes_bulk_and_bound_tasks_run_once),
    CASE(capacity_holds_and_the_blocked_get_room),
    CASE(one_place_is_not_slept_over),
    CASE(a_refusal_is_true),
    CASE(threads_come_and_go),
    CASE(a_task_may_wait_for_a_later_one),
    CASE(stale_tickets_are_swept),
    CASE(a_swept_lane_is_marked_again),
    CASE(a_refused_task_gives_its_place_to_the_blocked),
    CASE(room_in_advance_is_not_slept_over),
    CASE(a_stream_passes_over_no_child),
    CASE(nested_joins_add_up),
    CASE(a_fork_that_throws_ends_its_sibling_first),
    CASE(joins_in_one_frame_follow_each_other),
    CASE_WITH_MEMBARRIER(a_fork_under_a_long_leaf_is_found),
    CASE_WITH_MEMBARRIER(two_forks_under_a_long_leaf_are_found),
    CASE(loops_cover_their_range),
    CASE(a_group_reports_its_first_error),
    CASE(a_group_keeps_its_limit),
    CASE(a_cancelled_group_runs_nothing_more),
    CASE(waits_in_waits_get_spares),
    CASE(a_handle_ends_once),
    CASE(a_stop_token_ends_what_has_not_begun),
    CASE(a_strand_is_serial),
    CASE(a_strand_against_a_shutdown),
    CASE(a_limit_uses_all_its_places),
    CASE(room_in_a_limit_is_not_slept_over),
    CASE(a_stream_hands_out_each_result_once),
    CASE(drain_against_submit),
    CASE(drain_past_its_limit),
    CASE(what_a_drain_left_is_stopped),
    CASE(abort_against_submit),
    CASE(abort_hands_out_what_did_not_run),
    CASE(two_shut_down_at_once),
    CASE(pause_and_resume),
    CASE(a_short_pause_holds_nothing_up),
    CASE(wait_idle_sees_rest),
    CASE(children_are_drained),
    CASE(the_destructor_on_an_own_worker),
    CASE(a_task_owns_the_runtime),
    CASE(run_from_outside),
    CASE(run_against_drain),
    CASE(a_runtime_in_a_runtime),
    CASE(handles_outlive_the_runtime),
    CASE(wait_idle_beside_a_drain),
    CASE(two_stops_at_once),
    CASE(resized_while_it_works),
    CASE(a_worker_that_is_let_go_reads_its_mail),
    CASE(started_again_it_works_again),
    CASE(timers_run_once_and_never_early),
    CASE(an_earlier_timer_wakes_the_timekeeper),
    CASE(a_timer_is_cancelled_or_runs),
    CASE(a_series_never_runs_beside_itself_or_after_its_cancel),
    CASE(timers_against_drain),
    CASE(timers_are_handed_out_by_abort),
    CASE(a_timer_may_destroy_its_runtime),
    CASE(a_task_expires_or_runs),
    CASE(a_deadline_stops_what_runs),
    CASE(retries_end_once),
    CASE(a_retry_may_be_faster_than_its_submitter),
    CASE(an_expired_task_may_destroy_its_runtime),
};
const std::size_t count = std::size(all);

}  // namespace cases
