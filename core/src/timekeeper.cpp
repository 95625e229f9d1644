#include "timekeeper.hpp"

#include "core.hpp"
#include "system.hpp"
#include "throw.hpp"

#include <cerrno>
#include <cstdio>
#include <new>

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local const core* this_keeper = nullptr;

namespace {
constexpr std::size_t piece = 64;      // entries moved before others may have the lock
constexpr std::size_t unchecked = 64;  // as tasks that tasks submit
}  // namespace

// ---- the thread ----

int timekeeper::start() noexcept {
  if (leaving_) return ECANCELED;
  if (wheel_ == nullptr) wheel_.reset(new (std::nothrow) timer_wheel(timer_wheel::tick_at(nanoseconds(clock_type::now()))));
  if (wheel_ == nullptr) return ENOMEM;
  char name[16];
  std::snprintf(name, sizeof name, "%.13s/t", core_.opts.name);
  core_.crew_.joins();
  if (const int e = thread_start(thread_, name, core_.opts.stack_size, &main, this); e != 0) {
    core_.crew_.never_joined();
    return e;
  }
  if (detached_) thread_detach(thread_);
  started_.store(true, relaxed);
  return 0;
}

void* timekeeper::main(void* p) noexcept {
  core& c = static_cast<timekeeper*>(p)->core_;
  this_keeper = &c;
  thread_settle(-1, c.topo);
  static_cast<timekeeper*>(p)->run();
  this_keeper = nullptr;
  c.worker_left();
  return nullptr;
}

void timekeeper::run() noexcept {
  std::unique_lock lock(mutex_);
  while (!leaving_) {
    if (look(lock) || do_due(lock) || look_for_stalls(lock)) continue;
    const std::uint64_t next = std::min(wheel_->next(), stalls_at_);
    sleeps_to_ = next;
    const std::int64_t until = std::min(look_at_, next != timer_wheel::never ? timer_wheel::begin_of(next) : never_look);
    const std::uint32_t seen = word_.load(relaxed);
    lock.unlock();
    std::int64_t ns = forever;
    if (until != never_look) ns = std::max<std::int64_t>(0, until - nanoseconds(clock_type::now()));
    if (ns != 0) futex_wait(word_, seen, ns);
    lock.lock();
    sleeps_to_ = 0;
  }
}

bool timekeeper::look(std::unique_lock<mutex>& lock) noexcept {
  if (look_at_ == never_look || look_at_ > nanoseconds(clock_type::now())) return false;
  look_at_ = never_look;
  lock.unlock();
  const std::int64_t ns = core_.look_at_backlog();
  const std::int64_t now = nanoseconds(clock_type::now());
  lock.lock();
  if (ns != forever) look_at_ = std::min(look_at_, now + ns);
  return true;
}

bool timekeeper::look_now() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (leaving_) return true;  // who has work is to end it without more workers
    if (!started_.load(relaxed) && start() != 0) return false;
    look_at_ = 0;
    if (sleeps_to_ == 0) return true;
    sleeps_to_ = 0;
    word_.store(word_.load(relaxed) + 1, relaxed);
  }
  wake();
  return true;
}

bool timekeeper::do_due(std::unique_lock<mutex>& lock) noexcept {
  bool any = wheel_->advance(timer_wheel::tick_at(nanoseconds(clock_type::now())), piece);
  while (timer_entry* e = wheel_->pop()) {
    any = true;
    took_out(*e);
    if (due::kind_of(*e) == due::deadline) late_.add();
    const std::uint8_t kind = due::kind_of(*e);
    task_node* const n = kind == due::sleep || kind == due::alarm ? nullptr : &node_of(*e);
    lock.unlock();
    if (n != nullptr) node_due(core_, *n, kind);
    else if (kind == due::sleep) sleep_ends(*e, errc{});
    else alarm_rings(*e);
    if (core_.dead()) returned_in_child();
    lock.lock();
  }
  if (!any) return false;
  lock.unlock();
  core_.tell_if_asked();  // an orphan: a stop callback may have been what made it one
  lock.lock();
  return true;
}

// An occurrence is counted from when it is due, or taken out for good.
void timekeeper::took_out(const timer_entry& e) noexcept {
  if (due::kind_of(e) != due::series) return;
  --series_;
  submitted_.add();
}

int timekeeper::ensure() noexcept {
  if (started_.load(relaxed)) return 0;  // put() looks again
  const std::lock_guard lock(mutex_);
  return started_.load(relaxed) ? 0 : start();
}

// ---- entries ----

bool timekeeper::insert(timer_entry& e) noexcept {
  wheel_->insert(e);
  if (due::kind_of(e) == due::series) ++series_;
  return wakes_earlier(e.tick());
}

bool timekeeper::wakes_earlier(std::uint64_t tick) noexcept {
  if (tick >= sleeps_to_) return false;
  sleeps_to_ = tick;
  word_.store(word_.load(relaxed) + 1, relaxed);
  return true;
}

