// A graceful stop: on SIGTERM no new work, half a minute for what was accepted, and what did not run is kept, not lost.
#include <weir/weir.hpp>

#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>
#include <vector>

using namespace std::chrono_literals;

int main() {
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);  // this thread asks for it by sigwait; workers block signals anyway

  weir::options o;
  o.workers = 1;
  weir::runtime rt(o);
  for (int i = 0; i < 3; ++i)
    if (!rt.submit([] { std::this_thread::sleep_for(1ms); })) return 1;
  if (!rt.submit([](std::stop_token token) { while (!token.stop_requested()) std::this_thread::sleep_for(1ms); })) return 1;
  for (int i = 0; i < 5; ++i)
    if (!rt.submit([] { std::puts("not in time"); })) return 1;

  raise(SIGTERM);  // somebody wants us gone
  int signal = 0;
  sigwait(&terminate, &signal);

  const auto limit = weir::clock_type::now() + 30s;  // rt.drain(limit) when nothing need be kept
  const auto left = [&] { const weir::snapshot m = rt.metrics(); return m.ok < 3 || m.running == 0; };
  while (left() && weir::clock_type::now() < limit) std::this_thread::sleep_for(1ms);
  std::vector<weir::task_fn> kept;  // what has not begun, for a queue on disk
  const weir::report r = rt.abort([&](weir::task_fn&& f) { kept.push_back(std::move(f)); });

  std::printf("%llu ran, %llu did not, %zu are kept\n", static_cast<unsigned long long>(r.ran),
              static_cast<unsigned long long>(r.stopped), kept.size());
  std::printf("a late one: %s\n", weir::to_string(rt.submit([] {}).error().code));
}

// prints:
// 4 ran, 5 did not, 5 are kept
// a late one: stopped
