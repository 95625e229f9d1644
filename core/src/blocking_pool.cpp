#include "blocking_pool.hpp"

#include "core.hpp"
#include "system.hpp"
#include "throw.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cstdio>

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local side_thread* this_side = nullptr;

namespace {
constexpr std::int64_t keep_alive = 10'000'000'000;  // ns
}

runner* current_runner() noexcept {
  if (worker* const w = worker::current(); w != nullptr) return w;
  return this_side != nullptr ? static_cast<runner*>(this_side) : this_caller.seat;
}

// ---- the threads ----

namespace {
void run_one(core& c, job& j) noexcept {
  if (c.halted()) return j.ops().drop(j, errc::stopped);
  const outcome o = j.ops().run(j);
  if (c.dead()) returned_in_child();
  if (is_end(o)) {
    c.ended_elsewhere[o].add();
    c.tell_if_asked();
  }
}
}  // namespace

blocking_pool::former_thread::~former_thread() {
  if (was) thread_join(*was);
}

int blocking_pool::start(former_thread& gone) noexcept {
  std::size_t number = 0;
  while (number < sides_.size() && sides_[number].alive) ++number;
  WEIR_TRY {
    if (number == sides_.size()) {
      idle_.reserve(core_.opts.max_blocking);
      sides_.append(core_.opts.max_blocking, std::make_unique<side_thread>(core_));
    }
  }
  WEIR_CATCH_ALL { return ENOMEM; }
  side_thread* const s = &sides_[number];
  if (std::exchange(s->joinable, false)) gone.was = s->thread;
  char tail[12], name[16];
  const int n = std::snprintf(tail, sizeof tail, "/b%zu", number);
  std::snprintf(name, sizeof name, "%.*s%s", 15 - n, core_.opts.name, tail);
  core_.crew_.joins();
  if (const int e = thread_start(s->thread, name, core_.opts.stack_size, &main, s); e != 0) {
    core_.crew_.never_joined();
    return e;
  }
  s->alive = true;
  if (detached_) thread_detach(s->thread);
  else s->joinable = true;
  ++threads_;
  ++looking_;
  return 0;
}

void* blocking_pool::main(void* p) noexcept {
  auto& me = *static_cast<side_thread*>(p);
  core& c = me.owner;
  this_side = &me;
  thread_settle(-1, c.topo);
  c.side.run(me);
  this_side = nullptr;
  c.worker_left();
  return nullptr;
}

void blocking_pool::run(side_thread& me) noexcept {
  std::unique_lock lock(mutex_);
  for (bool told = true;;) {
    for (job j; may_take() && pop(j); told = true) {
      --looking_;
      lock.unlock();
      run_one(core_, j);
      lock.lock();
      ++looking_;
    }
    // Else somebody counts on it; also on what it may not take, for a drain may still give up and leave it to whoever is there.
    if (leaving_ || (!told && looking_ > promised_ + queued())) break;
    idle_.push_back(&me);
    lock.unlock();
    told = me.bed.park(keep_alive);
    lock.lock();
    if (std::erase(idle_, &me) == 0) told = true;  // somebody counts on it, though the token comes late
  }
  me.alive = false;
  --looking_;
  --threads_;
}

// ---- tasks ----

// Once the runtime is halted what waits is for flush(), unless a drain has given up: then whoever finds it stops it.
bool blocking_pool::may_take() const noexcept {
  return !core_.halted() || (core_.attention_bits() & attention::leftovers) != 0;
}

bool blocking_pool::pop(job& out) noexcept {
  if (head_ == waiting_.size()) return false;
  out = waiting_[head_++];
  if (head_ == waiting_.size()) {
    waiting_.clear();
    head_ = 0;
  } else if (head_ > 64 && head_ > waiting_.size() / 2) {
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(head_));
    head_ = 0;
  }
  return true;
}

bool blocking_pool::take_one(job& out) noexcept {
  const std::lock_guard lock(mutex_);
  return pop(out);
}

bool blocking_pool::any_waits() const noexcept {
  const std::lock_guard lock(mutex_);
  return queued() != 0;
}

bool blocking_pool::all_wait() noexcept {
  if (waits_.load(relaxed) >= core_.opts.max_blocking) return true;
  former_thread gone;
  const std::lock_guard lock(mutex_);
  return waits_.load(relaxed) >= threads_ && queued() != 0 && start(gone) != 0;  // there will be no other thread
}

// Stale tickets give their places back. What they keep, the exception of a failed attempt perhaps, goes outside of the lock.
void blocking_pool::sweep(std::unique_lock<mutex>& lock) noexcept {
  std::vector<job> gone;
  WEIR_TRY { gone.reserve(queued()); }
  WEIR_CATCH_ALL { return; }
  const auto stale = [&](const job& j) { return ticket_is_stale(j) && (gone.push_back(j), true); };
  const auto first = waiting_.begin() + static_cast<std::ptrdiff_t>(head_);
  waiting_.erase(std::remove_if(first, waiting_.end(), stale), waiting_.end());
  lock.unlock();
  for (job& j : gone) j.ops().drop(j, errc::cancelled);
  lock.lock();
}

