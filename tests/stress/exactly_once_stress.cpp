// Every task runs exactly once, whichever way it came in, with any number of workers and submitting threads.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <functional>
#include <thread>
#include <tuple>
#include <vector>

namespace exactly_once_stress {
namespace {

using namespace test;

class ExactlyOnce : public stress, public ::testing::WithParamInterface<std::tuple<unsigned, unsigned>> {};

// What one submitting thread or task does, once.
class mixture {
 public:
  mixture(weir::runtime& rt, ledger& books) : rt_(rt), books_(books) {}

  void one(random_numbers& random, int depth) {
    switch (random.below(depth > 0 ? 9 : 6)) {
      case 0: small(); break;
      case 1: send_ticket([&](ticket&& t) { return rt_.submit(std::move(t)); }); break;
      case 2: send_ticket([&](ticket&& t) { return rt_.submit(std::move(t), {.prio = static_cast<weir::lane>(random.below(3))}); }); break;
      case 3: send_ticket([&](ticket&& t) { return rt_.try_submit(std::move(t), {.name = "named"}); }); break;
      case 4: spawn(random); break;
      case 5: bulk(1 + random.below(20)); break;
      case 6: nested(random, depth); break;
      case 7: run(random, depth); break;
      case 8: forks(random.below(5)); break;
    }
  }

 private:
  void small() {  // 16 bytes, trivially copyable: the kind that lives in the queue itself
    auto f = [books = &books_, id = books_.open()] { books->close(id, fate::ran); };
    if (!rt_.submit(f)) f();
  }
  template <class Send>
  void send_ticket(Send how) {
    ticket t(books_);
    if (!how(std::move(t))) t.refused();
  }
  void spawn(random_numbers& random) {
    ticket t(books_);
    auto h = rt_.spawn(std::move(t));
    switch (random.below(3)) {
      case 0:
        if (!h.get() && t.whole()) t.refused();
        return;
      case 1:
        if (auto r = h.get_until(weir::clock_type::now() + std::chrono::microseconds(random.below(100)));
            !r && r.error().code == weir::errc::timeout) {
          break;
        }
        break;
      default: break;
    }
    if (t.whole()) t.refused();
  }
  void bulk(std::size_t n) {
    std::vector<shared_ticket> tickets;
    for (std::size_t i = 0; i < n; ++i) tickets.emplace_back(books_);
    if (rt_.try_submit_bulk(std::move(tickets))) return;
    for (auto& t : tickets) t.refused();
  }
  void nested(random_numbers& random, int depth) {
    const std::uint64_t stream = random.next();
    const std::size_t id = books_.open();
    auto task = [this, stream, depth, id] {
      books_.close(id, fate::ran);
      random_numbers mine(stream);
      for (std::uint64_t n = mine.below(4); n > 0; --n) one(mine, depth - 1);
    };
    if (!rt_.submit(task)) task();
  }
  void run(random_numbers& random, int depth) {
    const std::size_t id = books_.open();
    const std::uint64_t stream = random.next();
    rt_.run([&] {
      books_.close(id, fate::ran);
      random_numbers mine(stream);
      one(mine, depth - 1);
    });
  }
  void forks(std::uint64_t level) {
    const std::size_t id = books_.open();
    const auto leaf = [&] { books_.close(id, fate::ran); };
    if (level == 0) return leaf();
    weir::invoke(leaf, [&] { forks(level - 1); }, [&] { forks(level - 1); });
  }

  weir::runtime& rt_;
  ledger& books_;
};

TEST_P(ExactlyOnce, ForMixedWorkFromOutsideAndInside) {
  const auto [workers, submitters] = GetParam();
  const std::size_t each = rounds(6000) / submitters + 1;
  ledger books(each * submitters * 200 + 1'000'000);
  {
    weir::options o = with_workers(workers);
    o.capacity = 256;
    weir::runtime rt(o);
    mixture work(rt, books);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < submitters; ++t) {
      threads.emplace_back([&, t] {
        random_numbers random(t);
        for (std::size_t i = 0; i < each; ++i) work.one(random, 3);
      });
    }
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    EXPECT_EQ(books.count(fate::dropped), 0u);
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
  }
  books.check();
}

// Nothing but the smallest tasks, as fast as they go: the path that is optimised hardest.
TEST_P(ExactlyOnce, ForSmallTasksAtFullSpeed) {
  const auto [workers, submitters] = GetParam();
  const std::size_t each = rounds(200'000) / submitters;
  std::vector<std::atomic<unsigned char>> ran(each * submitters);
  for (const std::size_t capacity : {std::size_t{64}, std::size_t{65536}}) {
    for (auto& r : ran) r.store(0, std::memory_order_relaxed);
    weir::options o = with_workers(workers);
    o.capacity = capacity;
    weir::runtime rt(o);
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < submitters; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = 0; i < each; ++i) {
          ASSERT_TRUE(rt.submit([entry = &ran[t * each + i]] { entry->fetch_add(1, std::memory_order_relaxed); }));
        }
      });
    }
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    std::size_t wrong = 0;
    for (const auto& r : ran) wrong += r.load(std::memory_order_relaxed) != 1;
    EXPECT_EQ(wrong, 0u) << "of " << ran.size() << ", capacity " << capacity;
  }
}

INSTANTIATE_TEST_SUITE_P(WorkersAndSubmitters, ExactlyOnce,
                         ::testing::Combine(::testing::Values(1u, 2u, 8u, 64u), ::testing::Values(1u, 2u, 8u)),
                         [](const auto& i) {
                           return std::to_string(std::get<0>(i.param)) + "workers" + std::to_string(std::get<1>(i.param)) + "submitters";
                         });

}  // namespace
}  // namespace exactly_once_stress
