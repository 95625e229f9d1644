// Threads beside the workers for calls that block: as many as there are such calls, up to a limit, with a bounded queue of its
// own. Layer 5.
//
// No thread before the first call. A thread that has had nothing to do for `keep_alive` ends; the last one to sleep is the first
// to be woken. Everything is under one mutex: a call that blocks costs more.
//
// A task here is a node whose ticket lies in waiting_ instead of a lane. The room for it is promised before its callable is
// touched. A cancelled one stays there, stale, until a thread or somebody who finds the queue full takes it out: he looks through the
// queue only if there is one, so that refusing costs nothing while the pool is overloaded. One that has
// thrown and waits for another attempt comes back here from the timekeeper's wheel, past the capacity (P38).
//
// Invariant (under mutex_)   I1  while a ticket waits or is promised, a thread looks for work or all max_blocking are busy, but
//                                where no thread can be had: then those that there are take it in turn.
//
// Edges: the lock's; of a thread that others look at in append_list.hpp, of its sleep in parker.hpp.
#pragma once

#include "append_list.hpp"
#include "counter.hpp"
#include "futex.hpp"
#include "parker.hpp"
#include "runner.hpp"

#include <weir/detail/task_node.hpp>

#include <mutex>
#include <optional>
#include <vector>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace detail {

class blocking_pool;

struct side_thread : runner {
  explicit side_thread(core& c) noexcept : owner(c) {}
  core& owner;
  parker<os_atomics> bed;
  pthread_t thread{};
  bool alive = false, joinable = false;  // under the pool's mutex
};

/// The thread of a blocking pool that the caller is, or null.
extern constinit thread_local side_thread* this_side __attribute__((tls_model("initial-exec")));

class blocking_pool {
 public:
  explicit blocking_pool(core& c) noexcept : core_(c) {}
  blocking_pool(const blocking_pool&) = delete;
  blocking_pool& operator=(const blocking_pool&) = delete;

  /// Promises a place, and a thread that will come to it. Errors: full, stopped, failed with its cause.
  status admit() noexcept;
  void unadmit() noexcept;
  void put(const job& ticket) noexcept;        // after admit()
  bool put_again(const job& ticket) noexcept;  // for another attempt, past the capacity; false: no memory, or no thread

  template <class F>
  void take_all(F f) noexcept {  // f(ticket) for each, outside of the lock
    for (job j; take_one(j);) f(j);
  }
  bool any_waits() const noexcept;
  void note_stale(std::int64_t more) noexcept { stale_.fetch_add(more, relaxed); }
  void look_again() noexcept;  // makes the threads that sleep look

  // A thread of the pool waits for a task of the pool.
  class one_waits {
   public:
    explicit one_waits(blocking_pool& p) noexcept : pool_(p) { pool_.waits_.fetch_add(1, relaxed); }
    ~one_waits() { pool_.waits_.fetch_sub(1, relaxed); }
    one_waits(const one_waits&) = delete;
    one_waits& operator=(const one_waits&) = delete;

   private:
    blocking_pool& pool_;
  };
  bool all_wait() noexcept;
  template <class F>
  void each_running(F f) const {  // f(side_thread&), ended ones included
    sides_.each(f);
  }
  void stop(bool join) noexcept;  // the threads end as soon as they have nothing to do
  void reopen() noexcept;         // after stop(true)
  void detach() noexcept;
  std::size_t busy() const noexcept;
  std::uint64_t rejected() const noexcept { return rejected_.get(); }

 private:
  friend class diagnosis;
  static void* main(void* side) noexcept;
  void run(side_thread& me) noexcept;
  // A thread that went, whose place another has taken: joined outside of the lock, for its thread_local destructors are the user's.
  struct former_thread {
    std::optional<pthread_t> was;
    ~former_thread();
  };
  int start(former_thread& gone) noexcept;  // under the lock; 0 or an errno
  void sweep(std::unique_lock<mutex>& lock) noexcept;
  void make_room();               // under the lock
  bool pop(job& out) noexcept;    // under the lock
  bool take_one(job& out) noexcept;
  bool may_take() const noexcept;
  side_thread* to_wake() noexcept;  // under the lock
  std::size_t queued() const noexcept { return waiting_.size() - head_; }

  core& core_;
  mutable mutex mutex_;
  std::vector<job> waiting_;  // from head_ on
  std::size_t head_ = 0, promised_ = 0;
  append_list<os_atomics, side_thread> sides_;
  atomic<unsigned> waits_{0};
  atomic<std::int64_t> stale_{0};  // tickets that wait, or are about to be let go of, whose task has ended without them
  std::vector<side_thread*> idle_;
  unsigned threads_ = 0, looking_ = 0;  // of them those that are not inside a task
  bool leaving_ = false, detached_ = false;
  own_counter<os_atomics> rejected_;  // written under the lock
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
