// Pause, wait for rest, drain, abort, fork. Layer 5.
#include "gate_state.hpp"
#include "node_conditions.hpp"
#include "system.hpp"
#include "worker.hpp"

#include <algorithm>
#include <iterator>
#include <optional>
#include <stop_token>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

// ---- entries: callers of run() ----

void core::run_entry(entry_job& e) {
  if (dead() || closed()) throw_errc(errc::stopped);
  if (this_keeper == this) throw_errc(errc::starved);  // the workers may wait for the time
  if (!doors_.enter()) {
    undo_entry();
    throw_errc(errc::stopped);
  }
  struct hold {  // the callable may destroy the runtime
    core& c;
    explicit hold(core& of) noexcept : c(of) { c.acquire_ref(); }
    ~hold() { c.release_ref(); }
    hold(const hold&) = delete;
  } const until_the_end(*this);
  task_record record;
  if (seen != nullptr) {
    seen->record(record, nullptr);
    e.record = &record;
  }
  entries_.push(e);
  if (idle.published() != 0) wake_or_note();  // never left to a watcher
  for (const std::uint64_t end = ticks() + ticks_of(10'000); ticks() < end; cpu_relax())
    if (entries::is_over(e)) break;
  const auto park = [&e](std::int64_t ns) {
    const time_point limit = ns == forever ? time_point::max() : clock_type::now() + std::chrono::nanoseconds(ns);
    return entries::sleep(e, [limit] { return until_ns(limit); });
  };
  if (worker* w = worker::current(); w != nullptr) w->park_in_wait(park);  // of another runtime
  else park(forever);
  if (e.latch.load(relaxed) != entry_refused) return;
  if (seen != nullptr) seen->release(record);
  throw_errc(errc::stopped);
}

entry_job* core::take_entry() noexcept {
  bool others = false;
  entry_job* const oldest = entries_.take(others);
  if (others && idle.published() != 0) wake_or_note();  // never left to a watcher, as in run_entry()
  return oldest;
}

// It came with a pause, and may be taken out of the list's sight while that ends: so it is published once more.
void core::put_entry_back(entry_job& e) noexcept {
  entries_.push(e);
  if (idle.published() != 0) wake_or_note();
}

void core::undo_entry() noexcept {
  doors_.undo();
  tell_if_asked();
}

// ---- rest ----

// Ends are summed first: each of them was submitted before, so equal sums were equal at the instant between.
bool core::quiescent() const noexcept {
  const std::uint64_t ended = ended_sum();
  return submitted_sum() == ended;
}

void core::check_quiescent() noexcept {
  if (!rest_.tell([this] { return quiescent(); })) return;
  if (crew_.orphaned()) {
    time.stop(false);  // first: from here on no thread joins those that are told to leave
    side.stop(false);
    attention_.raise_and_publish(attention::stop);  // the last of them must see that it is an orphan's
    wake_all();
    for (unsigned i = 0, e = slot_count(); i < e; ++i) slot(i)->bed.unpark();  // who is off duty is not among the idle
  }
}

bool core::wait_quiescent(time_point until, bool unless_halted) noexcept {
  return rest_.wait([this] { return !dead() && quiescent(); },
                    [&] { return dead() || (unless_halted && halted()) ? 0 : until_ns(until); });
}

void core::pause() noexcept {
  if (dead()) return;
  const std::lock_guard lock(life_mutex_);
  if (!closed()) attention_.raise(attention::paused);
}

void core::resume() noexcept {
  if (dead() || (attention_bits() & attention::paused) == 0) return;
  if (!attention_.lower_unless(attention::paused, attention::halted)) return;
  wake_all();
  // Also who is not among the idle: off duty, with what was bound to it before, or about to sleep on what it had claimed before the pause.
  for (unsigned i = 0, e = slot_count(); i < e; ++i) slot(i)->bed.unpark();
  if (elastic) look_after_backlog();  // nobody did meanwhile
}

// ---- shutdown ----

bool core::on_own_thread() const noexcept {
  return worker::current_of(*this) != nullptr || this_keeper == this || this_caller.owner == this ||
         (this_side != nullptr && &this_side->owner == this);
}

// Timers that are not due are cancelled, or kept for flush().
void core::begin_close(bool keep_timers) noexcept {
  bool first;
  {
    const std::lock_guard lock(life_mutex_);
    if (stopped()) {  // one of the threads of a life that restart() has not opened yet, or nothing is left to close
      close_when_open_ = true;
      return;
    }
    first = !closed();
    if (first) doors_.close(phase::closing);
  }
  shut_leases();  // who is not the first may be quicker than the first
  time.close();
  if (first && !keep_timers) time.take_tickets(&node_drop_waiting);
}

// All that run inside of each other are told. By copies, for callbacks are foreign code: one of them may wait for what the owner of the
// list holds, and he waits for who inspects it.
static void tell_to_stop(running_nodes& list) noexcept {
  std::optional<std::stop_source> found[16];
  std::size_t n;
  do {
    n = 0;
    list.inspect([&](const running_nodes::entry& e) {
      if (n != std::size(found) && e.node != nullptr && node_stop_source(*e.node, found[n])) ++n;
    });
    for (std::size_t i = 0; i < n; ++i) found[i]->request_stop();
  } while (n == std::size(found));
}

void core::request_stop() noexcept {
  end_source().request_stop();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) tell_to_stop(slot(i)->running);
  side.each_running([](side_thread& s) { tell_to_stop(s.running); });
}

// Takes every unstarted job out of every queue: to the sink, or completed with `stopped`. Runs while workers are halted.
void core::flush(const std::function<void(task_fn&&)>* sink, std::exception_ptr& thrown) noexcept {
  const auto deal_with = [&](auto& again, job& j) -> void {
    if (is_resumption(j)) return keep(*static_cast<gate_entry*>(j.pointer()));
    if (is_turn(j)) {  // it may be the last that holds its gate: what waits there is taken out first
      for (job behind; gate_of_turn(j).take_unstarted(behind);) again(again, behind);
      return end_turn(j);  // or keep it, for the resumptions that are left
    }
    const bool ticket = is_ticket(j);
    if (j.counted()) started_elsewhere.add();
    if (sink == nullptr || !*sink || thrown) {
      const as_task_of end(*this);
      j.ops().drop(j, errc::stopped);
    } else {
      task_fn f;
      bool out = false;
      WEIR_TRY {
        const as_task_of end(*this);
        out = j.ops().extract(j, f);
      }
      WEIR_CATCH_ALL { thrown = std::current_exception(); }
      if (out && !thrown) {
        WEIR_TRY { (*sink)(std::move(f)); }
        WEIR_CATCH_ALL { thrown = std::current_exception(); }
      }
      const as_task_of end(*this);
      f = task_fn();  // what the sink has left there
    }
    if (!ticket) ended_elsewhere[outcome_of(errc::stopped)].add();  // tickets count themselves
  };
  bool more = true;
  while (more) {
    more = false;
    if (stopped())  // a turn that found nothing left to do, and no worker any more that would have told it so
      for (gate_entry* e; (e = take_kept()) != nullptr; more = true) {
        job j = e->as_job();
        deal_with(deal_with, j);
      }
    for_each_dependant([&](dependant& d) {
      for (job j; d.take_unstarted(j); more = true) deal_with(deal_with, j);
    });
    time.take_tickets([&](timer_entry& e) {
      if (due::kind_of(e) != due::once && due::kind_of(e) != due::series) return node_drop_waiting(e);  // it was started
      job j = node_ticket(node_of(e), true);
      deal_with(deal_with, j);
    });
    side.take_all([&](job& j) { deal_with(deal_with, j), more = true; });
    job batch[32];
    const auto take_all = [&](auto& q) {
      while (!q.empty())
        for (std::size_t n = q.take(batch, 32), i = 0; i < n; ++i, more = true) deal_with(deal_with, batch[i]);
    };
    for (inject_lane& l : lanes) take_all(l);
    take_all(local);
    for (unsigned i = 0, e = slot_count(); i < e; ++i) {
      worker& w = *slot(i);
      for (job j; w.claimed.visible();) {
        steal_outcome o = w.claimed.steal(j);
        if (o == steal_outcome::empty && os_atomics::asymmetric()) o = w.claimed.force(j);
        if (o == steal_outcome::stolen) deal_with(deal_with, j), more = true;
        else if (!os_atomics::asymmetric()) break;  // its worker hands it back: it is halted
      }
      for (job j; w.mail.take_anyhow(j); more = true) {
        letters_.gone();
        deal_with(deal_with, j);
      }
    }
  }
  while (entry_job* e = take_entry()) {
    entries::finish(*e, entry_refused);
    undo_entry();
  }
  tell_blocked();
  tell_if_asked();
}

report core::make_report(bool complete) const {
  report r;
  r.ran = ended_sum(outcome_ok) + ended_sum(outcome_of(errc::failed));
  r.stopped = ended_sum(outcome_of(errc::stopped));
  r.complete = complete;
  if (complete) return r;
  const std::uint64_t ended = ended_sum(), submitted = submitted_sum();
  if (submitted > ended) r.unfinished = submitted - ended;
  for (unsigned i = 0, e = slot_count(); i < e; ++i) {
    worker& w = *slot(i);
    std::uint64_t over = 0;
    for (const counter& n : w.ended) over += n.get();
    if (w.started.get() <= over) continue;
    task_info info;
    info.name = w.current_name.load(relaxed);
    info.worker = static_cast<int>(w.number);
    info.context = opts.context;
    WEIR_TRY { r.still_running.push_back(info); }
    WEIR_CATCH_ALL { break; }  // no memory: the report names fewer
  }
  const auto add = [&](const runner& beside) {
    task_info info;
    info.name = beside.current_name.load(relaxed);
    info.context = opts.context;
    r.still_running.push_back(info);
  };
  WEIR_TRY {
    side.each_running([&](side_thread& s) {
      if (s.running.top() != nullptr) add(s);
    });
    each_caller(add);
  }
  WEIR_CATCH_ALL {}
  return r;
}

// By who is late, beside a leader: his limit ends what is queued for all. The leader does not leave before him, or these could be another life's
// queues by then.
void core::stop_for_leader(std::unique_lock<mutex>& life) noexcept {
  if (leader_stops_) return;  // who aborts hands out what is queued
  ++stoppers_;
  life.unlock();
  stop_at_limit();
  life.lock();
  if (--stoppers_ == 0) shutdown_.tell();
}
// By the leader, before he leaves.
void core::wait_for_stoppers(std::unique_lock<mutex>& life) noexcept {
  leader_stops_ = true;
  while (stoppers_ != 0) shutdown_.wait(life, forever);
}

// One caller leads, the others wait for its report.
template <class Finish>
report core::shut_down(time_point until, bool keep_timers, Finish finish) {
  if (dead()) return {};
  if (on_own_thread()) {
    begin_close();
    resume();
    return make_report(false);
  }
  struct hold {  // what is destroyed unrun here may be the last that holds the runtime
    core& c;
    explicit hold(core& held) noexcept : c(held) { c.acquire_ref(); }
    ~hold() { c.release_ref(); }
  } const until_the_end(*this);
  std::unique_lock life(life_mutex_);
  const std::uint64_t last_life = restarts_ + (stopped() ? 1 : 0);  // that it may be about: this one, or the one that is being opened
  for (;;) {
    if (restarts_ > last_life) return last_report_;
    const bool late = clock_type::now() >= until;
    if (stopped() && (!shutdown_.led() || late)) return last_report_;
    if (shutdown_.take()) break;
    if (late) {
      stop_for_leader(life);
      life.unlock();
      const bool rest = wait_quiescent(clock_type::now() + std::chrono::milliseconds(1));
      life.lock();
      if (restarts_ > last_life || stopped()) return last_report_;
      if (!shutdown_.led()) continue;  // the leader was restart(), or has given up: what is left is this caller's
      if (rest && leader_joins_) {  // nothing else is left to do: then the report is complete, and a restart may come
        while (shutdown_.led() && leader_joins_) shutdown_.wait(life, forever);
        continue;
      }
      life.unlock();
      return make_report(false);
    }
    shutdown_.wait(life, until_ns(until));
  }
  leader_stops_ = keep_timers;
  life.unlock();
  begin_close(keep_timers);
  attention_.lower(attention::leftovers);  // they are this caller's again
  const bool complete = finish();
  if (complete) {
    life.lock();
    leader_joins_ = true;
    life.unlock();
    end_threads();
  }
  report r = make_report(complete);
  life.lock();
  leader_joins_ = false;
  wait_for_stoppers(life);
  if (complete) {
    last_report_ = r;  // which names nobody, so that there is nothing to allocate
    doors_.close(phase::stopped);
    let_go_of_late(life);
  }
  shutdown_.leave(life);
  if (complete) for_each_dependant([](dependant& d) { d.stopped(); });
  return r;
}

void core::let_go_of_late(std::unique_lock<mutex>& life) noexcept {
  aftermath_.let_go(life, [this] { stop_leftovers(); });
}

// After a drain that gave up: a child whose group had no place for it before, what a worker had claimed, what was accepted late.
// Nobody else would end them, and their waiters would wait for ever.
bool core::has_leftovers() const noexcept {
  if ((attention_bits() & attention::leftovers) == 0) return false;
  return !queues_empty() || letters_.left() != 0 || side.any_waits();
}
void core::stop_leftovers() noexcept {
  std::exception_ptr ignored;
  flush(nullptr, ignored);
}
void core::leave_leftovers() noexcept {
  attention_.raise(attention::leftovers);
  wake_all();  // they look
  side.look_again();
}

// Nothing new starts, what runs is asked to stop, what is queued completes with `stopped`.
void core::stop_at_limit() noexcept {
  halt();
  stop_leftovers();
}
void core::halt() noexcept {
  attention_.raise(attention::halted | attention::paused);
  wake_all();          // who sleeps on claimed jobs hands them back
  rest_.look_again();  // a drain without a limit must stop what is handed back from now on
  request_stop();
}

report core::drain(time_point until) {
  return shut_down(until, false, [&] {
    if (!halted()) {
      resume();
      if (wait_quiescent(until, true)) return true;
    }
    // The limit has passed, this one's or another caller's. What workers hand back and what comes in late is stopped, too.
    for (;;) {
      stop_at_limit();
      const time_point now = clock_type::now();
      if (wait_quiescent(now + std::chrono::milliseconds(now >= until ? 1 : 20))) return true;
      if (now >= until) return leave_leftovers(), false;
    }
  });
}

report core::abort(std::function<void(task_fn&&)> sink) {
  std::exception_ptr thrown;
  report r = shut_down(time_point::max(), true, [&] {
    do {
      halt();
      flush(&sink, thrown);
    }
    while (!wait_quiescent(clock_type::now() + std::chrono::milliseconds(20)));
    return true;
  });
  if (thrown) std::rethrow_exception(thrown);
  return r;
}

// The destructor on an own worker: the workers drain by themselves, and the last one to leave takes the core down.
void core::hand_off() noexcept {
  begin_close();
  {
    const std::lock_guard lock(spare_mutex_);
    crew_.orphan();  // from here on no spare is started
    for (auto& w : owned_)
      if (std::exchange(w->has_thread, false)) thread_detach(w->thread);
  }
  time.detach();
  side.detach();
  rest_.enlist();  // for good: the last one to end something shall tell
  resume();
  tell_if_asked();  // where nothing will end any more: an observer's callback ends no task
}

// All threads have ended, or are about to. Who leads may still be at it: he has destroyed what was the last to hold the runtime.
void core::end_for_good() noexcept {
  {
    std::unique_lock life(life_mutex_);
    while (!shutdown_.take()) shutdown_.wait(life, forever);
    doors_.close(phase::stopped);
    let_go_of_late(life);
    shutdown_.leave(life);
  }
  for_each_dependant([](dependant& d) { d.stopped(); });
}

void core::worker_left() noexcept {
  attention_.catch_up();
  if (!crew_.left()) return;
  end_for_good();
  release_ref();
}

void core::release_ref() noexcept {
  if (!drop_references(refs_)) return;
  unregister_core(*this);
  if (!dead())  // a task of theirs may be why the runtime goes
    for (auto& l : leases_) l->call.wait_gone([] { thread_yield(); });
  delete this;
}

void core::die() noexcept {
  unusual_.store(unusual_.load(relaxed) | is_dead, relaxed);
  attention_.raise(attention::stop);  // for a worker that comes back from the task in which the process was forked
  for (auto& l : leases_) l->credits.shut_in_child();
  pages.die();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