// For one ticket more; throws. reserve() alone would copy the queue each time.
void blocking_pool::make_room() {
  const std::size_t wanted = waiting_.size() + promised_ + 1;
  if (wanted > waiting_.capacity()) waiting_.reserve(std::max(wanted, 2 * waiting_.capacity()));
}

side_thread* blocking_pool::to_wake() noexcept {
  if (idle_.empty()) return nullptr;
  side_thread* const s = idle_.back();
  idle_.pop_back();
  return s;
}

status blocking_pool::admit() noexcept {
  former_thread gone;
  std::unique_lock lock(mutex_);
  // As many run as may run, and the rest waits. A thread that is not there yet has its task already.
  const auto full = [this] {
    return queued() + promised_ + (threads_ - looking_) >= std::size_t{core_.opts.max_blocking} + core_.opts.blocking_capacity;
  };
  if (full()) {
    if (stale_.load(relaxed) > 0) sweep(lock);
    if (full()) return rejected_.add(), status(errc::full);
  }
  if (leaving_) return errc::stopped;
  WEIR_TRY { make_room(); }
  WEIR_CATCH_ALL { return unrun_error(errc::failed); }
  if (looking_ <= queued() + promised_ && threads_ < core_.opts.max_blocking)
    if (const int e = start(gone); e != 0 && threads_ == 0) return system_failure(e, "weir: cannot start a blocking thread");
  ++promised_;
  return {};
}

void blocking_pool::look_again() noexcept {
  const std::lock_guard lock(mutex_);
  for (side_thread* s : idle_) s->bed.unpark();
  idle_.clear();
}

void blocking_pool::unadmit() noexcept {
  const std::lock_guard lock(mutex_);
  --promised_;
}

void blocking_pool::put(const job& ticket) noexcept {
  side_thread* sleeper = nullptr;
  {
    const std::lock_guard lock(mutex_);
    --promised_;
    waiting_.push_back(ticket);  // admit() made room
    sleeper = to_wake();
  }
  if (sleeper != nullptr) sleeper->bed.unpark();
}

bool blocking_pool::put_again(const job& ticket) noexcept {
  side_thread* sleeper = nullptr;
  former_thread gone;
  {
    const std::lock_guard lock(mutex_);
    WEIR_TRY { make_room(); }
    WEIR_CATCH_ALL { return false; }
    if (looking_ <= queued() + promised_ && threads_ < core_.opts.max_blocking && start(gone) != 0 && threads_ == 0) return false;
    waiting_.push_back(ticket);
    sleeper = to_wake();
  }
  if (sleeper != nullptr) sleeper->bed.unpark();
  return true;
}

// ---- life ----

void blocking_pool::stop(bool join) noexcept {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  look_again();
  for (std::size_t i = 0; join; ++i) {
    pthread_t t{};
    {
      const std::lock_guard lock(mutex_);
      while (i < sides_.size() && !std::exchange(sides_[i].joinable, false)) ++i;
      if (i == sides_.size()) return;
      t = sides_[i].thread;
    }
    thread_join(t);
  }
}

void blocking_pool::reopen() noexcept {
  const std::lock_guard lock(mutex_);
  leaving_ = false;
}

void blocking_pool::detach() noexcept {
  const std::lock_guard lock(mutex_);
  detached_ = true;
  for (std::size_t i = 0; i < sides_.size(); ++i)
    if (std::exchange(sides_[i].joinable, false)) thread_detach(sides_[i].thread);
}

std::size_t blocking_pool::busy() const noexcept {
  const std::lock_guard lock(mutex_);
  return threads_ - looking_;
}

// ---- admission ----

// What a task of this runtime asks for is still run while it drains.
status core::admit_beside() noexcept {
  const bool child = worker::current_of(*this) != nullptr || (this_side != nullptr && &this_side->owner == this) || this_caller.owner == this;
  const bool in = doors_.enter();
  status s = in || (child && !halted()) ? side.admit() : status(errc::stopped);
  if (!s) undo_entry();
  return s;
}

// unadmit() takes them back through the lease, which is as good.
bool core::admit_children_beside(std::size_t n) noexcept {
  const bool child = (this_side != nullptr && &this_side->owner == this) || this_caller.owner == this;
  if (!child || halted()) return false;
  for (; n != 0; --n) static_cast<void>(doors_.enter());
  return true;
}

void core::unadmit_beside() noexcept {
  side.unadmit();
  undo_entry();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
