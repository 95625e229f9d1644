// What core/guide/coroutines.md shows: what else can be awaited, a library that calls back, and how one is told to stop.
#include <weir/weir.hpp>

#include <atomic>
#include <coroutine>
#include <cstdio>
#include <functional>
#include <string>
#include <thread>

using namespace std::chrono_literals;
using weir::task;

std::string read_slowly(const std::string& name) {
  std::this_thread::sleep_for(1ms);  // a system call
  return "contents of " + name;
}

// A call that blocks has a thread of its own, and the coroutine has none while it waits.
task<std::size_t> size_of(weir::runtime& rt, std::string name) {
  auto reading = rt.blocking([name] { return read_slowly(name); });
  co_return (co_await reading).value().size();
}

// Children may refer to what the coroutine has: it goes on when all of them have ended.
task<int> sum_to(int n) {
  std::atomic<int> sum{0};
  weir::task_group group(weir::here());
  for (int i = 1; i <= n; ++i) group.run([&sum, i] { sum += i; });
  (co_await group).value();
  co_return sum.load();
}

// Stands for a library that calls back on a thread of its own.
struct library {
  std::jthread thread;
  void ask(int question, std::function<void(int)> done) { thread = std::jthread([=] { done(question * 2); }); }
};

// It is resumed on the library's thread. yield() takes it back to where it was: a worker, its strand.
task<int> ask(library& lib, int question) {
  struct call {
    library& lib;
    int question, answer = 0;
    bool await_ready() const noexcept { return false; }
    void await_suspend(std::coroutine_handle<> h) {
      lib.ask(question, [this, h](int a) { answer = a, h.resume(); });
    }
    int await_resume() const noexcept { return answer; }
  };
  const int answer = co_await call{lib, question};
  co_await weir::yield();
  co_return answer;
}

// When it is told to stop, sleep_until() throws. Let that pass: then it has ended as `cancelled` or `stopped`, not as failed.
task<> heartbeat(std::atomic<int>& beats) {
  for (;;) {
    ++beats;
    co_await weir::sleep_until(weir::clock_type::now() + 1ms);
  }
}

int main() {
  library lib;
  std::atomic<int> beats{0};
  weir::runtime rt({.workers = 2});
  std::printf("size: %zu\n", weir::spawn(rt, size_of(rt, "motd")).get().value());
  std::printf("sum: %d\n", weir::spawn(rt, sum_to(100)).get().value());
  std::printf("answer: %d\n", weir::spawn(rt, ask(lib, 21)).get().value());

  auto beating = weir::spawn(rt, heartbeat(beats));
  while (beats < 3) std::this_thread::sleep_for(1ms);
  beating.cancel();
  std::printf("heartbeat: %s\n", weir::to_string(beating.get().error().code));

  // A lambda's captures are not in the frame: give it what it needs as parameters.
  auto greet = [](std::string name) -> task<std::string> { co_return "hello, " + name; };
  std::printf("%s\n", weir::spawn(rt, greet("alice")).get().value().c_str());
}
// prints:
// size: 16
// sum: 5050
// answer: 42
// heartbeat: cancelled
// hello, alice
