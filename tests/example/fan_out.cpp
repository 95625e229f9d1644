// Fan-out with a limit and the first error: at most four downloads at once, and the first that fails calls off the rest.
#include <weir/weir.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>
#include <thread>

// Gives up when its token fires, as whoever downloads something should.
void download(int part, const std::stop_token& token) {
  if (part == 7) throw std::runtime_error("part 7: connection reset");
  for (int i = 0; i < 20 && !token.stop_requested(); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

int main() {
  weir::runtime rt;
  std::atomic<int> started{0}, at_once{0}, most{0};

  weir::task_group group(rt, {.limit = 4});
  for (int part = 0; part < 100; ++part)
    group.run([&, part](std::stop_token token) {  // past the limit it queues in the group; run() waits for nobody
      ++started;
      const int now = ++at_once;
      for (int m = most; now > m && !most.compare_exchange_weak(m, now);) {}
      try {
        download(part, token);
      } catch (...) {
        --at_once;
        throw;
      }
      --at_once;
    });

  const weir::status s = group.wait();  // after everything that was started has ended
  try {
    s.value();
  } catch (const std::exception& e) {
    std::printf("%s\n", e.what());
  }
  std::printf("at most four at once: %s\n", most <= 4 ? "yes" : "no");
  std::printf("all hundred were started: %s\n", started == 100 ? "yes" : "no");
}

// prints:
// part 7: connection reset
// at most four at once: yes
// all hundred were started: no
