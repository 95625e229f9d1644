// executor_ref: where a task goes, as a value. Layer 6.
#pragma once

#include <weir/detail/submit.hpp>

namespace weir {
inline namespace v0 {

template <class T>
class result_stream;
namespace detail {
class owned_gate;
struct timer_access;
struct coroutine_access;
}

/// Two words, non-owning: it must not outlive what it refers to, be that a runtime, a limited or a strand. A
/// default-constructed one answers errc::stopped.
/// Thread safety: all verbs may be called from any thread at once.
class executor_ref {
 public:
  constexpr executor_ref() noexcept = default;

  /// Fire and forget. The callable is copied or moved in; on refusal it is not touched (with errc::failed it may have been moved from:
  /// a queue may have had no memory for it). options::full decides what a
  /// full runtime does; on a worker it never blocks.
  /// Errors: full, dropped (on_full::discard), stopped, invalid (null callable), expired (a blocked submit waited until start_by), cancelled
  /// (stop came first), failed (bad_alloc, which a callable of 8192 or more bytes of alignment gets, too; no
  /// thread to tell the time; or the callable's copy or move threw).
  template <detail::task_callable F>
  status submit(F&& f) const {
    return plain(std::forward<F>(f), detail::patience::by_policy);
  }
  template <detail::task_callable F>
  status submit(F&& f, const task_options& o) const {
    return with(std::forward<F>(f), detail::patience::by_policy, o);
  }
  /// Never blocks.
  template <detail::task_callable F>
  status try_submit(F&& f) const {
    return plain(std::forward<F>(f), detail::patience::never);
  }
  template <detail::task_callable F>
  status try_submit(F&& f, const task_options& o) const {
    return with(std::forward<F>(f), detail::patience::never, o);
  }
  /// Accepts all callables of the range or none. The elements are moved from if the range is an rvalue container.
  /// Only the lane of the options is used.
  template <std::ranges::forward_range R>
    requires detail::task_callable<detail::bulk_element<R>>
  status try_submit_bulk(R&& range) const {
    return detail::submit_range(core_, gate_, std::forward<R>(range), nullptr);
  }
  template <std::ranges::forward_range R>
    requires detail::task_callable<detail::bulk_element<R>>
  status try_submit_bulk(R&& range, const task_options& o) const {
    return detail::submit_range(core_, gate_, std::forward<R>(range), &o);
  }
  /// A refused task's handle is ready with the error.
  template <detail::task_callable F>
  auto spawn(F&& f) const {
    return detail::spawn_access::spawn(core_, gate_, std::forward<F>(f), nullptr);
  }
  template <detail::task_callable F>
  auto spawn(F&& f, const task_options& o) const {
    return detail::spawn_access::spawn(core_, gate_, std::forward<F>(f), &o);
  }

  friend bool operator==(const executor_ref&, const executor_ref&) noexcept = default;

 private:
  friend class runtime;
  friend class task_group;
  friend class detail::owned_gate;
  template <class T>
  friend class result_stream;
  friend struct detail::timer_access;
  friend struct detail::coroutine_access;
  friend WEIR_API executor_ref here() noexcept;
  explicit executor_ref(detail::core* c) noexcept : core_(c), gate_(nullptr) {}

  template <class F>
  status plain(F&& f, detail::patience p) const {
    return gate_ == nullptr ? detail::submit_plain(*core_, std::forward<F>(f), p, nullptr)
                            : detail::submit_gated(core_, *gate_, std::forward<F>(f), p, nullptr);
  }
  template <class F>
  status with(F&& f, detail::patience p, const task_options& o) const {
    return detail::submit_any(core_, gate_, std::forward<F>(f), p, o);
  }

  detail::core* core_ = nullptr;             // never null without a gate
  detail::gate* gate_ = &detail::gate_stopped;  // a strand or limit in front of the core; null: none
};

/// The runtime whose worker is calling; empty outside of any.
WEIR_API executor_ref here() noexcept;

namespace this_task {
/// The running task's stop token, in a fork that of the task that forked; the runtime's own for a plain submit; empty
/// outside of any worker.
inline std::stop_token token() noexcept { return detail::current_token(); }
/// The index of the calling worker, -1 outside of any.
WEIR_API int worker() noexcept;
}  // namespace this_task

}  // namespace v0
}  // namespace weir
