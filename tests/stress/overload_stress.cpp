// P11 under a load that two workers cannot carry: each task has one fate, the books are exact, and what is exempt runs.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace overload_stress {
namespace {

using namespace test;
using weir::errc;

class OverloadStress : public stress {};

TEST_F(OverloadStress, EachTaskHasOneFateAndTheBooksAreExact) {
  constexpr unsigned threads_here = 3;
  const std::size_t each = std::max<std::size_t>(rounds(60'000), 20'000) / threads_here;
  ledger all(each * threads_here * 4), exempt(each * threads_here * 4);
  std::atomic<std::size_t> handles_expired{0}, handles_cancelled{0}, group_errors{0}, ran{0};
  weir::options o = with_workers(2);
  o.capacity = 2000;
  o.full = weir::on_full::block;
  o.codel_target = std::chrono::microseconds(500);
  {
    weir::runtime rt(o);
    weir::strand s(rt);
    weir::limited few(rt, 2, 1000, weir::on_full::block);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < threads_here; ++t)
      threads.emplace_back([&, t] {
        random_numbers random(t);
        std::vector<weir::join_handle<void>> handles;
        const auto read = [&] {
          for (auto& h : handles) {
            const auto r = h.get();
            if (!r && r.error().code == errc::expired) ++handles_expired;
            if (!r && r.error().code == errc::cancelled) ++handles_cancelled;
          }
          handles.clear();
        };
        const weir::executor_ref ways[] = {rt, rt, rt, s, few};
        for (std::size_t i = 0; i < each; ++i) {
          const weir::executor_ref e = ways[random.below(5)];
          const auto task = [&all] {
            return [mine = ticket(all)]() mutable {
              mine();
              burn(std::chrono::microseconds(20));
            };
          };
          switch (random.below(8)) {
            case 0: {
              auto h = e.spawn(task());
              if (random.one_in(4)) h.cancel();
              handles.push_back(std::move(h));
              if (handles.size() == 100) read();
              break;
            }
            case 1: EXPECT_TRUE(rt.submit(ticket(exempt), {.prio = weir::lane::high})); break;
            case 2:
              EXPECT_TRUE(rt.submit(
                  [&, parent = ticket(exempt)]() mutable {
                    parent();
                    EXPECT_TRUE(weir::here().submit(ticket(exempt)));
                  },
                  {.worker = static_cast<int>(random.below(2))}));
              break;
            case 3: EXPECT_TRUE(rt.submit(task(), {.prio = weir::lane::low, .name = "low"})); break;
            case 4:
              if (random.one_in(20)) {
                weir::task_group g(rt, {.cancel_on_error = false, .keep_all_errors = true});
                g.run(task());
                for (int k = 0; k < 2; ++k) g.run(ticket(all));
                static_cast<void>(g.wait());
                group_errors += g.errors().size();
                for (const weir::error& error : g.errors()) EXPECT_EQ(error.code, errc::expired);
                break;
              }
              [[fallthrough]];
            default: EXPECT_TRUE(e.submit(task()));
          }
        }
        read();
      });
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    all.check();
    exempt.check();
    EXPECT_EQ(exempt.count(fate::dropped), 0u);
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.ok, all.count(fate::ran) + exempt.count(fate::ran));
    EXPECT_EQ(m.cancelled, handles_cancelled);
    EXPECT_EQ(m.shed, m.expired);
    EXPECT_EQ(m.expired + m.cancelled, all.count(fate::dropped));
    EXPECT_EQ(m.submitted, m.ok + m.cancelled + m.expired);
    EXPECT_LE(handles_expired + group_errors, m.expired);
    rt.pause();
    EXPECT_EQ(fill(rt, ran), 2000u) << "no room was lost or invented on the way";
  }
}

}  // namespace
}  // namespace overload_stress
