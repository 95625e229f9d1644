// result_stream: tasks whose results come back one by one. Layer 6.
#pragma once

#include <weir/detail/child_node.hpp>
#include <weir/executor.hpp>

#include <iterator>
#include <optional>

namespace weir {
inline namespace v0 {

struct stream_options {
  std::size_t capacity = 1u << 16;  ///< tasks whose result nobody has taken: waiting, running and unread ones together; exact
  bool ordered = false;             ///< results in the order of submission, not of completion
  unsigned limit = 0;               ///< at most so many tasks at once; 0: no limit
  std::stop_token stop{};           ///< a stop there cancels the stream
};

namespace detail {

class stream_state;

struct stream_node : child_node {
  stream_state* stream;
  void* value;            // result<T>*, once it is over
  stream_node* next_out;  // of what next() hands out, under the stream's lock
  bool over;
};

// Where a stream's tasks go; the rest is in core/src/result_stream.cpp.
struct stream_target {
  core* owner;
  gate* via;
};

WEIR_API stream_state* stream_open(core* c, gate* via, stream_options o);  // throws std::bad_alloc
WEIR_API const stream_target& stream_target_of(const stream_state& s) noexcept;
// As admit() and enqueue(). Every stream_begin() that answered ok is followed by exactly one stream_start() or stream_undo().
WEIR_API outcome stream_begin(stream_state& s, admission& a) noexcept;
WEIR_API void stream_start(stream_state& s, stream_node& n) noexcept;
WEIR_API void stream_undo(stream_state& s, const admission& a) noexcept;
WEIR_API bool stream_started(stream_node& n) noexcept;  // false: the stream was cancelled, do not run it
WEIR_API void stream_ended(stream_node& n, void* value, outcome o) noexcept;
WEIR_API std::stop_source* stream_source(task_node& n) noexcept;
// The next one that is over. Null: why; errc{}: there will be none.
WEIR_API stream_node* stream_next(stream_state& s, time_point until, errc& why) noexcept;
WEIR_API void stream_taken(stream_node& n) noexcept;  // its value was moved out
WEIR_API void stream_close(stream_state& s) noexcept;
WEIR_API void stream_drop(stream_state& s) noexcept;
WEIR_API void stream_release(stream_state& s) noexcept;

template <class F, class T>
struct stream_task {
  using node = task_node_of<F, T, stream_node>;

  static outcome run(task_node& n) noexcept {
    auto& me = node::self(n);
    if (!stream_started(me)) {
      node::fail(n, errc::cancelled);
      stream_ended(me, &me.s.value, outcome_of(errc::cancelled));
      return outcome_of(errc::cancelled);
    }
    const outcome o = node::run(n);
    stream_ended(me, &me.s.value, o);
    return o;
  }
  static void fail(task_node& n, errc e) noexcept {
    auto& me = node::self(n);
    stream_started(me);
    node::fail(n, e);
    stream_ended(me, &me.s.value, outcome_of(e));
  }
  static bool extract(task_node& n, task_fn&) { return fail(n, errc::stopped), false; }
  static void destroy(task_node& n) noexcept {
    stream_state& s = *node::self(n).stream;
    node::destroy(n);
    stream_release(s);
  }
  static constexpr node_ops ops{&run, &fail, &extract, &destroy, &node::unread, &stream_source};
};

}  // namespace detail

/// The results channel of a worker pool: tasks go in, each one's result comes out of next() exactly once, errors included.
///
/// A result that nobody reads blocks no worker: it stays with the stream. Past `capacity` tasks whose result was not taken
/// submit answers as the executor's policy says: on_full::block waits for next() to take one (never on a worker, where it is
/// errc::full like everything else). So whoever submits and reads on one thread keeps below it.
///
/// A task that will not run has a result, too: `cancelled` by a stop, `stopped` by a shutdown. The destructor cancels and does
/// not wait: what has not begun never does, what runs sees its token fire, and their results are dropped, errors that nobody
/// has read going to options::on_unhandled. So tasks refer to nothing of the caller's that may go away.
///
/// On a worker next() runs the stream's own unstarted tasks, and nothing else, or sleeps while a spare stands in. Over a strand
/// or limited it runs none in place.
/// It keeps the runtime's core alive by count: after ~runtime submit answers errc::stopped, and next() hands out what is left.
/// Moved-from: errc::invalid.
/// Thread safety: submit, close, next and next_until from any thread at once. Complexity: constant; one short lock each.
template <class T>
class result_stream {
 public:
  using value_type = result<T>;

  /// Throws std::bad_alloc. A capacity of 0 or above 2^40: every submit answers errc::invalid.
  explicit result_stream(executor_ref e, stream_options o = {}) : state_(detail::stream_open(e.core_, e.gate_, std::move(o))) {}
  result_stream(result_stream&& o) noexcept : state_(std::exchange(o.state_, nullptr)) {}
  result_stream& operator=(result_stream&& o) noexcept {
    if (this != &o) {
      drop();
      state_ = std::exchange(o.state_, nullptr);
    }
    return *this;
  }
  ~result_stream() { drop(); }

  /// f's value is what T is made of; F(std::stop_token) gets the stream's token. On refusal f is not touched.
  /// Errors: full, stopped (close() or a shutdown came first), cancelled, invalid (null callable), failed (bad_alloc, or the
  /// callable's copy or move threw), and what the executor answers.
  template <detail::task_callable F>
    requires(std::is_void_v<T> || std::is_constructible_v<T, detail::task_result_t<std::decay_t<F>>>)
  status submit(F&& f) {
    using task = detail::stream_task<std::decay_t<F>, T>;
    using node = typename task::node;
    if (state_ == nullptr || detail::is_null_callable(f)) return errc::invalid;
    detail::admission a;
    if (const detail::outcome o = detail::stream_begin(*state_, a); o != detail::outcome_ok) return detail::to_status(o);
    const detail::stream_target& to = detail::stream_target_of(*state_);
    node* n = nullptr;
    WEIR_TRY {
      const std::uint32_t flags = a.node_flags | detail::node_state::of_tag(a.tag) | (to.via == nullptr ? detail::node_state::in_place : 0);
      n = node::make(*to.owner, std::forward<F>(f), flags, 2, nullptr, to.via, task::ops);
    }
    WEIR_CATCH_ALL {
      detail::stream_undo(*state_, a);
      return weir::error{errc::failed, std::current_exception(), 1};
    }
    detail::stream_start(*state_, *n);
    return {};
  }
  /// No more tasks: a submit answers errc::stopped from here on, and next() is empty after the last result.
  void close() noexcept {
    if (state_ != nullptr) detail::stream_close(*state_);
  }

  /// Waits for the next result. Empty when there will be none: the stream was closed or cancelled, or its runtime was shut
  /// down, and each result has been handed out. errc::starved: waiting here could never end (see strand; or this
  /// thread tells the runtime's time); the stream goes on.
  /// In a forked child errc::stopped once, then empty.
  std::optional<result<T>> next() { return next_until(time_point::max()); }
  /// The same with a limit: a result of errc::timeout, and the stream goes on.
  std::optional<result<T>> next_until(time_point until) {
    if (state_ == nullptr) return std::nullopt;
    errc why{};
    detail::stream_node* const n = detail::stream_next(*state_, until, why);
    if (n == nullptr) return why == errc{} ? std::nullopt : std::optional<result<T>>(std::in_place, why);
    struct taken {
      detail::stream_node& n;
      ~taken() { detail::stream_taken(n); }
    } at_end{*n};
    return std::optional<result<T>>(std::move(*static_cast<result<T>*>(n->value)));
  }

  /// Hands out what next() does, until that is empty.
  class iterator {
   public:
    using value_type = result<T>;
    using difference_type = std::ptrdiff_t;
    iterator() = default;
    result<T>& operator*() const noexcept { return *current_; }
    result<T>* operator->() const noexcept { return &*current_; }
    iterator& operator++() {
      current_.reset();
      if (auto r = from_->next(); r) current_.emplace(std::move(*r));
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const iterator& i, std::default_sentinel_t) noexcept { return !i.current_.has_value(); }

   private:
    friend class result_stream;
    explicit iterator(result_stream& s) : from_(&s), current_(s.next()) {}
    result_stream* from_ = nullptr;
    mutable std::optional<result<T>> current_;
  };
  iterator begin() { return iterator(*this); }
  std::default_sentinel_t end() const noexcept { return {}; }

 private:
  void drop() noexcept {
    if (state_ != nullptr) detail::stream_drop(*std::exchange(state_, nullptr));
  }
  detail::stream_state* state_;
};

}  // namespace v0
}  // namespace weir
