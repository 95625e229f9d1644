// What tasks do, and what actors do. See actor.hpp.
#include "actor.hpp"

#include <algorithm>
#include <functional>

namespace fuzz {

namespace {

constexpr auto moment = 1ms;
weir::time_point soon(std::chrono::microseconds d = moment) { return weir::clock_type::now() + d; }

void burn(std::chrono::microseconds d) {
  for (const auto until = soon(d); weir::clock_type::now() < until;) {}
}

// From outside: waits for the end. At the task's own deadline a waiter is told `timeout`, once, and then waits on (P16).
bool get(world& w, handle& h) {
  auto r = h.h.get();
  if (!r && r.error().code == weir::errc::timeout) {
    require(weir::clock_type::now() >= h.deadline, "get came back with timeout before the task's deadline", h.id);
    require(h.h.valid(), "timeout has emptied a handle", h.id);
    r = h.h.get();
  }
  return check_answer(w, h.id, r);
}

}  // namespace

// ---- inside a task -----------------------------------------------------------------------------------------------

void act(world& w, std::uint32_t recipe) {
  const unsigned action = recipe & 15;
  const std::uint32_t rest = recipe >> 4;
  const weir::executor_ref here = weir::here();
  const auto child = [&](const weir::task_options* o = nullptr) { return lend<ticket>(here, w, rest, o); };
  switch (action) {
    case 0: break;
    case 1: throw std::out_of_range("asked for");
    case 2: burn(20us); break;
    case 3: std::this_thread::sleep_for(200us); break;
    case 4:
      static_cast<void>(give<ticket>(here, w, rest, 0, nullptr));
      static_cast<void>(give<small>(here, w, rest, 1, nullptr));
      break;
    case 5:
      if (auto h = child()) {
        auto r = h->h.get();
        check_answer(w, h->id, r);
      }
      break;
    case 6:
      if (auto h = child()) {
        auto r = h->h.get_until(soon());
        check_answer(w, h->id, r);
      }
      break;
    case 7:
      if (auto h = child()) h->h.cancel();
      if (auto h = child()) h->h.detach();
      break;
    case 8: {
      weir::task_group g(here, {.limit = rest & 1, .cancel_on_error = (rest & 2) != 0});
      for (int i = 0; i < 3; ++i) add<ticket>(g, w, rest, false);
      static_cast<void>(g.wait());
      break;
    }
    case 9: weir::fork_join([&] { act(w, rest); }, [&] { act(w, rest ^ 1); }); break;
    case 10: {
      std::atomic<unsigned> sum{0};
      const weir::status s = weir::parallel_for(0u, 40u, [&](unsigned i) {
        sum.fetch_add(i + 1);
        if ((rest & 1) != 0 && i == 33) throw std::out_of_range("asked for");
        if ((rest & 2) != 0) burn(2us);
      });
      require(!s || sum == 820, "parallel_for said ok and did not run all", sum);
      require(static_cast<bool>(s) == ((rest & 1) == 0), "parallel_for's answer is wrong", rest);
      break;
    }
    case 11: w.pass_gate(); break;
    case 12:
      require(w.for_tasks == nullptr || !w.for_tasks->wait_idle(), "wait_idle on an own worker must not wait");
      break;
    case 13:
      for (const auto until = soon(200us); !weir::this_task::token().stop_requested() && weir::clock_type::now() < until;)
        std::this_thread::yield();
      break;
    case 14: {
      weir::task_options o;
      o.worker = static_cast<int>(rest & 1);
      o.prio = static_cast<weir::lane>((rest >> 1) % 3);
      if (auto h = child(&o)) {
        auto r = h->h.get_until(soon());
        check_answer(w, h->id, r);
      }
      break;
    }
    default: {
      if (auto h = child()) w.share(std::move(*h));
      handle h{{}, 0};
      if ((rest & 1) != 0 && w.take_shared(h)) {
        auto r = h.h.get_until(soon());
        check_answer(w, h.id, r);
      }
      break;
    }
  }
}

// ---- from outside ------------------------------------------------------------------------------------------------

void actor::options_from(unsigned b, weir::task_options& o) {
  o.prio = static_cast<weir::lane>(b % 3);
  b /= 3;
  if (b % 4 == 1) o.stop = w_.stops[0].get_token();
  if (b % 4 == 2) o.stop = w_.stops[1].get_token();
  b /= 4;
  const weir::time_point starts[] = {weir::time_point::max(), weir::time_point::max(), soon(-1ms), soon(300us), soon(1h)};
  o.start_by = starts[b % 5];
  b /= 5;
  const int workers[] = {-1, -1, 0, 99};
  o.worker = workers[b % 4];
  if (b >= 2) o.deadline = soon(100us);
  o.name = "fuzz";
}

// In a quiet runtime admission is plain arithmetic.
void actor::held_changed(bool accepted, weir::errc code, unsigned n) {
  if (!quiet_) return;
  if (accepted) {
    held_ += n;
    require(held_ <= capacity, "more was accepted than the capacity", held_, capacity);
  } else if (code == weir::errc::full) {
    require(held_ + n > capacity, "full was answered, and it is not", held_, capacity);
  }
}

void actor::submit() {
  const unsigned how = in_.byte(), which = how >> 3;
  const std::uint32_t recipe = in_.word();
  unsigned verb = how & 1;  // 1: try_submit
  const bool spawned = (how & 2) != 0;
  weir::task_options o;
  bool with_options = (how & 4) != 0;
  if (with_options) options_from(in_.byte(), o);
  if (!may_block()) {
    verb = 1;
    if (spawned) {
      o.start_by = std::min(o.start_by, soon(500us));
      with_options = true;
    }
  }
  const weir::executor_ref to = *w_.rt;
  const weir::task_options* const opts = with_options ? &o : nullptr;
  if (spawned) {
    auto h = with_callable(which, [&]<class F>() {
      return lend<traced<F>>(to, w_, recipe, opts);
    });
    held_changed(h.has_value(), weir::errc::expired, 1);
    if (!h) return;
    if ((how & 0x80) != 0) w_.share(std::move(*h));
    else handles_.push_back(std::move(*h));
  } else {
    const weir::status s = with_callable(which, [&]<class F>() { return give<F>(to, w_, recipe, verb, opts); });
    held_changed(s.has_value(), s ? weir::errc{} : s.error().code, 1);
  }
}

void actor::bulk() {
  const unsigned n = in_.below(12);
  const std::uint32_t recipe = in_.word();
  std::vector<unsigned> ids;
  std::vector<ticket> batch;
  for (unsigned i = 0; i < n; ++i) {
    const unsigned id = w_.all.open(kind::plain, false);
    if (id == books::none) break;
    ids.push_back(id);
    batch.emplace_back(&w_, id, recipe);
  }
  weir::task_options o;
  o.prio = static_cast<weir::lane>(recipe % 3);
  const weir::status s = (recipe & 8) != 0 ? w_.rt->try_submit_bulk(std::move(batch), o) : w_.rt->try_submit_bulk(std::move(batch));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(batch[i].whole() != s.has_value(), "bulk: not all or nothing", i, ids.size());
    if (s) w_.all[ids[i]].accepted = true;
    else batch[i].refuse();
  }
  held_changed(s.has_value(), s ? weir::errc{} : s.error().code, static_cast<unsigned>(ids.size()));
}

