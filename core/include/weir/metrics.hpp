// What a runtime has counted, and what a shutdown reports.
#pragma once

#include <weir/options.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace weir {
inline namespace v0 {

/// Counters of one worker, or of a spare, since the start of the runtime.
struct worker_stats {
  std::uint64_t started = 0;  ///< outermost and claimed tasks; forks are not counted
  std::uint64_t steals = 0;   ///< forks and queued tasks taken from other workers
  std::uint64_t parks = 0;    ///< times it went to sleep
  std::uint64_t wakes = 0;    ///< workers that it woke
  std::uint64_t forced = 0;   ///< exposures that it forced on busy workers
};

/// At rest (wait_idle returned true): submitted = ok + failed + cancelled + expired + dropped + stopped, exactly.
/// While tasks run the numbers are each correct, but not of one instant.
struct snapshot {
  std::uint64_t submitted = 0, rejected = 0;
  std::uint64_t ok = 0, failed = 0, cancelled = 0, expired = 0, dropped = 0, stopped = 0;
  std::uint64_t queued = 0, running = 0;
  std::uint64_t steals = 0, parks = 0, wakes = 0;
  std::uint64_t on_duty = 0;       ///< workers on duty now, surplus ones included (options::max_workers)
  std::uint64_t surplus_came = 0, surplus_went = 0;  ///< how often one came for a backlog, and went; the same after a shutdown
  std::uint64_t shed = 0;          ///< of the expired ones, those that options::codel_target ended
  bool overloaded = false;         ///< they are ended now, if they have waited too long
  std::uint64_t overran = 0;       ///< tasks that ran past their deadline, those that still do included
  std::vector<task_info> overdue;  ///< those that still do: name and worker; at most 16 inside of each other on one worker
  std::uint64_t stalled = 0;        ///< tasks that ran longer than options::stall_after, those that still do included
  std::vector<task_info> stalling;  ///< those that still do; at most 16 inside of each other on one thread
  std::vector<worker_stats> workers;
  /// Prometheus text exposition format, version 0.0.4.
  WEIR_API std::string prometheus() const;
};

struct report {
  std::uint64_t ran = 0;      ///< tasks that ran to their end in the runtime's life
  std::uint64_t stopped = 0;  ///< accepted tasks that never ran because of the shutdown
  std::vector<task_info> still_running;
  std::uint64_t unfinished = 0;  ///< accepted and not ended; after a drain's limit: what runs, and suspended coroutines, which have no name here
  bool complete = true;       ///< false: a deadline passed, or the call came from an own worker
};

}  // namespace v0
}  // namespace weir
