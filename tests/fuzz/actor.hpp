// A thread that interprets bytes as calls of the public API. The main one may also pause, shut the gate, keep groups and
// start other actors; whatever could wait for ever it does only after it has let everybody go on.
#pragma once

#include "tasks.hpp"

#include <optional>
#include <thread>

namespace fuzz {

/// A timer, and its record.
struct alarm {
  weir::timer t;
  unsigned id = 0;
  bool series = false;
  // cancel(); what the oracle knows then.
  bool cancel(world& w) {
    if (!t.cancel()) return false;
    record& rec = w.all[id];
    rec.ran_at_cancel = rec.ran;
    rec.cancelled = true;
    require(!t.cancel(), "a timer was cancelled twice", id);
    return true;
  }
};

/// A full queue's new task was dropped, or a full limit's: it counts.
inline void note_refusal(world& w, weir::errc why) {
  if (why != weir::errc::dropped) return;
  require(w.discards, "a new task was dropped under another policy");
  w.discarded.fetch_add(1);
}

/// Submits from wherever it is called; returns what the runtime said. Accounts for the callable in each case.
template <class F>
weir::status give(weir::executor_ref to, world& w, std::uint32_t recipe, unsigned verb, const weir::task_options* o) {
  const unsigned id = w.all.open(kind::plain, F::traceless);
  if (id == books::none) return weir::errc::invalid;
  F f{&w, id, recipe};
  weir::status s = o == nullptr ? (verb == 0 ? to.submit(std::move(f)) : to.try_submit(std::move(f)))
                                : (verb == 0 ? to.submit(std::move(f), *o) : to.try_submit(std::move(f), *o));
  if (s) {
    if constexpr (!F::traceless) require(!f.whole(), "accepted, but not taken", id);
    w.all[id].accepted = true;
  } else {
    require(f.whole(), "a refused callable was touched", id, static_cast<unsigned>(s.error().code));
    f.refuse();
    note_refusal(w, s.error().code);
  }
  return s;
}

/// The same with a handle, by spawn(f) or the like; nothing when it was refused, and `why`.
template <class F, class Spawn>
std::optional<handle> lend_by(Spawn spawn, world& w, std::uint32_t recipe, const weir::task_options* o, weir::errc* why = nullptr) {
  const unsigned id = w.all.open(kind::spawned, false);
  if (why != nullptr) *why = weir::errc::invalid;
  if (id == books::none) return std::nullopt;
  F f{&w, id, recipe};
  handle out{spawn(std::move(f)), id};
  if (o != nullptr) out.start_by = o->start_by, out.deadline = o->deadline;
  if (!f.whole()) {
    w.all[id].accepted = true;
    return out;
  }
  require(out.h.ready(), "a refused task's handle is not ready", id);
  f.refuse();
  auto r = out.h.get();
  require(!r, "a refused task has a value", id);
  note_refusal(w, r.error().code);
  if (o != nullptr && r.error().code == weir::errc::expired)
    require(weir::clock_type::now() >= std::min(o->start_by, o->deadline), "expired before its time", id);
  if (why != nullptr) *why = r.error().code;
  return std::nullopt;
}
template <class F>
std::optional<handle> lend(weir::executor_ref to, world& w, std::uint32_t recipe, const weir::task_options* o, weir::errc* why = nullptr) {
  return lend_by<F>([&](F&& f) { return o == nullptr ? to.spawn(std::move(f)) : to.spawn(std::move(f), *o); }, w, recipe, o, why);
}
/// On the blocking pool.
template <class F>
std::optional<handle> lend_beside(weir::runtime& rt, world& w, std::uint32_t recipe, const weir::task_options* o) {
  return lend_by<F>([&](F&& f) { return o == nullptr ? rt.blocking(std::move(f)) : rt.blocking(std::move(f), *o); }, w, recipe, o);
}

/// A timer: make(f) gives it. `gated`: perhaps through a gate that was moved from.
template <class F, class Make>
alarm start_timer(Make make, world& w, std::uint32_t recipe, kind k, bool gated = false) {
  const unsigned id = w.all.open(k, false);
  if (id == books::none) return {};
  F f{&w, id, recipe};
  alarm out{make(std::move(f)), id, k == kind::series};
  const weir::status s = out.t.accepted();
  require(s.has_value() == !f.whole(), "a timer's answer and its callable do not fit", id);
  if (s) {
    w.all[id].accepted = true;
    return out;
  }
  f.refuse();
  require(!out.t.cancel(), "a timer was cancelled that there is not", id);
  const weir::errc why = s.error().code;
  require(why == weir::errc::full || why == weir::errc::stopped || (why == weir::errc::failed && w.memory.fail_each != 0) ||
              (why == weir::errc::invalid && gated),
          "a timer was refused", id, static_cast<unsigned>(why));
  return {};
}

/// A group's child. run() says nothing, so what is left in f tells whether the group took it: no plain values here.
template <class F>
bool add(weir::task_group& g, world& w, std::uint32_t recipe, bool try_only) {
  static_assert(!F::traceless);
  const unsigned id = w.all.open(kind::child, false);
  if (id == books::none) return false;
  F f{&w, id, recipe};
  if (try_only) {
    const bool ok = g.try_run(std::move(f));
    require(ok == !f.whole(), "try_run: the answer and the callable do not fit", id, ok);
    if (!ok) f.refuse();
    else w.all[id].accepted = true;
    return ok;
  }
  g.run(std::move(f));
  if (!f.whole()) {
    w.all[id].accepted = true;
    return true;
  }
  f.refuse();
  if (w.full == weir::on_full::discard) w.uncountable = true;  // the group knows why
  return true;
}

/// In the place of a plain value where only the callable itself tells what became of it.
template <class F>
using traced = std::conditional_t<F::traceless, ticket, F>;

/// Picks one of the callables.
template <class Call>
auto with_callable(unsigned which, Call call) {
  switch (which % 5) {
    case 0: return call.template operator()<ticket>();
    case 1: return call.template operator()<small>();
    case 2: return call.template operator()<big_ticket>();
    case 3: return call.template operator()<token_ticket>();
    default: return call.template operator()<bad_end>();
  }
}

class actor {
 public:
  actor(world& w, bytes in, bool main) : w_(w), in_(in), main_(main) {}

