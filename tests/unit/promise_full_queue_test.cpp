// P4 P5 P9: what a full runtime answers, that capacity is exact, that handles complete.
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <stdexcept>
#include <thread>

namespace promise_full_queue_test {
namespace {

using namespace test;
using weir::errc;
using weir::on_full;

weir::options bounded(unsigned workers, std::size_t capacity, on_full full) {
  weir::options o = with_workers(workers);
  o.capacity = capacity;
  o.full = full;
  return o;
}

// ---- capacity

class Capacity : public ::testing::TestWithParam<std::size_t> {};

TEST_P(Capacity, ExactlySoManyAreTakenWhileNobodyStarts) {
  const std::size_t capacity = GetParam();
  for (const unsigned workers : {1u, 2u, 3u}) {
    weir::runtime rt(bounded(workers, capacity, on_full::reject));
    std::atomic<std::size_t> ran{0};
    for (int round = 0; round < 3; ++round) {
      plug p(rt);
      ran = 0;
      EXPECT_EQ(fill(rt, ran), capacity) << workers << " workers, round " << round;
      EXPECT_EQ(ran, 0u);
      p.release();
      ASSERT_TRUE(rt.wait_idle());
      EXPECT_EQ(ran, capacity);
    }
  }
}

TEST_P(Capacity, ExactlySoManyAreTakenFromManyThreads) {
  const std::size_t capacity = GetParam();
  weir::runtime rt(bounded(2, capacity, on_full::reject));
  for (int round = 0; round < 3; ++round) {
    plug p(rt);
    std::atomic<std::size_t> ran{0}, taken{0};
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t) threads.emplace_back([&] { taken += fill(rt, ran); });
    for (auto& t : threads) t.join();
    EXPECT_EQ(taken + fill(rt, ran), capacity) << "room that one thread held back is found by another";
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, capacity);
  }
}

// One thread took all of the room and went away: nothing of it stays behind with that thread.
TEST_P(Capacity, RoomLeftUnusedByAThreadIsGivenToTheOthers) {
  const std::size_t capacity = GetParam();
  weir::runtime rt(bounded(1, capacity, on_full::reject));
  std::atomic<std::size_t> ran{0};
  std::thread([&] { EXPECT_TRUE(rt.try_submit([&] { ++ran; })); }).join();
  gate stay, touched;
  std::thread holder([&] {
    EXPECT_TRUE(eventually([&] { return !!rt.try_submit([&] { ++ran; }); }));
    touched.open();
    stay.wait();
  });
  touched.wait();
  ASSERT_TRUE(rt.wait_idle());
  ASSERT_EQ(ran, 2u);
  {
    plug p(rt);
    EXPECT_EQ(fill(rt, ran), capacity);
  }
  stay.open();
  holder.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, capacity + 2);
}

INSTANTIATE_TEST_SUITE_P(Of, Capacity, ::testing::Values(1, 2, 3, 7, 63, 64, 65, 1000, 65536));

TEST(CapacityDefault, IsBounded) {
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(with_workers(1));
  plug p(rt);
  EXPECT_EQ(fill(rt, ran), weir::options{}.capacity);
}

TEST(CapacityDefault, ATaskThatStartsMakesRoomForExactlyOne) {
  constexpr std::size_t capacity = 16;
  weir::runtime rt(bounded(1, capacity, on_full::reject));
  plug p(rt);
  std::vector<std::unique_ptr<gate>> gates;
  std::atomic<std::size_t> started{0};
  const auto add = [&] {
    gates.push_back(std::make_unique<gate>());
    weir::status s = rt.submit([&started, g = gates.back().get()] {
      ++started;
      g->wait();
    });
    if (!s) gates.pop_back();
    return s;
  };
  for (std::size_t i = 0; i < capacity; ++i) ASSERT_TRUE(add());
  ASSERT_FALSE(add());
  p.release();
  for (std::size_t step = 1; step <= 40; ++step) {
    ASSERT_TRUE(eventually([&] { return started == step; }));
    EXPECT_TRUE(add()) << "step " << step;
    const weir::status s = add();
    ASSERT_FALSE(s) << "step " << step;
    EXPECT_EQ(s.error().code, errc::full);
    gates[step - 1]->open();
  }
  for (auto& g : gates) g->open();
  ASSERT_TRUE(rt.wait_idle());
}

