// What a queue holds, and how a callable becomes one. Layer 1.
//
// A job is a 24-byte value {operations, 16 bytes}. A callable that is trivially copyable and at most 16 bytes lives in
// the value itself; anything else lives in a slab block that the value points to. By value because it measures four
// times faster than a node a task (peers.md, second round of the submission path), and because it costs 28 bytes in
// the queue instead of 44.
#pragma once

#include <weir/detail/atomics.hpp>
#include <weir/error.hpp>
#include <weir/options.hpp>

#include <cstddef>
#include <cstring>
#include <functional>
#include <memory>
#include <new>
#include <stop_token>
#include <type_traits>
#include <utility>

namespace weir {
inline namespace v0 {

class task_fn;
template <class T>
class task;

namespace detail {

class core;
struct job_ops;
struct task_record;  // task_node.hpp

// How a job ended: 0 is ok, else an errc. `stale` is a queue ticket whose task somebody else had claimed; `again` a task that
// has failed and will be tried again, so it has not ended; `suspended` a coroutine that will go on. None of them is counted.
using outcome = std::uint8_t;
inline constexpr outcome outcome_ok = 0;
inline constexpr outcome outcome_stale = 255;
inline constexpr outcome outcome_turn = 254;  // of a strand or limit: it is no task, and counted itself so
inline constexpr outcome outcome_again = 253;
inline constexpr outcome outcome_suspended = 252;
constexpr bool is_end(outcome o) noexcept { return o < outcome_suspended; }
constexpr outcome outcome_of(errc e) noexcept { return static_cast<outcome>(e); }

struct job {
  std::uintptr_t tagged_ops;  // job_ops*, bit 0: counted against capacity
  std::uint64_t data[2];

  const job_ops& ops() const noexcept { return *reinterpret_cast<const job_ops*>(tagged_ops & ~std::uintptr_t{1}); }
  bool counted() const noexcept { return (tagged_ops & 1) != 0; }
  void* pointer() const noexcept { return reinterpret_cast<void*>(static_cast<std::uintptr_t>(data[0])); }
};
static_assert(sizeof(job) == 24 && std::is_trivially_copyable_v<job>);

// A job's 16 bytes on their way through two registers. Not two integers: some of the bytes may never have been written (padding, an
// empty optional's value), and a compiler may take it that integers have been.
struct job_words {
  std::uint64_t word[2];
};

// A job on the stack of a caller of run(): goes ahead of all lanes.
struct entry_job {
  void (*run)(entry_job&) noexcept;
  entry_job* next = nullptr;
  task_record* record = nullptr;  // of an observed runtime
  atomic<std::uint32_t> latch{0};
};

struct job_ops {
  outcome (*run)(job&) noexcept;           // runs and destroys; exceptions are dealt with inside
  void (*drop)(job&, errc) noexcept;       // destroys unrun; whoever waits for it gets the errc
  bool (*extract)(job&, task_fn&);   // abort: moves the callable out; false: nothing to hand out (it was dropped)
  bool named = false;                // data[1] is its name
};

WEIR_API void* allocate(core& c, std::size_t size, std::size_t align);  // throws std::bad_alloc
WEIR_API void deallocate(void* p, std::size_t size, std::size_t align) noexcept;
WEIR_API void report_unhandled(core* c, std::exception_ptr e, const char* name) noexcept;  // null: the current worker's
WEIR_API std::stop_token current_token() noexcept;
WEIR_API const char* exchange_task_name(const char* name) noexcept;  // of the calling worker; the one before

template <class F>
inline constexpr bool takes_token = std::is_invocable_v<F&, std::stop_token>;
template <class F>
concept task_callable = std::is_constructible_v<std::decay_t<F>, F> && std::is_move_constructible_v<std::decay_t<F>> &&
                        (std::is_invocable_v<std::decay_t<F>&> || takes_token<std::decay_t<F>>);

template <class F>
decltype(auto) call_task(F& f, const std::stop_token& token) {
  if constexpr (takes_token<F>) return std::invoke(f, token);
  else return std::invoke(f);
}
template <class F>
using task_result_t = decltype(call_task(std::declval<F&>(), std::declval<const std::stop_token&>()));
// Where a result is dropped, a coroutine would be dropped unrun.
template <class R>
inline constexpr bool may_be_dropped = true;
template <class T>
inline constexpr bool may_be_dropped<weir::task<T>> = false;
template <class F>
constexpr void check_result_is_dropped() noexcept {
  static_assert(may_be_dropped<task_result_t<F>>, "a weir::task that is dropped never runs: weir::spawn() it");
}

// Null function pointers, empty std::functions and the like: an accepted task must be callable.
template <class F>
bool is_null_callable(const F& f) noexcept {
  if constexpr (std::is_function_v<F>) return false;
  else if constexpr (std::is_pointer_v<F> || std::is_member_pointer_v<F>) return f == nullptr;
  else if constexpr (requires { f.operator bool(); f == nullptr; }) return f == nullptr;
  else return false;
}

}  // namespace detail

/// A move-only void(), as abort() hands it out. Calling an empty one is undefined; exceptions of the callable pass.
class task_fn {
 public:
  task_fn() noexcept = default;
  template <class F>
    requires(!std::is_same_v<std::decay_t<F>, task_fn> && std::is_invocable_v<std::decay_t<F>&>)
  explicit task_fn(F&& f)
      : object_(new std::decay_t<F>(std::forward<F>(f))),
        call_([](void* p) { std::invoke(*static_cast<std::decay_t<F>*>(p)); }),
        destroy_([](void* p) noexcept { delete static_cast<std::decay_t<F>*>(p); }) {}
  task_fn(task_fn&& o) noexcept
      : object_(std::exchange(o.object_, nullptr)), call_(o.call_), destroy_(o.destroy_) {}
  task_fn& operator=(task_fn&& o) noexcept {
    if (this != &o) {
      reset();
      object_ = std::exchange(o.object_, nullptr);
      call_ = o.call_;
      destroy_ = o.destroy_;
    }
    return *this;
  }
  ~task_fn() { reset(); }
  void operator()() { call_(object_); }
  explicit operator bool() const noexcept { return object_ != nullptr; }

 private:
  void reset() noexcept {
    if (object_ != nullptr) destroy_(std::exchange(object_, nullptr));
  }
  void* object_ = nullptr;
  void (*call_)(void*) = nullptr;
  void (*destroy_)(void*) noexcept = nullptr;
};

namespace detail {

// Makes a void() of a callable that may want a token.
template <class F>
task_fn to_task_fn(F&& f) {
  if constexpr (std::is_invocable_v<std::decay_t<F>&> && !takes_token<std::decay_t<F>>) {
    return task_fn(std::forward<F>(f));
  } else {
    return task_fn([g = std::decay_t<F>(std::forward<F>(f))]() mutable { std::invoke(g, std::stop_token{}); });
  }
}

template <class F>
inline constexpr bool fits_in_job =
    std::is_trivially_copyable_v<F> && std::is_trivially_destructible_v<F> && sizeof(F) <= sizeof(job::data) &&
    alignof(F) <= alignof(job);

template <class F>
struct inline_job {
  static F& callable(job& j) noexcept { return *std::launder(reinterpret_cast<F*>(j.data)); }
  static outcome run(job& j) noexcept {
    check_result_is_dropped<F>();
    WEIR_TRY {
      if constexpr (takes_token<F>) std::invoke(callable(j), current_token());
      else std::invoke(callable(j));
      return outcome_ok;
    }
    WEIR_CATCH_ALL { report_unhandled(nullptr, std::current_exception(), nullptr); }
    return outcome_of(errc::failed);
  }
  static void drop(job&, errc) noexcept {}
  static bool extract(job& j, task_fn& out) { return out = to_task_fn(callable(j)), true; }
  static constexpr job_ops ops{&run, &drop, &extract};

  static job make(const F& f) noexcept {
    job j{reinterpret_cast<std::uintptr_t>(&ops), {0, 0}};
    std::memcpy(j.data, static_cast<const void*>(std::addressof(f)), sizeof(F));
    return j;
  }
  static job_words words(const F& f) noexcept {
    job_words w{};
    std::memcpy(w.word, static_cast<const void*>(std::addressof(f)), sizeof(F));
    return w;
  }
};

// The calling worker's task has a name, as long as this lives.
class task_name_scope {
 public:
  explicit task_name_scope(const char* name) noexcept : outer_(exchange_task_name(name)) {}
  ~task_name_scope() { exchange_task_name(outer_); }
  task_name_scope(const task_name_scope&) = delete;
  task_name_scope& operator=(const task_name_scope&) = delete;

 private:
  const char* outer_;
};

// In a block of its own, `Front` bytes behind its begin (see gate_entry.hpp). data[1] is the name of a named one.
template <class F, bool Named = false, std::size_t Front = 0>
struct boxed_job {
  static F* callable(job& j) noexcept {
    return std::launder(reinterpret_cast<F*>(static_cast<std::byte*>(j.pointer()) + Front));
  }
  static const char* name(job& j) noexcept {
    return Named ? reinterpret_cast<const char*>(static_cast<std::uintptr_t>(j.data[1])) : nullptr;
  }
  static void free(F* f) noexcept { deallocate(reinterpret_cast<std::byte*>(f) - Front, Front + sizeof(F), alignof(F)); }
  // The block goes back even when the destructor throws.
  struct owner {
    F* f;
    ~owner() { free(f); }
  };
  static outcome run(job& j) noexcept {
    check_result_is_dropped<F>();
    if constexpr (Named) {
      const task_name_scope scope(name(j));
      return run_unnamed(j);
    } else {
      return run_unnamed(j);
    }
  }
  static outcome run_unnamed(job& j) noexcept {
    owner o{callable(j)};
    outcome out = outcome_ok;
    WEIR_TRY {
      if constexpr (takes_token<F>) std::invoke(*o.f, current_token());
      else std::invoke(*o.f);
    }
    WEIR_CATCH_ALL {
      report_unhandled(nullptr, std::current_exception(), name(j));
      out = outcome_of(errc::failed);
    }
    WEIR_TRY { o.f->~F(); }
    WEIR_CATCH_ALL {
      if (out == outcome_ok) report_unhandled(nullptr, std::current_exception(), name(j));
      out = outcome_of(errc::failed);
    }
    return out;
  }
  static void drop(job& j, errc) noexcept {
    owner o{callable(j)};
    WEIR_TRY { o.f->~F(); }
    WEIR_CATCH_ALL { report_unhandled(nullptr, std::current_exception(), name(j)); }
  }
  static bool extract(job& j, task_fn& out) {
    owner o{callable(j)};
    struct destroyer {
      F* f;
      const char* name;
      ~destroyer() {
        WEIR_TRY { f->~F(); }
        WEIR_CATCH_ALL { report_unhandled(nullptr, std::current_exception(), name); }
      }
    } d{o.f, name(j)};
    return out = to_task_fn(std::move(*o.f)), true;
  }
  static constexpr job_ops ops{&run, &drop, &extract, Named};

  static job make(core& c, auto&& f, const char* called = nullptr) {
    void* p = allocate(c, Front + sizeof(F), alignof(F));
    WEIR_TRY { ::new (static_cast<void*>(static_cast<std::byte*>(p) + Front)) F(std::forward<decltype(f)>(f)); }
    WEIR_CATCH_ALL {
      deallocate(p, Front + sizeof(F), alignof(F));
      WEIR_RETHROW;
    }
    return {reinterpret_cast<std::uintptr_t>(&ops), {reinterpret_cast<std::uintptr_t>(p), reinterpret_cast<std::uintptr_t>(called)}};
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