// A callable whose copy throws: refused, and the original is as before.
void actor::bomb() {
  struct copy_throws {
    int* calls;
    explicit copy_throws(int& n) : calls(&n) {}
    copy_throws(const copy_throws&) : calls(nullptr) { throw std::out_of_range("copy"); }
    int operator()() const { return ++*calls; }
  };
  int calls = 0;
  const copy_throws original(calls);
  weir::task_options o;
  o.start_by = soon(500us);
  const weir::status s = w_.rt->try_submit(original);
  require(!s, "a task whose copy threw was accepted");
  auto h = w_.rt->spawn(original, o);
  require(h.ready() && !h.get(), "a spawned task whose copy threw was accepted");
  require(calls == 0 && original.calls == &calls, "a task whose copy threw ran");
}

void actor::use_handle() {
  const unsigned how = in_.byte();
  if ((how & 0x80) != 0) {
    handle h{{}, 0};
    if (w_.take_shared(h)) handles_.push_back(std::move(h));
  }
  if (handles_.empty()) {
    weir::join_handle<int> none;
    require(!none.ready(), "an empty handle is ready");
    const auto r = none.get();
    require(!r && r.error().code == weir::errc::invalid, "an empty handle has an answer");
    return;
  }
  const std::size_t at = (how >> 3 & 7) % handles_.size();
  handle& h = handles_[at];
  const auto forget = [&] { handles_.erase(handles_.begin() + static_cast<std::ptrdiff_t>(at)); };
  switch (how & 7) {
    case 0:
    case 1: {
      let_go();
      require(get(w_, h), "get came back without an answer", h.id);
      require(!h.h.valid(), "a handle that was read is not empty", h.id);
      forget();
      break;
    }
    case 2: {
      const weir::time_point limit = soon(200us);
      auto r = h.h.get_until(limit);
      if (check_answer(w_, h.id, r)) forget();
      else require(weir::clock_type::now() >= std::min(limit, h.deadline), "get_until came back too early", h.id);
      break;
    }
    case 3: {
      const bool queued = quiet_ && !h.h.ready();
      h.h.cancel();
      if (queued) {  // P17: its capacity is free at once
        require(h.h.ready(), "a queued task was cancelled and has not ended", h.id);
        --held_;
      }
      break;
    }
    case 4: h.h.detach(); forget(); break;
    case 5: forget(); break;
    case 6: static_cast<void>(h.h.ready()); break;
    default: {
      handle moved = std::move(h);
      require(!h.h.valid() && !h.h.ready(), "a handle that was moved from is not empty", h.id);
      h = std::move(moved);
      break;
    }
  }
}

