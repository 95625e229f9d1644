// Building and taking down what the workers share; the sums. Layer 5.
#include "system.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

atomic<std::uint64_t> next_id{1};

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

// 0 or an errno. The thread is called "NAME/w0", cut so that the number survives.
int start_thread(core& c, worker& w, int cpu) noexcept {
  auto* s = new (std::nothrow) thread_start_arguments{&w, cpu};
  if (s == nullptr) return ENOMEM;
  char tail[12], name[16];
  const int n = std::snprintf(tail, sizeof tail, "/%c%u", w.spare ? 's' : 'w', w.spare ? w.index - c.worker_count : w.index);
  std::snprintf(name, sizeof name, "%.*s%s", 15 - n, c.opts.name != nullptr ? c.opts.name : "weir", tail);
  const int e = thread_start(w.thread, name, c.opts.stack_size, &thread_main, s);
  if (e != 0) delete s;
  return e;
}

unsigned count_workers(const options& o, const topology& t) noexcept { return o.workers != 0 ? o.workers : t.default_workers; }

}  // namespace

core::core(const options& o, topology t)
    : opts(o),
      topo(std::move(t)),
      worker_count(count_workers(o, topo)),
      id(next_id.fetch_add(1, relaxed)),
      pages(o.memory, this),
      idle(std::min<unsigned>(max_slots, worker_count + o.max_spares)),
      credits(o.capacity) {}

core::~core() = default;

worker& core::add_worker(unsigned index) {
  owned_.reserve(owned_.size() + 1);
  owned_.push_back(std::make_unique<worker>(*this, index, index >= worker_count));
  worker& w = *owned_.back();
  slots_.add(index, w);
  return w;
}

void core::start() {
  asymmetric_fences();
  ticks_per_ns();
  const bool first = registered_cores() == 0;
  plan_ = pin_plan(topo, worker_count, static_cast<pin_mode>(opts.pin), first);
  for (unsigned i = 0; i < worker_count; ++i) add_worker(i);
  register_core(*this);
  for (unsigned i = 0; i < worker_count; ++i) {
    crew_.joins();
    const int e = start_thread(*this, *slot(i), plan_.empty() ? -1 : plan_[i]);
    if (e == 0) continue;
    crew_.never_joined();
    raise(attention::stop);
    wake_all();
    for (unsigned k = 0; k < i; ++k) thread_join(slot(k)->thread);
    unregister_core(*this);
    throw_system_error(e, "weir: cannot start worker thread");
  }
}

// A worker has slept in a wait for a while: a spare may take what it would have taken. The spare counts as parked, so a
// publisher wakes it when there is work, and if there is some now it is woken at once. Null: no spare to be had.
worker* core::vacate() noexcept {
  worker* s = nullptr;
  {
    const std::lock_guard lock(spare_mutex_);
    if (!idle_spares_.empty()) {
      s = idle_spares_.back();
      idle_spares_.pop_back();
    } else {
      const unsigned index = slot_count();
      if (index >= std::min<unsigned>(max_slots, worker_count + opts.max_spares) || stopping_ || crew_.orphaned()) return nullptr;
      WEIR_TRY {
        idle_spares_.reserve(owned_.size() + 1);  // so that spare_is_free() needs no memory
        s = &add_worker(index);
      }
      WEIR_CATCH_ALL { return nullptr; }
      crew_.joins();
      if (start_thread(*this, *s, -1) != 0) {  // P29: nothing is lost, the worker simply stays without a stand-in
        crew_.never_joined();
        s->unstarted = true;
        idle_spares_.clear();
        return nullptr;
      }
    }
  }
  s->on_duty.store(duty::on, release);  // [duty] → wait_for_duty
  s->bed.unpark();
  return s;
}

void core::occupy(worker& s) noexcept {
  s.on_duty.store(duty::dismissed, release);  // [duty]
  s.bed.unpark();
  if (idle.claim_one(s.index)) rouse(s);  // it may sleep among the idle
}

void core::spare_is_free(worker& s) noexcept {
  const std::lock_guard lock(spare_mutex_);
  idle_spares_.push_back(&s);
}

std::uint64_t core::submitted_sum() const noexcept {
  std::uint64_t n = doors_.entered();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->submitted.get();
  const std::lock_guard lock(lease_mutex_);
  for (const auto& l : leases_) n += l->credits.used_settled() - l->returned.get();
  return n;
}

std::uint64_t core::started_by_workers() const noexcept {
  std::uint64_t n = 0;
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->started.get();
  return n;
}

std::uint64_t core::ended_sum(outcome o) const noexcept {
  std::uint64_t n = ended_elsewhere[o].get();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->ended[o].get();
  return n;
}

std::uint64_t core::ended_sum() const noexcept {
  std::uint64_t n = 0;
  for (outcome o = 0; o < outcome_count; ++o) n += ended_sum(o);
  return n;
}

snapshot core::metrics() const {
  snapshot s;
  const auto of = [&](errc e) { return ended_sum(outcome_of(e)); };
  s.ok = ended_sum(outcome_ok);
  s.failed = of(errc::failed);
  s.cancelled = of(errc::cancelled);
  s.expired = of(errc::expired) + of(errc::timeout);
  s.dropped = of(errc::dropped);
  s.stopped = of(errc::stopped);
  const std::uint64_t ended = ended_sum();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) {
    const worker& w = *slot(i);
    std::uint64_t here = 0;
    for (const counter& n : w.ended) here += n.get();
    const std::uint64_t begun = w.started.get();
    s.running += begun > here ? begun - here : 0;
    s.workers.push_back({begun, w.steals.get(), w.parks.get(), w.wakes.get(), w.forced.get()});
    s.steals += s.workers.back().steals;
    s.parks += s.workers.back().parks;
    s.wakes += s.workers.back().wakes;
    s.rejected += w.rejected.get();
  }
  {
    const std::lock_guard lock(lease_mutex_);
    for (const auto& l : leases_) s.rejected += l->rejected.get();
  }
  s.submitted = submitted_sum();
  const std::uint64_t unfinished = s.submitted > ended ? s.submitted - ended : 0;
  s.queued = unfinished > s.running ? unfinished - s.running : 0;
  return s;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
