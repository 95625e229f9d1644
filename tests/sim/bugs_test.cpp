// The simulator finds what it is there for: each mistake that bugs.py builds into a copy of the core fails the named case,
// within so many seeds, and the failing seed repeats. Without a mistake the copy passes.
#include "cases.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <string_view>

#include <sys/wait.h>
#include <unistd.h>

int weir_sim_bug = 0;

namespace {

namespace sim = weir::sim;

struct mistake {
  int number;
  const char* name;
  cases::body found_by;
};
const mistake mistakes[] = {
    {1, "AParkWithoutItsReCheck", &cases::every_accepted_task_runs_once},
    {2, "ASearcherThatLeavesWithoutLookingAgain", &cases::a_task_may_wait_for_a_later_one},
    {3, "AFinisherThatTouchesTheJobAfterTheWaiterHasLeft", &cases::joins_in_one_frame_follow_each_other},
    {4, "AFinisherThatLooksFirstAndWritesThen", &cases::nested_joins_add_up},
    {5, "AClaimThatLooksFirstAndWritesThen", &cases::a_handle_ends_once},
    {6, "AWakerThatTellsBeforeItHasCounted", &cases::every_accepted_task_runs_once},
    {7, "RestWhoseSumsAreTakenInTheWrongOrder", &cases::children_are_drained},
    {8, "AnEntryThatDoesNotLookWhetherTheRuntimeHasClosed", &cases::run_against_drain},
    {9, "ADrainWithoutALimitThatDoesNotHearOfOneWithALimit", &cases::two_shut_down_at_once},
    {10, "ABlockedSubmitterThatSleepsWithoutALastLook", &cases::one_place_is_not_slept_over},
    {11, "AGroupThatWakesWithoutAChangedWord", &cases::a_group_reports_its_first_error},
    {13, "ASleeperThatDoesNotLookWhoDrains", &cases::a_task_may_wait_for_a_later_one},
    {12, "ASearchThatForgetsItsPatience", &cases::a_fork_under_a_long_leaf_is_found},
    {14, "ABellThatIsSilencedAlthoughNothingWasExposed", &cases::two_forks_under_a_long_leaf_are_found},
    {15, "AnInspectorThatTakesTheMarkOfTheOthersAlong", &cases::two_look_at_what_runs},
    {16, "AStreamThatPassesOverTheChildrenOfABusyTask", &cases::a_stream_passes_over_no_child},
    {17, "AWorkerThatIsLetGoWithItsMailUnread", &cases::a_worker_that_is_let_go_reads_its_mail},
    {18, "AWorkerThatIsLetGoBeforeItsMailIsClosed", &cases::a_worker_that_is_let_go_reads_its_mail},
    {19, "CreditsThatAreGivenBackAndNobodyIsTold", &cases::a_refused_task_gives_its_place_to_the_blocked},
    {20, "AWorkerThatSleepsOverWhatADrainHasLeft", &cases::what_a_drain_left_is_stopped},
    {21, "ADrainThatGivesUpAndTellsNobody", &cases::what_a_drain_left_is_stopped},
    {24, "APauseWhoseEndWakesOnlyTheIdle", &cases::a_short_pause_holds_nothing_up},
    {31, "ACallerThatLooksAndThenComesIn", &cases::the_caller_runs_what_does_not_fit},
    {32, "ADroppedTaskThatKeepsItsRoom", &cases::the_oldest_makes_room},
    {33, "ADiscardedTaskThatNeverEnds", &cases::what_does_not_fit_is_discarded},
    {29, "AThreadThatEndsWithCreditsNeitherHereNorThere", &cases::room_in_advance_is_not_slept_over},
    {22, "ATurnThatEndsWithoutLookingWhatCame", &cases::a_strand_is_serial},
    {23, "ALimitThatDoesNotLookWhatCame", &cases::a_limit_uses_all_its_places},
    {25, "ATimekeeperThatLooksAtItsWordAfterOthersCouldChangeIt", &cases::an_earlier_timer_wakes_the_timekeeper},
    {26, "AHubThatLinksATaskThatWaitsAgainTwice", &cases::a_retry_may_be_faster_than_its_submitter},
    {28, "AFirstTicketThatStillClaimsWhatWasTriedInPlace", &cases::a_retry_may_be_faster_than_its_submitter},
    {27, "ASubmitterThatArmsATaskThatWaitsAgain", &cases::a_retry_may_be_faster_than_its_submitter},
    {30, "AThreadThatGoesAlthoughSomebodyCountsOnIt", &cases::a_blocking_thread_that_goes_is_not_counted_on},
    {34, "ARestartThatTakesAwayTheMarkOfThoseWhoWaitForRest", &cases::wait_idle_over_a_restart},
    {44, "ADrainThatGivesUpAndDoesNotTellTheThreadsBeside", &cases::a_call_that_a_drain_has_missed_is_stopped_beside},
    {35, "ASubmitterThatDoesNotHoldTheStrandThatItCalls", &cases::a_task_holds_the_last_of_its_strand},
    {36, "ALookAtABacklogThatDoesNotLookAgain", &cases::blocked_workers_bring_others},
    {37, "ASearcherThatLeavesABacklogAndTellsNobody", &cases::blocked_workers_bring_others},
    {38, "AWorkerThatHidesWhatItHasClaimedWhileNobodyIsFree", &cases::blocked_workers_bring_others},
    {39, "ASurplusWorkerThatGoesAlthoughNobodyLooks", &cases::a_surplus_worker_that_goes_is_not_counted_on},
    {40, "APauseThatEndsWithoutALook", &cases::a_backlog_outlasts_a_pause},
    {41, "AShutdownThatEndsATurnWithoutLookingWhatCame", &cases::a_strand_goes_while_it_is_flushed},
    {42, "AnEntryThatIsTakenOutAndStaysTheLast", &cases::the_oldest_of_a_limit_makes_room},
    {43, "ATaskThatIsShedWithoutBeingClaimed", &cases::an_overload_ends_each_task_once},
    {45, "ARuntimeThatStopsAndLeavesATurnBehind", &cases::a_limit_of_coroutines_leaves_no_turn_behind},
    {46, "ASweepThatDoesNotLookWhoHasStopped", &cases::what_a_sweep_holds_goes_with_its_runtime},
    {47, "ASearchForTheOldestThatDoesNotLookWhoHasStopped", &cases::what_is_passed_over_goes_with_its_runtime},
    {48, "ALookForStallsThatForgetsWhoBeganMeanwhile", &cases::what_stalls_is_told_once},
    {49, "ACancelThatGoesOnWhenItsRoundIsOver", &cases::a_cancel_meets_one_round},
    {50, "ACancelThatFiresTheSourceOfTheNextRound", &cases::a_cancel_meets_one_round},
    {51, "AChildThatBeginsAlthoughItsGroupIsCancelled", &cases::a_cancel_meets_one_round},
    {52, "ATurnThatTakesWhatCameAfterAPause", &cases::what_comes_after_a_pause_waits},
    {53, "AWorkerThatReadsTheMailThatCameAfterAPause", &cases::what_comes_after_a_pause_waits},
    {54, "AWorkerThatAnswersACallThatCameAfterAPause", &cases::what_comes_after_a_pause_waits},
    {55, "AWorkerWhoseObserverHasTakenItsToken", &cases::an_observer_forks_when_a_worker_parks},
    {56, "AWorkerThatSleepsOverWhatLiesInTheSlot", &cases::who_waits_for_each_task_keeps_its_order},
    {57, "AJobInTheQueueWhileAnEarlierOneLiesInTheSlot", &cases::who_waits_for_each_task_keeps_its_order},
    {58, "AJobThatGoesAheadOfItsOwnThreadsInTheQueue", &cases::who_waits_for_each_task_keeps_its_order},
    {59, "AWorkerThatBeginsSomethingElseAndTellsNoGroup", &cases::a_group_hears_of_its_children_before_anything_else_begins},
    {60, "AWorkerThatLooksForWorkAndTellsNoGroup", &cases::a_group_hears_of_its_children_before_anything_else_begins},
    {61, "AWorkerThatGoesOffDutyAndTellsNoGroup", &cases::a_worker_that_is_let_go_tells_its_groups},
    {62, "ACountOfWhatRunsThatHoldsWhatDoesNot", &cases::nothing_runs_at_rest},
};

constexpr std::uint64_t most_seeds = 50'000;

class Mistake : public testing::TestWithParam<mistake> {};

struct finding {
  sim::verdict what = sim::verdict::ok;
  std::uint64_t seed = 0, trace = 0, runs = 0;
  char report[120] = "";  // its first line
};
finding from(const sim::result& r, std::uint64_t runs) {
  finding f{r.what, r.seed, r.trace, runs};
  r.report.substr(0, r.report.find('\n')).copy(f.report, sizeof f.report - 1);
  return f;
}

// In a process of its own: a run that failed leaves behind what its threads held, and one that crashed may leave anything.
template <class F>
finding in_child(F f) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  std::fflush(nullptr);
  const pid_t child = ::fork();
  if (child == 0) {
    const finding found = f();
    ::_exit(::write(ends[1], &found, sizeof found) == sizeof found ? 0 : 1);
  }
  ::close(ends[1]);
  finding found;
  const bool whole = ::read(ends[0], &found, sizeof found) == sizeof found;
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(whole) << "the child died with status " << status;
  return found;
}