TEST(CapacityDefault, BulkAdmitsAllOrNothing) {
  weir::runtime rt(bounded(2, 10, on_full::block));
  plug p(rt);
  std::atomic<int> ran{0};
  const auto tasks = [&](std::size_t n) { return std::vector<std::function<void()>>(n, [&] { ++ran; }); };
  EXPECT_TRUE(rt.try_submit_bulk(tasks(6)));
  auto five = tasks(5);
  const weir::status s = rt.try_submit_bulk(std::move(five));
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::full);
  ASSERT_EQ(five.size(), 5u);
  for (auto& f : five) EXPECT_TRUE(f) << "refused callables are untouched";
  EXPECT_FALSE(rt.try_submit_bulk(tasks(11))) << "more than the capacity never fits";
  EXPECT_TRUE(rt.try_submit_bulk(tasks(4)));
  EXPECT_FALSE(rt.try_submit([&] { ++ran; }));
  EXPECT_TRUE(rt.try_submit_bulk(tasks(0)));
  p.release();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 10);
}

// ---- P4

template <std::size_t Bytes>
void refused_callable_is_untouched(weir::runtime& rt) {
  tally t;
  {
    probe<Bytes> f(t);
    std::stop_source source;
    const weir::task_options lane{.prio = weir::lane::high};
    const weir::task_options conditions{.stop = source.get_token()};
    for (const weir::status& s :
         {rt.submit(f), rt.submit(std::move(f)), rt.submit(f, lane), rt.submit(std::move(f), conditions), rt.try_submit(f),
          rt.try_submit(std::move(f)), rt.try_submit(std::move(f), conditions)}) {
      ASSERT_FALSE(s);
      EXPECT_EQ(s.error().code, errc::full);
      EXPECT_TRUE(t.untouched()) << "copies " << t.copies << " moves " << t.moves;
    }
    auto h = rt.spawn(std::move(f));
    EXPECT_TRUE(h.ready());
    EXPECT_TRUE(t.untouched());
    EXPECT_FALSE(f.moved_from());
    auto r = h.get();
    ASSERT_FALSE(r);
    EXPECT_EQ(r.error().code, errc::full);
    EXPECT_FALSE(r.error().cause);
  }
  EXPECT_EQ(t.alive, 0);
}

TEST(RejectPolicy, AnswersFullAndLeavesTheCallableUntouched) {
  std::atomic<std::size_t> ran{0};
  weir::runtime rt(bounded(1, 2, on_full::reject));
  plug p(rt);
  ASSERT_EQ(fill(rt, ran), 2u);
  refused_callable_is_untouched<1>(rt);
  refused_callable_is_untouched<200>(rt);
  EXPECT_EQ(rt.metrics().rejected, 1u + 2 * 8) << "fill's last one, and eight each";
  EXPECT_EQ(rt.metrics().submitted, 3u);
}

TEST(RejectPolicy, TrySubmitNeverBlocksUnderTheBlockPolicyEither) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  ASSERT_TRUE(rt.submit([] {}));
  tally t;
  probe<64> f(t);
  const weir::status s = rt.try_submit(std::move(f));
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::full);
  EXPECT_TRUE(t.untouched());
}

TEST(RejectPolicy, ThereIsRoomAgainOnceTasksHaveStarted) {
  weir::runtime rt(bounded(2, 4, on_full::reject));
  std::atomic<std::size_t> ran{0};
  for (int round = 0; round < 200; ++round) {
    for (int i = 0; i < 4; ++i) ASSERT_TRUE(rt.submit([&] { ++ran; })) << "round " << round << ", at rest before it";
    ASSERT_TRUE(rt.wait_idle());
  }
  EXPECT_EQ(ran, 800u);
}

// ---- P5

struct blocked_submitter {
  std::atomic<int> tid{0};
  std::atomic<bool> returned{false};
  weir::status answer;
  std::thread thread;

  template <class Submit>
  explicit blocked_submitter(Submit submit) {
    thread = std::thread([this, submit] {
      tid = thread_id();
      answer = submit();
      returned = true;
    });
    EXPECT_TRUE(eventually([&] { return returned || (tid != 0 && asleep(tid)); }));
  }
  ~blocked_submitter() { thread.join(); }
};

TEST(BlockPolicy, WaitsUntilATaskStarts) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  std::atomic<int> ran{0};
  ASSERT_TRUE(rt.submit([&] { ++ran; }));
  {
    blocked_submitter b([&] { return rt.submit([&] { ++ran; }); });
    let_it_misbehave();
    EXPECT_FALSE(b.returned);
    p.release();
    EXPECT_TRUE(eventually([&] { return b.returned.load(); }));
    EXPECT_TRUE(b.answer);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2);
}

