// Overload: once requests have waited too long for a while, those that nobody waits for any more are not run, so that the ones behind them are in
// time; health checks go through.
#include <weir/weir.hpp>

#include <chrono>
#include <cstdio>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main() {
  weir::options o;
  o.workers = 1;
  o.codel_target = 5ms;  // a request waits less than that when all is well
  weir::runtime rt(o);

  rt.pause();                                                         // the disk hangs, say
  auto first = rt.spawn([] { std::this_thread::sleep_for(120ms); });  // and then everything takes ages
  std::vector<weir::join_handle<void>> requests;
  for (int i = 0; i < 10; ++i) requests.push_back(rt.spawn([] { std::puts("never printed"); }));
  auto check = rt.spawn([] { return "alive"; }, {.prio = weir::lane::high});
  std::this_thread::sleep_for(20ms);
  rt.resume();

  std::printf("health check: %s\n", check.get().value());
  std::printf("the first request has run: %s\n", first.get() ? "yes" : "no");
  int expired = 0;
  for (auto& r : requests)
    if (auto said = r.get(); !said && said.error().code == weir::errc::expired)
      ++expired;  // answer 503, if the client is there
  std::printf("expired: %d of %zu\n", expired, requests.size());
  std::printf("shed, by the metrics: %llu\n", static_cast<unsigned long long>(rt.metrics().shed));
  std::this_thread::sleep_for(120ms);  // overload is over with its interval
  std::printf("a new request: %s\n", rt.spawn([] { return "in time"; }).get().value());
}

// prints:
// health check: alive
// the first request has run: yes
// expired: 10 of 10
// shed, by the metrics: 10
// a new request: in time
