// Submits that race the end: every accepted task runs, or is handed out, or is reported; none twice.
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>
#include <vector>

namespace shutdown_stress {
namespace {

using namespace test;

class Shutdown : public stress {};

// Submits until it is told `stopped`, or the ledger is full.
void submit_until_stopped(weir::runtime& rt, ledger& books, std::uint64_t stream, std::atomic<std::uint64_t>& accepted) {
  random_numbers random(stream);
  std::vector<weir::join_handle<void>> handles;
  for (bool stopped = false; !stopped && books.has_room();) {
    ticket t(books);
    switch (random.below(4)) {
      case 0: {
        auto h = rt.spawn(std::move(t));
        if (t.whole()) {
          stopped = h.get().error().code == weir::errc::stopped;
          t.refused();
        } else {
          ++accepted;
          if (handles.size() < 100) handles.push_back(std::move(h));
        }
        continue;
      }
      case 1: {
        std::vector<shared_ticket> some;
        for (int i = 0; i < 5; ++i) some.emplace_back(books);
        if (const weir::status s = rt.try_submit_bulk(std::move(some)); s) {
          accepted += 5;
        } else {
          stopped = s.error().code == weir::errc::stopped;
          for (auto& x : some) x.refused();
        }
        t.refused();
        continue;
      }
      default: {
        const weir::status s = random.one_in(2) ? rt.submit(std::move(t)) : rt.submit(std::move(t), {.prio = weir::lane::high});
        if (s) {
          ++accepted;
        } else {
          stopped = s.error().code == weir::errc::stopped;
          EXPECT_TRUE(t.whole()) << "a refused callable is untouched";
          t.refused();
        }
      }
    }
  }
  for (auto& h : handles) {
    const auto r = h.get_until(weir::clock_type::now() + 10s);
    EXPECT_TRUE(r || r.error().code == weir::errc::stopped);
  }
}

enum class ending { drain, drain_deadline, abort, abort_sink, abort_throwing_sink };

void one_round(ending how, std::size_t round) {
  constexpr std::size_t threads = 3;
  ledger books(2'000'000);
  std::atomic<std::uint64_t> accepted{0};
  random_numbers random(round * 31 + static_cast<std::size_t>(how));
  weir::options o = with_workers(1 + static_cast<unsigned>(random.below(4)));
  o.capacity = std::size_t{1} << random.below(12);
  o.full = random.one_in(2) ? weir::on_full::block : weir::on_full::reject;
  weir::report r;
  {
    weir::runtime rt(o);
    std::vector<std::thread> submitters;
    for (std::size_t t = 0; t < threads; ++t) {
      submitters.emplace_back([&, t] { submit_until_stopped(rt, books, round * 64 + t, accepted); });
    }
    std::this_thread::sleep_for(std::chrono::microseconds(random.below(1500)));
    const auto sink = [&](weir::task_fn&& f) {
      weir::task_fn mine = std::move(f);
      ticket::in_sink = true;
      mine();
      ticket::in_sink = false;
      if (how == ending::abort_throwing_sink && books.count(fate::sunk) == 3) throw std::out_of_range("sink");
    };
    bool thrown = false;
    switch (how) {
      case ending::drain: r = rt.drain(); break;
      case ending::drain_deadline:
        rt.drain(weir::clock_type::now() + std::chrono::microseconds(random.below(300)));
        r = rt.drain();
        break;
      case ending::abort: r = rt.abort(); break;
      default:
        try {
          r = rt.abort(sink);
        } catch (const std::out_of_range&) {
          thrown = true;
        }
    }
    for (auto& t : submitters) t.join();
    if (thrown) r = rt.abort();
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, accepted.load()) << "status ok, and nothing else, means accepted";
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
    EXPECT_EQ(m.ok, books.count(fate::ran));
  }
  books.check();
  EXPECT_EQ(accepted, books.count(fate::ran) + books.count(fate::sunk) + books.count(fate::dropped));
  EXPECT_EQ(r.ran, books.count(fate::ran));
  EXPECT_EQ(r.stopped, books.count(fate::sunk) + books.count(fate::dropped));
  EXPECT_TRUE(how != ending::drain || r.stopped == 0) << r.stopped;
  EXPECT_TRUE(how != ending::abort_sink || books.count(fate::dropped) == 0) << books.count(fate::dropped);
}

TEST_F(Shutdown, DrainRunsAllThatWasAccepted) {
  for (std::size_t i = 0; i < rounds(80); ++i) one_round(ending::drain, i);
}
TEST_F(Shutdown, ADrainWithADeadlineReportsWhatItDidNotRun) {
  for (std::size_t i = 0; i < rounds(80); ++i) one_round(ending::drain_deadline, i);
}
TEST_F(Shutdown, AbortDropsWhatItDidNotRun) {
  for (std::size_t i = 0; i < rounds(80); ++i) one_round(ending::abort, i);
}
TEST_F(Shutdown, AbortHandsEachUnstartedTaskToTheSink) {
  for (std::size_t i = 0; i < rounds(80); ++i) one_round(ending::abort_sink, i);
}
TEST_F(Shutdown, AThrowingSinkLosesNothing) {
  for (std::size_t i = 0; i < rounds(80); ++i) one_round(ending::abort_throwing_sink, i);
}

// The destructor meets tasks that still submit tasks.
TEST_F(Shutdown, TheDestructorRunsWhatTasksStillSubmit) {
  for (std::size_t i = 0; i < rounds(300); ++i) {
    ledger books(100'000);
    {
      std::function<void(int)> chain;
      weir::runtime rt(with_workers(1 + static_cast<unsigned>(i % 4)));
      chain = [&](int level) {
        ticket{books}();
        if (level == 0) return;
        for (int k = 0; k < 2; ++k) {
          ticket t(books);
          if (!rt.submit(std::move(t))) t.refused();
          EXPECT_TRUE(rt.submit([&chain, level] { chain(level - 1); }));
        }
      };
      for (int k = 0; k < 3; ++k) ASSERT_TRUE(rt.submit([&] { chain(5); }));
      std::this_thread::sleep_for(std::chrono::microseconds(i % 50));
    }
    books.check();
    EXPECT_EQ(books.count(fate::ran), 3u * 63 + 3u * 62);
  }
}

// Many ends at once, from outside and from a task.
TEST_F(Shutdown, ManyEndersAtOnceAgree) {
  for (std::size_t i = 0; i < rounds(100); ++i) {
    ledger books(100'000);
    std::atomic<std::uint64_t> accepted{0};
    {
      weir::runtime rt(with_workers(2));
      std::vector<std::thread> threads;
      threads.emplace_back([&] { submit_until_stopped(rt, books, i, accepted); });
      weir::report reports[3];
      random_numbers random(i);
      std::this_thread::sleep_for(std::chrono::microseconds(random.below(300)));
      for (auto& r : reports) {
        threads.emplace_back([&, by_abort = random.one_in(2)] { r = by_abort ? rt.abort() : rt.drain(); });
      }
      static_cast<void>(rt.try_submit([&] { static_cast<void>(rt.drain()); }).has_value());
      for (auto& t : threads) t.join();
      for (const auto& r : reports) EXPECT_TRUE(r.complete);
    }
    books.check();
    EXPECT_EQ(accepted, books.count(fate::ran) + books.count(fate::dropped));
  }
}

// A runtime that lives only for a moment: threads start and end with and without work.
TEST_F(Shutdown, ShortLives) {
  for (std::size_t i = 0; i < rounds(400); ++i) {
    ledger books(64);
    {
      weir::runtime rt(with_workers(1 + static_cast<unsigned>(i % 8)));
      for (std::size_t k = 0; k < i % 5; ++k) {
        ticket t(books);
        ASSERT_TRUE(rt.submit(std::move(t)));
      }
    }
    books.check();
    EXPECT_EQ(books.count(fate::ran), i % 5);
  }
}

}  // namespace
}  // namespace shutdown_stress
