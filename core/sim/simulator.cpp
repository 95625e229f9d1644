#include "simulator.hpp"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>

namespace weir {
inline namespace v0 {
namespace detail {
extern bool asymmetric_fences_known;
void forget_cores() noexcept;
}
namespace sim {

simulator* active = nullptr;
constinit thread_local fiber* self = nullptr;
bool describing = false;

namespace {

// A thread that could run is not passed over for longer: no machine is as unfair as a priority that never falls.
constexpr std::uint64_t unfair = 20'000, look_every = 1024;  // steps
constexpr std::int64_t longest_warp = 1'000'000'000;

}  // namespace

std::vector<deviation> parse_schedule(const std::string& s) {
  std::vector<deviation> out;
  const char *p = s.data(), *const end = p + s.size();
  while (p < end) {
    deviation d{0, 1};
    auto r = std::from_chars(p, end, d.at);
    if (r.ec != std::errc{}) break;
    if (r.ptr < end && *r.ptr == ':') r = std::from_chars(r.ptr + 1, end, d.skip);
    out.push_back(d);
    p = r.ptr < end ? r.ptr + 1 : end;
  }
  return out;
}

std::string to_string(const std::vector<deviation>& schedule) {
  std::string s;
  for (const deviation& d : schedule) {
    if (!s.empty()) s += ',';
    s += std::to_string(d.at);
    if (d.skip != 1) s.append(1, ':').append(std::to_string(d.skip));
  }
  return s;
}

simulator::simulator(const options& o) : random(o.seed), opts(o), how_(o.how) {
  events_.resize(remembered);
  out_.seed = o.seed;
  if (how_ == scheduler::bounded) {
    schedule_ = parse_schedule(o.schedule);
    return;
  }
  random();  // near seeds give near first numbers nowhere, but this costs nothing
  if (how_ == scheduler::automatic) how_ = random.one_in(2) ? scheduler::pct : scheduler::random;
  // Each seed has its own idea of how fast the machine is: how much work fits into a spin or a timeout decides who is
  // surprised by whom.
  constexpr std::int64_t op[] = {1, 10, 50, 200}, pause[] = {40, 400, 4000};
  op_ns_ = op[random.below(std::size(op))];
  pause_ns_ = pause[random.below(std::size(pause))];
  if (opts.warp) {
    constexpr std::uint64_t warp[] = {0, 0, 100, 1000};
    warp_one_in_ = warp[random.below(std::size(warp))];
  }
  // A thread whose pauses do not let others run comes to the end of its patience while another is in the middle of a step.
  constexpr std::uint64_t yield[] = {1, 1, 8, 100};
  pause_yields_one_in_ = yield[random.below(std::size(yield))];
  switch_one_in_ = std::uint64_t{1} << random.below(7);
  const std::uint64_t horizon = std::uint64_t{1} << (7 + random.below(9));
  for (unsigned i = 0; i < opts.depth; ++i) changes_.push_back(1 + random.below(horizon));
  std::sort(changes_.rbegin(), changes_.rend());
}

unsigned simulator::start(std::function<void()> body, const char* name) noexcept {
  auto f = std::make_unique<fiber>();
  fiber& it = *f;
  it.id = static_cast<unsigned>(fibers_.size()) + 1;
  it.name = name;
  it.body = std::move(body);
  it.priority = (random() >> 1) | (std::uint64_t{1} << 33);
  it.waits_since = out_.steps;
  const int e = it.context.create([](void* p) {
                                    fiber& me = *static_cast<fiber*>(p);
                                    self = &me;
                                    try {
                                      me.body();
                                      me.body = nullptr;
                                    } catch (const std::exception& x) {
                                      active->fail(verdict::failed, std::string("an exception left ") + me.name + ": " + x.what());
                                    } catch (...) {
                                      active->fail(verdict::failed, "an exception left " + me.name);
                                    }
                                  },
                                  [](void*) { self = nullptr; }, &it);
  if (e != 0) {
    std::fprintf(stderr, "weir::sim: no thread: %s\n", std::strerror(e));
    std::abort();
  }
  fibers_.push_back(std::move(f));
  return it.id;
}

// ---- the loop, on the thread that called run() ----

result simulator::run(const std::function<void()>& body) {
  detail::asymmetric_fences_known = false;
  active = this;
  start(body, "body");
  next_ = fibers_.front().get();
  loop();
  out_.time = std::chrono::nanoseconds(now);
  out_.trace = hash_;
  out_.threads = static_cast<unsigned>(fibers_.size());
  out_.schedule = opts.schedule;
  if (out_.what != verdict::ok) {
    const char* steps = std::getenv("WEIR_SIM_STEPS");
    out_.report = "  " + why_ + "\n";
    out_.report += describe(*this, steps != nullptr ? std::strtoul(steps, nullptr, 10) : 40);
    // What is left of the run sleeps in the kernel until the process ends.
    for (auto& f : fibers_)
      if (!f->ended) static_cast<void>(f.release());
  }
  for (auto& f : fibers_)
    if (f != nullptr && f->ended) f->context.join();
  forget_mutexes(*this);
  detail::forget_cores();
  active = nullptr;
  return std::move(out_);
}

void simulator::loop() noexcept {
  while (!over_ && next_ != nullptr) {
    running_ = next_;
    running_->started = true;
    running_->context.enter();
    fiber& f = *running_;
    if (f.context.goes_on()) continue;
    f.ended = true;
    wake(&f, ~0u);
    next_ = next_after_wait();
  }
}

// ---- from simulated threads ----

void simulator::leave(fiber& f) noexcept {
  for (;;) {
    if (!over_ && !describing && f.context.takes_over() && next_->context.takes_over()) {
      running_ = next_;
      f.context.pass(next_->context);
    } else {
      f.context.leave();
    }
    if (!describing) return;
    description_ += describe_here();
  }
}

void simulator::fail(verdict v, std::string why) noexcept {
  if (!over_) {
    over_ = true;
    out_.what = v;
    why_ = std::move(why);
  }
  for (;;) {
    if (self != nullptr) leave(*self);
    else std::abort();
  }
}

void simulator::step(std::uint8_t kind, const char* file, int line, bool yields) noexcept {
  fiber& f = *self;
  f.kind = kind;
  f.file = file;
  f.line = line;
  f.waits_since = out_.steps;
  now += yields ? pause_ns_ : op_ns_;
  if (yields && pause_yields_one_in_ > 1) yields = random.one_in(pause_yields_one_in_);
  const std::uint64_t n = ++out_.steps;
  hash_ = (hash_ ^ (std::uint64_t{f.id} << 40) ^ (std::uint64_t{kind} << 32) ^ static_cast<std::uint64_t>(line)) * 0x100000001b3ull;
  hash_ ^= static_cast<std::uint64_t>(now) << 7;
  events_[n % remembered] = {f.id, kind, line, file, now};
  if (n > opts.max_steps) fail(verdict::livelock, "more than " + std::to_string(opts.max_steps) + " steps");
  if (now >= next_deadline_) expire();
  else if (warp_one_in_ != 0 && next_deadline_ != never && next_deadline_ - now < longest_warp && random.one_in(warp_one_in_)) {
    now = next_deadline_;
    expire();
  }
  fiber* const other = choose(&f, yields);
  if (other == &f) {
    ++f.in_a_row;
    return;
  }
  f.in_a_row = 0;
  next_ = other;
  leave(f);
}

bool simulator::wait(const char* what, const void* key, std::int64_t until) noexcept {
  fiber& f = *self;
  f.waits_for = what;
  f.key = key;
  f.until = until;
  f.timed_out = false;
  f.in_a_row = 0;
  next_deadline_ = std::min(next_deadline_, until);
  next_ = next_after_wait();
  if (next_ != &f) leave(f);
  return !f.timed_out;
}

unsigned simulator::wake(const void* key, unsigned most) noexcept {
  std::vector<fiber*> sleepers;
  for (auto& f : fibers_)
    if (f->waits_for != nullptr && f->key == key && !f->ended) sleepers.push_back(f.get());
  unsigned n = 0;
  for (; n < most && !sleepers.empty(); ++n) {
    const std::size_t i = sleepers.size() > 1 && how_ != scheduler::bounded ? random.below(sleepers.size()) : 0;
    sleepers[i]->waits_for = nullptr;
    sleepers[i]->waits_since = out_.steps;
    sleepers[i]->until = never;
    sleepers.erase(sleepers.begin() + static_cast<std::ptrdiff_t>(i));
  }
  return n;
}

void simulator::join(unsigned id) noexcept {
  fiber& f = *fibers_[id - 1];
  while (!f.ended) wait("the end of a thread", &f, never);
}

// Whose time has come.
void simulator::expire() noexcept {
  next_deadline_ = never;
  for (auto& f : fibers_) {
    if (f->waits_for == nullptr || f->ended) continue;
    if (f->until <= now) {
      f->waits_for = nullptr;
      f->waits_since = out_.steps;
      f->timed_out = true;
      f->until = never;
    } else {
      next_deadline_ = std::min(next_deadline_, f->until);
    }
  }
}

unsigned simulator::runnable() const noexcept {
  return static_cast<unsigned>(
      std::count_if(fibers_.begin(), fibers_.end(), [](const auto& f) { return f->waits_for == nullptr && !f->ended; }));
}

// The current one waits or has ended. When nobody can run, time passes; when that helps nobody, it is over.
fiber* simulator::next_after_wait() noexcept {
  for (;;) {
    if (now >= next_deadline_) expire();
    if (fiber* f = choose(nullptr, false); f != nullptr) return f;
    expire();  // next_deadline_ may belong to one that was woken
    if (next_deadline_ != never) {
      now = next_deadline_;
      expire();
      continue;
    }
    over_ = true;
    if (std::any_of(fibers_.begin(), fibers_.end(), [](const auto& f) { return !f->ended; })) {
      out_.what = verdict::deadlock;
      why_ = "nobody can run, and nobody waits for a time";
    }
    return nullptr;
  }
}

// The `skip`-th runnable one after `from` in the round.
fiber* simulator::rotate(const fiber* from, unsigned skip) noexcept {
  const std::size_t n = fibers_.size(), first = from != nullptr ? from->id : 0;
  for (;;)
    for (std::size_t k = 0; k < n; ++k) {
      fiber& f = *fibers_[(first + k) % n];
      if (f.waits_for == nullptr && !f.ended && skip-- == 0) return &f;
    }
}

fiber* simulator::choose(fiber* current, bool yields) noexcept {
  if (how_ == scheduler::bounded) return choose_bounded(current, yields);
  if (how_ == scheduler::pct) {
    while (!changes_.empty() && out_.steps >= changes_.back()) {
      changes_.pop_back();
      if (current != nullptr) demote(*current);
    }
    if (current != nullptr && yields) demote(*current);
    fiber* best = nullptr;
    if (out_.steps % look_every == 0) {
      for (auto& f : fibers_)
        if (f->waits_for == nullptr && !f->ended && (best == nullptr || f->waits_since < best->waits_since)) best = f.get();
      if (best != nullptr && best->waits_since + unfair < out_.steps) best->priority = highest_++, best->waits_since = out_.steps;
      best = nullptr;
    }
    for (auto& f : fibers_)
      if (f->waits_for == nullptr && !f->ended && (best == nullptr || f->priority > best->priority)) best = f.get();
    return best;
  }
  if (current != nullptr && !yields && !random.one_in(switch_one_in_) && current->in_a_row <= unfair) return current;
  const unsigned n = runnable(), others = n - (current != nullptr ? 1 : 0);
  if (others == 0) return current;
  return rotate(current, static_cast<unsigned>(random.below(others)));
}

fiber* simulator::choose_bounded(fiber* current, bool yields) noexcept {
  const unsigned n = runnable();
  if (n == 0) return nullptr;
  const bool stays = current != nullptr && !yields && current->in_a_row <= unfair;
  unsigned skip = 0;
  if (n > 1) {
    if (replayed_ < schedule_.size() && schedule_[replayed_].at == alternatives.size()) skip = std::min(schedule_[replayed_++].skip, n - 1);
    alternatives.push_back(static_cast<std::uint8_t>(std::min(n - 1, 255u)));
  }
  if (stays) return skip == 0 ? current : rotate(current, skip - 1);
  return rotate(current, skip);
}

}  // namespace sim
}  // namespace v0
}  // namespace weir