  void run() {
    while (!in_.empty()) step();
  }
  /// After the runtime has been shut down: every handle has its answer.
  void finish_handles() {
    for (handle& h : handles_) {
      require(h.h.ready(), "after the shutdown a handle is not ready", h.id);
      auto r = h.h.get();
      check_answer(w_, h, r);
    }
    handles_.clear();
  }
  void drop_handles() { handles_.clear(); }
  void drop_groups() { groups_.clear(); }
  /// Tasks count in what they go through, so that outlives them all.
  void leave_gates() {
    const std::lock_guard lock(w_.mutex);
    for (auto& g : gates_) w_.gates.push_back(std::move(g));
    gates_.clear();
  }
  void drop_timers() {
    for (alarm& a : timers_) a.cancel(w_);
    timers_.clear();
  }
  void join_sides() {
    let_go();
    drop_timers();  // sides may wait for rest
    for (std::thread& t : sides_) t.join();
    sides_.clear();
  }
  bool has_sides() const { return !sides_.empty(); }
  /// What is waited for can go on from here.
  void let_go() {
    if (!main_) return;
    w_.set_gate(false);
    if (paused_ && w_.rt) w_.rt->resume();
    gate_closed_ = paused_ = quiet_ = false;
  }
  /// The gate alone: for calls that resume a paused runtime themselves, or must not wait for it.
  void open_gate() {
    w_.set_gate(false);
    gate_closed_ = false;
  }

  void step();

 private:
  bool may_block() const { return !main_ || !(gate_closed_ || paused_); }
  void submit();
  void bulk();
  void bomb();
  void use_handle();
  void use_group();
  void use_gate();
  void use_timer();
  void use_blocking();
  void use_coroutine();
  void outlast();
  void resize();
  void reopen();
  void enter();
  void rest();
  void options_from(unsigned b, weir::task_options& o);
  void held_changed(bool accepted, weir::errc code, unsigned first, unsigned n, const weir::task_options& o, bool only_tried, bool traceless);

  world& w_;
  bytes in_;
  bool main_;
  std::vector<handle> handles_;
  std::vector<std::unique_ptr<weir::task_group>> groups_;
  std::vector<std::unique_ptr<gate>> gates_;
  std::vector<std::thread> sides_;
  bool paused_ = false, gate_closed_ = false, shut_ = false;
  // Paused at rest, with no other thread about: what is accepted now is exactly what is queued.
  bool quiet_ = false;
  std::size_t held_ = 0;
  struct in_line {
    unsigned id;
    weir::lane prio;
    bool bound, traceless;
  };
  std::vector<in_line> line_;  // what is held, the oldest first
  std::vector<alarm> timers_;
  unsigned naps_ = 0;

 public:
  std::size_t capacity = 0;
};

}  // namespace fuzz
