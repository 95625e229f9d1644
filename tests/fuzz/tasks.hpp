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

struct handle {
  weir::join_handle<int> h;
  unsigned id;
  weir::time_point deadline = weir::time_point::max();  // of its task
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

/// A strand or a limited, and how many of its tasks run.
struct gate {
  weir::detail::owned_gate to;
  unsigned places;
  std::atomic<unsigned> inside{0};
  gate(weir::detail::owned_gate g, unsigned n) : to(std::move(g)), places(n) {}
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

void act(world& w, std::uint32_t recipe);  // api_fuzz.cpp

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
        require(t.id == id && rec.ran == 1 && rec.threw, "another task's exception", id, t.id);
      } catch (const std::bad_alloc&) {
        require(rec.ran == 0 && w.memory.fail_each != 0, "bad_alloc from nowhere", id);
      }
      return true;
    case weir::errc::timeout:
    case weir::errc::starved:
      return false;
    case weir::errc::invalid:
    case weir::errc::full:
      require(rec.ran == 0 && !rec.accepted, "refused, but it ran", id);
      return true;
    default:
      require(rec.ran == 0, "a task that ran answers as if it had not", id, static_cast<unsigned>(r.error().code));
      return true;
  }
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
    gate* const g = gate_;
    require(g->inside.fetch_add(1) < g->places, "a gate let in more tasks than it has places", g->places, id_);
    struct leave {
      gate* g;
      ~leave() { g->inside.fetch_sub(1); }
    } const on_the_way_out{g};
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
