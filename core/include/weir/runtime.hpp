// The runtime: workers, admission, life cycle. Layer 5 as seen from outside.
#pragma once

#include <weir/detail/blocking.hpp>
#include <weir/executor.hpp>
#include <weir/metrics.hpp>

#include <functional>
#include <memory>

namespace weir {
inline namespace v0 {

class runtime;
using runtime_ptr = std::unique_ptr<runtime>;

namespace detail {
WEIR_API core* core_create(const options& o);  // throws std::invalid_argument, std::system_error, std::bad_alloc
WEIR_API void run_entry(core& c, entry_job& e);  // returns when it has run; throws errc::stopped before that
WEIR_API bool on_own_worker(const core& c) noexcept;
WEIR_API unsigned base_workers(const core& c) noexcept;  // those that a task may be bound to
}  // namespace detail

/// Immovable. The destructor drains: every accepted task runs or is reported, then the workers end; on an own worker
/// it leaves that to the workers, the last of which takes the rest down, and returns.
/// Thread safety: every member may be called from any thread at any time, the destructor excepted.
class runtime {
 public:
  /// Throws std::invalid_argument (an option out of range, its name in the text) or std::system_error (a thread cannot
  /// be had). Starts options::workers threads.
  WEIR_API explicit runtime(options o = {});
  WEIR_API ~runtime();
  runtime(const runtime&) = delete;
  runtime& operator=(const runtime&) = delete;

  /// The constructor without exceptions: errc::invalid or errc::failed with the cause.
  WEIR_API static result<runtime_ptr> create(options o) noexcept;

  operator executor_ref() const noexcept { return executor_ref(core_); }  // NOLINT: a runtime is an executor

  /// See executor_ref.
  template <detail::task_callable F>
  status submit(F&& f) {
    return detail::submit_plain(*core_, std::forward<F>(f), detail::patience::by_policy, nullptr);
  }
  template <detail::task_callable F>
  status submit(F&& f, const task_options& o) {
    return executor_ref(core_).submit(std::forward<F>(f), o);
  }
  template <detail::task_callable F>
  status try_submit(F&& f) {
    return detail::submit_plain(*core_, std::forward<F>(f), detail::patience::never, nullptr);
  }
  template <detail::task_callable F>
  status try_submit(F&& f, const task_options& o) {
    return executor_ref(core_).try_submit(std::forward<F>(f), o);
  }
  template <std::ranges::forward_range R>
    requires detail::task_callable<detail::bulk_element<R>>
  status try_submit_bulk(R&& range) {
    return executor_ref(core_).try_submit_bulk(std::forward<R>(range));
  }
  template <std::ranges::forward_range R>
    requires detail::task_callable<detail::bulk_element<R>>
  status try_submit_bulk(R&& range, const task_options& o) {
    return executor_ref(core_).try_submit_bulk(std::forward<R>(range), o);
  }
  template <detail::task_callable F>
  auto spawn(F&& f) {
    return executor_ref(core_).spawn(std::forward<F>(f));
  }
  template <detail::task_callable F>
  auto spawn(F&& f, const task_options& o) {
    return executor_ref(core_).spawn(std::forward<F>(f), o);
  }

  /// Enters the runtime: runs f on a worker, waits, returns its value or rethrows. Does not count in capacity and goes
  /// ahead of all lanes. Inline on an own worker. While paused it waits. Throws std::system_error(errc::stopped)
  /// before f starts when the runtime is draining, stopped, or of a forked process's parent; errc::starved where the runtime's clock
  /// runs user code (destructors of expired tasks, stop callbacks of deadlines).
  template <class F>
    requires std::is_invocable_v<F&>
  auto run(F&& f) -> std::invoke_result_t<F&> {
    using R = std::invoke_result_t<F&>;
    static_assert(!std::is_reference_v<R>, "return a pointer or a std::reference_wrapper");
    if (detail::on_own_worker(*core_)) return std::invoke(f);
    struct job final : detail::entry_job {
      std::remove_reference_t<F>* callable = nullptr;
      std::optional<result<R>> out;
    } j;
    j.callable = std::addressof(f);
    j.run = [](detail::entry_job& base) noexcept {
      auto& me = static_cast<job&>(base);
      WEIR_TRY {
        if constexpr (std::is_void_v<R>) {
          std::invoke(*me.callable);
          me.out.emplace();
        } else {
          me.out.emplace(std::in_place, std::invoke(*me.callable));
        }
      }
      WEIR_CATCH_ALL { me.out.emplace(weir::error{errc::failed, std::current_exception(), 1}); }
    };
    detail::run_entry(*core_, j);
    if constexpr (std::is_void_v<R>) j.out->value();
    else return std::move(*j.out).value();
  }

  /// For calls that block: runs f on a thread of its own, of at most options::max_blocking, beside the workers; at most
  /// options::blocking_capacity wait for one. The threads come when they are needed and go after ten idle seconds. The
  /// handle is ready with the error if f was refused, and f is untouched: full, stopped, cancelled, expired, invalid (null, or
  /// bound to a worker), failed (no memory, or no thread at all, with the cause). Lanes make no difference. get() on a
  /// worker sleeps, never runs f there. A thread that blocks in the system cannot be made to stop: f may take a stop token.
  template <detail::task_callable F>
  auto blocking(F&& f) {
    return detail::spawn_blocking(*core_, std::forward<F>(f), nullptr);
  }
  template <detail::task_callable F>
  auto blocking(F&& f, const task_options& o) {
    return detail::spawn_blocking(*core_, std::forward<F>(f), &o);
  }

  /// Runs a copy of f once on every worker that a task may be bound to: not on those that options::max_workers has brought. Errors: stopped, failed (no memory: then it may have reached some workers).
  template <class F>
    requires(std::is_copy_constructible_v<std::decay_t<F>> && detail::task_callable<F>)
  status broadcast(F&& f) {
    for (unsigned i = 0; i < detail::base_workers(*core_); ++i) {
      task_options o;
      o.worker = static_cast<int>(i);
      if (status s = submit(std::decay_t<F>(f), o); !s) {
        if (s.error().code == errc::invalid && i >= detail::base_workers(*core_)) break;  // resized meanwhile
        return s;
      }
    }
    return {};
  }

  /// From now on n workers, 1 to 1024 with the spares; growing takes effect at once. A worker that is let go finishes its
  /// task and what was submitted to it by number, and gives back what it had claimed. Workers beyond the first ones are
  /// not pinned. Does not block. With options::max_workers it is the base that changes: of the workers that came by themselves, those
  /// that are then too many go after their task, and from max_workers on none comes. Errors: invalid (n out of range), stopped (draining or stopped), failed (a thread
  /// cannot be had, with the cause: the runtime runs with as many workers as it could get).
  WEIR_API status resize(unsigned n);
  /// Opens a runtime again after drain() or abort() has returned a complete report; counters go on. Errors: invalid
  /// (not shut down, or not completely), failed (a thread cannot be had: it stays shut down).
  WEIR_API status restart();
  /// Workers finish what they run and take nothing new until resume(). Does not wait for them: what was accepted before may begin yet
  /// when pause() has returned. What is submitted after that does not begin before resume(), drain() or abort(), but for what a running task waits for,
  /// blocking() calls, and what on_full::caller_runs makes its submitter run.
  WEIR_API void pause() noexcept;
  WEIR_API void resume() noexcept;
  /// True when at some instant of the call nothing accepted was unfinished. False at the limit, at once on an own
  /// worker, and in a forked child.
  WEIR_API bool wait_idle(time_point until = time_point::max());
  /// Refuses outside tasks (errc::stopped) and waits until everything accepted, and what it submitted, has ended; then
  /// the workers end. At the limit: requests stop, completes what is queued with errc::stopped, reports what runs and how much has not ended.
  /// Concurrent drains share one report; one whose limit passes first stops what is queued for all, and has a report of its own. On an own worker it begins and returns complete = false.
  WEIR_API report drain(time_point until = time_point::max());
  /// Requests stop, hands each unstarted callable to sink on this thread, returns when the running tasks have ended. If
  /// sink throws, the rest are destroyed and it is rethrown at the end.
  WEIR_API report abort(std::function<void(task_fn&&)> sink = {});
  WEIR_API snapshot metrics() const;
  /// On duty now, those that came by themselves (options::max_workers) included.
  WEIR_API unsigned workers() const noexcept;

 private:
  friend struct runtime_access;
  explicit runtime(detail::core* c) noexcept : core_(c) {}
  detail::core* core_;
};

}  // namespace v0
}  // namespace weir
