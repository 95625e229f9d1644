// Tasks that start at a time: at, after, every. Layer 6.
//
// A timer is a task that is submitted when its time has come: to the normal lane, on any worker, as if this had been its
// submission; a due timer is never refused. It is never early, and as a rule a few dozen microseconds late, plus what the
// scheduler adds: the time is told by one thread that the first timed call starts and that sleeps in between. Timers that
// are due within one microsecond start in the order in which they were made, others in the order of their times; with
// several workers starts overlap, as with all tasks. Through a strand or limited: it is handed to that when it is due, past
// its capacity.
//
// A pending timer counts in options::max_outstanding, not in capacity. It has been accepted and is unfinished, so wait_idle()
// waits for it; a series keeps nobody from rest between two of its times. drain() cancels what is not due, abort() hands it
// out; an abort on an own worker, or after a drain has begun, finds it cancelled. A series counts against other timers only.
//
// Times are of the steady clock: they do not go on while the machine is suspended. O(1) each, some 100 ns; timing wheel of
// Varghese and Lauck, SOSP 1987.
#pragma once

#include <weir/executor.hpp>

namespace weir {
inline namespace v0 {

/// What becomes of the occurrences of every() that come while an earlier one is queued or runs. None ever runs beside another.
///   skip      they do not take place
///   queue     they follow, one after another, until time is caught up with
///   coalesce  one follows for all of them
enum class overlap : std::uint8_t { skip, queue, coalesce };

namespace detail {

struct timer_node : task_node {
  time_point due;     // exactly; the entry before the node has it in ticks
  duration period{};  // 0: no series
  overlap how{};
};

// Counts the timer. ok; or stopped, full, failed with the cause: no thread, no memory.
WEIR_API status timer_admit(core& c, bool series) noexcept;
WEIR_API void timer_unadmit(core& c, bool series) noexcept;
WEIR_API void timer_start(timer_node& n) noexcept;
WEIR_API bool timer_cancel(task_node& n) noexcept;
WEIR_API time_point timer_due(duration from_now) noexcept;

template <class F>
struct timer_node_of final : timer_node {
  union storage_t {
    storage_t() noexcept {}
    ~storage_t() {}
    F callable;
  } s;

  static timer_node_of& self(task_node& n) noexcept { return static_cast<timer_node_of&>(n); }

  static outcome run(task_node& n) noexcept {
    check_result_is_dropped<F>();
    auto& me = self(n);
    if (me.period != duration::zero() && !series_begins(n)) return outcome_of(errc::cancelled);
    outcome out = outcome_ok;
    WEIR_TRY {
      if constexpr (takes_token<F>) static_cast<void>(std::invoke(me.s.callable, node_token(n)));
      else static_cast<void>(std::invoke(me.s.callable));
    }
    WEIR_CATCH_ALL { out = failure(me); }
    return me.period == duration::zero() ? destroy_callable(me, out) : out;
  }
  static void fail(task_node& n, errc e) noexcept {
    if (e == errc::failed) report_unhandled(node_owner(n), unrun_error(e).cause, nullptr);
    destroy_callable(self(n), outcome_ok);
  }
  static bool extract(task_node& n, task_fn& out) {
    auto& me = self(n);
    if (me.period != duration::zero() && (n.state.fetch_or(node_state::begun, relaxed) & node_state::over) != 0)
      return fail(n, errc::cancelled), false;  // cancel() was first
    struct at_end {
      timer_node_of& me;
      ~at_end() { destroy_callable(me, outcome_ok); }
    } e{me};
    return out = to_task_fn(std::move(me.s.callable)), true;
  }
  static void destroy(task_node& n) noexcept {
    auto& me = self(n);
    node_forget(n);
    deallocate_task(&me, me.state.load(relaxed));
  }
  static std::exception_ptr unread(task_node&) noexcept { return {}; }
  static constexpr node_ops ops_table{&run, &fail, &extract, &destroy, &unread, nullptr};

  static timer_node_of* make(core& c, auto&& f, std::uint32_t flags, gate* via) {
    if (via != nullptr) flags |= node_state::gated | node_state::again;  // it has taken no room there, so its claim gives none back
    auto* const n = allocate_task<timer_node_of>(c, flags);
    bool begun = false;
    WEIR_TRY {
      node_init(*n, c, ops_table, flags, 2, nullptr, via);  // the ticket's reference and the handle's
      begun = true;
      ::new (static_cast<void*>(std::addressof(n->s.callable))) F(std::forward<decltype(f)>(f));
    }
    WEIR_CATCH_ALL {
      if (begun) node_undo_init(*n);
      deallocate_task(n, flags);
      WEIR_RETHROW;
    }
    return n;
  }

 private:
  static outcome failure(timer_node_of& me) noexcept {
    report_unhandled(node_owner(me), std::current_exception(), nullptr);
    return outcome_of(errc::failed);
  }
  static outcome destroy_callable(timer_node_of& me, outcome out) noexcept {
    WEIR_TRY { me.s.callable.~F(); }
    WEIR_CATCH_ALL { return failure(me); }
    return out;
  }
};

struct timer_access;

}  // namespace detail

/// A pending timer. Move-only; the destructor cancels, and does not wait for what runs. Keeps the runtime's core alive, so it
/// may outlive the runtime.
/// Thread safety: one thread at a time; cancel() may race with the timer.
class [[nodiscard]] timer {
 public:
  timer() noexcept : accepted_(errc::invalid) {}
  timer(timer&& o) noexcept
      : node_(std::exchange(o.node_, nullptr)), accepted_(std::exchange(o.accepted_, status(errc::invalid))) {}
  timer& operator=(timer&& o) noexcept {
    if (this != &o) {
      drop();
      node_ = std::exchange(o.node_, nullptr);
      accepted_ = std::exchange(o.accepted_, status(errc::invalid));
    }
    return *this;
  }
  ~timer() { drop(); }

  /// ok; or why there is no timer: stopped, full (options::max_outstanding), invalid (null callable, negative duration, a
  /// period of 0), failed with the cause (no memory, no thread to tell the time, the callable's copy or move threw). Then the
  /// callable was not touched, unless it was what threw.
  const status& accepted() const noexcept { return accepted_; }
  /// True: it never starts; a series: it never starts again, though it may be running. The callable is gone, or will be when
  /// that run has ended. False: it has started, has ended, or was cancelled before. What runs is asked to stop by its token.
  bool cancel() noexcept { return node_ != nullptr && detail::timer_cancel(*node_); }
  /// Lets the timer go on without a handle. A series ends with the runtime then.
  void detach() noexcept {
    if (node_ != nullptr) detail::node_release(*std::exchange(node_, nullptr));
  }

 private:
  friend struct detail::timer_access;
  explicit timer(detail::task_node& n) noexcept : node_(&n) {}
  explicit timer(status refused) noexcept : accepted_(std::move(refused)) {}
  void drop() noexcept {
    cancel();
    detach();
  }
  detail::task_node* node_ = nullptr;
  status accepted_;
};

namespace detail {

struct timer_access {
  template <class F>
  static timer make(executor_ref e, time_point due, duration period, overlap how, F&& f) {
    using node = timer_node_of<std::decay_t<F>>;
    core* const c = e.core_;
    if (is_null_callable(f) || how > overlap::coalesce) return timer(status(errc::invalid));
    if (e.gate_ != nullptr && e.gate_->refusal != outcome_ok) return timer(to_status(e.gate_->refusal));
    const bool series = period != duration::zero();
    if (status s = timer_admit(*c, series); !s) return timer(std::move(s));
    node* n = nullptr;
    WEIR_TRY {
      const std::uint32_t flags = node_state::detached | node_state::timed | (series ? node_state::repeats : 0) | node_flags_of(*c);
      n = node::make(*c, std::forward<F>(f), flags, e.gate_);
    }
    WEIR_CATCH_ALL {
      timer_unadmit(*c, series);
      return timer(status(weir::error{errc::failed, std::current_exception(), 1}));
    }
    n->due = due;
    n->period = period;
    n->how = how;
    timer_start(*n);
    return timer(*n);
  }
  static timer invalid() noexcept { return timer(status(errc::invalid)); }
};

}  // namespace detail

/// Starts f once, not before t; one that has passed: at once. time_point::max(): never. Its result is dropped; an exception
/// goes to options::on_unhandled.
template <detail::task_callable F>
timer at(executor_ref e, time_point t, F&& f) {
  return detail::timer_access::make(e, t, duration::zero(), overlap::skip, std::forward<F>(f));
}
/// Starts f once, d from now.
template <detail::task_callable F>
timer after(executor_ref e, duration d, F&& f) {
  if (d < duration::zero()) return detail::timer_access::invalid();
  return at(e, detail::timer_due(d), std::forward<F>(f));
}
/// Starts f again and again, first one period from now. The n-th time is n periods from now, however long the runs before
/// took and however late they were. An occurrence that throws does not end the series.
template <detail::task_callable F>
timer every(executor_ref e, duration period, F&& f, overlap how = overlap::skip) {
  if (period <= duration::zero()) return detail::timer_access::invalid();
  return detail::timer_access::make(e, detail::timer_due(period), period, how, std::forward<F>(f));
}

}  // namespace v0
}  // namespace weir
