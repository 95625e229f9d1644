// What core/guide/services.md shows: admission, a health check, a graceful stop, what to watch.
#include <weir/weir.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <thread>
#include <utility>

using namespace std::chrono_literals;

std::atomic<weir::duration> waited{weir::duration{0}};  // what a task that starts now has waited

template <class Handler>
int answer(weir::runtime& rt, Handler handler) {
  const weir::status s = rt.submit([handler = std::move(handler), came = weir::clock_type::now()] {
    waited = weir::clock_type::now() - came;
    handler();
  });
  if (s) return 202;
  switch (s.error().code) {
    case weir::errc::full:     // Retry-After: retry_after()
    case weir::errc::stopped:  // it drains: let the client ask another instance
      return 503;
    default: return 500;  // no memory, or the callable's copy threw: s.error().cause says what
  }
}

long retry_after() {
  return std::max(1l, std::lround(std::ceil(std::chrono::duration<double>(waited.load()).count())));
}

// Would a request that comes now be begun in time?
bool serves(weir::runtime& rt, weir::duration limit) {
  const auto at_the_latest = weir::clock_type::now() + limit;
  return rt.spawn([] {}, {.prio = weir::lane::high, .start_by = at_the_latest}).get().has_value();
}

int main() {
  weir::options o;
  o.workers = 1;
  o.capacity = 2;                  // exact: accepted from outside, and not yet started
  o.full = weir::on_full::reject;  // a thread that serves a connection must not be made to wait
  weir::runtime rt(o);

  std::atomic<bool> busy{false}, go_on{false};
  const int first = answer(rt, [&] {
    for (busy = true; !go_on;) std::this_thread::yield();
  });
  while (!busy) std::this_thread::yield();
  std::printf("served within 100 ms while its only worker is busy: %s\n", serves(rt, 100ms) ? "yes" : "no");
  const int second = answer(rt, [] {}), third = answer(rt, [] {}), fourth = answer(rt, [] {});
  std::printf("%d %d %d %d\n", first, second, third, fourth);
  go_on = true;
  rt.wait_idle();
  std::printf("served when it is idle: %s, after at least a second: %s\n", serves(rt, 1min) ? "yes" : "no",
              retry_after() >= 1 ? "yes" : "no");

  const weir::report r = rt.drain(weir::clock_type::now() + 30s);
  std::printf("drained: %s; later: %d\n", r.complete && r.stopped == 0 ? "all of it" : "not all", answer(rt, [] {}));

  const weir::snapshot m = rt.metrics();
  std::printf("the books balance: %s\n", m.submitted == m.ok + m.expired ? "yes" : "no");
}

// prints:
// served within 100 ms while its only worker is busy: no
// 202 202 202 503
// served when it is idle: yes, after at least a second: yes
// drained: all of it; later: 503
// the books balance: yes
