// The group's books, under one short lock. Layer 6. Who may begin: siblings.hpp; how many have not ended, and the waiter's
// sleep: group_counter.hpp; the lock-free part of a child's life, its claim: task_state.hpp.
//
// A round lasts from its first child to the wait() that finds nobody alive. A cancel belongs to one round: it takes the stop source
// in the step in which it sets the flag, and counts as alive until all that had not begun have ended (what could starve does not count it,
// for it ends by itself); wait() renews both in the step in which it sees that nobody is alive. In a forked child the lock may be held for
// ever by a thread that is not there: nothing takes it. A worker that runs children of one group without a limit, one after
// another, tells it of their ends together (late_ends.hpp).
#include <weir/task_group.hpp>

#include "coroutine.hpp"
#include "group_counter.hpp"
#include "siblings.hpp"
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
  explicit group_state(core* c) : owner(c) {}
  bool dead() const noexcept { return owner != nullptr && owner->dead(); }

  // ---- under the lock ----
  void record(errc e, std::exception_ptr cause) {
    if (e == errc::cancelled) return;
    if (!failed) failed = error{e, cause, 1};
    if (errors.empty() || options.keep_all_errors) errors.push_back({e, std::move(cause), 1});
  }
  // Whoever adds the first child of a new round finds the group clean. `old`: what is destroyed after the lock.
  void begin_round(std::vector<error>& old) noexcept {
    if (!round_over.load(relaxed)) return;
    round_over.store(false, relaxed);
    old.swap(errors);
  }
  // What is returned is to be fired by finish_cancel().
  std::stop_source begin_cancel() noexcept {
    cancelled.store(true, relaxed);
    children.add();
    ++cancelling;
    return source;
  }
  // A child, or a cancel, has ended. What the last one takes away: the group itself goes when `keep` does, so after the lock.
  void one_ended(std::shared_ptr<group_state>& keep, resume_point*& goes_on) noexcept {
    if (!children.ended()) return;
    keep = std::move(self_while_alive);
    goes_on = std::exchange(awaiter, nullptr);
  }

  bool waits_for_cancels_only() const noexcept {
    const std::lock_guard lock(mutex);
    return children.alive() == cancelling;
  }

  core* const owner;  // null: nothing is ever accepted
  group_options options;
  // Written under the lock. Read without it where the answer may be late by a moment: who writes them deals with whoever has not begun.
  atomic<bool> round_over{false}, cancelled{false};
  atomic<bool> limited{false};  // whether a place may be awaited
  // What is above is read for each child, what follows written.
  alignas(cache_line) mutable detail::mutex mutex;
  group_counter<os_atomics> children{mutex};
  siblings unbegun;
  std::size_t cancelling = 0;  // cancels among what is alive
  std::optional<error> failed;
  std::vector<error> errors;
  std::stop_source source;
  std::shared_ptr<group_state> self_while_alive;
  struct on_parent_stop {
    group_state* g;
    void operator()() const noexcept;
  };
  std::optional<std::stop_callback<on_parent_stop>> on_parent;
  resume_point* awaiter = nullptr;  // a coroutine that goes on when all have ended
};

struct awaited_group {
  static awaiting await(task_group& g, resume_point& p) noexcept {
    if (g.core_ == nullptr) return awaiting::over;  // no child of it was ever accepted
    if (g.core_->dead()) return awaiting::stopped;
    const std::shared_ptr<group_state> keep = g.state_;  // until the lock is free: by then the group may have gone
    const std::lock_guard lock(keep->mutex);
    if (keep->children.alive() == 0) return awaiting::over;
    keep->awaiter = &p;
    return awaiting::suspended;
  }
};
awaiting group_await(task_group& g, resume_point& p) noexcept { return awaited_group::await(g, p); }

namespace {

// The groups whose tokens this thread is firing, inside of each other, while that keeps their rounds from the end.
struct token_that_fires {
  const group_state* of;
  const token_that_fires* outer;
};
constinit thread_local const token_that_fires* firing __attribute__((tls_model("initial-exec"))) = nullptr;
bool fires_token_of(const group_state& g) noexcept {
  for (const token_that_fires* t = firing; t != nullptr; t = t->outer)
    if (t->of == &g) return true;
  return false;
}

// Without the lock. in_round: the token fires before the round can end, else after that could, for a callback may wait for the group.
void finish_cancel(group_state& g, std::stop_source source, bool in_round) noexcept {
  cancel_unstarted(g.unbegun, g.mutex);
  if (in_round) {
    const token_that_fires here{&g, firing};
    firing = &here;
    source.request_stop();
    firing = here.outer;
  }
  std::shared_ptr<group_state> keep;
  resume_point* awaiter = nullptr;
  {
    const std::lock_guard lock(g.mutex);
    --g.cancelling;
    g.one_ended(keep, awaiter);
  }
  if (awaiter != nullptr) resume_later(*awaiter);
  if (!in_round) source.request_stop();
}

void cancel_group(group_state& g) noexcept {
  if (g.dead()) return;
  std::stop_source source(std::nostopstate);
  {
    const std::lock_guard lock(g.mutex);
    source = g.begin_cancel();
  }
  finish_cancel(g, std::move(source), false);
}

}  // namespace