void actor::use_group() {
  const unsigned how = in_.byte(), b = in_.byte();
  quiet_ = false;  // children that wait for a place, or are cancelled: not counted here
  if (groups_.empty() || (how & 15) == 0) {
    if (groups_.size() >= 3) return;
    weir::group_options o;
    o.limit = b & 3;
    o.cancel_on_error = (b & 4) != 0;
    o.keep_all_errors = (b & 8) != 0;
    if ((b & 16) != 0) o.parent = w_.stops[0].get_token();
    groups_.push_back(std::make_unique<weir::task_group>(*w_.rt, o));
    return;
  }
  weir::task_group& g = *groups_[b % groups_.size()];
  switch (how & 15) {
    case 1:
    case 2:
    case 3:
    case 4: {
      const std::uint32_t recipe = in_.word();
      if (!may_block() && (how & 1) == 0) let_go();
      for (unsigned i = 0; i <= (b >> 2 & 7); ++i)
        with_callable(b >> 5, [&]<class F>() { return add<traced<F>>(g, w_, recipe, (how & 1) != 0); });
      break;
    }
    case 5: g.cancel(); break;
    case 6: g.set_limit(b >> 2 & 3); break;
    case 7:
    case 8:
      let_go();
      static_cast<void>(g.wait());
      require(g.wait().has_value() || w_.stops[0].stop_requested(), "a group is not clean after its wait");
      break;
    case 9:
      static_cast<void>(g.wait_until(soon(200us)));
      break;
    case 10:
      let_go();
      groups_.erase(groups_.begin() + b % static_cast<std::ptrdiff_t>(groups_.size()));
      break;
    case 11: static_cast<void>(g.token().stop_requested()); break;
    default: break;
  }
}

