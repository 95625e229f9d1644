// Coroutines: task<T>, and what it can wait for without holding a worker. Layer 6.
//
//   weir::task<int> answer(weir::strand s) {
//     co_await weir::sleep_until(weir::clock_type::now() + 10ms);     // no worker sleeps
//     co_await weir::schedule(s);                                     // from here on in the strand
//     auto [a, b] = co_await weir::when_all(ask(1), ask(2));          // beside each other
//     co_return a.value() + b.value();
//   }
//   auto h = weir::spawn(rt, answer(s));                              // one task; h.get(), or co_await h in another coroutine
//
// A spawned coroutine is one task in the books however often it is suspended: it has been accepted, and is unfinished until its
// body has ended, so wait_idle() and drain() wait for it. While it is suspended it holds no worker, no place of a limited, no
// turn of a strand. It goes on where it was: in its strand or limited, one after the other with all else there; on its worker,
// with task_options::worker; in its lane. That is never refused, neither by `full` nor while draining, and never done inside of a
// stop callback or of whatever else it waited for: it is posted. In an abort, or a drain past its limit, what has begun is asked
// to stop and still goes on to its end; drain() and abort() end sleep_until() early, with errc::stopped.
//
// Stopping. this_task::token() is the spawned task's in all that it awaits; when_any and with_deadline give their parts tokens of
// their own, which fire with it. A foreign awaitable that hands the coroutine on to another thread in await_suspend() takes the token
// before that: afterwards the coroutine may be somewhere else, and this_task::token() there is of whatever runs here. sleep_until() looks at it by itself. A coroutine that leaves by a std::system_error of
// errc::cancelled or errc::stopped, such as sleep_until() throws, has ended with that error and not as `failed`.
//
// Do not block in a coroutine: get() and wait() hold the worker, co_await does not. Whoever waits on a worker for a coroutine that is
// suspended needs another worker to resume it, or a spare (options::max_spares). A lock that is held over a co_await may be released on
// another thread. A task<> that was never awaited or spawned frees its frame and has not run.
//
// Memory: one frame a call. On a worker frames of up to 504 bytes come from its slabs, larger ones from options::memory; elsewhere
// from operator new. Without memory the task is there and answers errc::failed with std::bad_alloc when it is awaited or spawned.
//
// co_await of a task is a jump (symmetric transfer), so that a loop of a million of them needs no more stack than one. gcc does that
// only with optimisation (-O2, or -foptimize-sibling-calls), and not with its sanitizers; clang always. Without, each co_await of a task that
// does not suspend takes stack until the next one that does.
//
// Thread safety: a task by one thread at a time; all functions from anywhere. Awaiting needs a coroutine that weir runs, that is one
// that was spawned, or is awaited by such; elsewhere it answers errc::invalid.
//
// What others made to be awaited (a callback that calls h.resume()) may resume it on any thread, once. There it goes on, in no
// strand and without the task's token, until it awaits something of weir's: yield() takes it back to where it was. The task is
// unfinished until somebody resumes it: a shutdown waits for that.
#pragma once

#include <weir/detail/coroutine.hpp>
#include <weir/executor.hpp>
#include <weir/task_group.hpp>

#include <array>
#include <optional>
#include <tuple>
#include <variant>
#include <vector>

