// Workers that come when work waits, and go when it does not (options::max_workers). Layer 5.
//
// A surplus worker is a spare that came for a backlog instead of a waiter. Whether one is needed is found out by the
// timekeeper, since all workers may be stuck: it looks at the queues every millisecond as long as there is a backlog, a bit that
// is put up by whoever leaves work behind while nobody is free, and taken down by a look that finds no work. While there is none
// nobody looks, nor while there can be no more workers: then the bit stays up, and whoever makes room for one says so.
//
// Who owes the bit, if work lies in a queue or is claimed, and nobody is parked:
//   a publisher, and who claims more than one job, that sees nobody search          note_if_all_are_busy
//   the last one that searched, when it leaves the search                            look_after_backlog
//   who ends a pause, for nobody looks while it lasts                                look_after_backlog
// Between the first two stands idle.hpp's [dekker]. Between them and the look that takes the bit down, attention.hpp's [ask]: after
// the work, a light fence and a look at the bit ↔ the bit is taken down, heavy fence, a look at the work.
#include "worker.hpp"

#include <algorithm>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {
constexpr std::uint32_t noted = 1;
constexpr std::int64_t look_every_ns = 1'000'000;   // long beside a wake-up and a task that should hold nobody up
constexpr std::int64_t try_again_ns = 100'000'000;  // P29: when there was no thread to be had
}  // namespace

// ---- whoever leaves work behind ----

void core::note_if_all_are_busy() noexcept {
  if (!idle.searched() && !idle.any_parked()) note_backlog();
}

void core::look_after_backlog() noexcept {
  if (backlog_.told(noted) || idle.should_wake()) return;
  if (!idle.searched() && !idle.any_parked() && work_waits()) note_backlog();
}

void core::note_backlog() noexcept {
  if (backlog_.told(noted)) return;
  if (const std::uint64_t since = no_keeper_since_.load(relaxed);
      since != 0 && ticks_since(since, ticks()) < ticks_of(try_again_ns))
    return;
  if (!backlog_.raise(noted) || time.look_now()) return;
  no_keeper_since_.store(ticks(), relaxed);
  backlog_.lower(noted);
}

// Somebody has gone, or may come; or there was no timekeeper for a while.
void core::look_again() noexcept {
  if ((backlog_.bits() & noted) != 0) time.look_now();
}

// ---- the look ----

bool core::work_waits() const noexcept {
  if ((attention_bits() & attention::paused) != 0) return false;
  if (!queues_empty()) return true;
  for (unsigned i = 0, e = slot_count(); i < e; ++i)
    if (slot(i)->claimed.visible()) return true;
  return false;
}

// Of what a worker has claimed one counts: the others are as many as are worth a look at the rest.
std::uint64_t core::waiting() const noexcept {
  std::uint64_t n = local.size() + (entries_.empty() ? 0 : 1);
  for (const inject_lane& q : lanes) n += q.size();
  for (unsigned i = 0, e = slot_count(); i < e; ++i) n += slot(i)->claimed.visible() ? 1 : 0;
  return n;
}

std::int64_t core::look_at_backlog() noexcept {
  if (!work_waits()) {
    evidence_.forget();
    backlog_.lower(noted);
    backlog_.asked();  // [ask] ↔ told
    if (!work_waits()) return forever;
    backlog_.raise(noted);
  }
  if (idle.searched() || idle.any_parked()) {  // they take it, or are about to be woken
    evidence_.forget();
    return look_every_ns;
  }
  const std::uint64_t began = started_by_workers();  // first: what begins between the two looks is not taken for waiting
  if (!evidence_.look(waiting(), began)) return look_every_ns;
  switch (call_surplus()) {
    case coming::enough: evidence_.forget(); return forever;  // until look_again()
    case coming::failed: return try_again_ns;
    default: return look_every_ns;
  }
}

// ---- coming and going ----

core::coming core::call_surplus() noexcept {
  const std::lock_guard lock(spare_mutex_);
  if (stopping_ || crew_.orphaned() || workers_on_duty() >= opts.max_workers) return coming::enough;
  // One by one: as long as the last one has not begun, another would have to wait for the same processor.
  if (newest_ != nullptr && newest_->started.get() + newest_->steals.get() == newest_found_) return coming::came;
  worker* const s = free_spare();
  if (s == nullptr) return coming::failed;
  newest_ = s;
  newest_found_ = s->started.get() + s->steals.get();
  s->surplus.store(true, relaxed);
  surplus_.store(surplus_.load(relaxed) + 1, relaxed);
  surplus_came_.add();
  s->on_duty.call(s->bed);
  return coming::came;
}

// Under spare_mutex_.
void core::uncount_surplus(worker& s) noexcept {
  if (newest_ == &s) newest_ = nullptr;
  s.surplus.store(false, relaxed);
  surplus_.store(surplus_.load(relaxed) - 1, relaxed);
  surplus_went_.add();
}

// Under spare_mutex_. It hands back what it has claimed, and is free then.
void core::dismiss_surplus(worker& s) noexcept {
  uncount_surplus(s);
  occupy(s);
}

// It has found nothing for a while. False: it has been dismissed already.
bool core::surplus_goes(worker& s) noexcept {
  {
    const std::lock_guard lock(spare_mutex_);
    if (!s.surplus.load(relaxed)) return false;
    dismiss_surplus(s);
  }
  look_again();
  return true;
}

// After the number of the others has changed.
void core::trim_surplus() noexcept {
  {
    const std::lock_guard lock(spare_mutex_);
    for (auto w = owned_.rbegin(); w != owned_.rend() && workers_on_duty() > opts.max_workers; ++w)
      if ((*w)->surplus.load(relaxed)) dismiss_surplus(**w);
  }
  look_again();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
