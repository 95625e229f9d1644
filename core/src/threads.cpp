// The threads of a runtime: started, more or fewer of them, spares, ended, started again. Layer 5.
#include "system.hpp"
#include "throw.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

struct thread_start_arguments {
  worker* w;
  int cpu;
};

void* thread_main(void* p) noexcept {
  auto* s = static_cast<thread_start_arguments*>(p);
  worker* const w = s->w;
  const int cpu = s->cpu;
  delete s;
  w->main(cpu);
  return nullptr;
}

}  // namespace

// 0 or an errno. The thread is called "NAME/w0", cut so that the number survives.
int core::start_thread(worker& w) noexcept {
  const int cpu = w.number < plan_.size() ? plan_[w.number] : -1;
  auto* s = new (std::nothrow) thread_start_arguments{&w, cpu};
  if (s == nullptr) return ENOMEM;
  char tail[12], name[16];
  const int n = std::snprintf(tail, sizeof tail, "/%c%u", w.spare ? 's' : 'w', w.spare ? w.number - first_spare : w.number);
  std::snprintf(name, sizeof name, "%.*s%s", 15 - n, opts.name != nullptr ? opts.name : "weir", tail);
  crew_.joins();
  const int e = thread_start(w.thread, name, opts.stack_size, &thread_main, s);
  if (e != 0) {
    crew_.never_joined();
    delete s;
  }
  w.has_thread = e == 0;
  return e;
}

// Throws std::bad_alloc.
worker& core::add_worker(unsigned number) {
  owned_.reserve(owned_.size() + 1);
  const unsigned index = slot_count();
  owned_.push_back(std::make_unique<worker>(*this, index, number));
  worker& w = *owned_.back();
  if (!w.spare) by_number_.add(number, w);
  w.forks.ring();         // who sleeps already could not
  idle.cover(index + 1);  // before anybody can see it park
  slots_.add(index, w);
  return w;
}

void core::start() {
  asymmetric_fences();
  ticks_per_ns();
  const bool first = registered_cores() == 0;
  plan_ = pin_plan(topo, initial_workers, static_cast<pin_mode>(opts.pin), first);
  for (unsigned i = 0; i < initial_workers; ++i) add_worker(i).on_duty.set(duty<os_atomics>::on);
  by_number_.set_on_duty(initial_workers);
  register_core(*this);
  if (const int e = start_all(); e != 0) {
    begin_close();
    end_for_good();  // what on_thread_start has submitted
    throw_system_error(e, "weir: cannot start worker thread");
  }
  if (elastic) time.ensure();  // else whoever notes a backlog first tries again
  if (opts.stall_after == duration::zero()) return;
  if (const int e = time.ensure(); e != 0) {
    begin_close();
    end_threads();
    end_for_good();
    throw_system_error(e, "weir: cannot start the timekeeper");
  }
}

// Starts every worker on duty. An errno: none of them runs.
int core::start_all() noexcept {
  for (unsigned i = 0; i < active_workers(); ++i)
    if (const int e = start_thread(*by_number_.at(i)); e != 0) {
      end_threads();
      return e;
    }
  return 0;
}

void core::end_threads() noexcept {
  time.stop(true);
  side.stop(true);
  attention_.raise(attention::stop);
  wake_all();
  for (std::size_t i = 0;; ++i) {  // no list of them: there may be no memory for it
    worker* w = nullptr;
    {
      const std::lock_guard lock(spare_mutex_);
      stopping_ = true;
      while (i < owned_.size() && !std::exchange(owned_[i]->has_thread, false)) ++i;
      if (i == owned_.size()) break;
      w = owned_[i].get();
    }
    w->bed.unpark();
    thread_join(w->thread);
  }
  const std::lock_guard lock(spare_mutex_);
  all_spares_are_free();
}

// ---- spares ----

// A worker has slept in a wait for a while: a spare may take what it would have taken. The spare counts as parked, so a
// publisher wakes it when there is work, and if there is some now it is woken at once. Null: no spare to be had.
worker* core::vacate() noexcept {
  if (dead()) returned_in_child();  // what it waits for is with a thread of the parent
  worker* s = nullptr;
  {
    const std::lock_guard lock(spare_mutex_);
    if (stopping_ || crew_.orphaned() || stand_ins_ == opts.max_spares) return nullptr;
    s = free_spare();  // P29: without one nothing is lost, the worker simply stays without a stand-in
    if (s == nullptr) return nullptr;
    s->stands_in = true;
    ++stand_ins_;
  }
  s->on_duty.call(s->bed);
  return s;
}

// Under spare_mutex_: one with a thread, off duty; null: no memory, no slot or no thread to be had.
worker* core::free_spare() noexcept {
  worker* s = nullptr;
  if (!idle_spares_.empty()) {
    s = idle_spares_.back();
    idle_spares_.pop_back();
  } else {
    if (slot_count() == max_slots) return nullptr;
    WEIR_TRY {
      idle_spares_.reserve(spares_ + 1);  // so that spare_is_free() needs no memory
      s = &add_worker(first_spare + spares_);
    }
    WEIR_CATCH_ALL { return nullptr; }
    ++spares_;
  }
  if (s->has_thread || start_thread(*s) == 0) return s;
  idle_spares_.push_back(s);
  return nullptr;
}

