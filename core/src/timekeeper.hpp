// The runtime's one clock: a wheel of what is due at a time, and a thread that sleeps until the next. Layer 5.
//
// Nothing is there before the first timed call. Then the thread sleeps exactly to the next time, for ever when there is none;
// whoever inserts an earlier one wakes it, a later one does not. A removed entry wakes nobody: the thread finds out when it
// would have been due, once.
//
// What is due is taken out under the lock, one by one, and dealt with outside of it, by node_due(). User code may run there,
// destructors and stop callbacks, so it may insert and remove. Nobody looks at an entry that he has taken out: its task may
// have put it in again.
//
// A timer, or a retry that waits, is a ticket that lies in the wheel instead of a queue: with its reference, and counted as
// submitted (P38). Of a series only the occurrence that is due is: between two it keeps nobody from rest.
//
// It also looks at a backlog, for elastic runtimes: at a time that is none of the wheel's, since no task is due then.
//
// Invariants (all state is under mutex_)
//   I1  while the thread sleeps nothing is due before sleeps_to_, or word_ has changed since it looked.
//   I2  once closed_ no ticket and no sleeper comes in; once leaving_ nothing does, and no thread is started.
#pragma once

#include "counter.hpp"
#include "futex.hpp"
#include "timer_wheel.hpp"

#include <weir/detail/task_node.hpp>
#include <weir/options.hpp>

#include <limits>
#include <memory>
#include <mutex>

#include <pthread.h>

