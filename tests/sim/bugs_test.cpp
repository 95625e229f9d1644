// The simulator finds what it is there for: each mistake that bugs.py builds into a copy of the core fails the named case,
// within so many seeds, and the failing seed repeats. Without a mistake the copy passes.
#include "cases.hpp"

#include <gtest/gtest.h>

#include <cstdio>

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
    {13, "AWatchThatEndsWithoutLookingAgain", &cases::a_task_may_wait_for_a_later_one},
    {12, "ASearchThatForgetsItsPatience", &cases::a_fork_under_a_long_leaf_is_found},
    {14, "ABellThatIsSilencedAlthoughNothingWasExposed", &cases::two_forks_under_a_long_leaf_are_found},
    {15, "AnInspectorThatTakesTheMarkOfTheOthersAlong", &cases::two_stops_at_once},
    {16, "AStreamThatPassesOverTheChildrenOfABusyTask", &cases::a_stream_passes_over_no_child},
    {17, "AWorkerThatIsLetGoWithItsMailUnread", &cases::a_worker_that_is_let_go_reads_its_mail},
    {18, "AWorkerThatIsLetGoBeforeItsMailIsClosed", &cases::a_worker_that_is_let_go_reads_its_mail},
    {19, "CreditsThatAreGivenBackAndNobodyIsTold", &cases::a_refused_task_gives_its_place_to_the_blocked},
    {20, "AWorkerThatSleepsOverWhatADrainHasLeft", &cases::what_a_drain_left_is_stopped},
    {21, "ADrainThatGivesUpAndTellsNobody", &cases::what_a_drain_left_is_stopped},
    {22, "ATurnThatEndsWithoutLookingWhatCame", &cases::a_strand_is_serial},
    {23, "ALimitThatDoesNotLookWhatCame", &cases::a_limit_uses_all_its_places},
};

constexpr std::uint64_t most_seeds = 50'000;

class Mistake : public testing::TestWithParam<mistake> {};

TEST_P(Mistake, IsFoundAndRepeats) {
  const mistake& m = GetParam();
  sim::options o;
  o.print = false;
  o.catch_crashes = true;
  o.max_steps = 300'000;
  weir_sim_bug = m.number;
  const sim::exploration e = sim::explore(most_seeds, m.found_by, o);
  EXPECT_FALSE(e) << "not found with " << e.runs << " seeds";
  if (!e) {
    o.seed = e.failure.seed;
    const sim::result again = sim::run(o, m.found_by);
    EXPECT_EQ(again.what, e.failure.what);
    // What a thread does after it has read freed memory depends on what lies there.
    if (e.failure.report.find("signal ") == std::string::npos) {
      EXPECT_EQ(again.trace, e.failure.trace);
    }
    std::printf("found with seed %llu: %s\n", static_cast<unsigned long long>(e.failure.seed),
                e.failure.report.substr(0, e.failure.report.find('\n')).c_str());
    weir_sim_bug = 0;
    EXPECT_TRUE(sim::run(o, m.found_by)) << "the seed fails without the mistake";
  }
  weir_sim_bug = 0;
}

TEST_P(Mistake, IsTheOnlyOne) {
  EXPECT_TRUE(sim::explore(50, GetParam().found_by));
}

void PrintTo(const mistake& m, std::ostream* out) { *out << m.name; }
INSTANTIATE_TEST_SUITE_P(Found, Mistake, testing::ValuesIn(mistakes),
                         [](const auto& m) { return std::string(m.param.name); });

}  // namespace
