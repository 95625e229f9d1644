#include "stop_hub.hpp"

#include "core.hpp"
#include "task_state.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

namespace {
using states = task_state<os_atomics>;

stop_links& links_of(task_node& n) noexcept { return reinterpret_cast<stop_links*>(&n)[-1]; }
task_node& node_of(stop_links& l) noexcept { return *reinterpret_cast<task_node*>(&l + 1); }
}  // namespace

stop_hub::stop_hub(core& c, const std::stop_token& t) noexcept : owner_(c), token_(t) {
  callback_.emplace(token_, on_stop{this});  // calls back at once if the token has fired
}

stop_hub& stop_hub::of(core& c, const std::stop_token& t, stop_hub*& recent) {
  if (recent == nullptr || recent->token_ != t) {
    auto* const fresh = new stop_hub(c, t);
    forget(recent);
    recent = fresh;
  }
  add_reference(recent->refs_);
  return *recent;
}

void stop_hub::unlink(stop_links& l) noexcept {
  l.previous->next = l.next;
  l.next->previous = l.previous;
  l = {};
}

void stop_hub::add(task_node& n) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (!states::is_unstarted(n.state)) return;
    if (!stopped_) {
      stop_links& l = links_of(n);
      if (l.next != nullptr) return;  // it was tried and waits for another attempt: whoever let it wait has been here
      l.next = &list_;
      l.previous = std::exchange(list_.previous, &l);
      l.previous->next = &l;
      return;
    }
  }
  node_fail(n, errc::cancelled);
}

void stop_hub::remove(task_node& n) noexcept {
  const std::lock_guard lock(mutex_);
  if (stop_links& l = links_of(n); l.next != nullptr) unlink(l);
}

// In a forked child the lock may be another thread's for ever.
void stop_hub::stop() noexcept {
  if (owner_.dead()) return;
  {
    const std::lock_guard lock(mutex_);
    stopped_ = true;
    if (empty()) return;         // perhaps on its way out: nothing else may be touched
    add_reference(refs_);  // a linked node holds a reference, and one of the core
    owner_.acquire_ref();
  }
  for (;;) {
    task_node* n = nullptr;
    {
      const std::lock_guard lock(mutex_);
      if (empty()) break;
      n = &node_of(*list_.next);
      add_reference(n->refs);  // its claimer unlinks it before the last reference goes
      unlink(*list_.next);
    }
    node_fail(*n, errc::cancelled);  // outside the lock: it destroys the callable
    node_release(*n);
  }
  owner_.release_ref();
  release();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
