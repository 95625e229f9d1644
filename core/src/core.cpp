// Building and taking down what the workers share; the sums. Layer 5.
#include "queue_time.hpp"
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

unsigned count_workers(const options& o, const topology& t) noexcept { return o.workers != 0 ? o.workers : t.default_workers; }

}  // namespace

core::core(const options& o, topology t)
    : opts(o),
      topo(std::move(t)),
      initial_workers(count_workers(o, topo)),
      elastic(o.max_workers > initial_workers),
      id(next_id.fetch_add(1, relaxed)),
      seen(o.obs != nullptr || o.stall_after != duration::zero() ? std::make_unique<observation>(*this) : nullptr),
      plain_id(seen == nullptr && o.codel_target.count() == 0 ? id : ~std::uint64_t{0}),
      pages(o.memory, this),
      lanes{inject_lane(false), inject_lane(o.full != on_full::drop_oldest), inject_lane(false)},  // which of two is the oldest?
      idle(64, elastic),
      credits(o.capacity),
      time(*this),
      side(*this),
      overload(std::chrono::nanoseconds(o.codel_target).count()) {
  if (seen != nullptr) unusual_.store(is_observed, relaxed);
}

core::~core() = default;

std::uint64_t core::submitted_sum() const noexcept {
  const std::lock_guard lock(lease_mutex_);
  // What was taken back comes first: each of it was counted before, by its lease or at the doors. The other way round one that comes and is
  // taken back between the two looks would hide another, and the sum be that of a runtime at rest.
  std::uint64_t back = 0;
  for (const auto& l : leases_) back += l->returned.get();
  std::uint64_t n = doors_.entered() + time.submitted();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->submitted.get();
  for (const auto& l : leases_) n += l->credits.used_settled();
  return n - back;
}

std::uint64_t core::started_by_workers() const noexcept {
  std::uint64_t n = 0;
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->started.get();
  return n;
}

bool core::sheds(std::int64_t queued) noexcept {
  if (!overload.sheds(queued, queue_clock_now())) return false;
  shed.add();
  return true;
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
  if (dead()) return s;  // in a forked child a lock may be held by a thread that is not there
  const auto of = [&](errc e) { return ended_sum(outcome_of(e)); };
  s.ok = ended_sum(outcome_ok);
  s.failed = of(errc::failed);
  s.cancelled = of(errc::cancelled);
  s.expired = of(errc::expired) + of(errc::timeout);
  s.dropped = of(errc::dropped);
  s.stopped = of(errc::stopped);
  s.rejected = time.rejected() + side.rejected();
  s.shed = shed.get();
  s.overloaded = overload.on() && overload.overloaded(queue_clock_now());
  s.overran = time.late();
  {
    const std::lock_guard lock(spare_mutex_);
    s.on_duty = workers_on_duty();
    s.surplus_came = surplus_came_.get();
    s.surplus_went = surplus_went_.get();
  }
  s.stalled = time.stalled();
  s.running = side.busy();
  each_caller([&s](caller_seat&) { ++s.running; });
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
  // Not more than a worker is usually inside of, so that nothing is allocated while a task that ends waits for this look.
  const auto look = [&](runner& r, int number) {
    task_info late[16], stalls[16];
    std::size_t n = 0, m = 0;
    const time_point now = clock_type::now();
    r.running.inspect([&](const running_nodes::entry& e) {
      const observed_run* const run = entry_of(e).run;
      if (entry_of(e).stolen != nullptr) return;
      if (n < std::size(late) && e.node != nullptr && node_deadline(*e.node) <= now) {
        late[n] = {};
        late[n].name = node_name(*e.node);
        late[n].worker = number;
        late[n].context = opts.context;
        if (run != nullptr) late[n] = run->info();
        ++n;
      }
      if (m < std::size(stalls) && run != nullptr && seen->has_stalled(*run, now)) stalls[m++] = run->info();
    });
    s.overdue.insert(s.overdue.end(), late, late + n);
    s.stalling.insert(s.stalling.end(), stalls, stalls + m);
  };
  for (unsigned i = 0, e = slot_count(); i < e; ++i) look(*slot(i), static_cast<int>(slot(i)->number));
  side.each_running([&](side_thread& t) { look(t, -1); });
  each_caller([&](caller_seat& t) { look(t, -1); });
  s.submitted = submitted_sum();
  // A worker that has just found a ticket stale, or a task suspended or to be tried again, counts it as begun for a moment more; by then others may
  // have ended all there was.
  const std::uint64_t unfinished = s.submitted > ended ? s.submitted - ended : 0;
  s.running = std::min(s.running, unfinished);
  s.queued = unfinished - s.running;
  return s;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
