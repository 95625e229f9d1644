// options::stall_after, told exactly: time is simulated and passes only when everybody sleeps, or by nanoseconds a step.
#include "exactly.hpp"

#include <weir/weir.hpp>

#include <gtest/gtest.h>

#include <string>
#include <system_error>
#include <vector>

namespace {

namespace sim = weir::sim;
using namespace std::chrono_literals;
using weir::clock_type;

constexpr auto limit = 20ms;

struct hears final : weir::observer {
  struct stall {
    std::string of;
    weir::duration ran{};
    bool may_not_wait = false;
  };
  weir::runtime* rt = nullptr;
  std::vector<stall> stalls;

  void on_stall(const weir::task_info& i) noexcept override {
    stall s{i.name, clock_type::now() - i.started};
    try {
      rt->run([] {});
    } catch (const std::system_error& e) {
      s.may_not_wait =
          e.code() == weir::make_error_code(weir::errc::starved);  // so it is the thread that tells the time
    }
    stalls.push_back(s);
  }
  void check(const std::vector<std::string>& names) const {
    sim::check(stalls.size() == names.size(), "each is told once");
    for (std::size_t i = 0; i < names.size(); ++i) {
      sim::check(stalls[i].of == names[i], "in the order in which their time has come");
      sim::check(stalls[i].ran >= limit && stalls[i].ran < limit + soon, "when it has come");
    }
  }
};

weir::options watched(unsigned workers, weir::observer* obs = nullptr) {
  weir::options o;
  o.workers = workers;
  o.stall_after = limit;
  o.obs = obs;
  return o;
}

TEST(SimulatedStalls, AreToldOnceWhenTheirTimeHasComeByTheThreadThatTellsTheTime) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      hears seen;
      weir::runtime rt(watched(2, &seen));
      seen.rt = &rt;
      for (int i = 0; i < 30; ++i)  // none of them takes long, together they do
        static_cast<void>(rt.submit([] { std::this_thread::sleep_for(limit / 10); }, {.name = "short"}));
      rt.wait_idle();
      static_cast<void>(rt.submit([] { std::this_thread::sleep_for(10 * limit); }, {.name = "first"}));
      std::this_thread::sleep_for(limit / 3);
      static_cast<void>(rt.submit([] { std::this_thread::sleep_for(2 * limit); }, {.name = "second"}));
      rt.wait_idle();
      rt.blocking([] { std::this_thread::sleep_for(2 * limit); }, {.name = "beside"}).get().value();
      seen.check({"first", "second", "beside"});
      for (const hears::stall& s : seen.stalls) sim::check(s.may_not_wait, "by the thread that tells the time");
      sim::check(rt.metrics().stalled == 3, "and counted");
    }));
}

TEST(SimulatedStalls, AreToldWhileTheRuntimeIsDrained) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed)
    EXPECT_TRUE(exactly(seed, [] {
      hears seen;
      weir::runtime rt(watched(2, &seen));
      seen.rt = &rt;
      static_cast<void>(rt.submit([] { std::this_thread::sleep_for(5 * limit); }, {.name = "a"}));
      const weir::report r = rt.drain(clock_type::now() + limit / 4);
      sim::check(!r.complete && r.still_running.size() == 1, "it still runs");
      sim::check(seen.stalls.empty(), "and does not stall yet");
      sim::check(rt.drain().complete, "it has ended");
      seen.check({"a"});
    }));
}

// Of what runs and was told of nobody asks any more, nor of a runtime where nothing runs.
TEST(SimulatedStalls, AYearOfOneStallTakesNoMoreStepsThanASecond) {
  const auto steps_of = [](weir::duration run, weir::duration rest) {
    const sim::result r = exactly(1, [=] {
      weir::runtime rt(watched(1));
      static_cast<void>(rt.submit([=] { std::this_thread::sleep_for(run); }));
      rt.wait_idle();
      sim::check(rt.metrics().stalled == 1, "told");
      std::this_thread::sleep_for(rest);
    });
    EXPECT_TRUE(r);
    EXPECT_GE(r.time, run + rest);
    return r.steps;
  };
  const std::uint64_t second = steps_of(1s, 1s);
  EXPECT_LT(steps_of(24h * 365, 1s), second + 50);
  EXPECT_LT(steps_of(1s, 24h * 365), second + 50);
}

}  // namespace