TEST(BlockPolicy, SpawnWaitsToo) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  ASSERT_TRUE(rt.submit([] {}));
  std::atomic<int> value{0};
  blocked_submitter b([&] {
    value = rt.spawn([] { return 7; }).get().value_or(-1);
    return weir::status{};
  });
  let_it_misbehave();
  EXPECT_FALSE(b.returned);
  p.release();
  EXPECT_TRUE(eventually([&] { return value == 7; }));
}

TEST(BlockPolicy, AStopTokenEndsTheWaitAndTheCallableIsUntouched) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  ASSERT_TRUE(rt.submit([] {}));
  std::stop_source source;
  tally t;
  probe<8> f(t);
  blocked_submitter b([&] { return rt.submit(std::move(f), {.stop = source.get_token()}); });
  EXPECT_FALSE(b.returned);
  source.request_stop();
  ASSERT_TRUE(eventually([&] { return b.returned.load(); }));
  ASSERT_FALSE(b.answer);
  EXPECT_EQ(b.answer.error().code, errc::cancelled);
  EXPECT_TRUE(t.untouched());
}

TEST(BlockPolicy, StartByEndsTheWaitAndTheCallableIsUntouched) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  ASSERT_TRUE(rt.submit([] {}));
  tally t;
  probe<8> f(t);
  const auto limit = weir::clock_type::now() + 30ms;
  const weir::status s = rt.submit(std::move(f), {.start_by = limit});
  EXPECT_GE(weir::clock_type::now(), limit);
  ASSERT_FALSE(s);
  EXPECT_EQ(s.error().code, errc::expired);
  EXPECT_TRUE(t.untouched());
  auto h = rt.spawn(std::move(f), {.start_by = weir::clock_type::now() + 5ms});
  auto r = h.get();
  ASSERT_FALSE(r);
  EXPECT_EQ(r.error().code, errc::expired);
  EXPECT_TRUE(t.untouched());
}

TEST(BlockPolicy, DrainAndAbortEndTheWaitWithStopped) {
  for (const bool by_abort : {false, true}) {
    weir::runtime rt(bounded(1, 1, on_full::block));
    plug p(rt);
    ASSERT_TRUE(rt.submit([] {}));
    tally t;
    probe<8> f(t);
    std::thread closer;
    {
      blocked_submitter b([&] { return rt.submit(std::move(f)); });
      EXPECT_FALSE(b.returned);
      closer = std::thread([&] { by_abort ? rt.abort() : rt.drain(); });
      EXPECT_TRUE(eventually([&] { return b.returned.load(); })) << "though the worker is still busy";
      p.release();
      EXPECT_TRUE(eventually([&] { return b.returned.load(); }));
      ASSERT_FALSE(b.answer);
      EXPECT_EQ(b.answer.error().code, errc::stopped);
      EXPECT_TRUE(t.untouched());
    }
    closer.join();
    tally after;
    probe<8> g(after);
    const weir::status s = rt.submit(std::move(g));
    ASSERT_FALSE(s);
    EXPECT_EQ(s.error().code, errc::stopped);
    EXPECT_TRUE(after.untouched());
  }
}

TEST(BlockPolicy, TheBlockedGetInInTheOrderInWhichTheyCame) {
  constexpr std::size_t n = 8;
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  gate steps[n + 1];
  std::atomic<std::size_t> started{0};
  ASSERT_TRUE(rt.submit([&] {
    ++started;
    steps[0].wait();
  }));
  {
    std::vector<std::unique_ptr<blocked_submitter>> blocked;
    for (std::size_t i = 1; i <= n; ++i) {
      blocked.push_back(std::make_unique<blocked_submitter>([&, i] {
        return rt.submit([&, i] {
          ++started;
          steps[i].wait();
        });
      }));
      EXPECT_FALSE(blocked.back()->returned);
    }
    p.release();  // the first task starts: room for exactly one
    for (std::size_t i = 1; i <= n; ++i) {
      ASSERT_TRUE(eventually([&] { return blocked[i - 1]->returned.load(); })) << "number " << i;
      EXPECT_TRUE(blocked[i - 1]->answer);
      for (std::size_t later = i; later < n; ++later) EXPECT_FALSE(blocked[later]->returned) << later + 1 << " passed " << i;
      ASSERT_TRUE(eventually([&] { return started == i; }));
      steps[i - 1].open();
    }
    steps[n].open();
  }
  ASSERT_TRUE(rt.wait_idle());
}