// ---- stalls ----

void timekeeper::watch_stalls(time_point t) noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (watches_stalls_ || leaving_ || (!started_.load(relaxed) && start() != 0)) return;
    watches_stalls_ = true;
    stalls_at_ = tick_of(t);
    if (!wakes_earlier(stalls_at_)) return;
  }
  wake();
}

// Nothing runs that may stall: nobody is woken for it, until the next task starts. A run is among what its thread runs before it takes
// the lock in watch_stalls(): so either it finds that nobody watches, or the look finds it.
bool timekeeper::look_for_stalls(std::unique_lock<mutex>& lock) noexcept {
  if (stalls_at_ > timer_wheel::tick_at(nanoseconds(clock_type::now()))) return false;
  stalls_at_ = timer_wheel::never;
  watches_stalls_ = false;
  lock.unlock();
  const time_point next = core_.seen->look_for_stalls();
  if (core_.dead()) returned_in_child();
  lock.lock();
  if (next != time_point::max()) {
    watches_stalls_ = true;
    stalls_at_ = std::min(stalls_at_, tick_of(next));
  }
  return true;
}

timekeeper::answer timekeeper::admit(bool series, int& error) noexcept {
  const std::lock_guard lock(mutex_);
  if (closed_) return rejected_.add(), answer::stopped;
  if (!started_.load(relaxed) && (error = start()) != 0) return answer::no_thread;
  if (headroom_ == 0) {
    const std::uint64_t ended = core_.ended_sum(), outstanding = core_.submitted_sum() - ended + series_;
    if (outstanding >= core_.opts.max_outstanding) return rejected_.add(), answer::full;
    headroom_ = std::min<std::size_t>(unchecked, core_.opts.max_outstanding - outstanding);
  }
  --headroom_;
  if (!series) submitted_.add();
  return answer::ok;
}

void timekeeper::unadmit(bool series) noexcept {
  const std::lock_guard lock(mutex_);
  ++headroom_;
  if (!series) submitted_.sub();
}

void timekeeper::count_occurrence() noexcept {
  const std::lock_guard lock(mutex_);
  submitted_.add();
}

void timekeeper::count_late() noexcept {
  const std::lock_guard lock(mutex_);
  late_.add();
}

// splitmix64. Different in each process, and in each runtime: what jitter is for.
std::uint64_t timekeeper::random(std::uint64_t most) noexcept {
  std::uint64_t z;
  {
    const std::lock_guard lock(mutex_);
    if (random_ == 0) random_ = ticks() ^ (core_.id << 48);
    z = (random_ += 0x9e3779b97f4a7c15ull);
  }
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
  z ^= z >> 31;
  return most == ~std::uint64_t{0} ? z : z % (most + 1);
}

bool timekeeper::remove(timer_entry& e, std::uint8_t kind) noexcept {
  const std::lock_guard lock(mutex_);
  if (!e.linked() || due::kind_of(e) != kind) return false;
  wheel_->remove(e);
  return true;
}

bool timekeeper::remove_ticket(timer_entry& e) noexcept {
  const std::lock_guard lock(mutex_);
  if (!e.linked() || !due::is_ticket(due::kind_of(e))) return false;
  wheel_->remove(e);
  took_out(e);
  return true;
}

// ---- life ----

void timekeeper::close() noexcept {
  std::unique_lock lock(mutex_);
  closed_ = true;
  while (wheel_ != nullptr && do_due(lock)) {}
}

// What the first list from this one on gives; `list` becomes the next.
timer_batch timekeeper::take_some(unsigned& list) noexcept {
  timer_batch b;
  const std::lock_guard lock(mutex_);
  if (wheel_ == nullptr) return list = timer_wheel::list_count, b;
  const auto wanted = [this](const timer_entry& e) {
    if (!due::is_ended_by_shutdown(due::kind_of(e))) return false;
    took_out(e);
    return true;
  };
  while (list != timer_wheel::list_count && b.size() == 0) wheel_->take(list++, wanted, b);
  return b;
}

void timekeeper::stop(bool join) noexcept {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    word_.store(word_.load(relaxed) + 1, relaxed);
    if (!started_.load(relaxed)) return;
    join = join && !detached_;
    if (join) started_.store(false, relaxed);  // by now it is this call's; `leaving_` keeps another from being started
  }
  wake();
  if (join) thread_join(thread_);
}

void timekeeper::reopen() noexcept {
  const std::lock_guard lock(mutex_);
  closed_ = leaving_ = false;
  look_at_ = never_look;
  headroom_ = 0;
  stalls_at_ = timer_wheel::never;
  watches_stalls_ = false;
  started_.store(false, relaxed);
}

void timekeeper::detach() noexcept {
  const std::lock_guard lock(mutex_);
  detached_ = true;
  if (started_.load(relaxed)) thread_detach(thread_);
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
