// The callables that are submitted, and what they do when they run: a recipe of 4-bit actions, one a level of nesting.
#pragma once

#include "books.hpp"

#include <weir/weir.hpp>

#include <chrono>
#include <condition_variable>
#include <memory>
#include <memory_resource>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace fuzz {

using namespace std::chrono_literals;

constexpr auto moment = 1ms;
inline weir::time_point soon(std::chrono::microseconds d = moment) { return weir::clock_type::now() + d; }

struct handle {
  weir::join_handle<int> h;
  unsigned id;
  weir::time_point start_by = weir::time_point::max(), deadline = weir::time_point::max();  // of its task
};

/// The runtime's memory: counts what is out, and fails each nth time where an input asks for that.
class counted_memory final : public std::pmr::memory_resource {
 public:
  std::atomic<std::int64_t> out{0};
  std::atomic<unsigned> fail_each{0};  // 0: never

 private:
  void* do_allocate(std::size_t n, std::size_t align) override {
    const unsigned each = fail_each.load(std::memory_order_relaxed);
    if (each != 0 && turn_.fetch_add(1, std::memory_order_relaxed) % each == each - 1) throw std::bad_alloc();
    void* p = std::pmr::new_delete_resource()->allocate(n, align);
    out.fetch_add(1, std::memory_order_relaxed);
    return p;
  }
  void do_deallocate(void* p, std::size_t n, std::size_t align) override {
    out.fetch_sub(1, std::memory_order_relaxed);
    std::pmr::new_delete_resource()->deallocate(p, n, align);
  }
  bool do_is_equal(const std::pmr::memory_resource& o) const noexcept override { return this == &o; }
  std::atomic<unsigned> turn_{0};
};

/// A strand or a limited, and how many of its tasks run: in its places, or on callers.
struct gate {
  weir::detail::owned_gate to;
  unsigned places;
  bool caller_runs = false;
  std::atomic<unsigned> inside{0};
  gate(weir::detail::owned_gate g, unsigned n) : to(std::move(g)), places(n) {}

  /// While it lasts something runs in there.
  class visit {
   public:
    visit(gate& g, unsigned id) : gate_(g) {
      require(gate_.inside.fetch_add(1) < gate_.places, "a gate let in more tasks than it has places", gate_.places, id);
    }
    ~visit() { gate_.inside.fetch_sub(1); }
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;

   private:
    gate& gate_;
  };
};

/// What one input's threads and tasks share.
struct world {
  books all;
  counted_memory memory;
  std::unique_ptr<weir::runtime> rt;
  weir::runtime* for_tasks = nullptr;      // null where a task may destroy it
  std::stop_source stops[2];
  std::atomic<std::uint64_t> entries{0};   // run() calls that ran
  std::atomic<bool> resized{false};        // workers come and go
  std::atomic<bool> uncountable{false};    // something was accepted in part, and nobody can say how much
  std::atomic<bool> restless{false};       // a series goes on without a handle
  weir::on_full full = weir::on_full::block;
  std::atomic<bool> drops{false}, discards{false};  // the runtime's policy, or a gate's: accepted tasks end as dropped, new ones do
  bool sheds = false, elastic = false;              // it has a codel_target; workers come by themselves
  std::atomic<std::uint64_t> discarded{0};   // refused with `dropped`: counted, and ended at once
  std::atomic<std::uint64_t> failed_unrun{0};  // for lack of memory, at most

  // Tasks may wait at a gate that the main thread closes and opens.
  std::mutex mutex;
  std::condition_variable opened;
  bool gate_closed = false;
  void set_gate(bool closed) {
    const std::lock_guard lock(mutex);
    gate_closed = closed;
    opened.notify_all();
  }
  void pass_gate() {
    std::unique_lock lock(mutex);
    opened.wait(lock, [this] { return !gate_closed; });
  }

  std::vector<std::unique_ptr<gate>> gates;

  // Handles that went from one thread to another.
  std::vector<handle> shared;
  void share(handle&& h) {
    const std::lock_guard lock(mutex);
    shared.push_back(std::move(h));
  }
  bool take_shared(handle& h) {
    const std::lock_guard lock(mutex);
    if (shared.empty()) return false;
    h = std::move(shared.back());
    shared.pop_back();
    return true;
  }
};

inline thread_local bool in_sink = false;

void act(world& w, std::uint32_t recipe);  // act.cpp