TEST(BlockPolicy, NewcomersDoNotPassTheBlocked) {
  constexpr std::size_t n = 6;
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  gate steps[n + 1];
  std::atomic<std::size_t> started{0};
  ASSERT_TRUE(rt.submit([&] {
    ++started;
    steps[0].wait();
  }));
  std::atomic<std::size_t> passed{0};
  std::atomic<bool> enough{false};
  std::vector<std::unique_ptr<blocked_submitter>> blocked;
  for (std::size_t i = 1; i <= n; ++i) {
    blocked.push_back(std::make_unique<blocked_submitter>([&, i] {
      return rt.submit([&, i] {
        ++started;
        steps[i].wait();
      });
    }));
  }
  std::thread newcomer([&] {
    while (!enough) {
      if (rt.try_submit([] {})) ++passed;
    }
  });
  p.release();
  for (std::size_t i = 1; i <= n; ++i) {  // after step i there was room for i, and i had been waiting for it
    EXPECT_TRUE(eventually([&] { return blocked[i - 1]->returned.load(); })) << "number " << i;
    let_it_misbehave(2ms);
    EXPECT_EQ(passed, 0u) << "while " << n - i << " wait";
    if (i < n) steps[i - 1].open();
  }
  enough = true;
  newcomer.join();
  for (auto& g : steps) g.open();
  blocked.clear();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_TRUE(rt.try_submit([] {})) << "nobody waits any more";
}

TEST(BlockPolicy, ACancelledWaiterDoesNotHoldUpThoseBehindIt) {
  weir::runtime rt(bounded(1, 1, on_full::block));
  plug p(rt);
  std::atomic<int> ran{0};
  ASSERT_TRUE(rt.submit([&] { ++ran; }));
  std::stop_source source;
  {
    blocked_submitter first([&] { return rt.submit([&] { ran += 100; }, {.stop = source.get_token()}); });
    blocked_submitter second([&] { return rt.submit([&] { ++ran; }); });
    source.request_stop();
    EXPECT_TRUE(eventually([&] { return first.returned.load(); }));
    EXPECT_FALSE(second.returned);
    p.release();
    EXPECT_TRUE(eventually([&] { return second.returned.load(); }));
    EXPECT_FALSE(first.answer);
    EXPECT_TRUE(second.answer);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 2);
}

// ---- P9

TEST(Handles, CompleteHoweverTheTaskEnds) {
  weir::options o = bounded(1, 3, on_full::reject);
  unhandled seen;
  seen.install(o);
  weir::runtime rt(o);
  const auto code = [](auto h) {
    auto r = h.get_until(weir::clock_type::now() + 10s);
    return r ? errc{} : r.error().code;
  };
  EXPECT_EQ(code(rt.spawn([] {})), errc{});
  EXPECT_EQ(code(rt.spawn([] { throw 1; })), errc::failed);
  EXPECT_EQ(code(rt.spawn(static_cast<void (*)()>(nullptr))), errc::invalid);
  plug p(rt);
  auto by_cancel = rt.spawn([] {});
  by_cancel.cancel();
  EXPECT_EQ(code(std::move(by_cancel)), errc::cancelled);
  std::stop_source source;
  auto by_token = rt.spawn([] {}, {.stop = source.get_token()});
  source.request_stop();
  EXPECT_EQ(code(std::move(by_token)), errc::cancelled);
  auto stopped_at_birth = rt.spawn([] {}, {.stop = source.get_token()});
  EXPECT_EQ(code(std::move(stopped_at_birth)), errc::cancelled);
  auto queued = rt.spawn([] {});
  auto bound = rt.spawn([] {}, {.worker = 0});
  auto high = rt.spawn([] {}, {.prio = weir::lane::high});
  EXPECT_EQ(code(rt.spawn([] {})), errc::full);
  std::thread aborter([&] { rt.abort(); });
  EXPECT_EQ(code(std::move(queued)), errc::stopped) << "while a task still runs";
  EXPECT_EQ(code(std::move(bound)), errc::stopped);
  EXPECT_EQ(code(std::move(high)), errc::stopped);
  p.release();
  aborter.join();
  EXPECT_EQ(code(rt.spawn([] {})), errc::stopped);
}

TEST(Handles, CompleteWhenTheRuntimeIsDestroyed) {
  std::vector<weir::join_handle<int>> handles;
  {
    weir::runtime rt(bounded(2, 100, on_full::reject));
    for (int i = 0; i < 100; ++i) handles.push_back(rt.spawn([i] { return i; }));
  }
  for (int i = 0; i < 100; ++i) {
    EXPECT_TRUE(handles[static_cast<std::size_t>(i)].ready());
    EXPECT_EQ(handles[static_cast<std::size_t>(i)].get().value_or(-1), i) << "drained, not dropped";
  }
}

}  // namespace
}  // namespace promise_full_queue_test
