// What core/guide/tuning.md shows: what the counters say about a load.
#include <weir/weir.hpp>

#include <cstdint>
#include <cstdio>
#include <string>

int main() {
  weir::options o;
  o.workers = 2;
  o.name = "tuned";
  weir::runtime rt(o);

  const weir::snapshot before = rt.metrics();
  for (int i = 0; i < 1000; ++i)
    if (!rt.submit([] {})) return 1;
  rt.wait_idle();
  const weir::snapshot after = rt.metrics();

  std::printf("ran %d\n", static_cast<int>(after.ok - before.ok));
  std::uint64_t started = 0;
  for (const weir::worker_stats& w : after.workers) started += w.started;  // and steals, parks, wakes, forced
  std::printf("by all workers: %d\n", static_cast<int>(started));
  std::printf("for Prometheus: %s\n",
              rt.metrics().prometheus().find("weir_tasks_queued 0") != std::string::npos ? "yes" : "no");
}

// prints:
// ran 1000
// by all workers: 1000
// for Prometheus: yes