/// A handle's answer must fit what became of the task. True: the answer is final.
inline bool check_answer(world& w, unsigned id, weir::result<int>& r) {
  record& rec = w.all[id];
  if (r) {
    require(*r == static_cast<int>(id), "a handle has another task's value", id, static_cast<unsigned>(*r));
    require(rec.ran == 1 && !rec.threw, "ok from a task that did not end well", id, rec.ran);
    return true;
  }
  switch (r.error().code) {
    case weir::errc::failed:
      rec.read = true;
      try {
        if (r.error().cause) std::rethrow_exception(r.error().cause);
        require(false, "failed without a cause", id);
      } catch (const thrown& t) {
        require(t.id == id && (rec.tries != 0 || (rec.ran == 1 && rec.threw)), "another task's exception", id, t.id);
        require(rec.tries == 0 || r.error().attempts == rec.tries, "another number of attempts", r.error().attempts, rec.tries);
      } catch (const std::bad_alloc&) {
        require(rec.ran == 0 && w.memory.fail_each != 0, "bad_alloc from nowhere", id);
        w.failed_unrun.fetch_add(1);
      }
      return true;
    case weir::errc::timeout:
    case weir::errc::starved:
      return false;
    case weir::errc::invalid:
    case weir::errc::full:
      require(rec.ran == 0 && !rec.accepted, "refused, but it ran", id);
      return true;
    case weir::errc::dropped:
      require(w.drops || w.discards, "dropped under another policy", id);
      [[fallthrough]];
    default:
      require(rec.ran == 0 || rec.left, "a task that ran answers as if it had not", id, static_cast<unsigned>(r.error().code));
      return true;
  }
}

inline bool check_answer(world& w, const handle& h, weir::result<int>& r) {
  if (!r && r.error().code == weir::errc::expired && !w.sheds)
    require(weir::clock_type::now() >= h.start_by, "a task expired before its time", h.id);
  return check_answer(w, h.id, r);
}

inline int run_record(world& w, unsigned id, std::uint32_t recipe) {
  record& rec = w.all[id];
  if (in_sink) {
    rec.sunk.fetch_add(1);
    return 0;
  }
  rec.ran.fetch_add(1);
  try {
    act(w, recipe);
  } catch (...) {
    rec.threw = true;
    throw thrown{id};
  }
  return static_cast<int>(id);
}

/// Move-only; called: ran (or sunk); destroyed uncalled: dropped.
class ticket {
 public:
  static constexpr bool traceless = false;
  ticket(world* w, unsigned id, std::uint32_t recipe) noexcept : world_(w), id_(id), recipe_(recipe) {}
  ticket(ticket&& o) noexcept : world_(std::exchange(o.world_, nullptr)), id_(o.id_), recipe_(o.recipe_) {}
  ticket& operator=(ticket&&) = delete;
  ~ticket() {
    if (world_ != nullptr) world_->all[id_].dropped.fetch_add(1);
  }
  int operator()() {
    require(world_ != nullptr, "called after it was moved from, or twice", id_);
    return run_record(*std::exchange(world_, nullptr), id_, recipe_);
  }
  bool whole() const noexcept { return world_ != nullptr; }
  void refuse() noexcept { std::exchange(world_, nullptr)->all[id_].refused.fetch_add(1); }

 protected:
  world* world_;
  unsigned id_;
  std::uint32_t recipe_;
};

class big_ticket : public ticket {
 public:
  using ticket::ticket;

 private:
  [[maybe_unused]] alignas(64) unsigned char padding_[1000] = {};
};

/// Goes through a gate, which lets no more in than it has places.
class gate_ticket : public ticket {
 public:
  static inline thread_local gate* made_for = nullptr;  // what the next one is for

  gate_ticket(world* w, unsigned id, std::uint32_t recipe) noexcept : ticket(w, id, recipe), gate_(made_for) {}
  int operator()() {
    if (in_sink) return ticket::operator()();
    const gate::visit here(*gate_, id_);
    return ticket::operator()();
  }

 private:
  gate* gate_;
};

/// Wants its stop token, and waits for it a while.
class token_ticket : public ticket {
 public:
  using ticket::ticket;
  int operator()(std::stop_token stop) {
    const auto until = weir::clock_type::now() + 200us;
    while (!in_sink && !stop.stop_requested() && weir::clock_type::now() < until) std::this_thread::yield();
    return ticket::operator()();
  }
};

