// A timeout and a cancellation: whoever waits gives up after 5 ms, the task is told, and what has not begun never does.
#include <weir/weir.hpp>

#include <chrono>
#include <cstdio>
#include <latch>
#include <thread>

using namespace std::chrono_literals;

int main() {
  weir::options o;
  o.workers = 1;
  weir::runtime rt(o);

  std::latch begun(1);
  auto slow = rt.spawn([&](std::stop_token token) {  // threads are never killed: a task is asked to stop
    begun.count_down();
    int steps = 0;
    do std::this_thread::sleep_for(1ms), ++steps;
    while (!token.stop_requested());
    return steps;
  });
  auto next = rt.spawn([] { std::puts("never printed"); });

  begun.wait();
  if (auto r = slow.get_until(weir::clock_type::now() + 5ms); !r) std::printf("slow: %s\n", weir::to_string(r.error().code));
  next.cancel();  // before its start: its callable and its place in the queue are gone at once
  std::printf("next: %s\n", weir::to_string(next.get().error().code));
  slow.cancel();  // while it runs: its token fires
  std::printf("slow ended by itself: %s\n", slow.get().value() > 0 ? "yes" : "no");

  // The same by a token of the caller's, say of the connection that the work is for.
  std::stop_source connection;
  rt.pause();
  auto work = rt.spawn([] { std::puts("never printed"); }, {.stop = connection.get_token(), .name = "work"});
  connection.request_stop();
  std::printf("work: %s\n", weir::to_string(work.get().error().code));
  rt.resume();
}

// prints:
// slow: timeout
// next: cancelled
// slow ended by itself: yes
// work: cancelled