// Strands and limiteds, over the runtime or over one another.
void actor::use_gate() {
  const unsigned how = in_.byte(), b = in_.byte();
  quiet_ = false;
  if (gates_.empty() || (how & 7) == 0) {
    if (gates_.size() >= 4) return;
    const weir::executor_ref behind = (b & 1) != 0 && !gates_.empty() ? gates_[(b >> 1) % gates_.size()]->to : weir::executor_ref(*w_.rt);
    const unsigned n = 1 + (b >> 3 & 3);
    const weir::on_full full = (b & 0x20) != 0 ? weir::on_full::block : weir::on_full::reject;
    if ((how & 8) != 0) gates_.push_back(std::make_unique<gate>(weir::limited(behind, n, 1 + (b >> 6), full), n));
    else gates_.push_back(std::make_unique<gate>(weir::strand(behind), 1u));
    return;
  }
  gate& g = *gates_[b % gates_.size()];
  if ((how & 7) == 1 && (b & 0xc0) == 0) {  // let go of; what it accepted still runs
    const auto last = std::move(g.to);
    const weir::status s = g.to.try_submit([] {});
    require(!s && s.error().code == weir::errc::invalid, "a gate that was moved from took a task");
    return;
  }
  gate_ticket::made_for = &g;
  const std::uint32_t recipe = in_.word();
  weir::task_options o;
  const bool with_options = (how & 16) != 0;
  if (with_options) options_from(in_.byte(), o);
  for (unsigned i = 0; i <= (b >> 4 & 3); ++i) {
    if ((how & 32) != 0) {
      if (!may_block()) o.start_by = std::min(o.start_by, soon(500us));
      if (auto h = lend<gate_ticket>(g.to, w_, recipe + i, with_options || !may_block() ? &o : nullptr)) handles_.push_back(std::move(*h));
    } else {
      static_cast<void>(give<gate_ticket>(g.to, w_, recipe + i, may_block() ? how >> 6 & 1 : 1, with_options ? &o : nullptr));
    }
  }
}

void actor::resize() {
  const unsigned n = in_.below(8);
  quiet_ = false;
  w_.resized = true;
  const weir::status s = w_.rt->resize(n);
  if (!s) {
    const weir::errc why = s.error().code;
    require((why == weir::errc::invalid && n == 0) || why == weir::errc::stopped || (why == weir::errc::failed && w_.memory.fail_each != 0),
            "resize was refused", n, static_cast<unsigned>(why));
  } else {
    require(n != 0, "resize to no worker");
    if (main_ && sides_.empty()) require(w_.rt->workers() == n, "resize said ok, and there are others", w_.rt->workers(), n);
  }
}

// A whole life, and another one: with other threads that call meanwhile, and are refused between the two.
void actor::reopen() {
  const bool drains = in_.below(2) == 0;
  open_gate();
  if (!shut_) require(!w_.rt->restart(), "restart of a runtime that was not shut down");
  const weir::report r = drains ? w_.rt->drain() : w_.rt->abort();
  paused_ = quiet_ = false;
  require(r.complete, "a shutdown without a limit is not complete");
  for (const handle& h : handles_) require(h.h.ready(), "after the shutdown a handle is not ready", h.id);
  shut_ = true;
  if (const weir::status s = w_.rt->restart(); !s)
    require(s.error().code == weir::errc::failed && w_.memory.fail_each != 0, "restart failed", static_cast<unsigned>(s.error().code));
  else shut_ = false;
}

