// What actors do. See actor.hpp.
#include "actor.hpp"

#include <algorithm>
#include <functional>

namespace fuzz {

namespace {

// From outside: waits for the end. At the task's own deadline a waiter is told `timeout`, once, and then waits on (P16).
bool get(world& w, handle& h) {
  auto r = h.h.get();
  if (!r && r.error().code == weir::errc::timeout) {
    require(weir::clock_type::now() >= h.deadline, "get came back with timeout before the task's deadline", h.id);
    require(h.h.valid(), "timeout has emptied a handle", h.id);
    r = h.h.get();
  }
  return check_answer(w, h, r);
}

}  // namespace

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

// In a quiet runtime admission is plain arithmetic, and what drop_oldest takes is known. Of tasks `first` and on: the answer to
// their submission. `only_tried`: full is then the answer under every policy.
void actor::held_changed(bool accepted, weir::errc code, unsigned first, unsigned n, const weir::task_options& o, bool only_tried, bool traceless) {
  if (!quiet_) return;
  const bool room = held_ + n <= capacity, memory_fails = w_.memory.fail_each != 0;
  const bool drops = w_.full == weir::on_full::drop_oldest && !only_tried;
  const auto oldest = std::find_if(line_.begin(), line_.end(), [&](const in_line& t) { return t.prio == o.prio && !t.bound; });
  if (!accepted) {
    require(code != weir::errc::full || !room, "full was answered, and it is not", held_, capacity);
    require(code != weir::errc::dropped || !room, "a task was discarded, and it is not full", held_, capacity);
    require(code != weir::errc::full || !drops || n > 1 || oldest == line_.end() || memory_fails, "full was answered, and there is one to drop", first);
    if (code == weir::errc::failed) quiet_ = false;  // an older one may have been dropped for it
    return;
  }
  if (!room && w_.full == weir::on_full::caller_runs && !only_tried) {
    const record& r = w_.all[first];
    require(r.ran == 1 || o.start_by != weir::time_point::max(), "what the caller was to run has not run", first);
    return;
  }
  if (!room && drops) {
    require(oldest != line_.end(), "a task was dropped for another, and there was none", first);
    require(oldest->traceless || w_.all[oldest->id].dropped == 1, "not the oldest was dropped", oldest->id, first);
    line_.erase(oldest);
    --held_;
  }
  held_ += n;
  require(held_ <= capacity, "more was accepted than the capacity", held_, capacity);
  for (unsigned i = 0; i < n; ++i) line_.push_back({first + i, o.prio, o.worker >= 0, traceless});
  if (o.start_by != weir::time_point::max()) quiet_ = false;  // the clock will make room
}

void actor::submit() {
  const unsigned how = in_.byte(), which = how >> 3;
  std::uint32_t recipe = in_.word();
  bool only_try = (how & 1) != 0;
  const bool spawned = (how & 2) != 0;
  weir::task_options o;
  weir::retry_policy again;
  bool with_options = (how & 4) != 0;
  if (with_options) options_from(in_.byte(), o);
  const bool retried = with_options && (how & 0x40) != 0;
  if (!may_block()) {
    if (w_.full == weir::on_full::caller_runs) recipe = 0;  // it may run here
    if (w_.full == weir::on_full::block) {
      only_try = true;
      if (spawned && !(quiet_ && held_ < capacity)) {
        o.start_by = std::min(o.start_by, soon(500us));
        with_options = true;
      }
    }
  }
  if (retried) again = stubborn::policy(recipe), o.retry = &again;
  const weir::executor_ref to = *w_.rt;
  const weir::task_options* const opts = with_options ? &o : nullptr;
  const unsigned id = w_.all.size();  // where nobody else submits
  if (spawned) {
    weir::errc why{};
    auto h = retried ? lend<stubborn>(to, w_, recipe, opts, &why)
                     : with_callable(which, [&]<class F>() { return lend<traced<F>>(to, w_, recipe, opts, &why); });
    held_changed(h.has_value(), why, id, 1, o, false, false);
    if (!h) return;
    if ((how & 0x80) != 0) w_.share(std::move(*h));
    else handles_.push_back(std::move(*h));
  } else {
    const unsigned verb = only_try ? 1 : 0;
    const weir::status s = retried ? give<stubborn>(to, w_, recipe, verb, opts)
                                   : with_callable(which, [&]<class F>() { return give<F>(to, w_, recipe, verb, opts); });
    held_changed(s.has_value(), s ? weir::errc{} : s.error().code, id, 1, o, only_try, !retried && which % 5 == 1);
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
  if ((recipe & 8) == 0) o.prio = weir::lane::normal;
  const weir::status s = (recipe & 8) != 0 ? w_.rt->try_submit_bulk(std::move(batch), o) : w_.rt->try_submit_bulk(std::move(batch));
  for (std::size_t i = 0; i < ids.size(); ++i) {
    require(batch[i].whole() != s.has_value(), "bulk: not all or nothing", i, ids.size());
    if (s) w_.all[ids[i]].accepted = true;
    else batch[i].refuse();
  }
  if (!ids.empty()) held_changed(s.has_value(), s ? weir::errc{} : s.error().code, ids[0], static_cast<unsigned>(ids.size()), o, true, false);
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
  require(h.ready(), "a spawned task whose copy threw was accepted");
  const auto r = h.get();
  require(!r, "a spawned task whose copy threw has a value");
  note_refusal(w_, r.error().code);
  if (w_.full == weir::on_full::drop_oldest) quiet_ = false;  // one may have been dropped for it
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
      if (check_answer(w_, h, r)) forget();
      else require(weir::clock_type::now() >= std::min(limit, h.deadline), "get_until came back too early", h.id);
      break;
    }
    case 3: {
      const bool queued = quiet_ && !h.h.ready();
      h.h.cancel();
      if (queued) {  // P17: its capacity is free at once
        require(h.h.ready(), "a queued task was cancelled and has not ended", h.id);
        --held_;
        std::erase_if(line_, [&](const in_line& t) { return t.id == h.id; });
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
    if (!main_ || !sides_.empty()) return;
    const unsigned on_duty = w_.rt->workers();
    require(w_.elastic ? on_duty >= n : on_duty == n, "resize said ok, and there are others", on_duty, n);
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
  drop_timers();
  const bool at_rest = w_.rt->wait_idle();
  require(at_rest, "wait_idle without a limit came back false");
  if (main_ && sides_.empty() && !w_.restless) {
    const weir::snapshot m = w_.rt->metrics();
    require(m.submitted == m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped, "P35: the books do not balance", m.submitted, m.ok);
    require(m.queued == 0, "at rest something is queued", m.queued);
    for (const handle& h : handles_) require(h.h.ready(), "at rest a handle is not ready", h.id);
    if ((how & 2) != 0) {
      w_.rt->pause();
      paused_ = quiet_ = true;
      held_ = 0;
      line_.clear();
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
  if (op >= 224) {
    if (op < 234) use_timer();
    else if (op < 235) use_blocking();
    else if (op < 236) outlast();
    else use_coroutine();
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
      const bool others_resize = w_.resized || !main_ || has_sides();
      w_.all[id].most = static_cast<std::uint8_t>(others_resize ? 8 : w_.rt->workers());
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
              side.drop_timers();
              side.drop_handles();
              side.leave_gates();
            });
          }
          break;
      }
  }
}

}  // namespace fuzz
