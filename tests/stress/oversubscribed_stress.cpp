// Everything at once with 64 workers on however few cores there are: each of them loses its core in the middle of
// something, so every gap between two steps of a protocol is held open for milliseconds now and then.
#include <weir/fork_join.hpp>
#include <weir/parallel.hpp>
#include <weir/runtime.hpp>
#include <weir/task_group.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <thread>
#include <vector>

namespace oversubscribed_stress {
namespace {

using namespace test;

class Oversubscribed : public stress {};

int fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = weir::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

TEST_F(Oversubscribed, SixtyFourWorkersDoEverythingAtOnceOnceEach) {
  for (std::size_t round = 0; round < rounds(6); ++round) {
    ledger books(1'000'000);
    weir::options o = with_workers(64);
    o.capacity = 48;
    o.spin = std::chrono::microseconds(round % 2 == 0 ? 0 : 50);
    weir::runtime rt(o);
    std::vector<std::thread> threads;
    std::atomic<bool> pausing{true};
    for (unsigned t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        random_numbers random(round * 8 + t);
        for (std::size_t i = 0; i < rounds(250); ++i) {
          switch (random.below(7)) {
            case 0: ASSERT_EQ(rt.run([] { return fib(12); }), 144); break;
            case 1: {
              auto h = rt.spawn([&rt, &books] {
                auto inner = rt.spawn([u = ticket(books)]() mutable {
                  u();
                  return 4;
                });
                return inner.get().value_or(0);
              });
              ASSERT_EQ(h.get().value_or(0), 4);
              break;
            }
            case 2: {
              weir::task_group g(rt, {.limit = static_cast<unsigned>(random.below(4))});
              for (int k = 0; k < 8; ++k) g.run(ticket(books));
              ASSERT_TRUE(g.wait());
              break;
            }
            case 3: {
              std::atomic<int> n{0};
              ASSERT_TRUE(weir::parallel_for(rt, 0, 300, [&](int) { n.fetch_add(1, std::memory_order_relaxed); }));
              ASSERT_EQ(n, 300);
              break;
            }
            case 4: ASSERT_TRUE(rt.submit(ticket(books), {.worker = static_cast<int>(random.below(64))})); break;
            case 5: ASSERT_TRUE(rt.submit(ticket(books), {.prio = static_cast<weir::lane>(random.below(3))})); break;
            default:
              for (int k = 0; k < 20; ++k) ASSERT_TRUE(rt.submit(ticket(books)));
          }
        }
      });
    }
    std::thread pauser([&] {
      while (pausing) {
        rt.pause();
        std::this_thread::sleep_for(100us);
        rt.resume();
        std::this_thread::sleep_for(2ms);
      }
    });
    for (auto& t : threads) t.join();
    pausing = false;
    pauser.join();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    EXPECT_EQ(books.count(fate::ran), books.opened());
    EXPECT_TRUE(rt.drain().complete);
  }
}

}  // namespace
}  // namespace oversubscribed_stress
