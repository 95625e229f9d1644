// Unit tests of core/src/topology.hpp: mask, shape, placement, hwloc. The quota has topology_quota_test.cpp.
#include "topology.hpp"

#include <weir/options.hpp>

#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <set>
#include <thread>
#include <utility>
#include <vector>

#include <sched.h>
#include <unistd.h>

namespace topology_test {
namespace {

using namespace weir::detail;
constexpr double unlimited = std::numeric_limits<double>::infinity();

// The layers forbid topology.hpp to include options.hpp; this is what makes a cast between the two safe.
static_assert(static_cast<int>(pin_mode::automatic) == static_cast<int>(weir::pinning::automatic));
static_assert(static_cast<int>(pin_mode::none) == static_cast<int>(weir::pinning::none));
static_assert(static_cast<int>(pin_mode::core) == static_cast<int>(weir::pinning::core));

// ---- affinity

TEST(Topology, AllowedCpusAreThoseOfTheCallingThread) {
  const std::vector<int> all = allowed_cpus();
  ASSERT_FALSE(all.empty());
  for (std::size_t i = 1; i < all.size(); ++i) EXPECT_LT(all[i - 1], all[i]);
  std::thread([&] {
    for (const int one : all) {
      ASSERT_TRUE(pin_this_thread(one));
      EXPECT_EQ(allowed_cpus(), std::vector<int>{one});
      EXPECT_EQ(::sched_getcpu(), one);
    }
  }).join();
  EXPECT_EQ(allowed_cpus(), all) << "the caller's own mask was touched";
}

TEST(Topology, MasksOfMoreThan1024CpusAreRead) {
  const auto kernel_of_8192_cpus = [](std::size_t bytes, cpu_set_t* mask) {
    if (bytes < 8192 / 8) {
      errno = EINVAL;
      return -1;
    }
    for (const std::size_t i :
         {std::size_t{0}, std::size_t{1023}, std::size_t{1024}, std::size_t{5000}, std::size_t{8191}})
      CPU_SET_S(i, bytes, mask);
    return 0;
  };
  EXPECT_EQ(allowed_cpus(kernel_of_8192_cpus), (std::vector<int>{0, 1023, 1024, 5000, 8191}));
}

TEST(Topology, AnUnreadableMaskFallsBackToTheOnlineCpus) {
  const auto online = static_cast<std::size_t>(::sysconf(_SC_NPROCESSORS_ONLN));
  const auto denied = [](std::size_t bytes, cpu_set_t* mask) {  // would answer 77 to a second, larger attempt
    CPU_SET_S(77, bytes, mask);
    errno = EPERM;
    return bytes > CPU_SETSIZE / 8 ? 0 : -1;
  };
  const auto never_enough = [](std::size_t, cpu_set_t*) { return errno = EINVAL, -1; };
  const auto empty = [](std::size_t, cpu_set_t*) { return 0; };
  for (const affinity_reader get : {affinity_reader(denied), affinity_reader(never_enough), affinity_reader(empty)}) {
    const std::vector<int> cpus = allowed_cpus(get);
    ASSERT_EQ(cpus.size(), online);
    EXPECT_EQ(cpus.front(), 0);
  }
}

TEST(Topology, PinningToAnImpossibleCpuFailsAndChangesNothing) {
  const std::vector<int> before = allowed_cpus();
  for (const int impossible :
       {-1, std::numeric_limits<int>::min(), std::numeric_limits<int>::max(), 1 << 20, 100'000}) {
    errno = 0;
    EXPECT_FALSE(pin_this_thread(impossible));
    EXPECT_EQ(errno, EINVAL);
  }
  EXPECT_EQ(allowed_cpus(), before);
}

TEST(Topology, PinningKeepsErrnoOnSuccess) {
  std::thread([] {
    errno = ENOTTY;
    EXPECT_TRUE(pin_this_thread(allowed_cpus().front()));
    EXPECT_EQ(errno, ENOTTY);
  }).join();
}

// ---- shape

TEST(Topology, DefaultWorkersIsTheQuotaRoundedDownButAtLeastOne) {
  EXPECT_EQ(default_workers(8, unlimited), 8u);
  EXPECT_EQ(default_workers(8, 2.0), 2u);
  EXPECT_EQ(default_workers(8, 2.9), 2u);
  EXPECT_EQ(default_workers(8, 1.5), 1u);
  EXPECT_EQ(default_workers(8, 0.1), 1u);
  EXPECT_EQ(default_workers(2, 64.0), 2u);
  EXPECT_EQ(default_workers(0, unlimited), 1u);
  EXPECT_EQ(default_workers(8, std::nan("")), 1u);
}

TEST(Topology, FlatMeansEqualDistanceAndOneCoreEach) {
  const topology t = flat_topology({7, 3, 5, 3}, 2.5);
  EXPECT_EQ(t.cpus, (std::vector<cpu>{{3, 0, 0, 0, 0}, {5, 1, 0, 0, 0}, {7, 2, 0, 0, 0}}));
  EXPECT_EQ(t.quota, 2.5);
  EXPECT_TRUE(t.fractional_quota);
  EXPECT_EQ(t.default_workers, 2u);
  EXPECT_FALSE(flat_topology({0, 1}, 2.0).fractional_quota);
  EXPECT_FALSE(flat_topology({0, 1}, unlimited).fractional_quota);
  EXPECT_EQ(flat_topology({}, unlimited).cpus.size(), 1u);
}

TEST(Topology, SmtRankCountsTheAllowedSiblingsOfACore) {
  std::vector<cpu> cpus{{0, 0}, {1, 1}, {4, 0}, {5, 1}, {6, 2}, {9, 0}};
  rank_siblings(cpus);
  std::vector<int> ranks;
  for (const cpu& c : cpus) ranks.push_back(c.smt_rank);
  EXPECT_EQ(ranks, (std::vector<int>{0, 0, 1, 1, 0, 2}));
}

// ---- placement

topology shape(std::vector<cpu> cpus) {
  topology t;
  t.cpus = std::move(cpus);
  rank_siblings(t.cpus);
  t.default_workers = static_cast<unsigned>(t.cpus.size());
  return t;
}
// Two cores, numbered as on most x86 machines: all first threads, then all second ones.
topology smt_machine() { return shape({{0, 0, 0, 0}, {1, 1, 0, 0}, {2, 0, 0, 0}, {3, 1, 0, 0}}); }
// Two nodes, the CPUs dealt alternately, two caches of one core each a node.
topology two_nodes() {
  return shape(
      {{0, 0, 0, 0}, {1, 1, 1, 1}, {2, 2, 2, 0}, {3, 3, 3, 1}, {4, 4, 0, 0}, {5, 5, 1, 1}, {6, 6, 2, 0}, {7, 7, 3, 1}});
}

TEST(PinPlan, AutomaticPinsOneWorkerOnEachAllowedCpu) {
  EXPECT_EQ(pin_plan(flat_topology({2, 3, 8}, unlimited), 3, pin_mode::automatic, true), (std::vector<int>{2, 3, 8}));
}

TEST(PinPlan, AutomaticPinsNobodyUnlessWorkersMatchTheCpus) {
  const topology t = flat_topology({0, 1, 2}, unlimited);
  for (const unsigned workers : {0u, 1u, 2u, 4u, 6u})
    EXPECT_TRUE(pin_plan(t, workers, pin_mode::automatic, true).empty());
}

TEST(PinPlan, AutomaticPinsNobodyUnderAFractionalQuota) {
  EXPECT_TRUE(pin_plan(flat_topology({0, 1}, 1.5), 2, pin_mode::automatic, true).empty());
  EXPECT_TRUE(pin_plan(flat_topology({0}, 0.1), 1, pin_mode::automatic, true).empty());
  EXPECT_TRUE(pin_plan(flat_topology({0, 1}, 2.5), 2, pin_mode::automatic, true).empty());
  EXPECT_EQ(pin_plan(flat_topology({0, 1}, 2.0), 2, pin_mode::automatic, true).size(), 2u);
}

TEST(PinPlan, AutomaticPinsNobodyInASecondRuntime) {
  EXPECT_TRUE(pin_plan(flat_topology({0, 1}, unlimited), 2, pin_mode::automatic, false).empty());
}

TEST(PinPlan, CorePinsAnywayAndWrapsAround) {
  const topology t = flat_topology({4, 6}, 1.5);
  EXPECT_EQ(pin_plan(t, 5, pin_mode::core, false), (std::vector<int>{4, 6, 4, 6, 4}));
  EXPECT_EQ(pin_plan(t, 1, pin_mode::core, true), (std::vector<int>{4}));
  EXPECT_TRUE(pin_plan(t, 0, pin_mode::core, true).empty());
}

TEST(PinPlan, NoneNeverPins) {
  EXPECT_TRUE(pin_plan(flat_topology({0, 1}, unlimited), 2, pin_mode::none, true).empty());
}

TEST(PinPlan, SmtSiblingsComeLast) {
  const topology t = shape({{0, 0}, {1, 0}, {2, 1}, {3, 1}});  // siblings numbered side by side
  EXPECT_EQ(pin_plan(t, 4, pin_mode::automatic, true), (std::vector<int>{0, 2, 1, 3}));
  EXPECT_EQ(pin_plan(t, 2, pin_mode::core, true), (std::vector<int>{0, 2}));
  EXPECT_EQ(pin_plan(smt_machine(), 4, pin_mode::automatic, true), (std::vector<int>{0, 1, 2, 3}));
}

TEST(PinPlan, NeighboursShareCacheThenNode) {
  EXPECT_EQ(pin_plan(two_nodes(), 8, pin_mode::automatic, true), (std::vector<int>{0, 4, 2, 6, 1, 5, 3, 7}));
}

TEST(VictimOrder, FlatIsAllOthersBehindOneself) {
  const topology t = flat_topology({0, 1, 2, 3}, unlimited);
  const std::vector<std::vector<unsigned>> expected{{1, 2, 3}, {2, 3, 0}, {3, 0, 1}, {0, 1, 2}};
  EXPECT_EQ(victim_order(t, {}, 4), expected);
  EXPECT_EQ(victim_order(t, pin_plan(t, 4, pin_mode::core, true), 4), expected);
  EXPECT_TRUE(victim_order(t, {}, 0).empty());
  EXPECT_EQ(victim_order(t, {}, 1), std::vector<std::vector<unsigned>>{{}});
}

TEST(VictimOrder, TheSmtSiblingIsNearest) {
  const topology t = smt_machine();
  const std::vector<std::vector<unsigned>> expected{{2, 1, 3}, {3, 2, 0}, {0, 3, 1}, {1, 0, 2}};
  EXPECT_EQ(victim_order(t, pin_plan(t, 4, pin_mode::automatic, true), 4), expected);
}

TEST(VictimOrder, CacheThenNodeThenTheRest) {
  const topology t = two_nodes();
  const auto orders = victim_order(t, pin_plan(t, 8, pin_mode::automatic, true), 8);
  EXPECT_EQ(orders[0], (std::vector<unsigned>{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(orders[3], (std::vector<unsigned>{2, 0, 1, 4, 5, 6, 7}));
  EXPECT_EQ(orders[5], (std::vector<unsigned>{4, 6, 7, 0, 1, 2, 3}));
}

TEST(VictimOrder, EveryoneMeetsEveryOtherOnceEvenBeyondThePlan) {
  const topology t = two_nodes();
  const std::vector<int> plan = pin_plan(t, 8, pin_mode::automatic, true);
  for (const unsigned workers : {1u, 3u, 8u, 13u}) {
    const auto orders = victim_order(t, plan, workers);
    ASSERT_EQ(orders.size(), workers);
    for (unsigned self = 0; self < workers; ++self) {
      std::set<unsigned> seen(orders[self].begin(), orders[self].end());
      EXPECT_EQ(seen.size(), orders[self].size());
      EXPECT_EQ(seen.size(), workers - 1);
      EXPECT_FALSE(seen.contains(self));
    }
  }
  EXPECT_EQ(victim_order(t, {999, 998}, 2), (std::vector<std::vector<unsigned>>{{1}, {0}})) << "a plan of unknown CPUs";
}

// ---- hwloc

#if defined(WEIR_HWLOC) && WEIR_HWLOC
topology machine_of(int cpus) {
  std::vector<int> all(static_cast<std::size_t>(cpus));
  std::iota(all.begin(), all.end(), 0);
  return flat_topology(all, unlimited);
}

TEST(Hwloc, CoresCachesAndNodesAreFilledIn) {
  topology t = machine_of(8);
  ASSERT_TRUE(refine_with_hwloc(t, "pack:2 [numa] l3:1 core:2 pu:2"));
  EXPECT_EQ(t.cpus, (std::vector<cpu>{{0, 0, 0, 0, 0},
                                      {1, 0, 0, 0, 1},
                                      {2, 1, 0, 0, 0},
                                      {3, 1, 0, 0, 1},
                                      {4, 2, 1, 1, 0},
                                      {5, 2, 1, 1, 1},
                                      {6, 3, 1, 1, 0},
                                      {7, 3, 1, 1, 1}}));
}

TEST(Hwloc, TheOutermostCacheIsTheLastLevel) {
  topology t = machine_of(8);
  ASSERT_TRUE(refine_with_hwloc(t, "pack:2 l2:2 core:1 pu:2"));
  EXPECT_EQ(t.cpus[1].llc, t.cpus[0].llc);
  EXPECT_NE(t.cpus[2].llc, t.cpus[0].llc);
}

TEST(Hwloc, WithoutACacheTheNodesCpusCountAsSharingOne) {
  topology t = machine_of(4);
  ASSERT_TRUE(refine_with_hwloc(t, "pack:2 [numa] core:2 pu:1"));
  EXPECT_EQ(t.cpus[0].llc, t.cpus[1].llc);
  EXPECT_NE(t.cpus[1].llc, t.cpus[2].llc);
}

TEST(Hwloc, OnlyAllowedCpusAreKeptAndRanked) {
  topology t = flat_topology({1, 2, 3}, unlimited);
  ASSERT_TRUE(refine_with_hwloc(t, "core:2 pu:2"));
  ASSERT_EQ(t.cpus.size(), 3u);
  EXPECT_EQ(t.cpus[0].smt_rank, 0) << "its sibling 0 is not ours";
  EXPECT_EQ(t.cpus[2].smt_rank, 1);
}

TEST(Hwloc, ErrorsLeaveTheTopologyFlat) {
  topology t = machine_of(8);
  const std::vector<cpu> flat = t.cpus;
  EXPECT_FALSE(refine_with_hwloc(t, "no such thing"));
  EXPECT_FALSE(refine_with_hwloc(t, "core:2 pu:2")) << "only 4 of our 8 CPUs are known";
  EXPECT_EQ(t.cpus, flat);
}

TEST(Hwloc, AnotherMachineFromTheEnvironmentIsRefused) {
  topology t = machine_of(4);
  ::setenv("HWLOC_SYNTHETIC", "core:2 pu:2", 1);
  EXPECT_FALSE(refine_with_hwloc(t));
  ::unsetenv("HWLOC_SYNTHETIC");
}

TEST(Hwloc, ThisMachineIsUnderstoodAndTheCallersMaskKept) {
  const std::vector<int> before = allowed_cpus();
  topology t = flat_topology(before, unlimited);
  EXPECT_TRUE(refine_with_hwloc(t));
  EXPECT_EQ(t.cpus.size(), before.size());
  EXPECT_EQ(allowed_cpus(), before);
}
#endif

}  // namespace
}  // namespace topology_test
