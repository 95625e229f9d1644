// Tasks that hold the workers until they are let go.
#pragma once

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>

namespace bench {

class gate {
 public:
  void wait() const noexcept { open_.wait(false, std::memory_order_acquire); }
  void open() noexcept {
    open_.store(true, std::memory_order_release);
    open_.notify_all();
  }

 private:
  std::atomic<bool> open_{false};
};

// Looks every 50 µs, for a minute.
template <class Done>
void until(Done&& done) {
  const auto limit = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!done()) {
    if (std::chrono::steady_clock::now() > limit) throw std::runtime_error("tasks were lost, or never started");
    std::this_thread::sleep_for(std::chrono::microseconds(50));
  }
}

// Returns when each worker stands in a task.
template <class Peer>
void stand_in(Peer& peer, unsigned workers, const gate& g) {
  static std::atomic<unsigned> here;
  here = 0;
  for (unsigned i = 0; i < workers; ++i)
    peer.submit([&g] {
      here.fetch_add(1);
      g.wait();
    });
  until([workers] { return here.load() == workers; });
}

}  // namespace bench
