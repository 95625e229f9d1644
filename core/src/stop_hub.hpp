// One stop callback for all the tasks of a runtime that wait under the same token. Layer 5.
//
// A std::stop_callback takes 56 bytes and more; under a hub a task takes 16, the links before its node. A thread keeps the
// hub that it used last, so one token for many tasks is cheap, and a token of its own for each task costs a hub each.
//
// A node is linked from when it is queued until somebody claims it. The list is under a mutex, and so is `stopped_`: who
// links a node under the lock has seen it unstarted or will be unlinked by its claimer, who takes the lock after the claim.
//
// Lifetime: nodes and the caches of leases and workers hold references. A linked node also keeps the core alive.
#pragma once

#include "futex.hpp"
#include "references.hpp"

#include <weir/detail/task_node.hpp>

#include <optional>
#include <stop_token>

namespace weir {
inline namespace v0 {
namespace detail {

class stop_hub {
 public:
  // The caller's hub for this token, with a reference for him; throws std::bad_alloc. `recent`: his cache.
  static stop_hub& of(core& c, const std::stop_token& t, stop_hub*& recent);
  static void forget(stop_hub*& recent) noexcept {
    if (recent != nullptr) std::exchange(recent, nullptr)->release();
  }

  void add(task_node& n) noexcept;     // after it was queued; ends it at once if the token has fired
  void remove(task_node& n) noexcept;  // after its claim
  void release() noexcept {
    if (drop_references(refs_)) delete this;
  }
  const std::stop_token& token() const noexcept { return token_; }

 private:
  stop_hub(core& c, const std::stop_token& t) noexcept;
  struct on_stop {
    stop_hub* hub;
    void operator()() const noexcept { hub->stop(); }
  };
  void stop() noexcept;
  bool empty() const noexcept { return list_.next == &list_; }
  static void unlink(stop_links& l) noexcept;

  core& owner_;
  const std::stop_token token_;
  mutex mutex_;
  stop_links list_{&list_, &list_};  // under mutex_
  bool stopped_ = false;             // under mutex_
  atomic<std::uint32_t> refs_{1};
  std::optional<std::stop_callback<on_stop>> callback_;  // last: gone before the rest
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
