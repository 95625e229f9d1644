// The handle of a spawned task. Layer 6.
#pragma once

#include <weir/detail/task_node.hpp>

namespace weir {
inline namespace v0 {

class runtime;
namespace detail {
struct spawn_access;
struct coroutine_access;
}

/// Reads the result of one task, once. Move-only; the destructor does not wait for the task: it detaches, and an error that nobody
/// read goes to options::on_unhandled. Keeps the runtime's core alive, so it may outlive the runtime.
/// Thread safety: one thread at a time; cancel() and ready() may race with the task.
template <class T>
class [[nodiscard]] join_handle {
 public:
  join_handle() noexcept = default;
  join_handle(join_handle&& o) noexcept
      : node_(std::exchange(o.node_, nullptr)),
        take_(o.take_),
        early_(std::exchange(o.early_, errc{})),
        cause_(std::exchange(o.cause_, nullptr)) {}
  join_handle& operator=(join_handle&& o) noexcept {
    if (this != &o) {
      detach();
      node_ = std::exchange(o.node_, nullptr);
      take_ = o.take_;
      early_ = std::exchange(o.early_, errc{});
      cause_ = std::exchange(o.cause_, nullptr);
    }
    return *this;
  }
  ~join_handle() { detach(); }

  /// Waits for the end and takes the result; the handle is empty afterwards (errc::invalid from then on). On a worker
  /// an unstarted task runs in place; otherwise the worker runs nothing but the task's descendants while it waits.
  /// errc::starved: waiting here could never end, as far as can be seen: the task waits for something that this worker holds, or is bound to
  /// a worker that has been in a wait of its own for a while. The handle stays valid, and get() may be called again. errc::stopped at once in a forked child.
  /// errc::timeout, once, when the deadline in the task's options passes before its end: the handle stays valid, and the next
  /// call waits for the end.
  result<T> get() { return get_until(time_point::max()); }
  /// The same with a limit: errc::timeout leaves the handle valid.
  result<T> get_until(time_point until) {
    if (node_ == nullptr) {
      const errc e = std::exchange(early_, errc{});
      return weir::error{e == errc{} ? errc::invalid : e, std::exchange(cause_, nullptr), 1};
    }
    const detail::outcome out = detail::node_wait(*node_, until);
    if (out != detail::outcome_ok) return static_cast<errc>(out);
    result<T> r = take();
    detail::node_release(*std::exchange(node_, nullptr));
    early_ = errc{};
    return r;
  }
  /// True when get() would not wait. False for an empty handle; a task that was refused is ready with its error.
  bool ready() const noexcept {
    if (node_ == nullptr) return early_ != errc{};
    return detail::node_state::is_done(node_->state);
  }
  /// An unstarted task completes with errc::cancelled at once; a running one sees its stop token fire.
  void cancel() noexcept {
    if (node_ != nullptr) detail::node_cancel(*node_);
  }
  /// Lets the task run unobserved.
  void detach() noexcept {
    if (node_ != nullptr) detail::node_detach(*std::exchange(node_, nullptr));
    early_ = errc{};
    cause_ = nullptr;
  }
  bool valid() const noexcept { return node_ != nullptr || early_ != errc{}; }

 private:
  friend class runtime;
  friend struct detail::spawn_access;
  friend struct detail::coroutine_access;
  using take_fn = result<T> (*)(detail::task_node&);
  join_handle(detail::task_node* n, take_fn t) noexcept : node_(n), take_(t) {}
  explicit join_handle(weir::error e) noexcept : early_(e.code), cause_(std::move(e.cause)) {}
  result<T> take() { return take_(*node_); }

  detail::task_node* node_ = nullptr;
  take_fn take_ = nullptr;
  errc early_{};  // why the task was refused; none: it was not, or the handle is empty
  std::exception_ptr cause_{};
};

}  // namespace v0
}  // namespace weir
