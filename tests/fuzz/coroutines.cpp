// What actors spawn that may be suspended, and what it does: a recipe of 4-bit steps. See actor.hpp.
#include "actor.hpp"

#include <algorithm>
#include <array>
#include <system_error>
#include <variant>

namespace fuzz {

namespace {

using weir::task;

// In a coroutine's frame: it has begun, or goes with the frame. While it runs its record says so.
class fate {
 public:
  fate(world& w, unsigned id) noexcept : world_(&w), id_(id) {}
  fate(fate&& o) noexcept : world_(std::exchange(o.world_, nullptr)), id_(o.id_) {}
  fate& operator=(fate&&) = delete;
  ~fate() {
    if (world_ != nullptr) world_->all[id_].dropped.fetch_add(1);
  }
  class run {
   public:
    explicit run(record& r) : of(r) {
      of.ran.fetch_add(1);
      require(!of.inside.exchange(true), "a coroutine runs twice");
    }
    ~run() { of.inside = false; }
    run(const run&) = delete;
    run& operator=(const run&) = delete;
    record& of;
  };
  record& begin() { return std::exchange(world_, nullptr)->all[id_]; }
  unsigned id() const noexcept { return id_; }

 private:
  world* world_;
  unsigned id_;
};

// Where it may go on: on the runtime, or in a strand or limit.
struct place {
  place() = default;
  place(gate& g, bool begins_there) : home(g.to), of(&g), there(begins_there) {}
  std::optional<weir::detail::owned_gate> home;
  gate* of = nullptr;
  bool there = false;
};

// In a handler: what the exception makes of the coroutine that it leaves.
[[noreturn]] void fail(record& rec, unsigned id) {
  try {
    throw;
  } catch (const std::system_error& e) {
    if (e.code() == weir::make_error_code(weir::errc::cancelled) ||
        e.code() == weir::make_error_code(weir::errc::stopped)) {
      rec.left = true;
      throw;
    }
  } catch (...) {}
  rec.threw = true;
  throw thrown{id};
}

// One that is spawned: make(fate) gives it. A refused one is gone, as one is that has ended, so the books may not know which.
template <class Make>
std::optional<handle> lend_coroutine(weir::executor_ref to, world& w, const weir::task_options* o, Make make) {
  const unsigned id = w.all.open(kind::spawned, false);
  if (id == books::none) return std::nullopt;
  handle out{o == nullptr ? weir::spawn(to, make(fate(w, id))) : weir::spawn(to, make(fate(w, id)), *o), id};
  if (o != nullptr) out.start_by = o->start_by, out.deadline = o->deadline;
  record& rec = w.all[id];
  if (!out.h.ready()) {
    rec.accepted = true;
    return out;
  }
  auto r = out.h.get();
  const bool begun = rec.ran != 0;
  rec.accepted = begun || (r.error().code != weir::errc::full && r.error().code != weir::errc::invalid);
  if (!begun && rec.accepted) w.uncountable = true;
  out.start_by = std::min(out.start_by, out.deadline);  // a deadline that has passed already is a refusal
  require(check_answer(w, out, r), "a coroutine that has ended has no answer", id);
  return std::nullopt;
}

task<> answered(world& w, handle h) {
  auto r = co_await h.h;
  if (!h.h.valid()) {
    require(check_answer(w, h, r), "what was awaited has no answer", h.id);
    co_return;
  }
  require(!r && r.error().code == weir::errc::failed && w.memory.fail_each != 0, "what was awaited was not waited for",
          h.id);
}

// Until it is stopped.
task<int> sleeps(fate f) {
  const fate::run me(f.begin());
  try {
    co_await weir::sleep_until(soon(1h));
  } catch (...) { fail(me.of, f.id()); }
  require(false, "a coroutine slept for an hour", f.id());
  co_return 0;
}

task<int> walk(world& w, fate f, std::uint32_t recipe, place& at, std::optional<handle> first);
task<int> walk_by_itself(world& w, fate f, std::uint32_t recipe, place at, std::optional<handle> first) {
  co_return co_await walk(w, std::move(f), recipe, at, std::move(first));
}

// A part of a coroutine. Empty when this run has had enough of them.
struct part {
  part(world& w, std::uint32_t recipe, const place& at) : id(w.all.open(kind::part, false)) {
    if (id != books::none) runs = walk_by_itself(w, fate(w, id), recipe, at, std::nullopt);
  }
  void check_over(world& w) const {
    require(id == books::none || !w.all[id].inside, "a part of a coroutine runs that is over", id);
  }
  void check(world& w, const weir::result<int>& r) const {
    check_over(w);
    if (r) check_value(w, *r);
  }
  void check_value(world& w, int value) const {
    require(value == static_cast<int>(id), "a part has another one's value", id, static_cast<unsigned>(value));
    require(w.all[id].ran == 1 && !w.all[id].threw && !w.all[id].left, "a value of a part that did not end well", id);
  }
  unsigned id;
  task<int> runs;
};

task<> both(world& w, std::uint32_t recipe, const place& at) {
  part a(w, recipe, at), b(w, recipe ^ 1, at);
  const auto [ra, rb] = co_await weir::when_all(std::move(a.runs), std::move(b.runs));
  a.check(w, ra);
  b.check(w, rb);
}

task<> either(world& w, std::uint32_t recipe, const place& at) {
  part a(w, recipe, at), b(w, recipe ^ 1, at);
  std::variant<int, int> first;
  try {
    first = co_await weir::when_any(std::move(a.runs), std::move(b.runs));
  } catch (...) {
    a.check_over(w);
    b.check_over(w);
    throw;
  }
  a.check_over(w);
  b.check_over(w);
  if (first.index() == 0) a.check_value(w, std::get<0>(first));
  else b.check_value(w, std::get<1>(first));
}

task<> in_time(world& w, std::uint32_t recipe, const place& at) {
  const weir::time_point limit = soon(100us);
  if ((recipe & 1) != 0) {
    part a(w, recipe >> 1, at);
    const auto r = co_await weir::with_deadline(std::move(a.runs), limit);
    a.check(w, r);
    require(r || r.error().code != weir::errc::timeout || weir::clock_type::now() >= limit, "a deadline was early",
            a.id);
    co_return;
  }
  const auto r = co_await weir::with_deadline(weir::sleep_until(soon(1h)), limit);
  require(!r, "an hour has passed before a moment");
  require(r.error().code != weir::errc::timeout || weir::clock_type::now() >= limit, "a deadline was early");
}

task<> children(world& w, std::uint32_t recipe) {
  weir::task_group g(weir::here(), {.limit = recipe & 1, .cancel_on_error = (recipe & 2) != 0});
  for (int i = 0; i < 3; ++i) add<ticket>(g, w, recipe >> 2, false);
  static_cast<void>(co_await g);
}

task<> moves(place& at) {
  if (!at.home || at.there) {
    co_await weir::schedule(weir::here());
    at.there = false;
    co_return;
  }
  try {
    co_await weir::schedule(*at.home);
    at.there = true;
  } catch (const std::system_error& e) {
    require(e.code() == weir::make_error_code(weir::errc::invalid), "a way into a gate was refused");  // moved from
  }
}

task<> listens() {
  for (const auto until = soon(100us); !weir::this_task::token().stop_requested() && weir::clock_type::now() < until;)
    co_await weir::yield();
}

void act_in(const place& at, world& w, unsigned id, std::uint32_t recipe) {
  if (!at.there) return act(w, recipe);
  const gate::visit here(*at.of, id);
  act(w, recipe);
}

task<> step(world& w, unsigned id, unsigned which, std::uint32_t rest, place& at) {
  const auto child = [&](weir::executor_ref to, bool there) {
    return lend_coroutine(to, w, nullptr, [&](fate f) {
      place its = at;
      its.there = there;
      return walk_by_itself(w, std::move(f), rest, std::move(its), std::nullopt);
    });
  };
  std::optional<handle> h;
  switch (which) {
    case 0: break;
    case 1: throw std::out_of_range("asked for");
    case 2: co_await weir::yield(); break;
    case 3: co_await weir::sleep_until(soon(30us)); break;
    case 4: co_await in_time(w, rest, at); break;
    case 5: h = child(weir::here(), false); break;
    case 6: h = lend<ticket>(weir::here(), w, rest, nullptr); break;
    case 7: co_await both(w, rest, at); break;
    case 8: co_await either(w, rest, at); break;
    case 9: co_await children(w, rest); break;
    case 10: co_await moves(at); break;
    case 11: act_in(at, w, id, rest); break;
    case 12: co_await listens(); break;
    case 13: child(weir::here(), false); break;  // nobody waits for it
    case 14:
      h = lend_coroutine(weir::here(), w, nullptr, [&](fate f) { return sleeps(std::move(f)); });
      if (h) h->h.cancel();
      break;
    default:
      if (at.home) h = child(*at.home, true);
      break;
  }
  if (h) co_await answered(w, std::move(*h));
}

// `first`: what it waits for before anything else.
task<int> walk(world& w, fate f, std::uint32_t recipe, place& at, std::optional<handle> first) {
  const fate::run me(f.begin());
  try {
    if (first) co_await answered(w, std::move(*first));
    for (; recipe != 0; recipe >>= 4) co_await step(w, f.id(), recipe & 15, recipe >> 4, at);
  } catch (...) { fail(me.of, f.id()); }
  co_return static_cast<int>(f.id());
}

}  // namespace

void actor::use_coroutine() {
  const unsigned how = in_.byte();
  const std::uint32_t low = in_.word(), recipe = low | in_.word() << 16;
  quiet_ = false;
  place at;
  if ((how & 8) != 0 && !gates_.empty()) at = place(*gates_[(how >> 5) % gates_.size()], (how & 16) != 0);
  weir::task_options o;
  bool with_options = (how & 4) != 0;
  if (with_options) options_from(in_.byte(), o);
  if (!may_block()) {
    o.start_by = std::min(o.start_by, soon(500us));
    with_options = true;
  }
  std::optional<handle> first;
  if ((how & 2) != 0 && !handles_.empty()) {
    first = std::move(handles_.back());
    handles_.pop_back();
  }
  const weir::executor_ref to = at.there ? *at.home : weir::executor_ref(*w_.rt);
  auto h = lend_coroutine(to, w_, with_options ? &o : nullptr,
                          [&](fate f) { return walk_by_itself(w_, std::move(f), recipe, at, std::move(first)); });
  if (!h) return;
  if ((how & 1) != 0) w_.share(std::move(*h));
  else handles_.push_back(std::move(*h));
}

// The time in which a runtime finds out that it is overloaded: what waits now has waited too long then.
void actor::outlast() {
  if (main_ && w_.sheds && !may_block() && naps_++ < 2) std::this_thread::sleep_for(105ms);
}

}  // namespace fuzz
