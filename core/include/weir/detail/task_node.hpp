// A task that somebody can wait for, cancel or put conditions on. Layer 1; its protocol is in core/src/task_node.cpp.
//
// The queue holds a ticket {ops, node}. Whoever wins the claim — a worker that takes the ticket, a waiter that runs
// the task in place, a stop token — decides what becomes of the callable; a ticket whose task is taken is stale.
//
// Edges
//   [done] ↔ core/src/task_state.hpp: who has seen that the task is over sees its result.
#pragma once

#include <weir/detail/atomics.hpp>
#include <weir/detail/gate_entry.hpp>
#include <weir/detail/timer_entry.hpp>

#include <algorithm>
#include <optional>

namespace weir {
inline namespace v0 {
namespace detail {

struct task_node;

struct node_ops {
  outcome (*run)(task_node&) noexcept;              // the callable's end: result or error stored, callable destroyed
  void (*fail)(task_node&, errc) noexcept;          // unrun: callable destroyed, error stored
  bool (*extract)(task_node&, task_fn&);            // unrun: callable moved out, error `stopped` stored
  void (*destroy)(task_node&) noexcept;             // the last reference: result destroyed, memory back
  std::exception_ptr (*unread)(task_node&) noexcept;  // the cause, if the result is a failure that nobody read
  std::stop_source* (*source)(task_node&) noexcept;   // null: the node's own, made when first asked for
};

// Bits of task_node::state. The low two are the phase; it grows, but for a task that is to run again: that one is queued once more.
namespace node_state {
inline constexpr std::uint32_t queued = 0, claimed = 1, done = 3, phase = 3;
inline constexpr std::uint32_t waited = 4;     // somebody sleeps on the word
inline constexpr std::uint32_t detached = 8;   // no handle will read the result
inline constexpr std::uint32_t counted = 16;   // holds a unit of capacity until it is claimed
inline constexpr std::uint32_t clocked = 32;    // CoDel may end it: its tickets carry the time at which they are queued
inline constexpr std::uint32_t stoppable = 64;  // stop_links lie before it (stop_hub.hpp)
inline constexpr std::uint32_t timed = 128;    // a timer_entry lies before it
inline constexpr std::uint32_t repeats = 256;  // a series: queued again after each run
inline constexpr std::uint32_t begun = 512;    // a series: it runs
inline constexpr std::uint32_t over = 1024;    // a series: it is not queued again, and no run begins
inline constexpr std::uint32_t expires = 2048;  // its entry has start_by, until it is claimed
inline constexpr std::uint32_t dated = 4096;    // its entry has the deadline; else it is among the conditions
inline constexpr std::uint32_t retries = 8192;
inline constexpr std::uint32_t told = 16384;    // a waiter has been told that the deadline has passed
inline constexpr std::uint32_t again = 32768;   // it has been tried: a ticket from before that is stale
inline constexpr std::uint32_t gated = 65536;   // waits in a strand or limit: its ticket lies before it
inline constexpr std::uint32_t beside = 131072; // in the blocking pool: only its threads run it
inline constexpr std::uint32_t in_place = 262144;  // a waiter may claim it (not bound to a worker, strand or limit)
inline constexpr std::uint32_t observed = 524288;  // a task_record lies before it
inline constexpr std::uint32_t fronted = stoppable | timed | gated | observed;  // something does
inline constexpr std::uint32_t suspends = 1048576; // a coroutine
inline constexpr std::uint32_t awaited = 2097152; // a coroutine waits for it: among the conditions
inline bool is_done(const atomic<std::uint32_t>& w) noexcept { return (w.load(acquire) & phase) == done; }  // [done] ← finish
constexpr std::uint32_t of_tag(std::uintptr_t admission_tag) noexcept { return static_cast<std::uint32_t>(admission_tag) * counted; }
static_assert(of_tag(3) == (counted | clocked));
}  // namespace node_state

struct task_node {
  const node_ops* ops;
  atomic<std::uint32_t> state;
  atomic<std::uint32_t> refs;
  atomic<std::uintptr_t> extra;  // node_conditions*, stop_hub* with bit 0 set, or retry_terms* with bit 1; most have none
};

// Of a task of an observed runtime: what task_info will say.
struct task_record {
  std::uint64_t id = 0, parent = 0;
  void* captured = nullptr;
  const char* name = nullptr;
  time_point queued{};
};

// Before a node that a stop token can end.
struct stop_links {
  stop_links *next = nullptr, *previous = nullptr;
};

// The runtime that a node belongs to: the one that its memory came from.
WEIR_API core* node_owner(const task_node& n) noexcept;

WEIR_API extern const job_ops ticket_ops;  // run claims and runs, drop fails the task, extract hands it out

// Of a task that is `gated`. There is always room for links behind the ticket, so that each leads to the other.
inline constexpr std::size_t ticket_distance = (sizeof(gate_ticket) + sizeof(stop_links) + 15) / 16 * 16;
inline gate_ticket& ticket_of(task_node& n) noexcept {
  return *reinterpret_cast<gate_ticket*>(reinterpret_cast<std::byte*>(&n) - ticket_distance);
}
inline task_node& node_of(gate_entry& ticket) noexcept {
  return *reinterpret_cast<task_node*>(reinterpret_cast<std::byte*>(&ticket) + ticket_distance);
}
inline bool is_gated(const task_node& n) noexcept { return (n.state.load(relaxed) & node_state::gated) != 0; }

inline bool is_observed(const task_node& n) noexcept { return (n.state.load(relaxed) & node_state::observed) != 0; }

// What lies before a node: the record, if it is observed; the entry, if it is timed; then the ticket with its room for links, or
// the links alone.
constexpr std::size_t node_prefix(std::uint32_t flags) noexcept {
  return (flags & node_state::gated) != 0 ? ticket_distance : (flags & node_state::stoppable) != 0 ? sizeof(stop_links) : 0;
}
inline constexpr std::uint8_t before_links = 128, before_ticket = 64;  // of an entry's kind
inline timer_entry& node_entry(task_node& n) noexcept {
  return *(reinterpret_cast<timer_entry*>(reinterpret_cast<std::byte*>(&n) - node_prefix(n.state.load(relaxed))) - 1);
}
inline task_node& node_of(timer_entry& e) noexcept {
  const std::uint32_t flags = (e.kind() & before_ticket) != 0 ? node_state::gated : (e.kind() & before_links) != 0 ? node_state::stoppable : 0;
  return *reinterpret_cast<task_node*>(reinterpret_cast<std::byte*>(&e + 1) + node_prefix(flags));
}
static_assert(sizeof(timer_entry) % alignof(task_node) == 0 && sizeof(stop_links) % alignof(task_node) == 0 &&
              alignof(timer_entry) <= alignof(task_node) && alignof(task_record) <= alignof(task_node));

constexpr std::size_t record_distance(std::uint32_t flags) noexcept {
  return node_prefix(flags) + ((flags & node_state::timed) != 0 ? sizeof(timer_entry) : 0) + sizeof(task_record);
}
inline task_record& node_record(task_node& n) noexcept {
  return *reinterpret_cast<task_record*>(reinterpret_cast<std::byte*>(&n) - record_distance(n.state.load(relaxed)));
}

// A task's block, with what lies before it according to the flags. Throws std::bad_alloc.
template <class Node>
std::size_t bytes_before(std::uint32_t flags) noexcept {
  if ((flags & node_state::fronted) == 0) return 0;
  const std::size_t n = record_distance(flags) - ((flags & node_state::observed) != 0 ? 0 : sizeof(task_record));
  return (n + alignof(Node) - 1) / alignof(Node) * alignof(Node);
}
template <class Node>
Node* allocate_task(core& c, std::uint32_t flags) {
  const std::size_t before = bytes_before<Node>(flags);
  auto* const p = static_cast<std::byte*>(allocate(c, before + sizeof(Node), alignof(Node))) + before;
  if ((flags & node_state::stoppable) != 0) ::new (static_cast<void*>(p - sizeof(stop_links))) stop_links;
  if ((flags & node_state::timed) != 0) ::new (static_cast<void*>(p - node_prefix(flags) - sizeof(timer_entry))) timer_entry;
  if ((flags & node_state::observed) != 0) ::new (static_cast<void*>(p - record_distance(flags))) task_record;
  return ::new (static_cast<void*>(p)) Node;
}
template <class Node>
void deallocate_task(Node* n, std::uint32_t flags) noexcept {
  n->~Node();
  const std::size_t before = bytes_before<Node>(flags);
  deallocate(reinterpret_cast<std::byte*>(n) - before, before + sizeof(Node), alignof(Node));
}

// Gives the node its conditions (throws bad_alloc); the stop callback is armed only by arm(), after the ticket is queued.
// It keeps the core by count, or, with a ticket for it, the gate, which keeps the core.
WEIR_API void node_init(task_node& n, core& c, const node_ops& ops, std::uint32_t flags, std::uint32_t refs,
                        const task_options* opts, gate* via = nullptr);
WEIR_API void node_undo_init(task_node& n) noexcept;  // of a node that nobody else has seen
WEIR_API void node_arm(task_node& n) noexcept;
WEIR_API void node_forget(task_node& n) noexcept;  // frees the conditions
WEIR_API void node_abandon(task_node& n, std::uint32_t refs) noexcept;  // never queued: drops the callable and the references
WEIR_API void node_release(task_node& n) noexcept;
WEIR_API void node_detach(task_node& n) noexcept;      // the handle goes away; releases its reference
WEIR_API bool node_cancel(task_node& n) noexcept;  // true: it will not start; else it is asked to stop if it runs
// If all of `needed` and none of `excluded` are set. Frees its capacity, too.
WEIR_API bool node_claim(task_node& n, std::uint32_t needed = 0, std::uint32_t excluded = 0) noexcept;
WEIR_API bool node_try_run(task_node& n, std::uint32_t needed = 0) noexcept;  // claims and runs it on this worker, if unstarted
bool node_try_run_beside(task_node& n) noexcept;  // the same on a thread of the blocking pool
// True: it was unstarted, and has ended. in_queue: its ticket lies in one, or in the wheel.
WEIR_API bool node_fail(task_node& n, errc e, bool in_queue = true, std::uint32_t excluded = 0) noexcept;
WEIR_API std::stop_token node_token(task_node& n) noexcept;
// What a task's flags must have besides: `observed`, or nothing. For those that no admission told it.
WEIR_API std::uint32_t node_flags_of(const core& c) noexcept;
// Waits for done; claims and runs the task in place on a worker. ok: done; else timeout, stopped (forked child), starved.
WEIR_API outcome node_wait(task_node& n, time_point until) noexcept;
// ---- time (timer.cpp, retry.cpp) ----
// Whether a task with these options can be timed: ok; or why not, invalid (retry policy), stopped, failed with the cause.
WEIR_API status node_time_ready(core& c, const task_options& o) noexcept;
time_point node_deadline(const task_node& n) noexcept;  // max: none
const char* node_name(const task_node& n) noexcept;
// After an attempt has thrown e. False: that was the last one, and e says how many there were.
WEIR_API bool node_tries_again(task_node& n, weir::error& e) noexcept;
outcome node_wait_again(task_node& n) noexcept;         // outcome_again; or failed: it has ended after all
WEIR_API weir::error node_last_error(task_node& n, errc e) noexcept;
void node_after_run(task_node& n) noexcept;          // the end of a claimed task, or of an occurrence
WEIR_API bool series_begins(task_node& n) noexcept;  // before a run; false: cancelled
bool series_goes_on(task_node& n) noexcept;          // after it. True: the node waits for its next time, or is run already
void node_drop_waiting(timer_entry& e) noexcept;     // a ticket that was taken out of the wheel: its task ends unrun
// A ticket of an admitted task goes to its queue, or to its strand or limit. False: no memory.
bool node_post(task_node& n, bool tried = false, lane prio = lane::normal, int target = -1) noexcept;
void node_put_time(gate_entry& ticket) noexcept;      // of a gated task, before it is queued
job node_ticket_with_time(task_node& n, bool tried, std::int64_t queued) noexcept;
bool is_ticket(const job& j) noexcept;
bool ticket_is_stale(const job& j) noexcept;
bool ticket_holds_credit(const job& j) noexcept;
WEIR_API job node_ticket(task_node& n, bool tried = false) noexcept;  // tried: for another attempt

// What the options make of a node's state.
inline std::uint32_t node_flags(const task_options* o) noexcept {
  if (o == nullptr) return 0;
  const bool start = o->start_by != time_point::max(), end = o->deadline != time_point::max(), retry = o->retry != nullptr;
  return (o->stop.stop_possible() ? node_state::stoppable : 0u) | (start || end || retry ? node_state::timed : 0u) |
         (start ? node_state::expires : 0u) | (end && !start && !retry ? node_state::dated : 0u) | (retry ? node_state::retries : 0u);
}

// Why a task never ran. `failed`: its ticket found no memory.
inline weir::error unrun_error(errc e) noexcept {
#if WEIR_EXCEPTIONS
  if (e == errc::failed) return {e, std::make_exception_ptr(std::bad_alloc()), 1};
#endif
  return {e, {}, 1};
}

// F's place before the run, result<R>'s after it. Base: what a stream needs to know besides.
template <class F, class R, class Base = task_node>
struct task_node_of final : Base {
  union storage_t {
    storage_t() noexcept {}
    ~storage_t() {}
    F callable;
    result<R> value;
  } s;

  static task_node_of& self(task_node& n) noexcept { return static_cast<task_node_of&>(n); }

  static outcome run(task_node& n) noexcept {
    auto& me = self(n);
    std::optional<result<R>> r;
    WEIR_TRY {
      if constexpr (std::is_void_v<R>) {
        check_result_is_dropped<F>();
        static_cast<void>(invoke_callable(me));
        r.emplace();
      } else {
        r.emplace(std::in_place, invoke_callable(me));
      }
    }
    WEIR_CATCH_ALL {
      r.emplace(weir::error{errc::failed, std::current_exception(), 1});
      if (retries(me) && node_tries_again(me, r->error())) return outcome_again;
    }
    destroy_callable(me, r);
    return store(me, std::move(*r));
  }
  static void fail(task_node& n, errc e) noexcept {
    auto& me = self(n);
    std::optional<result<R>> r;
    r.emplace(retries(me) ? node_last_error(me, e) : unrun_error(e));
    destroy_callable(me, r);
    store(me, std::move(*r));
  }
  static bool extract(task_node& n, task_fn& out) {
    auto& me = self(n);
    std::exception_ptr thrown;
    WEIR_TRY {
      if constexpr (std::is_void_v<R>) {
        out = to_task_fn(std::move(me.s.callable));
      } else {
        out = task_fn([f = std::move(me.s.callable)]() mutable { static_cast<void>(call_task(f, std::stop_token{})); });
      }
    }
    WEIR_CATCH_ALL { thrown = std::current_exception(); }
    fail(n, errc::stopped);
    if (thrown) std::rethrow_exception(thrown);
    return true;
  }
  static void destroy(task_node& n) noexcept {
    auto& me = self(n);
    node_forget(n);  // first: it waits for a stop callback that may be reading the result
    if ((me.state.load(relaxed) & node_state::phase) == node_state::done) me.s.value.~result<R>();
    else {
      WEIR_TRY { me.s.callable.~F(); }  // it was refused, and never ran
      WEIR_CATCH_ALL { report_unhandled(node_owner(n), std::current_exception(), nullptr); }
    }
    deallocate_task(&me, me.state.load(relaxed));
  }
  static std::exception_ptr unread(task_node& n) noexcept {
    auto& r = self(n).s.value;
    return !r && r.error().code == errc::failed ? std::exchange(r.error().cause, nullptr) : nullptr;
  }
  static constexpr node_ops ops_table{&run, &fail, &extract, &destroy, &unread, nullptr};

  static task_node_of* make(core& c, auto&& f, std::uint32_t flags, std::uint32_t references, const task_options* opts,
                            gate* via, const node_ops& ops = ops_table) {
    flags |= node_flags(opts);
    if (via != nullptr) flags |= node_state::gated;
    auto* const n = allocate_task<task_node_of>(c, flags);
    bool begun = false;
    WEIR_TRY {
      node_init(*n, c, ops, flags, references, opts, via);  // first: what it throws must not cost the caller the callable
      begun = true;
      ::new (static_cast<void*>(std::addressof(n->s.callable))) F(std::forward<decltype(f)>(f));
    }
    WEIR_CATCH_ALL {
      if (begun) node_undo_init(*n);
      deallocate_task(n, flags);
      WEIR_RETHROW;
    }
    return n;
  }

 private:
  static bool retries(const task_node_of& me) noexcept { return (me.state.load(relaxed) & node_state::retries) != 0; }
  static decltype(auto) invoke_callable(task_node_of& me) {
    if constexpr (takes_token<F>) return std::invoke(me.s.callable, node_token(me));
    else return std::invoke(me.s.callable);
  }
  // A destructor that throws turns a success into a failure; after another error it is reported on its own.
  static void destroy_callable(task_node_of& me, std::optional<result<R>>& r) noexcept {
    WEIR_TRY { me.s.callable.~F(); }
    WEIR_CATCH_ALL {
      if (r->has_value()) r.emplace(weir::error{errc::failed, std::current_exception(), 1});
      else report_unhandled(node_owner(me), std::current_exception(), nullptr);
    }
  }
  static outcome store(task_node_of& me, result<R>&& r) noexcept {
    const outcome out = r.has_value() ? outcome_ok : outcome_of(r.error().code);
    WEIR_TRY {
      ::new (static_cast<void*>(std::addressof(me.s.value))) result<R>(std::move(r));
      return out;
    }
    WEIR_CATCH_ALL {
      ::new (static_cast<void*>(std::addressof(me.s.value)))
          result<R>(weir::error{errc::failed, std::current_exception(), 1});
    }
    return outcome_of(errc::failed);
  }
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
