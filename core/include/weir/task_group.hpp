// task_group: children that end before their scope does. Layer 6.
#pragma once

#include <weir/detail/child_node.hpp>
#include <weir/executor.hpp>

#include <memory>
#include <span>

namespace weir {
inline namespace v0 {

struct group_options {
  unsigned limit = 0;             ///< at most so many children at once; 0: no limit
  bool cancel_on_error = true;    ///< the first error cancels the others
  bool keep_all_errors = false;   ///< errors() holds all of them, not only the first
  std::stop_token parent{};       ///< a stop there cancels the group
};

namespace detail {

class group_state;
struct resume_point;
struct awaited_group;

struct group_node : child_node {
  group_state* group;
};

WEIR_API bool group_started(group_node& n) noexcept;  // false: the group was cancelled, do not run it
WEIR_API void group_ended(group_node& n, errc e, std::exception_ptr cause) noexcept;  // e == errc{}: ok; drops the group's reference
WEIR_API std::stop_source* group_source(task_node& n) noexcept;

template <class F>
struct group_node_of final : group_node {
  union storage_t {
    storage_t() noexcept {}
    ~storage_t() {}
    F callable;
  } s;
  static group_node_of& self(task_node& n) noexcept { return static_cast<group_node_of&>(n); }

  static outcome run(task_node& n) noexcept {
    check_result_is_dropped<F>();
    auto& me = self(n);
    if (!group_started(me)) {
      errc code = errc::cancelled;
      std::exception_ptr nothing;
      destroy_callable(me, code, nothing);
      group_ended(me, errc::cancelled, {});
      return outcome_of(errc::cancelled);
    }
    std::exception_ptr cause;
    errc e{};
    WEIR_TRY {
      if constexpr (takes_token<F>) static_cast<void>(std::invoke(me.s.callable, group_source(n)->get_token()));
      else static_cast<void>(std::invoke(me.s.callable));
    }
    WEIR_CATCH_ALL {
      e = errc::failed;
      cause = std::current_exception();
    }
    destroy_callable(me, e, cause);
    group_ended(me, e, std::move(cause));
    return static_cast<outcome>(e);
  }
  static void fail(task_node& n, errc e) noexcept {
    auto& me = self(n);
    group_started(me);
    errc code = e;
    std::exception_ptr cause = unrun_error(e).cause;
    destroy_callable(me, code, cause);
    group_ended(me, e, std::move(cause));
  }
  static bool extract(task_node& n, task_fn&) { return fail(n, errc::stopped), false; }
  static void destroy(task_node& n) noexcept {
    auto& me = self(n);
    if ((me.state.load(relaxed) & node_state::phase) == node_state::queued) me.s.callable.~F();
    deallocate_task(&me, me.state.load(relaxed));
  }
  static std::exception_ptr unread(task_node&) noexcept { return {}; }
  static void destroy_callable(group_node_of& me, errc& e, std::exception_ptr& cause) noexcept {
    WEIR_TRY { me.s.callable.~F(); }
    WEIR_CATCH_ALL {
      if (e == errc{}) {
        e = errc::failed;
        cause = std::current_exception();
      } else {
        report_unhandled(node_owner(me), std::current_exception(), nullptr);
      }
    }
  }
  static constexpr node_ops ops_table{&run, &fail, &extract, &destroy, &unread, &group_source};
};

}  // namespace detail

/// Runs children, waits for all of them, reports their first error.
/// The destructor cancels and waits, so children may refer to what outlives the group. On a worker a wait runs the
/// group's own unstarted children and nothing else. After wait() the group is clean and can be used again.
/// Over a strand or limited the children keep its rules: no wait runs them in place, and one in a task that holds the place
/// which they would need answers errc::starved; so does a wait on the thread that tells the runtime's time, and one inside of a callback of
/// the group's own token that an error fires. In a forked child nothing is added and every wait answers errc::stopped.
/// Thread safety: run, try_run, cancel, set_limit and token from any thread; wait from one thread at a time, and the
/// destructor after all of them.
class task_group {
 public:
  WEIR_API explicit task_group(executor_ref e, group_options o = {});
  WEIR_API ~task_group();
  task_group(const task_group&) = delete;
  task_group& operator=(const task_group&) = delete;

  /// Past the limit the child queues in the group; this never waits for a sibling. A child that the runtime refuses
  /// (full, stopped) is destroyed and recorded as that error of the group; one that comes after a cancel is destroyed.
  template <detail::task_callable F>
  void run(F&& f) {
    add(std::forward<F>(f), false);
  }
  /// False, and f untouched, when the limit is reached, the group is cancelled, or the runtime refuses.
  template <detail::task_callable F>
  bool try_run(F&& f) {
    return add(std::forward<F>(f), true);
  }
  /// From now on at most n at once; what runs is not stopped. 0: no limit. After a time without one, children that another
  /// worker has run count until the child that it runs has ended, or needs a place for one of its own.
  WEIR_API void set_limit(unsigned n) noexcept;
  /// Unstarted children end at once, running ones see their token fire. It is the round under way that is cancelled: the wait that ends it gives the
  /// group another token. What an error fires has fired when that wait returns; what this fires may fire a moment later.
  WEIR_API void cancel() noexcept;
  WEIR_API std::stop_token token() const noexcept;
  /// Waits until every child has ended. The first error, else errc::cancelled if the group was cancelled, else ok.
  WEIR_API status wait();
  /// The same with a limit: errc::timeout, and the group goes on.
  WEIR_API status wait_until(time_point until);
  /// The errors of the round that the last wait() ended, or of the current one; valid until the next run().
  WEIR_API std::span<const error> errors() const noexcept;

 private:
  friend struct detail::awaited_group;
  template <class F>
  bool add(F&& f, bool only_now) {
    using D = std::decay_t<F>;
    using node = detail::group_node_of<D>;
    if (detail::is_null_callable(f)) return refuse(errc::invalid, {}, only_now);
    detail::admission a;
    if (!begin(a, only_now)) return false;
    const std::uint32_t flags = a.node_flags | (gate_ != nullptr ? detail::node_state::gated : 0);
    node* n = nullptr;
    WEIR_TRY {
      n = detail::allocate_task<node>(*core_, flags);
      ::new (static_cast<void*>(std::addressof(n->s.callable))) D(std::forward<F>(f));
      start(*n, node::ops_table, a, only_now);
      return true;
    }
    WEIR_CATCH_ALL {
      if (n != nullptr) detail::deallocate_task(n, flags);
      give_up(a, only_now);
      return refuse(errc::failed, std::current_exception(), only_now);
    }
    return false;
  }
  WEIR_API bool begin(detail::admission& a, bool only_now);
  WEIR_API void start(detail::group_node& n, const detail::node_ops& ops, const detail::admission& a, bool only_now) noexcept;
  WEIR_API void give_up(const detail::admission& a, bool only_now) noexcept;
  void give_place_back() noexcept;
  WEIR_API bool refuse(errc e, std::exception_ptr cause, bool silently) noexcept;

  bool refused() const noexcept { return gate_ != nullptr && gate_->refusal != detail::outcome_ok; }
  status wait(time_point until, bool at_any_price);

  detail::core* core_;
  detail::gate* gate_;
  std::shared_ptr<detail::group_state> state_;
};

}  // namespace v0
}  // namespace weir
