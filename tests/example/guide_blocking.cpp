// What core/guide/blocking.md shows: calls that block, from outside and from a task, and what refuses.
#include <weir/weir.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <thread>

using namespace std::chrono_literals;

int read_a_row(int n) {
  std::this_thread::sleep_for(5ms);  // a database
  return n;
}

int main() {
  weir::options o;
  o.workers = 1;
  o.max_blocking = 2;
  o.blocking_capacity = 3;
  weir::runtime rt(o);

  // In a task: the wait sleeps and a stand-in serves the others meanwhile.
  std::atomic<bool> served{false};
  auto request = rt.spawn([&] {
    auto row = rt.blocking([] { return read_a_row(7); });
    if (!rt.submit([&] { served = true; })) return -1;
    return row.get().value();
  });
  const int row = request.get().value();
  rt.wait_idle();
  std::printf("row %d, and others were served: %s\n", row, served ? "yes" : "no");

  // On a thread for blocking calls nothing forks; run() goes back to the workers.
  auto computed = rt.blocking([&] {
    const int n = read_a_row(20);
    const int outside = weir::this_task::worker(), inside = rt.run([] { return weir::this_task::worker(); });
    return n + outside + inside;  // -1 and 0
  });
  std::printf("computed %d\n", computed.get().value());

  // Two run, three wait, the sixth is refused: its handle is ready with the error.
  std::atomic<bool> go_on{false};
  std::atomic<int> began{0};
  const auto stuck = [&] {
    ++began;
    while (!go_on) std::this_thread::sleep_for(1ms);
  };
  weir::join_handle<void> calls[6];
  for (int i = 0; i < 6; ++i) {
    calls[i] = rt.blocking(stuck);
    if (i < 2)
      while (began <= i) std::this_thread::sleep_for(1ms);
  }
  std::printf("the sixth: %s\n", calls[5].ready() ? weir::to_string(calls[5].get().error().code) : "waits");
  go_on = true;
  for (int i = 0; i < 5; ++i) calls[i].get().value();
}

// prints:
// row 7, and others were served: yes
// computed 19
// the sixth: full
