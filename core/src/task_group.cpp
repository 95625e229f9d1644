// The group's books: who waits for a place, who is unstarted, how many have not ended. Layer 6.
//
// Each child is a task_node whose ticket lies in a queue; the group keeps the unstarted ones in a list of its own, so
// that its waiter can claim them wherever their tickets are (P14). Lists and counts are under one short lock; the
// lock-free part of a child's life is its claim (task_state.hpp). The count and the waiter's sleep: group_counter.hpp.
#include <weir/task_group.hpp>

#include "group_counter.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <mutex>
#include <optional>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

class group_state {
 public:
  enum place : std::uint8_t { nowhere, unstarted, pending };

  struct list {
    group_node *first = nullptr, *last = nullptr;
    void push(group_node& n) noexcept {
      n.next = nullptr;
      n.previous = last;
      (last != nullptr ? last->next : first) = &n;
      last = &n;
    }
    void remove(group_node& n) noexcept {
      (n.previous != nullptr ? n.previous->next : first) = n.next;
      (n.next != nullptr ? n.next->previous : last) = n.previous;
    }
  };

  // Under the lock.
  group_node* take_pending() noexcept {
    if (pending_.first == nullptr || (limit != 0 && active >= limit)) return nullptr;
    group_node* n = pending_.first;
    pending_.remove(*n);
    unstarted_.push(*n);
    n->where = unstarted;
    ++active;
    return n;
  }
  void unlink(group_node& n) noexcept {
    if (n.where == unstarted) unstarted_.remove(n);
    if (n.where == pending) pending_.remove(n);
    if (n.where == pending) ++active;  // it never had a place; its end gives one back
    n.where = nowhere;
  }
  void record(errc e, std::exception_ptr cause) {
    if (e == errc::cancelled) return;
    if (!failed) failed = error{e, cause, 1};
    if (errors.empty() || options.keep_all_errors) errors.push_back({e, std::move(cause), 1});
  }
  // Whoever adds the first child of a new round finds the group clean.
  void begin_round() {
    if (!round_over) return;
    round_over = false;
    errors.clear();
    failed.reset();
  }

  group_options options;
  detail::mutex mutex;
  group_counter<os_atomics> children{mutex};
  list unstarted_, pending_;
  unsigned limit = 0, active = 0;
  bool round_over = false, cancelled = false;
  std::optional<error> failed;
  std::vector<error> errors;
  std::stop_source source;
  std::shared_ptr<group_state> self_while_alive;
  struct on_parent_stop {
    group_state* g;
    void operator()() const noexcept;
  };
  std::optional<std::stop_callback<on_parent_stop>> on_parent;
};

namespace {

// A child that got its place: its ticket goes to a queue, past every admission (P38).
void post(core& c, group_node& n) noexcept {
  add_reference(n.refs);
  if (c.post(node_ticket(n))) return;
  node_fail(n, errc::failed);  // no memory for the ticket
  node_release(n);
}

void cancel_unstarted(group_state& g) noexcept {
  for (;;) {
    group_node* n = nullptr;
    {
      const std::lock_guard lock(g.mutex);
      n = g.unstarted_.first != nullptr ? g.unstarted_.first : g.pending_.first;
      if (n == nullptr) return;
      g.unlink(*n);
      add_reference(n->refs);
    }
    node_fail(*n, errc::cancelled);  // if somebody else has just claimed it, the group's token reaches it
    node_release(*n);
  }
}

void cancel_group(group_state& g) noexcept {
  {
    const std::lock_guard lock(g.mutex);
    g.cancelled = true;
  }
  cancel_unstarted(g);
  std::stop_source source = std::stop_source(std::nostopstate);
  {
    const std::lock_guard lock(g.mutex);
    source = g.source;
  }
  source.request_stop();
}

}  // namespace

void group_state::on_parent_stop::operator()() const noexcept { cancel_group(*g); }

std::stop_source* group_source(task_node& n) noexcept { return &static_cast<group_node&>(n).group->source; }

bool group_started(group_node& n) noexcept {
  const std::lock_guard lock(n.group->mutex);
  n.group->unlink(n);
  return !n.group->cancelled;
}

void group_ended(group_node& n, errc e, std::exception_ptr cause) noexcept {
  core& c = *node_owner(n);
  std::shared_ptr<group_state> keep;
  group_node* next = nullptr;
  bool cancel = false;
  {
    group_state& g = *n.group;
    const std::lock_guard lock(g.mutex);
    keep = g.self_while_alive;
    if (e != errc{}) {
      cancel = g.options.cancel_on_error && e != errc::cancelled && !g.cancelled;
      WEIR_TRY { g.record(e, std::move(cause)); }
      WEIR_CATCH_ALL {}  // no memory for the second error: the first is kept outside the vector
    }
    --g.active;
    next = g.take_pending();
    if (next != nullptr) {
      add_reference(next->refs);
      g.children.startable();
    }
  }
  if (next != nullptr) {
    post(c, *next);
    node_release(*next);
  }
  if (cancel) cancel_group(*keep);
  // Whoever asks running tasks to stop gets at the group through this child; after the count it may be gone.
  if (worker* const w = worker::current(); w != nullptr)
    if (running_nodes::entry* const top = w->running.top(); top != nullptr && top->node == &n) w->running.leave(*top);
  {
    const std::lock_guard lock(keep->mutex);
    if (keep->children.ended()) keep->self_while_alive.reset();
  }
  node_release(n);  // the reference of its life; whoever runs or fails it holds another
}

}  // namespace detail

using detail::group_state;

