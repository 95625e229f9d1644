// A worker's life, and the order of its queues: what it runs next, and how much it claims at once. Layer 5.
#include "worker.hpp"

#include "system.hpp"
#include "throw.hpp"

namespace weir {
inline namespace v0 {
namespace detail {

constinit thread_local worker_base* this_worker = nullptr;

namespace {

// Tuning, each with the bench that it comes from.
constexpr double tiny_batch_ns = 16'000;    // batch/latch: a claim costs half a microsecond, contended
constexpr std::size_t drains_from = 4;      // batches of so many: the tasks are tiny, and this worker looks often
constexpr std::size_t gather_below = 48;
constexpr double gather_ns = 1'000;          // submit/1
constexpr double least_shared_ns = 250;
constexpr double worth_a_wake_ns = 40'000;  // batch/latch: by then the submitter has left his processor
constexpr unsigned watch_after = 16;         // ping_pong: batches, without a sleep between them

}  // namespace

double ticks_per_ns() noexcept {
  static const double rate = measure_ticks();
  return rate;
}

std::int64_t until_ns(time_point t) noexcept {
  if (t == time_point::max()) return forever;
  const auto now = clock_type::now();
  return t <= now ? 0 : std::chrono::duration_cast<std::chrono::nanoseconds>(t - now).count() + 1;
}

worker::worker(core& c, unsigned i, unsigned n)
    : owner(c),
      index(i),
      number(n),
      spare(n >= first_spare),
      local_producer(c.local),
      normal_consumer(c.lanes[static_cast<std::size_t>(lane::normal)]),
      local_consumer(c.local),
      heap(c.pages),
      one_at_a_time_(!os_atomics::asymmetric() || c.opts.full == on_full::drop_oldest),
      spin_(ticks_of(std::min(20'000.0, 1000.0 * static_cast<double>(c.opts.spin.count())))),
      rng_(0x9e3779b97f4a7c15ull * (i + 1)) {}

void worker::main(int cpu) noexcept {
  this_worker = this;
  heap.adopt();
  thread_settle(cpu, owner.topo);
  if (owner.opts.on_thread_start != nullptr) owner.opts.on_thread_start(static_cast<int>(number));
  wait_for_duty();
  loop();
  hand_claimed_back();  // nobody else gets at it without membarrier: stale tickets and empty turns, which keep the runtime
  if (owner.opts.on_thread_stop != nullptr) owner.opts.on_thread_stop(static_cast<int>(number));
  forget_recent();
  heap.abandon();
  owner.drop_refs(std::exchange(core_refs_, 0));
  this_worker = nullptr;
  owner.worker_left();
}

void worker::loop() noexcept {
  for (;;) {
    const std::uint32_t bits = owner.attention_bits();
    if ((bits & attention::stop) != 0 && owner.dead()) [[unlikely]] returned_in_child();
    const bool off_duty = on_duty.now() != on_duty.on;
    if (bits != 0 || off_duty) [[unlikely]] ends.tell();
    if ((bits & attention::stop) != 0) [[unlikely]] return;
    if (off_duty) [[unlikely]] {
      drains.store(false, relaxed);
      hand_claimed_back();
      owner.tell_if_asked();
      wait_for_duty();
      continue;
    }
    if (bits != 0) [[unlikely]] {
      if ((bits & attention::paused) != 0) {
        if (hoards()) hand_claimed_back();  // for flush()
        if (owner.halted() && take_kept(false)) continue;
        search();
        continue;
      }
      // A single claimed job has nobody who looks after it: it starts first.
      if ((claimed.owner_empty() || claimed.owner_hides()) && attend(bits)) continue;
    }
    job j;
    if (claimed.pop(j)) {
      ends.begins(j);
      run(j);
      ends.expect(nullptr);
      continue;
    }
    ends.tell();
    if (claim()) continue;
    search();
  }
}

void worker::run(job& j) noexcept {
  if (j.counted()) {
    count_start();
    owner.tell_blocked();
  }
  started.add();
  const outcome o = j.ops().run(j);
  if (is_end(o)) [[likely]] count_end(o);
  else if (o != outcome_turn) started.sub();
}

// What goes ahead of the queues. True: something ran.
bool worker::attend(std::uint32_t bits, bool searching) noexcept {
  if ((bits & attention::entries) != 0) {
    if (entry_job* e = owner.take_entry(); e != nullptr) {
      if (owner.paused()) return owner.put_entry_back(*e), false;  // it may have come after the pause
      if (searching) leave_search();
      started.add();
      if (e->record != nullptr) [[unlikely]] run_observed(*e);
      else e->run(*e);
      count_end(outcome_ok);
      entries::finish(*e, entry_done);
      return true;
    }
  }
  if ((bits & attention::mail) != 0 && take_mail(searching)) return true;
  return (bits & attention::kept) != 0 && take_kept(searching);
}

// Its caller may go on, and the record with it, as soon as it is told that this has ended.
void worker::run_observed(entry_job& e) noexcept {
  observed_run run(owner, *e.record, nullptr);
  run.begin();
  running_entry me;
  me.node = nullptr;
  me.run = &run;
  running.enter(me);
  run.watch();
  e.run(e);
  running.leave(me);
  run.end(outcome_ok);
  owner.seen->release(*e.record);
}

bool worker::take_mail(bool searching) noexcept {
  job j;
  if (!mail.take(j, [this] { return owner.paused(); })) return owner.letters_.settle(), false;
  owner.letters_.gone();
  if (searching) leave_search();
  run(j);
  return true;
}

bool worker::take_kept(bool searching) noexcept {
  gate_entry* const e = owner.take_kept();
  if (e == nullptr) return false;
  if (searching) leave_search();
  job j = e->as_job();
  run(j);
  return true;
}

std::size_t worker::take_lane(lane l, std::size_t n, bool nothing_queued) noexcept {
  inject_lane& q = owner.lanes[static_cast<std::size_t>(l)];
  if (l == lane::normal) return q.take(normal_consumer, batch_, n, nothing_queued);
  const std::uint32_t bit = attention::lane_bit(l);
  if ((owner.attention_bits() & bit) == 0) return 0;
  if (const std::size_t got = q.take(batch_, n); got != 0) return got;
  owner.attention_.unmark(bit, [&q] { return !q.empty(); });
  return 0;
}

std::size_t worker::take_source(unsigned source, std::size_t n, bool nothing_queued) noexcept {
  const bool due = age_[source] >= owner.opts.starvation_bound / 4;
  std::size_t got = source == local_source ? owner.local.take_own(local_producer, batch_, n)
                                           : take_lane(static_cast<lane>(source), n, nothing_queued);
  if (got == 0 && source == local_source && due && !owner.local.empty()) {  // what a busy worker's task left for others
    got = owner.local.take(local_consumer, batch_, n);
    steals.add(got);
  }
  if (got != 0 || due || source != local_source) age_[source] = 0;  // served, or empty
  if (got != 0)
    for (unsigned s = 0; s <= local_source; ++s)
      if (s != source) age_[s] += static_cast<unsigned>(got);
  return got;
}

// Fills the empty run queue. Order: what starves, then the high lane, then in turn what came from outside and what this
// worker's tasks submitted, then the low lane, then what other workers' tasks submitted. Any source that stays
// non-empty is served within starvation_bound starts: a source that was passed over for a quarter of it goes first, with a
// sixteenth. A batch is three quarters of it while one source is in use, an eighth while several are, so the longest gap is
// 3/4 + 3/16 of it. nothing_queued: the queue of the normal lane has just been seen empty.
bool worker::claim(bool nothing_queued) noexcept {
  settle_turns();
  const std::size_t last_batch = batch_size_;
  std::uint64_t now = ticks();
  measure(now);
  // The queue was emptied, and the submitter is just ahead: let it get further.
  if (emptied_ && last_batch >= 2 && last_batch < gather_below && limit_ >= drains_from)
    for (const std::uint64_t end = now + ticks_of(gather_ns); now < end; now = ticks()) cpu_relax();
  const unsigned bound = owner.opts.starvation_bound;
  const std::size_t most = most_at_once();
  std::size_t n = 0;
  unsigned from = 0;
  for (unsigned k = 0; k <= local_source && n == 0; ++k) {  // what has waited longest first
    unsigned oldest = 0;
    for (unsigned s = 1; s <= local_source; ++s)
      if (age_[s] > age_[oldest]) oldest = s;
    if (age_[oldest] < bound / 4) break;
    n = take_source(from = oldest, std::min<std::size_t>(most, std::max(1u, bound / 16)), nothing_queued);
  }
  if (n == 0) n = take_source(from = static_cast<unsigned>(lane::high), most, nothing_queued);
  if (n == 0) {
    const unsigned normal = static_cast<unsigned>(lane::normal);
    const unsigned first = last_source_ == normal ? local_source : normal;
    n = take_source(from = first, most, nothing_queued);
    if (n == 0) n = take_source(from = first == normal ? local_source : normal, most, nothing_queued);
  }
  if (n == 0) n = take_source(from = static_cast<unsigned>(lane::low), most, nothing_queued);
  if (n == 0) {
    n = owner.local.take(local_consumer, batch_, most);
    if (n != 0) steals.add(n);
    from = local_source;
  }
  if (n == 0) return full_since_ = 0, false;
  mixed_ = mixed_ ? (last_source_ != from || ++same_source_ < 8) : last_source_ != from;
  if (last_source_ != from) same_source_ = 0;
  last_source_ = from;
  if (from != static_cast<unsigned>(lane::normal)) owner.lanes[static_cast<std::size_t>(lane::normal)].found_elsewhere(normal_consumer);
  note_look(now);  // before anybody sees the jobs
  claimed.refill(batch_, n);
  batch_size_ = n;
  batch_start_ = now;
  extra_ = granted_ = static_cast<unsigned>(most - n);
  emptied_ = n < most;
  if (emptied_) full_since_ = 0;
  if (n > 1) {  // what is hidden behind the first needs somebody who looks after it
    if (owner.idle.should_wake() && (!owner.idle.watched() || (n == most && worth_a_wake(now)))) owner.wake_one();
    else if (owner.elastic) [[unlikely]] owner.note_if_all_are_busy();
  }
  return true;
}

std::size_t worker::most_at_once() const noexcept {
  const unsigned bound = owner.opts.starvation_bound;
  const bool mixed = mixed_ || (owner.attention_bits() & attention::side_lanes) != 0;
  const unsigned batch = mixed ? bound / 8 : bound < 8 ? 1 : bound < 16 ? bound / 2 : bound / 4 * 3;
  return std::min<std::size_t>(limit_, std::max(1u, batch));
}

// A turn of a strand or limit is one claimed job and many starts. What it ran beyond the first is booked here.
void worker::settle_turns() noexcept {
  const unsigned more = std::exchange(granted_, 0u) - std::exchange(extra_, 0u);
  if (more == 0) return;
  batch_size_ += more;
  for (unsigned s = 0; s <= local_source; ++s)
    if (s != last_source_) age_[s] += more;
}

bool worker::wanted_elsewhere() const noexcept {
  return (owner.attention_bits() & (attention::stop | attention::paused | attention::entries | attention::mail)) != 0 ||
         on_duty.now() != on_duty.on;
}

bool worker::somebody_waits() const noexcept {
  return !claimed.owner_empty() || !owner.queues_empty() || owner.any_kept();
}

// Nobody waits for this worker: the turn goes on, as if it had been claimed again.
void worker::next_batch_in_turn() noexcept {
  settle_turns();
  const std::uint64_t now = ticks();
  measure(now);
  note_look(now);
  batch_size_ = 1;
  batch_start_ = now;
  extra_ = granted_ = static_cast<unsigned>(most_at_once() - 1);
}

// The queue has been full for a while, so what waits there is worth another worker's wake-up. For tasks shorter than the
// handing over of one it never is.
bool worker::worth_a_wake(std::uint64_t now) noexcept {
  if (each_ < ticks_of(least_shared_ns)) return false;
  if (full_since_ == 0) full_since_ = now;
  if (now - full_since_ < ticks_of(worth_a_wake_ns)) return false;
  full_since_ = now;
  return true;
}

// Learns from the batch that has just ended how many tasks the next one may have.
void worker::measure(std::uint64_t now) noexcept {
  if (batch_size_ == 0) return;
  const double each = static_cast<double>(ticks_since(batch_start_, now)) / static_cast<double>(batch_size_);
  const double tiny = tiny_batch_ns * ticks_per_ns();
  if (each * static_cast<double>(limit_) * 2 < tiny)
    limit_ = std::min<std::size_t>(limit_ * 2, run_queue<os_atomics>::capacity);
  else if (each * static_cast<double>(limit_) > tiny)
    limit_ = std::max<std::size_t>({1, limit_ / 2, static_cast<std::size_t>(tiny / each)});
  batch_size_ = 0;
  each_ = static_cast<std::uint64_t>(each);
  if (one_at_a_time_) limit_ = 1;
  const bool d = limit_ >= (drains.load(relaxed) ? 2 : drains_from);  // one slow task is no reason to wake others
  if (d != drains.load(relaxed)) drains.store(d, relaxed);
  // A stream of tiny tasks: with a watcher, publishers need not look who searches.
  tiny_batches_ = d ? tiny_batches_ + 1 : 0;
  if (tiny_batches_ % 64 == watch_after && !owner.idle.watched() && owner.idle.any_parked()) owner.wake_one();
}

// Claimed before a pause, and now the runtime is halted.
bool worker::hoards() const noexcept { return owner.halted() && !claimed.owner_empty(); }

void worker::note_look(std::uint64_t now) noexcept {
  looked.store(now, relaxed);
  owner.last_claim_.store(now, relaxed);
}

void worker::wait_for_duty() noexcept {
  while ((owner.attention_bits() & attention::stop) == 0) {
    const auto d = on_duty.now();
    if (d == on_duty.on) {
      idle_since_ = ticks();
      return;
    }
    if (d == on_duty.dismissed) {
      if (on_duty.stand_down() && spare) owner.spare_is_free(*this);
      continue;
    }
    if ((owner.attention_bits() & attention::paused) == 0 && take_mail(false)) continue;  // accepted while it was on duty
    owner.tell_if_asked();
    bed.park();
  }
}

// Who goes off duty keeps nothing that others wait for.
void worker::hand_claimed_back() noexcept {
  for (job j; claimed.pop(j);)
    if (!give_back(j)) run(j);
}

// False: no memory.
bool worker::give_back(job& j) noexcept {
  if (!owner.local.enqueue(local_producer, j)) return false;
  owner.published(lane::normal);
  return true;
}

outcome worker::admit_children(std::size_t n) noexcept {
  if (owner.halted()) return rejected.add(), outcome_of(errc::stopped);
  if ((children_ & ~63ull) != ((children_ + n) & ~63ull)) {  // every 64 tasks: the sums are not free
    std::uint64_t ended_now = 0;
    for (outcome o = 0; o < outcome_count; ++o) ended_now += owner.ended_sum(o);
    if (owner.submitted_sum() - ended_now + n > owner.opts.max_outstanding) return rejected.add(), outcome_of(errc::full);
  }
  children_ += n;
  submitted.add(n);
  return outcome_ok;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
