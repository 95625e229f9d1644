// From a callable that blocks to a node in the side pool. Layer 6; the pool is core/src/blocking_pool.hpp.
#pragma once

#include <weir/detail/submit.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

WEIR_API status blocking_admit(core& c, const task_options* o) noexcept;
WEIR_API void blocking_unadmit(core& c) noexcept;
WEIR_API void blocking_put(core& c, task_node& n) noexcept;  // after admit

template <class F>
auto spawn_blocking(core& c, F&& f, const task_options* opts) {
  using D = std::decay_t<F>;
  using R = std::remove_cv_t<task_result_t<D>>;
  static_assert(!std::is_reference_v<R>, "return a pointer or a std::reference_wrapper");
  return spawn_access::handle_of<D, R>([&]() -> result<task_node*> {
    if (is_null_callable(f)) return errc::invalid;
    if (opts != nullptr && (node_flags(opts) & node_state::timed) != 0)
      if (status s = node_time_ready(c, *opts); !s) return std::move(s).error();
    if (status s = blocking_admit(c, opts); !s) return std::move(s).error();
    task_node* n = nullptr;
    WEIR_TRY { n = task_node_of<D, R>::make(c, std::forward<F>(f), node_state::beside | node_flags_of(c), 3, opts, nullptr); }
    WEIR_CATCH_ALL {
      blocking_unadmit(c);
      return weir::error{errc::failed, std::current_exception(), 1};
    }
    blocking_put(c, *n);
    node_arm(*n);
    node_release(*n);
    return n;
  }());
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