task_group::task_group(executor_ref e, group_options o) : core_(e.core_), state_(std::make_shared<group_state>()) {
  state_->limit = o.limit;
  state_->options = std::move(o);
  if (core_ != nullptr) core_->acquire_ref();
  if (state_->options.parent.stop_possible())
    state_->on_parent.emplace(state_->options.parent, group_state::on_parent_stop{state_.get()});
}

task_group::~task_group() {
  state_->on_parent.reset();
  if (core_ != nullptr && !core_->dead()) {
    cancel();
    static_cast<void>(wait());
    core_->release_ref();
  }
}

bool task_group::begin(detail::admission& a, bool only_now) {
  group_state& g = *state_;
  {
    const std::lock_guard lock(g.mutex);
    g.begin_round();
    if (g.options.parent.stop_requested()) g.cancelled = true;
    if (g.cancelled) return false;
    if (only_now && g.limit != 0 && g.active >= g.limit) return false;
  }
  if (core_ == nullptr) return refuse(errc::stopped, {}, only_now);
  const detail::outcome o =
      detail::admit(*core_, nullptr, only_now ? detail::patience::never : detail::patience::by_policy, a);
  return o == detail::outcome_ok || refuse(static_cast<errc>(o), {}, only_now);
}

void task_group::start(detail::group_node& n, const detail::node_ops& ops, const detail::admission& a) noexcept {
  group_state& g = *state_;
  detail::node_init(n, *core_, ops, detail::node_state::in_place | detail::node_state::detached | (a.tag != 0 ? detail::node_state::counted : 0u), 2, nullptr);
  n.group = &g;
  bool cancelled, now;
  {
    const std::lock_guard lock(g.mutex);
    if (g.children.add()) g.self_while_alive = state_;
    cancelled = g.cancelled;
    now = g.limit == 0 || g.active < g.limit;
    n.where = now ? group_state::unstarted : group_state::pending;
    (now ? g.unstarted_ : g.pending_).push(n);
    if (now) ++g.active;
  }
  if (now) detail::post(*core_, n);
  if (cancelled) detail::node_fail(n, errc::cancelled);
  detail::node_release(n);
}

void task_group::give_up(const detail::admission& a) noexcept { detail::unadmit(*core_, a); }

bool task_group::refuse(errc e, std::exception_ptr cause, bool silently) noexcept {
  if (silently) return false;
  bool cancel = false;
  {
    const std::lock_guard lock(state_->mutex);
    WEIR_TRY {
      state_->begin_round();
      state_->record(e, std::move(cause));
    }
    WEIR_CATCH_ALL {}
    cancel = state_->options.cancel_on_error;
  }
  if (cancel) detail::cancel_group(*state_);
  return false;
}

void task_group::set_limit(unsigned n) noexcept {
  group_state& g = *state_;
  {
    const std::lock_guard lock(g.mutex);
    g.limit = n;
  }
  for (;;) {
    detail::group_node* next = nullptr;
    {
      const std::lock_guard lock(g.mutex);
      if ((next = g.take_pending()) == nullptr) return;
      detail::add_reference(next->refs);
    }
    detail::post(*core_, *next);
    detail::node_release(*next);
  }
}

void task_group::cancel() noexcept { detail::cancel_group(*state_); }
std::stop_token task_group::token() const noexcept {
  const std::lock_guard lock(state_->mutex);
  return state_->source.get_token();
}
std::span<const error> task_group::errors() const noexcept { return state_->errors; }
status task_group::wait() { return wait_until(time_point::max()); }

status task_group::wait_until(time_point until) {
  group_state& g = *state_;
  detail::worker* const w = core_ != nullptr ? detail::worker::current_of(*core_) : nullptr;
  detail::worker* const any = detail::worker::current();
  const auto over = [&g] { return g.children.over(); };
  while (!over()) {
    if (core_ == nullptr || core_->dead()) return errc::stopped;
    if (clock_type::now() >= until) return errc::timeout;
    if (w != nullptr) {
      detail::group_node* n = nullptr;
      {
        const std::lock_guard lock(g.mutex);
        n = g.unstarted_.first;
        if (n != nullptr) {
          g.unstarted_.remove(*n);
          n->where = group_state::nowhere;
          detail::add_reference(n->refs);
        }
      }
      if (n != nullptr) {
        detail::node_try_run(*n);
        detail::node_release(*n);
        continue;
      }
    }
    const auto park = [&](std::int64_t ns) {
      const std::int64_t limit = detail::until_ns(until);
      const bool slept = g.children.sleep(ns == detail::forever ? limit : limit == detail::forever ? ns : std::min(ns, limit),
                                          [&] { return w != nullptr && g.unstarted_.first != nullptr; });
      if (!slept) return true;  // all have ended, or a pending one has got its place
      return over() || clock_type::now() >= until;
    };
    for (const std::uint64_t end = detail::ticks() + detail::ticks_of(5'000); !over() && detail::ticks() < end;) detail::cpu_relax();
    if (over()) break;
    if (any != nullptr) any->park_in_wait(park);
    else park(detail::forever);
  }
  const std::lock_guard lock(g.mutex);
  g.round_over = true;
  status s;
  if (g.failed) s = *std::exchange(g.failed, std::nullopt);
  else if (g.cancelled) s = errc::cancelled;
  if (g.cancelled && !g.options.parent.stop_requested()) {
    WEIR_TRY {
      g.source = std::stop_source();
      g.cancelled = false;
    }
    WEIR_CATCH_ALL {}  // no memory: it stays cancelled until the next wait
  }
  return s;
}

}  // namespace v0
}  // namespace weir