void group_state::on_parent_stop::operator()() const noexcept { cancel_group(*g); }

std::stop_source* group_source(task_node& n) noexcept { return &static_cast<group_node&>(n).group->source; }

// It stays in the list until the group is told of its end (siblings.hpp): no lock is taken here.
bool group_started(group_node& n) noexcept {
  const bool begins = !n.group->cancelled.load(relaxed);
  if (is_observed(n)) [[unlikely]] observe_begin(n, begins);
  return begins;
}

namespace {
// Ends without an error, of children that are still listed.
void tell_of_ends(group_state& g, child_node* const* all, unsigned n) noexcept {
  std::shared_ptr<group_state> keep;  // as in group_ended()
  child_node* admitted[late_ends::most];  // for a limit may have come since
  resume_point* awaiter = nullptr;
  {
    const std::lock_guard lock(g.mutex);
    for (unsigned i = 0; i < n; ++i) {
      g.unbegun.unlink(*all[i]);
      admitted[i] = g.unbegun.leave();
      if (admitted[i] != nullptr) g.children.startable();
      g.one_ended(keep, awaiter);
    }
  }
  for (unsigned i = 0; i < n; ++i) post_admitted(admitted[i]);
  if (awaiter != nullptr) resume_later(*awaiter);
  for (unsigned i = 0; i < n; ++i) node_release(*all[i]);
}
const group_node* child_of(const job& j) noexcept {
  if (!is_ticket(j)) return nullptr;
  const task_node& n = *static_cast<const task_node*>(j.pointer());
  return n.ops->source == &group_source ? &static_cast<const group_node&>(n) : nullptr;
}
constexpr late_ends::rules of_groups{&tell_of_ends, [](const job& j, const group_state& g) noexcept {
  const group_node* const n = child_of(j);
  return n != nullptr && n->group == &g;
}};
}  // namespace

void group_ended(group_node& n, errc e, std::exception_ptr cause) noexcept {
  if (is_observed(n)) [[unlikely]] observe_end(n, static_cast<outcome>(e));  // before anybody hears of it
  // Whoever asks running tasks to stop gets at the group through this child; after the count it may be gone.
  if (runner* const w = current_runner(); w != nullptr)
    if (running_nodes::entry* const top = w->running.top(); top != nullptr && top->node == &n) w->running.leave(*top);
  std::shared_ptr<group_state> keep;  // of the last one: until the lock is free
  child_node* next = nullptr;
  bool cancel = false;
  std::stop_source source(std::nostopstate);
  resume_point* awaiter = nullptr;
  group_state& g = *n.group;
  if (worker* const w = worker::current(); w != nullptr) {
    // One that is observed is over only when its context has been released, which may take its time.
    if (e == errc{} && !g.limited.load(relaxed) && !is_observed(n) && w->ends.add(n, g, of_groups)) return;
    w->ends.tell();  // it would wait for more than the next child
  }
  {
    const std::lock_guard lock(g.mutex);
    if (e != errc{}) {
      cancel = g.options.cancel_on_error && e != errc::cancelled && !g.cancelled.load(relaxed);
      WEIR_TRY { g.record(e, std::move(cause)); }
      WEIR_CATCH_ALL {}  // no memory for the second error: the first is kept outside the vector
      if (cancel) {  // before the next one gets its place, and begins
        source = g.begin_cancel();
        keep = g.self_while_alive;
      }
    }
    g.unbegun.unlink(n);
    next = g.unbegun.leave();
    if (next != nullptr) g.children.startable();
    if (!cancel) g.one_ended(keep, awaiter);
    else g.children.ended();  // this one: the cancel is alive yet
  }
  post_admitted(next);
  if (cancel) finish_cancel(g, std::move(source), true);  // who has waited for an error finds the token fired
  if (awaiter != nullptr) resume_later(*awaiter);
  node_release(n);  // the reference of its life; whoever runs or fails it holds another
}

}  // namespace detail

using detail::group_state;

