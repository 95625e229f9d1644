// What a peer can do is what its adaptor defines; a suite enrols a peer in the situations whose concept it meets.
//   static constexpr const char* name       as users know it
//   static std::string version()            of the library, "" when it has none
//   explicit Peer(unsigned workers)         a pool that lives as long as the adaptor
//   static constexpr unsigned fixed_workers where the number cannot be chosen (optional)
//   static constexpr bool thread_each       where every task starts a thread (optional)
// An adaptor is thin: it calls what a user of that library would write, and adds no queue, no batching and no cache.
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <string>

namespace bench {

struct no_work {
  int operator()() const noexcept { return 0; }
  void operator()(std::size_t) const noexcept {}
};

template <class P>
concept a_peer = std::constructible_from<P, unsigned> && requires {
  { P::name } -> std::convertible_to<const char*>;
  { P::version() } -> std::convertible_to<std::string>;
};

// Fork and join within a task. run(f) enters from outside, waits and returns f's value.
template <class P>
concept forks = a_peer<P> && requires(P& p, no_work f) {
  p.run(f);
  P::both(f, f);                    // both values, as a pair
  P::fork(f, f);                    // and any number more
  P::fork_each(std::size_t{2}, f);  // f(0) … f(n - 1)
};

// A loop within run(): f(i) for i in [first, last), at least `grain` indices a piece (0: as the peer likes).
template <class P>
concept loops = a_peer<P> && requires(P& p, no_work f) {
  p.run(f);
  P::for_range(std::size_t{0}, std::size_t{2}, std::size_t{0}, f);
};

// Fire and forget from any thread, workers included. A bounded peer blocks when full.
template <class P>
concept accepts = a_peer<P> && requires(P& p) {
  p.submit([] {});
};

// The same for a million tasks at once: a peer that starts a thread for each task says `thread_each` and is spared them.
// wait_until(done) returns once done(), which only tasks make true.
template <class P>
concept submits = accepts<P> && !requires { P::thread_each; } && requires(P& p) {
  p.wait_until([] { return true; });
};

// Tasks with a value: take(handle) waits for it.
template <class P>
concept spawns = a_peer<P> && requires(P& p, no_work f, decltype(p.spawn(f))& handle) {
  P::take(handle);
};

// Many children of one task, called within run() or a task; returns when all have ended.
template <class P>
concept groups = a_peer<P> && requires(P& p, no_work f) {
  p.run(f);
  P::group_of(std::size_t{2}, f);
};

// Counters of its own, which become the metrics "steals" and "parks", each a task.
template <class P>
concept counts = a_peer<P> && requires(const P& p) {
  { p.steals() } -> std::convertible_to<std::uint64_t>;
  { p.parks() } -> std::convertible_to<std::uint64_t>;
};

}  // namespace bench