TEST_P(Mistake, IsFoundAndRepeats) {
  const mistake& m = GetParam();
  sim::options o;
  o.print = false;
  o.catch_crashes = true;
  o.max_steps = 300'000;
  const finding first = in_child([&] {
    weir_sim_bug = m.number;
    const sim::exploration e = sim::explore(most_seeds, m.found_by, o);
    return from(e.failure, e.runs);
  });
  ASSERT_NE(first.what, sim::verdict::ok) << "not found with " << first.runs << " seeds";
  std::printf("found with seed %llu: %s\n", static_cast<unsigned long long>(first.seed), first.report);
  o.seed = first.seed;
  const finding again = in_child([&] {
    weir_sim_bug = m.number;
    return from(sim::run(o, m.found_by), 1);
  });
  EXPECT_EQ(again.what, first.what);
  // What a thread does after it has read freed memory depends on what lies there.
  if (std::string_view(first.report).find("signal ") == std::string_view::npos) {
    EXPECT_EQ(again.trace, first.trace);
  }
  const finding without = in_child([&] { return from(sim::run(o, m.found_by), 1); });
  EXPECT_EQ(without.what, sim::verdict::ok) << "the seed fails without the mistake: " << without.report;
}

TEST_P(Mistake, IsTheOnlyOne) {
  EXPECT_TRUE(sim::explore(50, GetParam().found_by));
}

void PrintTo(const mistake& m, std::ostream* out) { *out << m.name; }
INSTANTIATE_TEST_SUITE_P(Found, Mistake, testing::ValuesIn(mistakes),
                         [](const auto& m) { return std::string(m.param.name); });

}  // namespace
