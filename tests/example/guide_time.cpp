// What core/guide/time.md shows: two kinds of deadlines, timers that are called off.
#include <weir/weir.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int main() {
  weir::options o;
  o.workers = 1;
  weir::runtime rt(o);

  std::atomic<bool> enough{false};
  // start_by: whoever is served later than this has gone away already. deadline: it runs on, but is told.
  auto slow = rt.spawn(
      [&](std::stop_token token) {
        while (!token.stop_requested() || !enough) std::this_thread::sleep_for(1ms);
        return "half of an answer";
      },
      {.deadline = weir::clock_type::now() + 50ms, .name = "slow"});
  auto behind = rt.spawn([] { return "too late"; }, {.start_by = weir::clock_type::now() + 5ms});

  std::printf("behind it: %s, without having been begun\n", weir::to_string(behind.get().error().code));
  auto first = slow.get();  // at its deadline whoever waits is let go, once
  enough = true;
  std::printf("first: %s\n", weir::to_string(first.error().code));
  std::printf("then: %s\n", slow.get().value());

  // A timer is an object: it goes when that goes.
  std::atomic<int> rang{0};
  {
    const auto forgotten = weir::after(rt, 1h, [&] { ++rang; });
  }
  auto called_off = weir::after(rt, 1h, [&] { ++rang; });
  const bool once = called_off.cancel(), twice = called_off.cancel();  // true: it never starts
  std::printf("called off: %s, again: %s\n", once ? "yes" : "no", twice ? "yes" : "no");
  weir::after(rt, 1ms, [&] { ++rang; }).detach();
  const bool idle = rt.wait_idle();  // a pending timer is unfinished work
  std::printf("rang: %d, at rest: %s\n", rang.load(), idle ? "yes" : "no");

  auto refused = weir::every(rt, 0ms, [] {});
  std::printf("every 0 ms: %s\n", weir::to_string(refused.accepted().error().code));
}

// prints:
// behind it: expired, without having been begun
// first: timeout
// then: half of an answer
// called off: yes, again: no
// rang: 1, at rest: yes
// every 0 ms: invalid