namespace weir {
inline namespace v0 {

namespace detail {
struct coroutine_access;
}

/// A coroutine that begins when it is awaited (`co_await std::move(t)`, `co_await f()`) or spawned, once. Move-only. co_await gives the
/// value or rethrows. T is no reference.
template <class T>
class [[nodiscard]] task {
  static_assert(!std::is_reference_v<T>, "return a pointer or a std::reference_wrapper");

 public:
  using promise_type = detail::promise<T>;

  task() noexcept = default;  // valid() is false
  task(task&& o) noexcept : frame_(std::exchange(o.frame_, nullptr)), no_memory_(std::exchange(o.no_memory_, false)) {}
  task& operator=(task&& o) noexcept {
    if (this != &o) {
      reset();
      frame_ = std::exchange(o.frame_, nullptr);
      no_memory_ = std::exchange(o.no_memory_, false);
    }
    return *this;
  }
  ~task() { reset(); }

  /// False: moved from, or awaited, or there was no memory for it.
  bool valid() const noexcept { return static_cast<bool>(frame_); }

  auto operator co_await() && noexcept { return awaiter{*this}; }

 private:
  struct awaiter {
    task& of;
    bool await_ready() const noexcept { return !of.frame_; }
    template <class P>
    std::coroutine_handle<> await_suspend(std::coroutine_handle<P> h) noexcept {
      promise_type& p = of.frame_.promise();
      p.continuation = h;
      p.chain = detail::chain_of(h);
      return of.frame_;
    }
    T await_resume() {
      const task ended = std::move(of);  // its frame goes when the value has been taken
      if (!ended.frame_) detail::throw_error(ended.why_not());
      if constexpr (std::is_void_v<T>) ended.frame_.promise().out->value();
      else return std::move(*ended.frame_.promise().out).value();
    }
  };
  friend promise_type;
  friend struct detail::coroutine_access;
  using handle = std::coroutine_handle<promise_type>;
  explicit task(handle h) noexcept : frame_(h), no_memory_(!h) {}
  void reset() noexcept {
    if (handle h = std::exchange(frame_, nullptr)) h.destroy();
  }
  weir::error why_not() const noexcept { return no_memory_ ? detail::no_memory() : weir::error(errc::invalid); }

  handle frame_ = nullptr;
  bool no_memory_ = false;
};

namespace detail {

template <class T>
task<T> promise<T>::get_return_object() noexcept {
  return task<T>(std::coroutine_handle<promise>::from_promise(*this));
}
template <class T>
task<T> promise<T>::get_return_object_on_allocation_failure() noexcept {
  return task<T>(std::coroutine_handle<promise>());
}
inline task<void> promise<void>::get_return_object() noexcept {
  return task<void>(std::coroutine_handle<promise>::from_promise(*this));
}
inline task<void> promise<void>::get_return_object_on_allocation_failure() noexcept {
  return task<void>(std::coroutine_handle<promise>());
}

struct coroutine_access {
  template <class T>
  static void* frame(const task<T>& t) noexcept {
    return t.frame_ ? t.frame_.address() : nullptr;
  }
  template <class T>
  static weir::error why_not(const task<T>& t) noexcept {
    return t.why_not();
  }
  // What it has ended with, or why it has not begun.
  template <class T>
  static result<T> take(task<T>& t) noexcept(std::is_void_v<T> || std::is_nothrow_move_constructible_v<T>) {
    if (!t.frame_ || !t.frame_.promise().out) return t.why_not();
    return std::move(*t.frame_.promise().out);
  }
  template <class T>
  static void attach(task<T>& t, branch& b) noexcept {
    if (!t.frame_) return;
    t.frame_.promise().chain = &b;
    b.start.frame = t.frame_.address();
  }
  template <class T>
  static void attach(task<T>& t, coroutine_chain& c) noexcept {
    t.frame_.promise().chain = &c;
  }
  template <class T>
  static void destroy(task<T>& t) {  // a parameter's destructor may throw
    std::exchange(t.frame_, nullptr).destroy();
  }
  static core* core_of(const executor_ref& e) noexcept { return e.core_; }
  static gate* gate_of(const executor_ref& e) noexcept { return e.gate_; }
  template <class T>
  static task_node* node(const join_handle<T>& h) noexcept {
    return h.node_;
  }
};

// A spawned coroutine: task<T>'s place before its end, result<T>'s after it.
template <class T>
struct coroutine_node_of final : coroutine_node {
  union storage_t {
    storage_t() noexcept {}
    ~storage_t() {}
    task<T> callable;
    result<T> value;
  } s;

  static coroutine_node_of& self(task_node& n) noexcept { return static_cast<coroutine_node_of&>(n); }

  static outcome run(task_node& n) noexcept {
    auto& me = self(n);
    coroutine_access::attach(me.s.callable, me.chain);
    return coroutine_start(me, coroutine_access::frame(me.s.callable));
  }
  static outcome finish(coroutine_node& n) noexcept {
    auto& me = self(n);
    std::optional<result<T>> r;
    WEIR_TRY { r.emplace(coroutine_access::take(me.s.callable)); }
    WEIR_CATCH_ALL { r.emplace(current_failure()); }
    return put(me, *r);
  }
  static void fail(task_node& n, errc e) noexcept {
    auto& me = self(n);
    std::optional<result<T>> r;
    r.emplace(unrun_error(e));
    put(me, *r);
  }
  static bool extract(task_node& n, task_fn&) { return fail(n, errc::stopped), false; }
  static void destroy(task_node& n) noexcept {
    auto& me = self(n);
    node_forget(n);  // first: it waits for a stop callback that may be reading the result
    if ((me.state.load(relaxed) & node_state::phase) == node_state::done) {
      me.s.value.~result<T>();
    } else {
      WEIR_TRY { coroutine_access::destroy(me.s.callable); }  // it was refused, and never ran
      WEIR_CATCH_ALL { report_unhandled(node_owner(n), std::current_exception(), nullptr); }
      me.s.callable.~task<T>();
    }
    deallocate_task(&me, me.state.load(relaxed));
  }
  static std::exception_ptr unread(task_node& n) noexcept {
    auto& r = self(n).s.value;
    return !r && r.error().code == errc::failed ? std::exchange(r.error().cause, nullptr) : nullptr;
  }
  static constexpr node_ops ops_table{&run, &fail, &extract, &destroy, &unread, nullptr};

  static coroutine_node_of* make(core& c, task<T>&& t, std::uint32_t flags, std::uint32_t references,
                                 const task_options* opts, gate* via) {
    flags |= node_flags(opts) | node_state::suspends | (via != nullptr ? node_state::gated : 0u);
    auto* const n = allocate_task<coroutine_node_of>(c, flags);
    WEIR_TRY { node_init(*n, c, ops_table, flags, references, opts, via); }
    WEIR_CATCH_ALL {
      deallocate_task(n, flags);
      WEIR_RETHROW;
    }
    n->put_result = &finish;
    n->chain.node = n;
    ::new (static_cast<void*>(std::addressof(n->s.callable))) task<T>(std::move(t));
    return n;
  }

 private:
  static outcome put(coroutine_node_of& me, result<T>& r) noexcept {
    WEIR_TRY { coroutine_access::destroy(me.s.callable); }
    WEIR_CATCH_ALL {
      if (r.has_value()) r = result<T>(weir::error{errc::failed, std::current_exception(), 1});
      else report_unhandled(node_owner(me), std::current_exception(), nullptr);
    }
    me.s.callable.~task<T>();
    const outcome out = r.has_value() ? outcome_ok : outcome_of(r.error().code);
    WEIR_TRY {
      ::new (static_cast<void*>(std::addressof(me.s.value))) result<T>(std::move(r));
      return out;
    }
    WEIR_CATCH_ALL { ::new (static_cast<void*>(std::addressof(me.s.value))) result<T>(current_failure()); }
    return outcome_of(errc::failed);
  }
};

// co_await of a handle, of a group.
template <class T>
class handle_awaiter : resume_point {
 public:
  explicit handle_awaiter(join_handle<T>& h) noexcept : handle_(h) {}
  bool await_ready() const noexcept { return handle_.ready() || coroutine_access::node(handle_) == nullptr; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    const awaiting said =
        suspend_at(*this, h) ? node_await(*coroutine_access::node(handle_), *this) : awaiting::invalid;
    if (said == awaiting::suspended) return true;  // and may have gone on elsewhere by now, and this be gone
    said_ = said;
    return false;
  }
  result<T> await_resume() {
    if (said_ > awaiting::over) return awaiting_error(said_);
    return handle_.get();
  }

 private:
  join_handle<T>& handle_;
  awaiting said_ = awaiting::over;
};

class group_awaiter : resume_point {
 public:
  explicit group_awaiter(task_group& g) noexcept : group_(g) {}
  bool await_ready() const noexcept { return false; }
  template <class P>
  bool await_suspend(std::coroutine_handle<P> h) noexcept {
    const awaiting said = suspend_at(*this, h) ? group_await(group_, *this) : awaiting::invalid;
    if (said == awaiting::suspended) return true;  // as above
    said_ = said;
    return false;
  }
  status await_resume() {
    if (said_ > awaiting::over) return awaiting_error(said_);
    return group_.wait();
  }

 private:
  task_group& group_;
  awaiting said_ = awaiting::over;
};

template <class T>
using value_of = std::conditional_t<std::is_void_v<T>, std::monostate, T>;

template <class T>
value_of<T> value_or_throw(result<T> r) {
  if constexpr (std::is_void_v<T>) return r.value(), std::monostate{};
  else return std::move(r).value();
}

template <class... T>
class parts {
 public:
  explicit parts(std::tuple<task<T>...>& tasks) noexcept {
    std::size_t i = 0;
    std::apply([&](auto&... t) { (coroutine_access::attach(t, each[i++]), ...); }, tasks);
  }
  auto run() noexcept { return all.run(each.data(), sizeof...(T)); }
  std::size_t first() const { return all.number_of_first(each.data()); }
  branches all;
  std::array<branch, sizeof...(T)> each;
};
template <class T>
class parts_of {
 public:
  explicit parts_of(std::vector<task<T>>& tasks) : each(tasks.size()) {
    for (std::size_t i = 0; i < tasks.size(); ++i) coroutine_access::attach(tasks[i], each[i]);
  }
  auto run() noexcept { return all.run(each.data(), each.size()); }
  std::size_t first() const { return all.number_of_first(each.data()); }
  branches all;
  std::vector<branch> each;
};

// Asks `to` to stop when `from` is.
class relay {
 public:
  relay(std::stop_token from, std::stop_source& to) : callback_(std::move(from), ask{&to}) {}

 private:
  struct ask {
    std::stop_source* to;
    void operator()() const noexcept { to->request_stop(); }
  };
  std::stop_callback<ask> callback_;
};

template <class... T>
task<std::tuple<result<T>...>> when_all_of(std::tuple<task<T>...> tasks) {
  parts<T...> running(tasks);
  co_await running.run();
  co_return std::apply([](auto&... t) { return std::tuple<result<T>...>(coroutine_access::take(t)...); }, tasks);
}

template <class... T, std::size_t... I>
std::variant<value_of<T>...> winner_of(std::tuple<task<T>...>& tasks, std::size_t first, std::index_sequence<I...>) {
  std::optional<std::variant<value_of<T>...>> out;
  ((I == first ? void(out.emplace(std::in_place_index<I>, value_or_throw(coroutine_access::take(std::get<I>(tasks)))))
               : void()),
   ...);
  return std::move(*out);
}
template <class... T>
weir::error first_without_frame(std::tuple<task<T>...>& tasks) noexcept {
  weir::error e{errc::invalid};
  bool found = false;
  std::apply(
      [&](auto&... t) {
        ((found || coroutine_access::frame(t) != nullptr ? void()
                                                         : (found = true, void(e = coroutine_access::why_not(t)))),
         ...);
      },
      tasks);
  return e;
}

template <class... T>
task<std::variant<value_of<T>...>> when_any_of(std::tuple<task<T>...> tasks) {
  if (!std::apply([](auto&... t) { return (t.valid() && ...); }, tasks)) throw_error(first_without_frame(tasks));
  std::stop_source losers;
  const relay outer(chain_token(co_await this_chain{}), losers);
  parts<T...> running(tasks);
  running.all.losers = &losers;
  co_await running.run();
  co_return winner_of(tasks, running.first(), std::index_sequence_for<T...>());
}

}  // namespace detail

// ---- where it runs ----

/// Starts a coroutine as one task of `e`. The handle is ready with the error if it was refused, and the coroutine is gone: full,
/// stopped, cancelled, expired, dropped as for executor_ref::spawn, invalid (an empty task; task_options::retry, since a coroutine runs
/// once), failed (no memory). on_full::caller_runs is reject here. get() on a worker begins an unstarted one in place; abort() does
/// not hand it out, it ends as `stopped`. task_options::deadline and stop hold over all suspensions; start_by until it begins.
template <class T>
join_handle<T> spawn(executor_ref e, task<T> t, const task_options& o = {}) {
  using node = detail::coroutine_node_of<T>;
  using access = detail::coroutine_access;
  return detail::spawn_access::handle_of<task<T>, T, node>([&]() -> result<detail::task_node*> {
    if (!t.valid()) return access::why_not(t);
    if (o.retry != nullptr) return errc::invalid;
    return detail::submit_node<T, task<T>, node>(access::core_of(e), access::gate_of(e), std::move(t),
                                                 detail::patience::elsewhere, detail::says_something(o) ? &o : nullptr,
                                                 2);
  }());
}

/// From here on the awaiting coroutine, and whoever awaits it, goes on in e: a runtime, strand or limited. It queues up there behind
/// what waits, past any capacity, and stays until the next schedule. Throws std::system_error: invalid if e is of another runtime (spawn
/// there, and await the handle), or what an e that leads nowhere answers; then it goes on where it was.
WEIR_API task<> schedule(executor_ref e);
/// Lets others go first: queues up again where it is.
WEIR_API task<> yield();
/// Not before t; its exactness is that of timers (timer.hpp). Throws std::system_error: cancelled as soon as the stop token fires,
/// stopped when the runtime is drained or aborted before t, failed if there is no thread to tell the time.
WEIR_API task<> sleep_until(time_point t);

// ---- what else can be awaited ----

/// result<T> of a spawned task, as get() would answer it once it has ended, never `timeout`: the handle is empty afterwards. starved: it is
/// the handle of the task that asks; failed: no memory to wait; with these the handle stays valid. Stopping who awaits does not stop what is
/// awaited.
template <class T>
auto operator co_await(join_handle<T>& h) noexcept {
  return detail::handle_awaiter<T>(h);
}
template <class T>
auto operator co_await(join_handle<T>&& h) noexcept {
  return detail::handle_awaiter<T>(h);
}
/// status of task_group::wait(), when all children have ended; no child runs in place. One thread or coroutine waits at a time.
inline auto operator co_await(task_group& g) noexcept { return detail::group_awaiter(g); }

// ---- several at once ----

/// Runs tasks beside each other, on several workers if there are any, and has all their results, errors among them, when all have
/// ended. In a strand one after the other. Parts of one task: they are not counted and not refused.
template <class... T>
task<std::tuple<result<T>...>> when_all(task<T>... tasks) {
  return detail::when_all_of<T...>(std::tuple<task<T>...>(std::move(tasks)...));
}
template <class T>
task<std::vector<result<T>>> when_all(std::vector<task<T>> tasks) {
  detail::parts_of<T> running(tasks);
  co_await running.run();
  std::vector<result<T>> out;
  out.reserve(tasks.size());
  for (auto& t : tasks) out.push_back(detail::coroutine_access::take(t));
  co_return out;
}

/// The first to end says what comes of it: its value in the place of the variant that is its own (std::monostate for void), or its
/// exception. The others are asked to stop, and have ended when this has: a task that does not listen is waited for.
template <class T0, class... T>
task<std::variant<detail::value_of<T0>, detail::value_of<T>...>> when_any(task<T0> first, task<T>... rest) {
  return detail::when_any_of<T0, T...>(std::tuple<task<T0>, task<T>...>(std::move(first), std::move(rest)...));
}
/// The same with the number of the one that was first. Of none: errc::invalid.
template <class T>
task<std::pair<std::size_t, detail::value_of<T>>> when_any(std::vector<task<T>> tasks) {
  if (tasks.empty()) detail::throw_errc(errc::invalid);
  for (auto& t : tasks)
    if (!t.valid()) detail::throw_error(detail::coroutine_access::why_not(t));
  std::stop_source losers;
  const detail::relay outer(detail::chain_token(co_await detail::this_chain{}), losers);
  detail::parts_of<T> running(tasks);
  running.all.losers = &losers;
  co_await running.run();
  const std::size_t first = running.first();
  co_return std::pair<std::size_t, detail::value_of<T>>(
      first, detail::value_or_throw(detail::coroutine_access::take(tasks[first])));
}

/// What t ends with; or errc::timeout if the time comes first: then t is asked to stop, and has ended when this has, with whatever.
/// The stop token fires on time though every worker is busy, on the thread that tells the time. If the time has passed already,
/// t does not begin. A shutdown does not take the limit away.
template <class T>
task<result<T>> with_deadline(task<T> t, time_point until) {
  if (!t.valid()) co_return result<T>(detail::coroutine_access::why_not(t));
  detail::coroutine_chain* const chain = co_await detail::this_chain{};
  if (clock_type::now() >= until) co_return result<T>(errc::timeout);
  detail::alarm_clock clock;
  if (status s = clock.set(chain, until); !s) co_return result<T>(std::move(s).error());
  detail::branch one;
  one.source = &clock.source();
  detail::coroutine_access::attach(t, one);
  detail::branches all;
  {
    const detail::relay outer(detail::chain_token(chain), clock.source());  // gone before what it asks may be
    co_await all.run(&one, 1);
  }
  if (clock.off()) co_return result<T>(errc::timeout);
  co_return detail::coroutine_access::take(t);
}

}  // namespace v0
}  // namespace weir
