// What weir's coroutines are made of; task.hpp is what users see. Layer 6; how it works is in core/src/coroutine.cpp.
//
// A chain is one line of execution: a coroutine, and what it awaits by symmetric transfer. At most one of them runs, the others
// wait for it. It knows the spawned task that it is part of, where it goes on after it has been suspended, and its stop token.
#pragma once

#include <weir/detail/resumption.hpp>
#include <weir/detail/task_node.hpp>

#include <coroutine>
#include <stop_token>

namespace weir {
inline namespace v0 {

class executor_ref;
template <class T = void>
class task;
class task_group;

namespace detail {

struct coroutine_chain {
  task_node* node = nullptr;
  gate* via = nullptr;               // a strand or limit, held; null: the runtime itself
  coroutine_chain* outer = nullptr;  // that waits for this one; null: this is the task's own
  std::stop_source* source =
      nullptr;  // of this chain and those that it waits for; null: as the outer one's, or the task's
  void* (*ended)(coroutine_chain&) noexcept = nullptr;  // its first coroutine has; the frame that goes on here, or null
};

// A spawned coroutine.
struct coroutine_node : task_node {
  coroutine_chain chain;
  outcome (*put_result)(coroutine_node&) noexcept = nullptr;  // it has ended: result stored, frame destroyed
  resume_point end;                                           // if somebody else has resumed it and it has ended there
  bool watched = false;                                       // the clock has its deadline
  // Of an observed runtime:
  time_point started{};               // not set: it has not
  atomic<std::uint32_t> segments{1};  // that run, and one until it has ended
};

WEIR_API void* coroutine_allocate(std::size_t bytes) noexcept;  // null: no memory
WEIR_API void coroutine_free(void* p, std::size_t bytes) noexcept;
WEIR_API outcome coroutine_start(coroutine_node& n, void* frame) noexcept;
WEIR_API void* chain_ended(coroutine_chain* c) noexcept;
WEIR_API std::stop_token chain_token(const coroutine_chain* c) noexcept;  // null: an empty one
// The exception that is being handled. One of weir's own for `cancelled` and `stopped` is that error.
WEIR_API weir::error current_failure() noexcept;
WEIR_API weir::error no_memory() noexcept;

class promise_base {
 public:
  static void* operator new(std::size_t bytes) noexcept { return coroutine_allocate(bytes); }
  static void operator delete(void* p, std::size_t bytes) noexcept { coroutine_free(p, bytes); }

  struct final_awaiter {
    bool await_ready() const noexcept { return false; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      promise_base& p = h.promise();
      if (p.continuation) return p.continuation;
      void* const next = chain_ended(p.chain);
      return next != nullptr ? std::coroutine_handle<>::from_address(next) : std::noop_coroutine();
    }
    void await_resume() const noexcept {}
  };
  std::suspend_always initial_suspend() const noexcept { return {}; }
  final_awaiter final_suspend() const noexcept { return {}; }

  std::coroutine_handle<> continuation{};  // who awaits it; null: it is its chain's first
  coroutine_chain* chain = nullptr;        // null: a coroutine that weir did not start awaits it
};

template <class T>
class promise final : public promise_base {
 public:
  task<T> get_return_object() noexcept;
  static task<T> get_return_object_on_allocation_failure() noexcept;
  template <class U = T>
    requires std::is_constructible_v<T, U>
  void return_value(U&& value) { out.emplace(std::in_place, std::forward<U>(value)); }
  void unhandled_exception() noexcept { out.emplace(current_failure()); }
  std::optional<result<T>> out;  // none: it has not run
};
template <>
class promise<void> final : public promise_base {
 public:
  inline task<void> get_return_object() noexcept;
  inline static task<void> get_return_object_on_allocation_failure() noexcept;
  void return_void() noexcept { out.emplace(); }
  void unhandled_exception() noexcept { out.emplace(current_failure()); }
  std::optional<result<void>> out;
};

template <class P>
coroutine_chain* chain_of(std::coroutine_handle<P> h) noexcept {
  if constexpr (std::is_base_of_v<promise_base, P>) return h.promise().chain;
  else return nullptr;
}

// ---- waiting ----

// As a coroutine of weir it goes on later; else it is told `invalid`, for nobody would know where.
template <class P>
bool suspend_at(resume_point& p, std::coroutine_handle<P> h) noexcept {
  p.frame = h.address();
  p.chain = chain_of(h);
  return p.chain != nullptr;
}

enum class awaiting : std::uint8_t { suspended, over, starved, no_memory, stopped, invalid };
WEIR_API awaiting node_await(task_node& n, resume_point& p) noexcept;
WEIR_API awaiting group_await(task_group& g, resume_point& p) noexcept;
WEIR_API weir::error awaiting_error(awaiting a) noexcept;

struct this_chain {
  coroutine_chain* chain = nullptr;
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    chain = chain_of(h);
    return false;
  }
  coroutine_chain* await_resume() const noexcept { return chain; }
};

// ---- chains beside each other ----

class branches;
struct branch : coroutine_chain {
  resume_point start;  // frame null: there is nothing to run
  branches* of = nullptr;
};

// In the frame of the coroutine that waits for them. All have ended when it goes on.
class branches {
 public:
  std::stop_source* losers = nullptr;  // asked to stop when the first one ends
  atomic<branch*> first{nullptr};      // to end, if that matters
  atomic<std::uint32_t> left{0};
  resume_point parent;

  struct awaiter {
    branches& all;
    branch* each;
    std::size_t count;
    bool await_ready() const noexcept { return count == 0; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      suspend_at(all.parent, h);
      return std::coroutine_handle<>::from_address(all.start(each, count));
    }
    void await_resume() const noexcept {}
  };
  awaiter run(branch* each, std::size_t count) noexcept { return {*this, each, count}; }
  std::size_t number_of_first(const branch* each) const {
    const branch* const b = first.load(relaxed);
    if (b == nullptr) throw_errc(errc::invalid);  // nobody would have known where they go on
    return static_cast<std::size_t>(b - each);
  }

 private:
  WEIR_API void* start(branch* each, std::size_t count) noexcept;  // the first one goes on here, the others elsewhere
};

// Asks a chain to stop when its time has come, though every worker is busy.
struct alarm;
class alarm_clock {
 public:
  alarm_clock() noexcept = default;
  ~alarm_clock() { off(); }
  alarm_clock(const alarm_clock&) = delete;
  alarm_clock& operator=(const alarm_clock&) = delete;
  WEIR_API status set(coroutine_chain* c, time_point t) noexcept;
  WEIR_API std::stop_source& source() noexcept;
  WEIR_API bool off() noexcept;  // true: it has rung

 private:
  alarm* alarm_ = nullptr;
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
