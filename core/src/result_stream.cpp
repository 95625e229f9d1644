// The stream's books: what was accepted, what is over, who reads. Layer 6. Who has not begun: siblings.hpp; who may come:
// room.hpp.
//
// State, under the lock
//   unbegun_        children that have not begun
//   first_out_, …   what next() hands out, oldest first: in order of completion the children that are over, in order of
//                   submission all of them, of which the first is handed out once it is over
//   outstanding_    accepted and not handed out
//   sleepers_       readers that sleep; those of them that could run a child themselves are in helpers_, too
//   word_           their futex; grows whenever there is something for a reader to see. Read by spinning readers without the lock.
//
// Invariants
//   I1  a child has room from stream_begin() until its result is taken or dropped.
//   I2  a child's node lives as long as anybody may look at it, and keeps the stream.
//   I3  a reader's expected value was read under the lock while there was nothing to see; whoever changes that changes the word
//       under the lock: so no reader sleeps past it.
#include <weir/result_stream.hpp>

#include "siblings.hpp"
#include "task_state.hpp"
#include "worker.hpp"

#include <optional>

namespace weir {
inline namespace v0 {
namespace detail {

class stream_state final : public stream_target, public dependant {
 public:
  stream_state(core* c, gate* g, stream_options o);
  stream_state(const stream_state&) = delete;
  stream_state& operator=(const stream_state&) = delete;

  void closing() noexcept override { room_.turn_all_away(errc::stopped); }
  void stopped() noexcept override;

  outcome begin(admission& a) noexcept;
  void start(stream_node& n) noexcept;
  void undo(const admission& a) noexcept;
  bool started(stream_node& n) noexcept;
  void ended(stream_node& n, void* value) noexcept;
  stream_node* next(time_point until, errc& why) noexcept;
  void taken(stream_node& n) noexcept;
  void close() noexcept;
  void cancel() noexcept;
  void drop() noexcept;

  std::stop_source source;

 private:
  struct on_stop {
    stream_state* s;
    void operator()() const noexcept {  // a child that it destroys may have had the last handle of the stream
      stream_state* const it = s;  // which then destroys this callback
      it->add_ref();
      it->cancel();
      it->drop_ref();
    }
  };
  ~stream_state() override {
    if (via != nullptr) gate_release(*via);
  }

  // ---- under the lock ----
  void push_out(stream_node& n) noexcept {
    (last_out_ != nullptr ? last_out_->next_out : first_out_) = &n;
    last_out_ = &n;
  }
  bool ready() const noexcept { return first_out_ != nullptr && first_out_->over; }
  bool finished() const noexcept {
    return outstanding_ == 0 && (closed_ || cancelled_ || refusal_ != outcome_ok || owner->stopped());  // restart() undoes the last
  }
  void change() noexcept {
    word_.store(word_.load(relaxed) + 1, relaxed);
    if (sleepers_ != 0) os_atomics::wake(&word_, 1 << 30);
  }
  void change_for_helpers() noexcept {
    if (helpers_ != 0) change();
  }

  bool sleep(std::int64_t ns, bool helps) noexcept;
  bool anything_to_see() const noexcept {
    const std::lock_guard lock(mutex_);
    return ready() || finished();
  }
  void discard(stream_node& n) noexcept;

  const stream_options options_;
  outcome refusal_ = outcome_ok;
  bool told_in_child_ = false;
  room<os_atomics> room_;
  mutable detail::mutex mutex_;
  siblings unbegun_;
  stream_node *first_out_ = nullptr, *last_out_ = nullptr;
  std::uint64_t outstanding_ = 0;
  unsigned sleepers_ = 0, helpers_ = 0;
  bool closed_ = false, cancelled_ = false, dropped_ = false;
  atomic<std::uint32_t> word_{0};
  std::optional<std::stop_callback<on_stop>> on_stop_;  // last: gone before the rest
};

namespace {

// Of a forked process's parent, and thus of nobody here.
core* usable(core* c) noexcept { return c != nullptr && !c->dead() ? c : nullptr; }

}  // namespace

stream_state::stream_state(core* c, gate* g, stream_options o)
    : stream_target{usable(c), g}, dependant(usable(c)), options_(std::move(o)), room_(options_.capacity) {
  if (options_.capacity == 0 || options_.capacity > std::size_t{1} << 40) refusal_ = outcome_of(errc::invalid);
  else if (via != nullptr && via->refusal != outcome_ok) refusal_ = via->refusal;
  else if (owner == nullptr) refusal_ = outcome_of(errc::stopped);
  unbegun_.limit = options_.limit;
  if (owner == nullptr) via = nullptr;
  if (via != nullptr) gate_acquire(*via);
  enlist();
  if (options_.stop.stop_possible()) on_stop_.emplace(options_.stop, on_stop{this});
}

void stream_state::stopped() noexcept {
  const std::lock_guard lock(mutex_);
  change();
}

// ---- in ----

outcome stream_state::begin(admission& a) noexcept {
  if (refusal_ != outcome_ok) return refusal_;
  if (owner->dead()) return outcome_of(errc::stopped);
  const auto refused = [this]() noexcept {
    const std::lock_guard lock(mutex_);
    return cancelled_ ? outcome_of(errc::cancelled) : closed_ ? outcome_of(errc::stopped) : outcome_ok;
  };
  if (const outcome o = refused(); o != outcome_ok) return o;
  outcome o = room_.take() ? outcome_ok : outcome_of(errc::full);
  if (o != outcome_ok) {
    task_options stops;
    stops.stop = options_.stop;
    o = enter(room_, *owner, policy_of(*owner, via), &stops, patience::by_policy, 1);
  }
  if (o != outcome_ok) return o;
  o = via == nullptr ? admit(*owner, nullptr, patience::elsewhere, a) : gate_admit(*via, nullptr, patience::elsewhere, a);
  if (o == outcome_ok) {
    const std::lock_guard lock(mutex_);
    if (!closed_ && !cancelled_) return ++outstanding_, outcome_ok;
    o = outcome_of(cancelled_ ? errc::cancelled : errc::stopped);
  } else {
    room_.give();
    return o;
  }
  if (via == nullptr) unadmit(*owner, a);
  else gate_unadmit(*via, a);
  room_.give();
  return o;
}

void stream_state::undo(const admission& a) noexcept {
  if (via == nullptr) unadmit(*owner, a);
  else gate_unadmit(*via, a);
  room_.give();
  const std::lock_guard lock(mutex_);
  --outstanding_;
  change();
}

void stream_state::start(stream_node& n) noexcept {
  add_ref();
  n.stream = this;
  n.value = nullptr;
  n.next_out = nullptr;
  n.over = false;
  bool now, cancelled;
  {
    const std::lock_guard lock(mutex_);
    if (options_.ordered) push_out(n);
    cancelled = cancelled_;
    now = unbegun_.add(n, false);
    if (now) change_for_helpers();
    else if (cancelled) unbegun_.unlink(n);  // else it could get its place, and a ticket, meanwhile
  }
  if (now) post(n);
  if (cancelled) node_fail(n, errc::cancelled, now);
  node_release(n);
}

bool stream_state::started(stream_node& n) noexcept {
  bool begins;
  {
    const std::lock_guard lock(mutex_);
    unbegun_.unlink(n);
    begins = !cancelled_;
  }
  if (is_observed(n)) [[unlikely]] observe_begin(n, begins);
  return begins;
}

void stream_state::ended(stream_node& n, void* value) noexcept {
  child_node* next = nullptr;
  bool unwanted = false;
  {
    const std::lock_guard lock(mutex_);
    n.value = value;
    n.over = true;
    unwanted = dropped_;
    if (!unwanted) {
      if (!options_.ordered) push_out(n);
      if (first_out_->over) change();
    }
    next = unbegun_.leave();
    if (next != nullptr) change_for_helpers();
  }
  post_admitted(next);
  if (unwanted) discard(n);
}

// ---- out ----

stream_node* stream_state::next(time_point until, errc& why) noexcept {
  why = errc{};
  if (owner == nullptr) return nullptr;
  if (owner->dead()) {
    if (!std::exchange(told_in_child_, true)) why = errc::stopped;
    return nullptr;
  }
  worker* const any = worker::current();
  worker* const w = worker::current_of(*owner);
  const bool helps = w != nullptr && via == nullptr;
  for (;;) {
    child_node* mine = nullptr;
    std::uint32_t seen;
    {
      const std::lock_guard lock(mutex_);
      if (ready()) {
        stream_node* const n = first_out_;
        first_out_ = n->next_out;
        if (first_out_ == nullptr) last_out_ = nullptr;
        --outstanding_;
        return n;
      }
      if (finished()) return nullptr;
      if (helps) mine = unbegun_.oldest_unstarted();
      seen = word_.load(relaxed);
    }
    if (mine != nullptr) {
      node_try_run(*mine);
      node_release(*mine);
      continue;
    }
    if (until != time_point::max() && clock_type::now() >= until) return why = errc::timeout, nullptr;
    // Short: the usual task is over within a wake-up's time.
    bool changed = false;
    for (const std::uint64_t end = ticks() + ticks_of(5'000); !changed && ticks() < end; cpu_relax()) changed = word_.load(relaxed) != seen;
    if (changed) continue;
    if (this_keeper == owner) return why = errc::starved, nullptr;  // its tasks may wait for the time
    std::optional<gated_wait> in_gate;
    if (w != nullptr && via != nullptr) {
      in_gate.emplace(*via, *w, this, [](const void* s) noexcept { return static_cast<const stream_state*>(s)->anything_to_see(); });
      if (in_gate->starves() && !anything_to_see()) return why = errc::starved, nullptr;
    }
    const auto park = [&](std::int64_t ns) {
      const std::int64_t limit = until_ns(until);
      return !sleep(ns == forever ? limit : limit == forever ? ns : std::min(ns, limit), helps) || until_ns(until) == 0;
    };
    if (any != nullptr) any->park_in_wait(park);
    else park(forever);
  }
}

// Sleeps once, unless there is something to see; then, or if there is afterwards: false.
bool stream_state::sleep(std::int64_t ns, bool helps) noexcept {
  std::uint32_t seen;
  {
    const std::lock_guard lock(mutex_);
    if (ready() || finished() || (helps && unbegun_.has_unstarted())) return false;
    ++sleepers_;
    helpers_ += helps;
    seen = word_.load(relaxed);
  }
  os_atomics::wait(word_, seen, ns);
  const std::lock_guard lock(mutex_);
  --sleepers_;
  helpers_ -= helps;
  return word_.load(relaxed) == seen;
}

void stream_state::taken(stream_node& n) noexcept {
  room_.give();
  node_release(n);
}

// ---- the end ----

void stream_state::close() noexcept {
  if (owner != nullptr && owner->dead()) return;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    change();
  }
  room_.shut(errc::stopped);
}

void stream_state::cancel() noexcept {
  if (owner != nullptr && owner->dead()) return;
  {
    const std::lock_guard lock(mutex_);
    cancelled_ = true;
    change();
  }
  room_.shut(errc::cancelled);
  cancel_unstarted(unbegun_, mutex_);
  source.request_stop();
}

// A result that nobody will take.
void stream_state::discard(stream_node& n) noexcept {
  if (std::exception_ptr e = n.ops->unread(n); e) report_unhandled(owner, std::move(e), nullptr);
  taken(n);
}

void stream_state::drop() noexcept {
  if (owner != nullptr && owner->dead()) return;  // a forked child: its locks may be held
  on_stop_.reset();
  stream_node* unread = nullptr;
  {
    const std::lock_guard lock(mutex_);
    dropped_ = closed_ = true;
    unread = first_out_;
    // Of an ordered one what is not over is left to ended(), which must not find it in a list.
    stream_node** at = &unread;
    while (*at != nullptr) {
      if ((*at)->over) at = &(*at)->next_out;
      else *at = (*at)->next_out;
    }
    first_out_ = last_out_ = nullptr;
  }
  while (unread != nullptr) {
    stream_node* const n = unread;
    unread = n->next_out;
    discard(*n);
  }
  cancel();
  drop_ref();
}

// ---- as the header calls them ----

stream_state* stream_open(core* c, gate* via, stream_options o) { return new stream_state(c, via, std::move(o)); }
const stream_target& stream_target_of(const stream_state& s) noexcept { return s; }
outcome stream_begin(stream_state& s, admission& a) noexcept { return s.begin(a); }
void stream_start(stream_state& s, stream_node& n) noexcept { s.start(n); }
void stream_undo(stream_state& s, const admission& a) noexcept { s.undo(a); }
bool stream_started(stream_node& n) noexcept { return n.stream->started(n); }
void stream_ended(stream_node& n, void* value, outcome o) noexcept {
  if (is_observed(n)) [[unlikely]] observe_end(n, o);  // before anybody hears of it
  n.stream->ended(n, value);
}
std::stop_source* stream_source(task_node& n) noexcept { return &static_cast<stream_node&>(n).stream->source; }
stream_node* stream_next(stream_state& s, time_point until, errc& why) noexcept { return s.next(until, why); }
void stream_taken(stream_node& n) noexcept { n.stream->taken(n); }
void stream_close(stream_state& s) noexcept { s.close(); }
void stream_drop(stream_state& s) noexcept { s.drop(); }
void stream_release(stream_state& s) noexcept { s.drop_ref(); }

}  // namespace detail
}  // namespace v0
}  // namespace weir
