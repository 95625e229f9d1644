// Priority lanes: health checks ahead of requests, requests ahead of clean-up, and nobody starves.
#include <weir/weir.hpp>

#include <cstdio>

int main() {
  weir::options o;
  o.workers = 1;
  o.starvation_bound = 16;  // of so many starts at least one serves each lane that waits
  weir::runtime rt(o);

  int starts = 0, first_check = 0, last_request = 0, first_cleaning = 0;  // one worker: no lock
  const auto note = [&starts](int& first) {
    ++starts;
    if (first == 0) first = starts;
  };
  bool accepted = true;
  rt.run([&] {  // on the worker, so nothing of it starts before all of it is there
    for (int i = 0; i < 100; ++i) {
      accepted = accepted && rt.submit([&] { note(first_cleaning); }, {.prio = weir::lane::low});
      accepted = accepted && rt.submit([&] { last_request = ++starts; });
      accepted = accepted && rt.submit([&] { note(first_check); }, {.prio = weir::lane::high});
    }
  });
  if (!accepted) return 1;
  rt.wait_idle();

  std::printf("the first health check starts as number %d\n", first_check);
  std::printf("clean-up has begun within the bound: %s\n", first_cleaning <= 16 ? "yes" : "no");
  std::printf("and all %d have run: %s\n", starts, last_request > 0 ? "yes" : "no");
}

// prints:
// the first health check starts as number 1
// clean-up has begun within the bound: yes
// and all 300 have run: yes
