// See observation.hpp.
#include "observation.hpp"

#include "gate_state.hpp"
#include "worker.hpp"

#include <algorithm>
#include <iterator>

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local observed_run* this_run = nullptr;

namespace {

errc told(outcome o) noexcept { return o == outcome_again ? errc::failed : static_cast<errc>(o); }

// Whose own context is none: it is in no task of ours, and no caller of one.
bool own_thread() noexcept { return this_worker != nullptr || this_side != nullptr; }

int number_here(const core& c) noexcept {
  const worker* const w = worker::current_of(c);
  return w != nullptr ? static_cast<int>(w->number) : -1;
}

task_info describe(const core& c, const task_record& r) noexcept {
  return {.id = r.id,
          .parent = r.parent,
          .name = r.name,
          .queued = r.queued,
          .started = {},
          .worker = number_here(c),
          .context = c.opts.context,
          .captured = r.captured};
}

}  // namespace

// ---- a runtime's ----

observation::observation(core& c) noexcept : core_(c), obs_(c.opts.obs), stall_after_(c.opts.stall_after) {}

observer* observation::heard() const noexcept { return core_.dead() ? nullptr : obs_; }

std::uint64_t observation::next_id() noexcept { return (core_.id << 40) + last_id_.fetch_add(1, relaxed) + 1; }

void observation::record(task_record& r, const char* name) noexcept {
  r.id = next_id();
  r.parent = this_run != nullptr ? this_run->info().id : 0;
  r.name = name;
  r.queued = clock_type::now();
  if (observer* const o = heard(); o != nullptr) r.captured = o->capture();
}

void observation::record_again(task_record& r, time_point queued) noexcept {
  r.id = next_id();
  r.queued = queued;
}

void observation::discard(const task_record& r, errc why) noexcept {
  if (observer* const o = heard(); o != nullptr) o->on_discard(describe(core_, r), why);
}

void observation::release(task_record& r) noexcept {
  if (observer* const o = heard(); o != nullptr) o->release(std::exchange(r.captured, nullptr));
}

void observation::dropped(const char* name) noexcept {
  task_record r;
  record(r, name);
  discard(r, errc::dropped);
  release(r);
}

bool observation::has_stalled(const observed_run& r, time_point now) const noexcept {
  return watches() && now - r.since_ >= stall_after_;
}

time_point observation::look_for_stalls() noexcept {
  time_point next = time_point::max();
  const auto look = [&](runner& r) {
    task_info found[16];  // told of when nobody waits for this look any more
    std::size_t n = 0;
    const time_point now = clock_type::now();
    r.running.inspect([&](const running_nodes::entry& e) {
      observed_run* const run = entry_of(e).run;
      if (run == nullptr || entry_of(e).stolen != nullptr || run->told_) return;
      if (!has_stalled(*run, now)) {
        next = std::min(next, run->since_ + stall_after_);
      } else if (n == std::size(found)) {
        next = now;
      } else {
        run->told_ = true;
        found[n++] = run->info_;
      }
    });
    for (std::size_t i = 0; i < n; ++i) {
      core_.time.count_stall();
      if (observer* const o = heard(); o != nullptr) o->on_stall(found[i]);
    }
  };
  for (unsigned i = 0, e = core_.slot_count(); i < e; ++i) look(*core_.slot(i));
  core_.side.each_running([&](side_thread& s) { look(s); });
  core_.each_caller([&](caller_seat& s) { look(s); });
  return next;
}

// ---- a run ----

observed_run::observed_run(core& c, const task_record& r, const task_node* n) noexcept
    : to_(*c.seen), info_(describe(c, r)), since_(clock_type::now()), node_(n), outer_(this_run) {
  info_.started = since_;
  this_run = this;
}

observer* observed_run::enter_context() noexcept {
  begun_ = true;
  observer* const o = to_.heard();
  if (o == nullptr) return nullptr;
  saved_ = outer_ != nullptr || !own_thread();
  if (saved_) before_ = o->capture();
  o->restore(info_.captured);
  return o;
}
void observed_run::leave_context(observer& o) noexcept {
  o.restore(before_);
  if (saved_) o.release(before_);
}

void observed_run::begin() noexcept {
  if (observer* const o = enter_context(); o != nullptr) o->on_start(info_);
}
void observed_run::go_on(time_point started) noexcept {
  info_.started = started;
  enter_context();
}
void observed_run::suspend() noexcept {
  ended_ = true;
  if (observer* const o = to_.heard(); o != nullptr) leave_context(*o);
}

void observed_run::end(outcome with) noexcept {
  if (std::exchange(ended_, true)) return;
  observer* const o = to_.heard();
  if (o == nullptr) return;
  if (!begun_) {
    task_info never = info_;
    never.started = {};
    return o->on_discard(never, told(with));
  }
  o->on_end(info_, told(with));
  leave_context(*o);
}

