// What an observer is told of coroutines: one task each, however often it is suspended, and its context goes along.
#include <weir/weir.hpp>

#include <recorder.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace observer_coroutines_test {
namespace {

using namespace test;
using weir::errc;
using weir::task;

struct in_context {
  explicit in_context(std::uintptr_t c) : before(std::exchange(recorder::context, c)) {}
  ~in_context() { recorder::context = before; }
  in_context(const in_context&) = delete;
  std::uintptr_t before;
};

// How often somebody looked, and how often it was there.
struct looks {
  std::atomic<unsigned> all{0}, right{0};
  void look() {
    ++all;
    right += recorder::context == 42;
  }
};

task<> part(looks& l) {
  l.look();
  co_await weir::yield();
  l.look();
}
task<> walk(looks& l, weir::runtime& rt, weir::strand& s) {
  l.look();
  co_await weir::yield();
  l.look();
  co_await weir::sleep_until(weir::clock_type::now() + 1ms);
  l.look();
  co_await weir::schedule(s);
  l.look();
  EXPECT_TRUE(co_await rt.spawn([&] { l.look(); }, {.name = "child"}));
  l.look();
  static_cast<void>(co_await weir::when_all(part(l), part(l), part(l)));
  l.look();
  co_await weir::when_any(part(l), part(l));
  l.look();
}

TEST(CoroutinesObserved, StartAndEndOnceAndCarryTheirContext) {
  constexpr unsigned count = 20;
  recorder seen;
  looks l;
  {
    weir::runtime rt(observed_by(seen, with_workers(3)));
    weir::strand s(rt);
    for (unsigned i = 0; i < count; ++i) {
      auto h = [&] {
        const in_context here(42);
        return weir::spawn(rt, walk(l, rt, s), {.name = "walk"});
      }();
      EXPECT_TRUE(rt.submit([] { EXPECT_EQ(recorder::context, 0u) << "what is suspended leaves nothing behind"; }));
      h.get().value();
    }
    ASSERT_TRUE(rt.wait_idle());
  }
  seen.check(3 * count);
  EXPECT_EQ(l.all, 18 * count);
  EXPECT_EQ(l.right, l.all);
  const auto started = seen.of(told::start, "walk"), ended = seen.of(told::end, "walk");
  ASSERT_EQ(started.size(), count);
  ASSERT_EQ(ended.size(), count);
  for (unsigned i = 0; i < count; ++i) {
    EXPECT_EQ(started[i].info.id, ended[i].info.id);
    EXPECT_EQ(started[i].info.started, ended[i].info.started);
    EXPECT_EQ(started[i].context, 42u);
    EXPECT_EQ(ended[i].context, 42u);
    EXPECT_EQ(ended[i].code, errc{});
  }
  const auto children = seen.of(told::start, "child");
  ASSERT_EQ(children.size(), count);
  for (unsigned i = 0; i < count; ++i) EXPECT_EQ(children[i].info.parent, started[i].info.id);
}

task<> sleeps() { co_await weir::sleep_until(weir::clock_type::now() + 1h); }

TEST(CoroutinesObserved, EndAsTheyEnded) {
  recorder seen;
  {
    weir::runtime rt(observed_by(seen, with_workers(2)));
    auto asleep = weir::spawn(rt, sleeps(), {.name = "cancelled"});
    ASSERT_TRUE(eventually([&] { return seen.count(told::start) == 1; }));
    asleep.cancel();
    EXPECT_EQ(asleep.get().error().code, errc::cancelled);
    auto failing = [](int code) -> task<> {
      co_await weir::yield();
      if (code != 0) throw code;
    };
    EXPECT_EQ(weir::spawn(rt, failing(1), {.name = "failed"}).get().error().code, errc::failed);
    plug busy(rt, 2);
    auto behind = weir::spawn(rt, failing(0), {.name = "discarded"});
    behind.cancel();
    EXPECT_EQ(behind.get().error().code, errc::cancelled);
    busy.release();
    ASSERT_TRUE(rt.wait_idle());
  }
  seen.check(5);
  const auto code = [&](told what, const char* name) {
    const auto of = seen.of(what, name);
    return of.size() == 1 ? of.front().code : errc{};
  };
  EXPECT_EQ(code(told::end, "cancelled"), errc::cancelled);
  EXPECT_EQ(code(told::end, "failed"), errc::failed);
  EXPECT_EQ(code(told::discard, "discarded"), errc::cancelled);
}

TEST(CoroutinesObserved, AShutdownEndsThoseThatAreSuspendedOnce) {
  for (const bool abort : {false, true}) {
    recorder seen;
    {
      weir::runtime rt(observed_by(seen, with_workers(2)));
      weir::strand s(rt);
      for (int i = 0; i < 10; ++i) {
        weir::spawn(rt, sleeps()).detach();
        weir::spawn(s, sleeps()).detach();
      }
      EXPECT_TRUE(abort ? rt.abort().complete : rt.drain().complete);
    }
    seen.check(20);
  }
}

TEST(CoroutinesObserved, ASegmentThatStallsIsTold) {
  recorder seen;
  weir::options o = with_workers(1);
  o.stall_after = 2ms;
  weir::runtime rt(observed_by(seen, o));
  const auto stalls = [](recorder& r) -> task<bool> {
    co_await weir::yield();
    co_return eventually([&] { return r.count(told::stall) != 0; });
  };
  EXPECT_TRUE(weir::spawn(rt, stalls(seen), {.name = "slow"}).get().value());
  for (const event& e : seen.of(told::stall)) EXPECT_STREQ(e.info.name, "slow");
}

// ---- the token of a segment, in a fork that another worker has taken

task<bool> forks() {
  co_await weir::yield();
  std::atomic<bool> over{false}, asked{false};
  static_cast<void>(weir::fork_join(
      [&] {
        while (!over) std::this_thread::yield();
      },
      [&] {
        const std::stop_token mine = weir::this_task::token();
        asked = eventually([&] { return mine.stop_requested(); });
        over = true;
      }));
  co_return asked.load();
}
task<bool> told_by_its_deadline() {
  auto r = co_await weir::with_deadline(forks(), weir::clock_type::now() + 1ms);
  co_return r ? *r : r.error().code == errc::timeout;
}
task<bool> told_by_the_winner(std::atomic<bool>& asked) {
  const auto loser = [](std::atomic<bool>& out) -> task<> { out = co_await forks(); };
  co_await weir::when_any(loser(asked), weir::sleep_until(weir::clock_type::now() + 1ms));
  co_return asked.load();
}

TEST(CoroutineToken, AStolenForkHasThatOfItsBranch) {
  weir::runtime rt(with_workers(3));  // two are inside of the fork, one resumes the winner
  for (int i = 0; i < 20; ++i) {
    std::atomic<bool> asked{false};
    EXPECT_TRUE(weir::spawn(rt, told_by_the_winner(asked)).get().value());
    EXPECT_TRUE(weir::spawn(rt, told_by_its_deadline()).get().value());
  }
}

}  // namespace
}  // namespace observer_coroutines_test