task_group::task_group(executor_ref e, group_options o)
    : core_(e.core_), gate_(e.gate_), state_(std::make_shared<group_state>(e.core_)) {
  state_->unbegun.limit = o.limit;
  state_->limited.store(o.limit != 0, detail::relaxed);
  state_->options = std::move(o);
  if (core_ != nullptr) core_->acquire_ref();
  if (gate_ != nullptr) detail::gate_acquire(*gate_);
  if (state_->options.parent.stop_possible())
    state_->on_parent.emplace(state_->options.parent, group_state::on_parent_stop{state_.get()});
}

task_group::~task_group() {
  if (state_->dead()) {  // who is not there may be inside of the parent's callback: it is never waited for
    static_cast<void>(new (std::nothrow) std::shared_ptr<group_state>(std::move(state_)));
    return;
  }
  state_->on_parent.reset();
  if (core_ != nullptr) {
    cancel();
    static_cast<void>(wait(time_point::max(), true));
    if (gate_ != nullptr) detail::gate_release(*gate_);
    core_->release_ref();
  }
}

bool task_group::begin(detail::admission& a, bool only_now) {
  group_state& g = *state_;
  if (g.dead()) return false;
  if (only_now)
    if (detail::worker* const w = detail::worker::current(); w != nullptr) w->ends.tell();  // what it keeps back may hold the place
  // Nothing of that: the lock is for start(), which looks again.
  if (only_now || g.round_over.load(detail::relaxed) || g.cancelled.load(detail::relaxed) ||
      g.options.parent.stop_requested()) {
    std::vector<error> old;
    const std::lock_guard lock(g.mutex);
    g.begin_round(old);
    if (g.options.parent.stop_requested()) g.cancelled.store(true, detail::relaxed);
    if (g.cancelled.load(detail::relaxed)) return false;
    if (only_now && !g.unbegun.reserve()) return false;
  }
  const detail::patience p = only_now ? detail::patience::never : detail::patience::elsewhere;
  const detail::outcome o = refused()          ? gate_->refusal
                            : gate_ == nullptr ? detail::admit(*core_, nullptr, p, a)
                                               : detail::gate_admit(*gate_, nullptr, p, a);
  if (o == detail::outcome_ok) return true;
  if (only_now) return give_place_back(), false;
  return refuse(static_cast<errc>(o), {}, false);
}

void task_group::give_place_back() noexcept {
  detail::child_node* next = nullptr;
  {
    const std::lock_guard lock(state_->mutex);
    next = state_->unbegun.leave();
    if (next != nullptr) state_->children.startable();
  }
  detail::post_admitted(next);
}

void task_group::start(detail::group_node& n, const detail::node_ops& ops, const detail::admission& a,
                       bool only_now) noexcept {
  group_state& g = *state_;
  namespace bits = detail::node_state;
  // References: its life, and its ticket's or, while it has none, this call's.
  const std::uint32_t flags = a.node_flags | (gate_ == nullptr ? bits::in_place : 0u) | bits::of_tag(a.tag);
  detail::node_init(n, *core_, ops, bits::detached | flags, 2,
                    nullptr, gate_);
  n.group = &g;
  bool cancelled, now;
  std::vector<error> old;
  {
    const std::lock_guard lock(g.mutex);
    g.begin_round(old);
    g.children.add();
    if (g.self_while_alive == nullptr) g.self_while_alive = state_;
    cancelled = g.cancelled.load(detail::relaxed);
    now = g.unbegun.add(n, only_now);
    if (now) g.children.startable();  // a waiter on a worker may be the only one who can run it
    if (now && cancelled) detail::add_reference(n.refs);
    if (!now && cancelled) g.unbegun.unlink(n);  // else it could get its place, and a ticket, meanwhile
  }
  if (now) detail::post_with_reference(n, core_);
  else if (detail::worker* const w = detail::worker::current(); w != nullptr) w->ends.tell();  // which may hold the place for it
  if (cancelled) detail::node_fail(n, errc::cancelled, now);
  if (!now || cancelled) detail::node_release(n);
}

void task_group::give_up(const detail::admission& a, bool only_now) noexcept {
  if (only_now) give_place_back();
  if (gate_ == nullptr) detail::unadmit(*core_, a);
  else detail::gate_unadmit(*gate_, a);
}

bool task_group::refuse(errc e, std::exception_ptr cause, bool silently) noexcept {
  group_state& g = *state_;
  if (silently || g.dead()) return false;
  std::stop_source source(std::nostopstate);
  std::vector<error> old;
  bool cancel = false;
  {
    const std::lock_guard lock(g.mutex);
    g.begin_round(old);
    WEIR_TRY { g.record(e, std::move(cause)); }
    WEIR_CATCH_ALL {}  // as in group_ended()
    cancel = g.options.cancel_on_error;
    if (cancel) source = g.begin_cancel();
  }
  if (cancel) detail::finish_cancel(g, std::move(source), false);
  return false;
}