void core::occupy(worker& s) noexcept {
  s.on_duty.dismiss(s.bed);
  if (idle.claim_one(s.index)) s.bed.rouse();  // it may sleep among the idle
}

void core::spare_is_free(worker& s) noexcept {
  const std::lock_guard lock(spare_mutex_);
  if (std::exchange(s.stands_in, false)) --stand_ins_;
  idle_spares_.push_back(&s);
}

// Under spare_mutex_, when their threads have ended.
void core::all_spares_are_free() noexcept {
  idle_spares_.clear();
  stand_ins_ = 0;
  for (auto& w : owned_) {
    if (!w->spare) continue;
    if (w->surplus.load(relaxed)) uncount_surplus(*w);
    w->stands_in = false;
    w->on_duty.set(w->on_duty.none);
    idle_spares_.push_back(w.get());  // has room for all
  }
}

// ---- more or fewer workers ----

// A worker that is let go finishes its task and what is bound to it, hands the rest back and waits off duty. Threads are kept:
// growing again costs a wake-up.
status core::resize(unsigned n) {
  if (dead()) return errc::stopped;
  if (n == 0 || n > max_slots) return errc::invalid;
  const std::lock_guard life(life_mutex_);
  if (closed() || crew_.orphaned()) return errc::stopped;
  unsigned now = active_workers();
  for (; now > n; --now) {
    worker& w = *by_number_.at(now - 1);
    by_number_.set_on_duty(now - 1);
    w.mail.open(false);  // first: what was accepted for it, it runs
    occupy(w);
  }
  for (; now < n; ++now) {
    worker* w = nullptr;
    {
      const std::lock_guard lock(spare_mutex_);
      if (stopping_) return errc::stopped;
      if (now == by_number_.count()) {
        if (slot_count() == max_slots) return errc::invalid;  // spares have taken what is left
        WEIR_TRY { add_worker(now); }
        WEIR_CATCH_ALL { return weir::error{errc::failed, std::current_exception(), 1}; }
      }
      w = by_number_.at(now);
      if (!w->has_thread)
        if (const int e = start_thread(*w); e != 0) return system_failure(e, "weir: cannot start worker thread");
    }
    w->mail.open(true);
    w->on_duty.call(w->bed);
    by_number_.set_on_duty(now + 1);
  }
  if (elastic) trim_surplus();
  return {};
}

// ---- once more ----

// Who restarts leads, as who shuts down does, and holds no lock while threads start and end: on_thread_start may submit. What
// it has submitted to a runtime that does not start after all came late.
status core::restart() {
  if (dead()) return errc::stopped;
  if (on_own_thread()) return errc::invalid;
  std::unique_lock life(life_mutex_);
  while (stopped() && shutdown_.led()) shutdown_.wait(life, forever);  // what came late is being let go of
  if (!stopped() || !shutdown_.take()) return errc::invalid;
  close_when_open_ = false;
  life.unlock();
  status s = start_again();
  life.lock();
  if (s) open_again();
  else let_go_of_late(life);
  if (s && close_when_open_) {
    leader_stops_ = false;
    life.unlock();
    begin_close();
    life.lock();
    wait_for_stoppers(life);
  }
  shutdown_.leave(life);
  return s;
}

// Everything that the shutdown has left is at rest: no thread, no job, no unfinished task. What is reset here is what the
// shutdown set.
status core::start_again() noexcept {
  {
    const std::lock_guard lock(spare_mutex_);
    stopping_ = false;
    for (auto& w : owned_)
      if (!w->spare) w->on_duty.set(w->number < active_workers() ? w->on_duty.on : w->on_duty.none);
  }
  backlog_.lower(~0u);
  evidence_.forget();
  overload.reset();
  // The other bits are of those who wait, and of things that lie somewhere: who was shut out may still stand in the line, who saw it
  // at rest may not have left yet, and what a caller of the former life puts back late, the new workers let go of. A bit that is
  // up for nothing is taken down by who looks.
  attention_.lower(attention::stop | attention::paused | attention::halted | attention::leftovers);
  WEIR_TRY {
    std::stop_source fresh;  // who cancels a coroutine may look at it
    const std::lock_guard lock(end_mutex_);
    end_source_.swap(fresh);
  }
  WEIR_CATCH_ALL { return weir::error{errc::failed, std::current_exception(), 1}; }
  if (const int e = start_all(); e != 0) return system_failure(e, "weir: cannot start worker thread");
  time.reopen();  // before anybody is let in: what is admitted is watched
  if (elastic) {
    time.ensure();
    look_again();  // who came too late for the former life may have noted a backlog
  }
  return {};
}

// Under the lock of its life: a task that pauses or shuts down, of whoever is let in first, comes after all of it.
void core::open_again() noexcept {
  ++restarts_;
  doors_.open();
  side.reopen();
  const std::lock_guard lock(lease_mutex_);
  closed_ = false;
  for (auto& l : leases_) l->credits.reopen();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
