// weir inside a Boost.Asio event loop: the loop's one thread does I/O, weir computes, and the answer comes back to it.
#include <weir/weir.hpp>

#include <boost/asio.hpp>

#include <cstdio>
#include <functional>
#include <optional>
#include <thread>

namespace asio = boost::asio;

// Runs `work` on weir and `done(result)` on the loop. False: weir is full, and the connection gets its 503 from here.
template <class Work, class Done>
bool offload(weir::executor_ref to, asio::io_context& loop, Work work, Done done) {
  auto task = [&loop, alive = asio::make_work_guard(loop), work = std::move(work), done = std::move(done)]() mutable {
    asio::post(loop, [done = std::move(done), result = work()]() mutable { done(result); });
  };
  return static_cast<bool>(to.try_submit(std::move(task)));
}

long fib(int n) {
  if (n < 2) return n;
  const auto [a, b] = weir::fork_join([n] { return fib(n - 1); }, [n] { return fib(n - 2); });
  return a + b;
}

int main() {
  asio::io_context loop;  // before the runtime, so that it goes after it: tasks post to it
  weir::runtime rt;
  const auto loop_thread = std::this_thread::get_id();

  int ticks = 0;
  asio::steady_timer clock(loop);
  std::optional<long> answer;
  std::function<void(boost::system::error_code)> tick = [&](boost::system::error_code) {
    if (++ticks; answer) return;
    clock.expires_after(std::chrono::milliseconds(1));
    clock.async_wait(tick);
  };
  asio::post(loop, [&] {
    tick({});  // the loop goes on while weir computes on all cores
    const bool accepted = offload(rt, loop, [] { return fib(25); }, [&](long n) {
      answer = n;
      std::printf("on the loop's thread: %s\n", std::this_thread::get_id() == loop_thread ? "yes" : "no");
    });
    if (!accepted) std::puts("503");
  });
  loop.run();
  std::printf("fib(25) = %ld\n", answer.value_or(-1));
  std::printf("the loop ticked meanwhile: %s\n", ticks > 0 ? "yes" : "no");
}

// prints:
// on the loop's thread: yes
// fib(25) = 75025
// the loop ticked meanwhile: yes