void task_group::set_limit(unsigned n) noexcept {
  group_state& g = *state_;
  if (g.dead()) return;
  if (detail::worker* const w = detail::worker::current(); w != nullptr) w->ends.tell();
  for (bool changed = false;; changed = true) {
    detail::child_node* next = nullptr;
    {
      const std::lock_guard lock(g.mutex);
      if (!changed) {
        g.unbegun.limit = n;
        g.limited.store(n != 0, detail::relaxed);
      }
      if ((next = g.unbegun.admit()) == nullptr) return;
      g.children.startable();
    }
    detail::post_admitted(next);
  }
}

void task_group::cancel() noexcept { detail::cancel_group(*state_); }
std::stop_token task_group::token() const noexcept {
  if (state_->dead()) return state_->source.get_token();
  const std::lock_guard lock(state_->mutex);
  return state_->source.get_token();
}
std::span<const error> task_group::errors() const noexcept { return state_->errors; }
status task_group::wait() { return wait_until(time_point::max()); }

status task_group::wait_until(time_point until) { return wait(until, false); }

namespace {
bool passed(time_point until) noexcept { return until != time_point::max() && clock_type::now() >= until; }

// On a worker: the oldest that have not begun, until there are none, or the time has passed.
void run_unstarted(group_state& g, detail::worker& w, time_point until) noexcept {
  const void* const outermost = w.ends.expect(nullptr);
  std::uint64_t ran = 0;
  do {
    detail::child_node* n = nullptr;
    {
      const std::lock_guard lock(g.mutex);
      n = g.unbegun.oldest_unstarted();
    }
    if (n == nullptr) break;
    w.ends.expect(n);
    ran += detail::node_try_run(*n);
    detail::node_release(*n);
  } while (!passed(until) && !w.owner.dead());
  w.ends.expect(outermost);
  if (w.owner.dead()) return;
  w.ends.tell();
  w.ran_in_place(ran, [](const detail::job& j) { return detail::child_of(j) != nullptr && detail::ticket_is_stale(j); });
}

// Under the lock, while nobody is alive.
status end_round(group_state& g) noexcept {
  g.round_over.store(true, detail::relaxed);
  status s;
  if (g.failed) s = *std::exchange(g.failed, std::nullopt);
  else if (g.cancelled.load(detail::relaxed)) s = errc::cancelled;
  if (g.cancelled.load(detail::relaxed) && !g.options.parent.stop_requested()) {
    WEIR_TRY {
      g.source = std::stop_source();
      g.cancelled.store(false, detail::relaxed);
    }
    WEIR_CATCH_ALL {}  // no memory: it stays cancelled until the next wait
  }
  return s;
}
}  // namespace

status task_group::wait(time_point until, bool at_any_price) {
  group_state& g = *state_;
  detail::worker* const w = core_ != nullptr ? detail::worker::current_of(*core_) : nullptr;
  detail::worker* const any = detail::worker::current();
  const auto over = [&g] { return g.children.over(); };
  for (;;) {
    if (g.dead()) return errc::stopped;
    if (const std::lock_guard lock(g.mutex); g.children.alive() == 0) return end_round(g);
    if (passed(until)) return errc::timeout;
    if (!at_any_price && detail::fires_token_of(g)) return errc::starved;  // the round ends when this callback has returned
    if (core_ != nullptr && detail::this_keeper == core_ && !at_any_price && !g.waits_for_cancels_only())
      return errc::starved;  // the children may wait for the time
    std::optional<detail::gated_wait> in_gate;
    if (w != nullptr && gate_ != nullptr) {
      in_gate.emplace(*gate_, *w, &g, [](const void* it) noexcept {
        return static_cast<const group_state*>(it)->waits_for_cancels_only();
      });
      if (in_gate->starves() && !at_any_price && !g.waits_for_cancels_only()) return errc::starved;
    }
    if (w != nullptr && gate_ == nullptr) run_unstarted(g, *w, until);
    if (g.dead()) continue;
    const auto park = [&](std::int64_t ns) {
      const std::int64_t limit = detail::until_ns(until);
      const bool slept =
          g.children.sleep(ns == detail::forever      ? limit
                           : limit == detail::forever ? ns
                                                      : std::min(ns, limit),
                           [&] { return w != nullptr && gate_ == nullptr && g.unbegun.has_unstarted(); });
      if (!slept) return true;  // all have ended, or a pending one has got its place
      return over() || passed(until);
    };
    for (const std::uint64_t end = detail::ticks() + detail::ticks_of(5'000); !over() && detail::ticks() < end;)
      detail::cpu_relax();
    if (over()) continue;
    if (any != nullptr) any->park_in_wait(park);
    else park(detail::forever);
  }
}

}  // namespace v0
}  // namespace weir