// run() and its algorithms.
void actor::enter() {
  const unsigned how = in_.byte();
  const std::uint32_t recipe = in_.word();
  let_go();
  try {
    switch (how & 3) {
      case 0: {
        bool ran = false;
        try {
          w_.rt->run([&] {
            ran = true;
            w_.entries.fetch_add(1);
            act(w_, recipe);
          });
        } catch (const std::system_error&) {
          throw;
        } catch (...) {
          require(ran, "run threw something that its callable did not");
        }
        break;
      }
      case 1: {
        std::atomic<unsigned> n{0};
        const weir::status s = weir::parallel_for(*w_.rt, 0, 100, [&](int) { n.fetch_add(1); });
        if (s) w_.entries.fetch_add(1);
        require(s ? n == 100 : n == 0, "parallel_for with a runtime: all or nothing", n);
        break;
      }
      case 2: {
        const auto both = weir::fork_join([] { return 1; }, [] { return 2; });
        require(both.first == 1 && both.second == 2, "fork_join outside");
        break;
      }
      default: {
        const unsigned sum = w_.rt->run([&] {
          w_.entries.fetch_add(1);
          return std::get<2>(weir::invoke([] { return 1u; }, [] { return 2u; }, [] { return 3u; }));
        });
        require(sum == 3, "run lost its value", sum);
        break;
      }
    }
  } catch (const std::system_error& e) {
    require(e.code() == weir::make_error_code(weir::errc::stopped), "run threw another error than stopped");
  }
}

// The books balance at rest, exactly.
void actor::rest() {
  const unsigned how = in_.byte();
  if ((how & 1) != 0) {
    static_cast<void>(w_.rt->wait_idle(soon(200us)));
    return;
  }
  let_go();
  const bool at_rest = w_.rt->wait_idle();
  require(at_rest, "wait_idle without a limit came back false");
  if (main_ && sides_.empty()) {
    const weir::snapshot m = w_.rt->metrics();
    require(m.submitted == m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped, "P35: the books do not balance", m.submitted, m.ok);
    require(m.queued == 0, "at rest something is queued", m.queued);
    for (const handle& h : handles_) require(h.h.ready(), "at rest a handle is not ready", h.id);
    if ((how & 2) != 0) {
      w_.rt->pause();
      paused_ = quiet_ = true;
      held_ = 0;
    }
  }
}

void actor::step() {
  const unsigned op = in_.byte();
  if (op >= 240) {
    if (op < 252) use_gate();
    else if (op < 255) resize();
    else if (main_) reopen();
    return;
  }
  switch (op % 20) {
    case 0:
    case 1:
    case 2:
    case 3:
    case 4:
    case 5: submit(); break;
    case 6: bulk(); break;
    case 7:
    case 8:
    case 9: use_handle(); break;
    case 10: enter(); break;
    case 11: rest(); break;
    case 12: w_.stops[in_.below(2)].request_stop(); quiet_ = false; break;
    case 13: static_cast<void>(w_.rt->metrics().prometheus()); break;
    case 14: bomb(); break;
    case 15: {
      const unsigned id = w_.all.open(kind::copies, true);
      if (id == books::none) break;
      const std::uint32_t recipe = in_.word();
      w_.all[id].most = static_cast<std::uint8_t>(w_.resized ? 8 : w_.rt->workers());
      w_.uncountable = true;
      quiet_ = false;
      if (!may_block()) let_go();
      static_cast<void>(w_.rt->broadcast(small{&w_, id, recipe & ~15u}));  // nothing that throws
      break;
    }
    default:
      if (!main_) break;
      switch (op % 20) {
        case 16:
        case 17: use_group(); break;
        case 18: {
          const unsigned how = in_.below(6);
          if (how == 0) w_.rt->pause(), paused_ = true, quiet_ = false;
          else if (how == 1) let_go();
          else if (how == 2) w_.set_gate(true), gate_closed_ = true;
          else if (how == 3) join_sides();
          else shut_ |= w_.rt->drain(soon(how == 4 ? 0us : 200us)).complete, quiet_ = false, paused_ = false;
          break;
        }
        default:
          if (sides_.size() < 2) {
            const bytes part = in_.part(1 + in_.below(48));
            quiet_ = false;
            sides_.emplace_back([this, part] {
              actor side(w_, part, false);
              side.run();
              side.drop_handles();
              side.leave_gates();
            });
          }
          break;
      }
  }
}

}  // namespace fuzz
