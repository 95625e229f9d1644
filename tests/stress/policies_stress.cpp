// Full queues that run on the caller, drop the oldest or discard: each task has one fate, and the metrics agree with the ledger.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <atomic>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

namespace policies_stress {
namespace {

using namespace test;
using weir::errc;
using weir::on_full;

class PoliciesStress : public stress,
                       public ::testing::WithParamInterface<std::tuple<on_full, std::size_t, unsigned>> {};

// rt runs nothing but what comes through e, which has that policy, that capacity and no more.
void each_task_has_one_fate(weir::runtime& rt, weir::executor_ref e, on_full policy, std::size_t capacity,
                            unsigned threads_here) {
  const std::size_t each = rounds(12'000) / threads_here;
  ledger all(each * threads_here);
  std::atomic<std::size_t> discarded{0}, full{0}, handles_dropped{0}, handles_cancelled{0}, bulk_refused{0}, ran{0};
  const auto refused = [&](ticket& t, const weir::error& why) {
    EXPECT_TRUE(t.whole());
    t.refused();
    ++(why.code == errc::dropped ? discarded : full);
  };
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < threads_here; ++t) {
    threads.emplace_back([&, t] {
      random_numbers random(t);
      std::vector<weir::join_handle<void>> handles;
      const auto read = [&] {
        for (auto& h : handles) {
          const auto r = h.get();
          if (!r && r.error().code == errc::dropped) ++handles_dropped;
          if (!r && r.error().code == errc::cancelled) ++handles_cancelled;
        }
        handles.clear();
      };
      for (std::size_t i = 0; i < each; ++i) {
        const weir::task_options in_a_lane{.prio = static_cast<weir::lane>(random.below(3))};
        ticket mine(all);
        switch (random.below(8)) {
          case 0: {
            auto h = e.spawn(std::move(mine));
            if (mine.whole()) {
              const auto r = h.get();
              ASSERT_FALSE(r);
              refused(mine, r.error());
              break;
            }
            if (random.one_in(4)) h.cancel();
            handles.push_back(std::move(h));
            if (handles.size() == 20) read();
            break;
          }
          case 1: {
            const weir::status s = e.submit(std::move(mine), in_a_lane);
            if (!s) refused(mine, s.error());
            break;
          }
          case 2: {
            const weir::status s = e.try_submit(std::move(mine));
            if (!s) {
              EXPECT_EQ(s.error().code, errc::full) << "who only tries is told";
              refused(mine, s.error());
            }
            break;
          }
          case 3: {
            std::vector<ticket> bulk;
            bulk.push_back(std::move(mine));
            for (; bulk.size() < 3 && i + 1 < each; ++i) bulk.emplace_back(all);
            if (!e.try_submit_bulk(std::move(bulk))) {
              ++bulk_refused;
              for (ticket& b : bulk) b.refused();
            }
            break;
          }
          default: {
            const weir::status s = e.submit(std::move(mine));
            if (!s) refused(mine, s.error());
          }
        }
      }
      read();
    });
  }
  for (auto& t : threads) t.join();
  ASSERT_TRUE(rt.wait_idle());
  const weir::snapshot m = rt.metrics();
  all.check();
  EXPECT_EQ(m.ok, all.count(fate::ran));
  EXPECT_EQ(m.cancelled, handles_cancelled);
  EXPECT_EQ(m.submitted, m.ok + m.cancelled + m.dropped) << "and nothing failed, expired or was stopped";
  EXPECT_EQ(m.dropped, all.count(fate::dropped) - handles_cancelled + discarded);
  EXPECT_EQ(m.rejected, full + bulk_refused);
  if (policy != on_full::discard) { EXPECT_EQ(discarded, 0u); }
  if (policy == on_full::caller_runs) { EXPECT_EQ(m.dropped, 0u); }
  EXPECT_LE(handles_dropped, m.dropped);
  rt.pause();
  std::size_t fit = 0;
  while (fit <= capacity + 2 && e.try_submit([&ran] { ++ran; })) ++fit;
  EXPECT_GE(fit, capacity) << "no room was lost on the way";
  EXPECT_TRUE(test::eventually([&] { return fit - ran == capacity; })) << "nor invented: " << fit << " fit, " << ran << " ran";
  rt.drain();  // what it refers to is gone after this
}

TEST_P(PoliciesStress, EachTaskHasOneFateAndTheBooksAreExact) {
  const auto [policy, capacity, threads_here] = GetParam();
  weir::options o = with_workers(2);
  o.capacity = capacity;
  o.full = policy;
  weir::runtime rt(o);
  each_task_has_one_fate(rt, rt, policy, capacity, threads_here);
}

TEST_P(PoliciesStress, TheSameInALimit) {
  const auto [policy, capacity, threads_here] = GetParam();
  weir::runtime rt(with_workers(2));
  weir::limited few(rt, 2, capacity, policy);
  each_task_has_one_fate(rt, few, policy, capacity, threads_here);
}

std::string name_of(on_full policy) {
  return policy == on_full::caller_runs ? "CallerRuns" : policy == on_full::drop_oldest ? "DropOldest" : "Discard";
}
INSTANTIATE_TEST_SUITE_P(WithCapacityFrom, PoliciesStress,
                         ::testing::Combine(::testing::Values(on_full::caller_runs, on_full::drop_oldest,
                                                              on_full::discard),
                                            ::testing::Values(1, 7, 100), ::testing::Values(1u, 4u)),
                         [](const auto& i) {
                           return name_of(std::get<0>(i.param)) + std::to_string(std::get<1>(i.param)) + "from" +
                                  std::to_string(std::get<2>(i.param)) + "threads";
                         });

}  // namespace
}  // namespace policies_stress