/// Its destructor throws after a call, which makes it a failure.
class bad_end : public ticket {
 public:
  using ticket::ticket;
  bad_end(bad_end&& o) noexcept : ticket(std::move(o)), armed_(std::exchange(o.armed_, nullptr)) {}
  ~bad_end() noexcept(false) {
    if (armed_ == nullptr) return;
    armed_->threw = true;
    throw thrown{id_};
  }
  int operator()() {
    world* const w = world_;
    const int value = ticket::operator()();
    if (!in_sink) armed_ = &w->all[id_];  // an exception of the call itself is enough
    return value;
  }

 private:
  record* armed_ = nullptr;
};

/// Throws a few times before it runs; with policy().
class stubborn : public ticket {
 public:
  stubborn(world* w, unsigned id, std::uint32_t recipe) noexcept : ticket(w, id, recipe >> 4), fails_(recipe & 3), most_(attempts(recipe)) {}
  static unsigned attempts(std::uint32_t recipe) noexcept { return 1 + (recipe >> 2 & 3); }
  static weir::retry_policy policy(std::uint32_t recipe) noexcept { return {.max_attempts = attempts(recipe), .base = 30us, .cap = 100us}; }
  int operator()() {
    if (in_sink) return ticket::operator()();
    require(world_ != nullptr, "tried again after it had succeeded", id_);
    record& rec = world_->all[id_];
    const unsigned n = rec.tries.fetch_add(1) + 1u;
    require(n <= most_, "tried more often than its policy allows", id_, n);
    if (n > fails_) {
      try {
        return ticket::operator()();
      } catch (const thrown&) {  // it can run but once
        rec.threw = false;
        return static_cast<int>(id_);
      }
    }
    if (n == most_) {
      world_ = nullptr;
      rec.ran.fetch_add(1);
      rec.threw = true;
    }
    throw thrown{id_};
  }

 private:
  unsigned fails_, most_;
};

/// Of a timer: never early.
class alarm_ticket : public ticket {
 public:
  static inline thread_local weir::time_point made_for;  // what the next one is for

  alarm_ticket(world* w, unsigned id, std::uint32_t recipe) noexcept : ticket(w, id, recipe), due_(made_for) {}
  int operator()() {
    require(in_sink || weir::clock_type::now() >= due_, "a timer was early", id_);
    return ticket::operator()();
  }

 private:
  weir::time_point due_;
};

/// Of every(): runs again and again, each time for another period, and never beside itself.
class series_ticket {
 public:
  static constexpr bool traceless = false;
  static inline thread_local weir::duration period_of_next{};

  series_ticket(world* w, unsigned id, std::uint32_t recipe) noexcept
      : world_(w), id_(id), recipe_(recipe), made_(weir::clock_type::now()), period_(period_of_next) {}
  series_ticket(series_ticket&& o) noexcept
      : world_(std::exchange(o.world_, nullptr)), id_(o.id_), recipe_(o.recipe_), runs_(o.runs_), made_(o.made_), period_(o.period_) {}
  series_ticket& operator=(series_ticket&&) = delete;
  ~series_ticket() {
    if (world_ != nullptr) world_->all[id_].dropped.fetch_add(1);
  }
  void operator()() {
    record& rec = world_->all[id_];
    if (in_sink) {
      rec.sunk.fetch_add(1);
      world_ = nullptr;
      return;
    }
    require(!rec.inside.exchange(true), "two runs of a series met", id_);
    ++runs_;
    require(weir::clock_type::now() >= made_ + runs_ * period_, "a series ran too often", id_, static_cast<unsigned>(runs_));
    rec.ran.fetch_add(1);
    bool threw = false;
    try {
      act(*world_, recipe_);
    } catch (...) {
      threw = true;
      rec.failed.fetch_add(1);
    }
    rec.inside = false;
    if (threw) throw thrown{id_};
  }
  bool whole() const noexcept { return world_ != nullptr; }
  void refuse() noexcept { std::exchange(world_, nullptr)->all[id_].refused.fetch_add(1); }

 private:
  world* world_;
  unsigned id_;
  std::uint32_t recipe_;
  weir::duration::rep runs_ = 0;
  weir::time_point made_;
  weir::duration period_;
};

/// A plain value that fits into a queue's slot.
struct small {
  static constexpr bool traceless = true;
  world* w;
  unsigned id;
  std::uint32_t recipe;
  int operator()() const { return run_record(*w, id, recipe); }
  bool whole() const noexcept { return true; }
  void refuse() const noexcept { w->all[id].refused.fetch_add(1); }
};
static_assert(sizeof(small) == 16);

}  // namespace fuzz