namespace weir {
inline namespace v0 {
namespace detail {

class core;

// What is to be done when its time comes. Up to `retry` they are tickets; `sleep` is a coroutine that goes on; the others watch a
// task, or a part of a coroutine (alarm), with a reference of their own. Up to `sleep` a shutdown ends them.
namespace due {
inline constexpr std::uint8_t once = 1, series = 2, retry = 3, sleep = 4, start_by = 5, deadline = 6, alarm = 7;
constexpr bool is_ticket(std::uint8_t kind) noexcept { return kind <= retry; }
constexpr bool is_ended_by_shutdown(std::uint8_t kind) noexcept { return kind <= sleep; }
inline std::uint8_t kind_of(const timer_entry& e) noexcept { return e.kind() & static_cast<std::uint8_t>(before_ticket - 1); }
}  // namespace due

class timekeeper {
 public:
  enum class answer : std::uint8_t { ok, stopped, full, no_thread };

  explicit timekeeper(core& c) noexcept : core_(c) {}
  timekeeper(const timekeeper&) = delete;
  timekeeper& operator=(const timekeeper&) = delete;

  static std::uint64_t tick_of(time_point t) noexcept { return timer_wheel::tick_after(nanoseconds(t)); }

  /// 0: there is a thread. Else an errno; ECANCELED: there will be none.
  int ensure() noexcept;

  // A timer is admitted, then put in.
  /// no_thread: `error` says why there is none, or no memory for the wheel.
  answer admit(bool series, int& error) noexcept;
  void unadmit(bool series) noexcept;
  /// False: closed (tickets and sleepers), or no thread, or ready(), asked under the lock, said no. Until ready() has said yes the entry
  /// may be somebody else's.
  template <class Ready>
  bool put(timer_entry& e, std::uint8_t kind, Ready ready) noexcept {
    {
      const std::lock_guard lock(mutex_);
      if (leaving_ || (closed_ && due::is_ended_by_shutdown(kind))) return false;
      if ((!started_.load(relaxed) && start() != 0) || !ready()) return false;
      if (!insert(e)) return true;
    }
    wake();
    return true;
  }
  /// True: it was there, as that, and is the caller's now.
  bool remove(timer_entry& e, std::uint8_t kind) noexcept;
  bool remove_ticket(timer_entry& e) noexcept;
  /// An occurrence of a series is to be counted as ended although it was never due.
  void count_occurrence() noexcept;
  void count_late() noexcept;  // a task began after its deadline
  /// The thread calls core::look_at_backlog(), now, and again after as long as that says. False: there is no thread, and none to be had.
  bool look_now() noexcept;
  /// Somebody is to look for stalls at t, unless somebody will before (observation.hpp).
  void watch_stalls(time_point t) noexcept;
  void count_stall() noexcept { stalled_.add(); }  // on the timekeeper's own thread
  /// Uniform over 0 … most.
  std::uint64_t random(std::uint64_t most) noexcept;

  // ---- life ----
  void close() noexcept;         // no more tickets and sleepers; what is due already has been taken out when this returns
  template <class F>
  void take_tickets(F f) noexcept {  // f(entry) for each, outside of the lock; after close()
    for (unsigned list = 0; list != timer_wheel::list_count;) {
      timer_batch b = take_some(list);
      while (timer_entry* e = b.pop()) f(*e);
    }
  }
  void stop(bool join) noexcept;  // the thread ends; without join: by itself, at a time of its own
  void reopen() noexcept;         // after stop(true)
  void detach() noexcept;

  std::uint64_t submitted() const noexcept { return submitted_.get(); }
  std::uint64_t rejected() const noexcept { return rejected_.get(); }
  std::uint64_t late() const noexcept { return late_.get(); }
  std::uint64_t stalled() const noexcept { return stalled_.get(); }

 private:
  friend class diagnosis;
  static constexpr std::int64_t never_look = std::numeric_limits<std::int64_t>::max();
  static std::int64_t nanoseconds(time_point t) noexcept {
    return std::chrono::duration_cast<std::chrono::nanoseconds>(t.time_since_epoch()).count();
  }
  static void* main(void* keeper) noexcept;
  int start() noexcept;  // under the lock; 0 or an errno
  void run() noexcept;
  bool look(std::unique_lock<mutex>& lock) noexcept;  // false: it is not time
  bool insert(timer_entry& e) noexcept;  // under the lock; true: wake() is to be called
  void wake() noexcept { futex_wake(&word_, 1); }
  void took_out(const timer_entry& e) noexcept;  // under the lock
  bool do_due(std::unique_lock<mutex>& lock) noexcept;  // false: there was nothing to do
  bool look_for_stalls(std::unique_lock<mutex>& lock) noexcept;  // the same
  bool wakes_earlier(std::uint64_t tick) noexcept;  // under the lock; true: wake() is to be called
  timer_batch take_some(unsigned& list) noexcept;

  core& core_;
  mutex mutex_;
  std::unique_ptr<timer_wheel> wheel_;
  std::uint64_t sleeps_to_ = 0;  // 0: awake
  std::int64_t look_at_ = never_look;  // nanoseconds, as the clock's
  std::size_t headroom_ = 0;     // timers that may be accepted without a look at the sums
  std::size_t series_ = 0;       // that wait
  atomic<bool> started_{false};  // a hint without the lock
  bool closed_ = false, leaving_ = false, detached_ = false;
  pthread_t thread_{};
  own_counter<os_atomics> submitted_, rejected_, late_;  // written under the lock
  own_counter<os_atomics> stalled_;                      // by the thread
  std::uint64_t stalls_at_ = timer_wheel::never;         // the next look; under the lock
  bool watches_stalls_ = false;                          // there will be one; under the lock
  std::uint64_t random_ = 0;
  atomic<std::uint32_t> word_{0};
};

/// The core whose timekeeper the calling thread is, or null.
extern constinit thread_local const core* this_keeper __attribute__((tls_model("initial-exec")));

/// Its time has come: what that means is said by the kind that the entry had (timer.cpp; coroutine.cpp for those without a node).
void node_due(core& c, task_node& n, std::uint8_t kind) noexcept;
void sleep_ends(timer_entry& e, errc why) noexcept;  // errc{}: its time has come
void alarm_rings(timer_entry& e) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