void observed_run::watch() noexcept {
  if (to_.watches()) to_.core_.time.watch_stalls(since_ + to_.stall_after_);
}

borrowed_run::borrowed_run(observed_run* r) noexcept : run_(r), outer_(this_run) {
  if (run_ == nullptr) return;
  this_run = run_;
  observer* const o = run_->to_.heard();
  if (o == nullptr) return;
  if (outer_ != nullptr) before_ = o->capture();
  o->restore(run_->info_.captured);
}

void borrowed_run::give_back() noexcept {
  if (run_ == nullptr) return;
  this_run = outer_;
  observer* const o = run_->to_.heard();
  if (o == nullptr) return;
  o->restore(before_);
  if (outer_ != nullptr) o->release(before_);
}

// ---- nodes ----

void observe_begin(const task_node& n, bool begins) noexcept {
  observed_run* const r = this_run;
  if (r == nullptr || r->node_ != &n) return;
  if (begins) r->begin();
  else r->end(outcome_of(errc::cancelled));
}
void observe_end(const task_node& n, outcome o) noexcept {
  if (observed_run* const r = this_run; r != nullptr && r->node_ == &n) r->end(o);
}
void observe_init(task_node& n, core& c, const char* name) noexcept { c.seen->record(node_record(n), name); }
void observe_discard(task_node& n, errc why) noexcept {
  node_owner(n)->seen->discard(node_record(n), why);
  observe_over(n);
}
void observe_over(task_node& n) noexcept { node_owner(n)->seen->release(node_record(n)); }

std::uint32_t node_flags_of(const core& c) noexcept { return c.seen != nullptr ? node_state::observed : 0; }

// ---- plain jobs ----

namespace {

// A plain job, so that there is something to observe.
struct wrapped_job final : task_node {
  job inner;

  static wrapped_job& self(task_node& n) noexcept { return static_cast<wrapped_job&>(n); }
  static outcome run(task_node& n) noexcept {
    job j = self(n).inner;
    return j.ops().run(j);
  }
  static void fail(task_node& n, errc e) noexcept {
    job j = self(n).inner;
    j.ops().drop(j, e);
  }
  static bool extract(task_node& n, task_fn& out) {
    job j = self(n).inner;
    return j.ops().extract(j, out);
  }
  static void destroy(task_node& n) noexcept {
    node_forget(n);
    deallocate_task(&self(n), n.state.load(relaxed));
  }
  static std::exception_ptr unread(task_node&) noexcept { return {}; }
  static constexpr node_ops ops_table{&run, &fail, &extract, &destroy, &unread, nullptr};

  static wrapped_job* make(core& c, const job& j, const admission& a, gate* via) {
    const std::uint32_t flags = node_state::observed | node_state::detached | node_state::of_tag(a.tag) |
                                (via == nullptr ? 0u : node_state::gated | (a.room_held ? 0u : node_state::again));
    auto* const n = allocate_task<wrapped_job>(c, flags);
    n->inner = j;
    node_init(*n, c, ops_table, flags, 1, nullptr, via);
    if (j.ops().named) node_record(*n).name = reinterpret_cast<const char*>(static_cast<std::uintptr_t>(j.data[1]));
    return n;
  }
  void unmake() noexcept {
    const std::uint32_t flags = state.load(relaxed);
    node_undo_init(*this);
    deallocate_task(this, flags);
  }
};

template <class T, class Pass, class Make>
bool wrap_all(const T* were, T* out, std::size_t n, Pass passes, Make make) noexcept {
  std::size_t done = 0;
  WEIR_TRY {
    for (; done < n; ++done) out[done] = passes(were[done]) ? were[done] : make(were[done]);
    return true;
  }
  WEIR_CATCH_ALL { unwrap(out, were, done); }
  return false;
}

}  // namespace

bool wrap(core& c, const job* jobs, job* out, std::size_t n, const admission& a) noexcept {
  return wrap_all(jobs, out, n, &is_ticket,
                  [&](const job& j) { return node_ticket(*wrapped_job::make(c, j, a, nullptr)); });
}
void unwrap(const job* wrapped, const job* were, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i)
    if (!is_ticket(were[i])) static_cast<wrapped_job*>(static_cast<task_node*>(wrapped[i].pointer()))->unmake();
}

bool wrap(core& c, gate& via, gate_entry* const* all, gate_entry** out, std::size_t n, const admission& a) noexcept {
  return wrap_all(
      all, out, n, [](gate_entry* e) { return is_ticket(e->as_job()); },
      [&](gate_entry* e) -> gate_entry* { return &ticket_of(*wrapped_job::make(c, e->as_job(), a, &via)); });
}
void unwrap(gate_entry* const* wrapped, gate_entry* const* were, std::size_t n) noexcept {
  for (std::size_t i = 0; i < n; ++i)
    if (!is_ticket(were[i]->as_job())) static_cast<wrapped_job&>(node_of(*wrapped[i])).unmake();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
