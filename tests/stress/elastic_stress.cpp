// Workers that come while all are blocked and go again, beside everything else that changes how many there are.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <memory>
#include <thread>
#include <vector>

namespace elastic_stress {
namespace {

using namespace test;

class ElasticStress : public stress {};

weir::options elastic(unsigned workers, unsigned most) {
  weir::options o = with_workers(workers);
  o.max_workers = most;
  return o;
}

// Each group of tasks needs so many workers at once, whoever submits them: one that does not come is a hang.
TEST_F(ElasticStress, SoManyCanAlwaysBeBlockedAtOnce) {
  random_numbers random(1);
  for (std::size_t round = 0; round < rounds(40); ++round) {
    const unsigned base = 1 + static_cast<unsigned>(random.below(3)),
                   most = base + 1 + static_cast<unsigned>(random.below(4));
    weir::runtime rt(elastic(base, most));
    for (int again = 0; again < 4; ++again) {
      struct meeting {
        gate all;
        std::atomic<unsigned> missing;
      };
      auto m = std::make_shared<meeting>();
      m->missing = most;
      const auto come = [m] {
        if (--m->missing == 0) m->all.open();
        else m->all.wait();
      };
      const unsigned by_task = static_cast<unsigned>(random.below(most));
      ASSERT_TRUE(rt.submit([&rt, come, by_task] {
        for (unsigned i = 0; i < by_task; ++i) EXPECT_TRUE(rt.submit(come));
        come();
      }));
      std::thread other([&] {
        for (unsigned i = by_task + 1; i < most; ++i)
          EXPECT_TRUE(rt.submit(come, {.prio = static_cast<weir::lane>(i % 3)}));
      });
      for (std::uint64_t i = random.below(200); i != 0; --i) ASSERT_TRUE(rt.submit([] {}));
      other.join();
      ASSERT_TRUE(rt.wait_idle());
      EXPECT_LE(rt.workers(), most);
    }
    const weir::snapshot s = rt.metrics();
    EXPECT_EQ(s.submitted, s.ok);
  }
}

struct sleeps_forks_and_ends {
  ticket own;
  std::uint64_t nap_us;
  void operator()() {
    if (nap_us != 0) std::this_thread::sleep_for(std::chrono::microseconds(nap_us));
    static_cast<void>(weir::fork_join([] { return 1; }, [] { return 2; }));
    own();
  }
};

// Submitters, resizes and pauses, then an end of some kind, then the next life.
TEST_F(ElasticStress, NothingIsLostWhileTheyComeAndGo) {
  for (std::size_t round = 0; round < rounds(25); ++round) {
    random_numbers random(100 + round);
    ledger books(500'000);
    std::atomic<std::uint64_t> accepted{0};
    weir::report r;
    {
      weir::options o = elastic(1, 2 + static_cast<unsigned>(random.below(6)));
      o.capacity = std::size_t{1} << (2 + random.below(9));
      o.full = random.one_in(2) ? weir::on_full::block : weir::on_full::reject;
      weir::runtime rt(o);
      for (int life = 0; life < 2; ++life) {
        std::atomic<bool> over{false};
        std::vector<std::thread> threads;
        for (std::uint64_t t = 0; t < 2; ++t)
          threads.emplace_back([&, stream = round * 16 + t] {
            random_numbers mine(stream);
            while (!over && books.has_room()) {
              sleeps_forks_and_ends task{ticket(books), mine.one_in(8) ? mine.below(3000) : 0};
              if (rt.submit(std::move(task))) ++accepted;
              else task.own.refused();
            }
          });
        threads.emplace_back([&, stream = round * 16 + 8] {
          random_numbers mine(stream);
          while (!over) {
            switch (mine.below(3)) {
              case 0: static_cast<void>(rt.resize(1 + static_cast<unsigned>(mine.below(5)))); break;
              case 1:
                rt.pause();
                std::this_thread::sleep_for(std::chrono::microseconds(mine.below(500)));
                rt.resume();
                break;
              default: static_cast<void>(rt.metrics());
            }
            std::this_thread::sleep_for(std::chrono::microseconds(mine.below(2000)));
          }
        });
        std::this_thread::sleep_for(std::chrono::microseconds(5000 + random.below(20'000)));
        switch (random.below(3)) {
          case 0: r = rt.drain(); break;
          case 1:
            static_cast<void>(rt.drain(weir::clock_type::now() + std::chrono::microseconds(random.below(2000))));
            r = rt.drain();
            break;
          default: r = rt.abort();
        }
        over = true;
        for (auto& t : threads) t.join();
        EXPECT_TRUE(r.complete);
        r = rt.drain();
        const weir::snapshot m = rt.metrics();
        EXPECT_EQ(m.submitted, accepted.load());
        EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
        EXPECT_EQ(m.surplus_came, m.surplus_went);
        EXPECT_EQ(m.on_duty, rt.workers());
        if (life == 0) {
          ASSERT_TRUE(rt.restart());
        }
      }
    }
    books.check();
    EXPECT_EQ(accepted, books.count(fate::ran) + books.count(fate::dropped));
  }
}

// The last holder is a task, on a worker that was there from the beginning or on one that came.
TEST_F(ElasticStress, ARuntimeMayEndOnAnyOfItsWorkers) {
  for (std::size_t round = 0; round < rounds(40); ++round) {
    auto ran = std::make_shared<std::atomic<int>>(0);
    auto rt = std::make_shared<weir::runtime>(elastic(1, 4));
    for (int i = 0; i < 6; ++i)
      ASSERT_TRUE(rt->submit([rt, ran, nap = (round + static_cast<std::size_t>(i)) % 3] {
        std::this_thread::sleep_for(std::chrono::milliseconds(nap));
        ++*ran;
      }));
    rt.reset();
    ASSERT_TRUE(eventually([&] { return *ran == 6; }));
  }
}

}  // namespace
}  // namespace elastic_stress
