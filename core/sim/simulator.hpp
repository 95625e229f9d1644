// Who runs, who waits for what, and what time it is. All of this belongs to whoever runs: one thread at a time, so there
// is no locking here.
#pragma once

#include "context.hpp"

#include <weir/sim.hpp>

#include <functional>
#include <limits>
#include <memory>
#include <string>
#include <vector>

namespace weir {
inline namespace v0 {
namespace sim {

inline constexpr std::int64_t never = std::numeric_limits<std::int64_t>::max();

// What a step was: an operation of the seam, or one of these.
using detail::atomic_op;
enum class step_kind : std::uint8_t {
  clock = static_cast<std::uint8_t>(atomic_op::foreign_call) + 1, mutex, unlock, futex_wait, futex_wake, condition, sleep, start, join, point
};
const char* name_of(std::uint8_t kind) noexcept;

struct fiber {
  unsigned id = 0;
  std::string name;
  std::function<void()> body;
  sim::context context;
  // Where it is.
  std::uint8_t kind = static_cast<std::uint8_t>(step_kind::start);
  const char* file = "";
  int line = 0;
  bool started = false, ended = false;
  // While it waits: for whom to wake it by this key, or for this time.
  const char* waits_for = nullptr;
  const void* key = nullptr;
  std::int64_t until = never;
  bool timed_out = false;
  std::uint64_t priority = 0;  // pct
  std::uint64_t in_a_row = 0;     // steps since it was somebody else's turn
  std::uint64_t waits_since = 0;  // for its turn: the step
};

class generator {  // splitmix64
 public:
  explicit generator(std::uint64_t seed) noexcept : s_(seed) {}
  std::uint64_t operator()() noexcept {
    std::uint64_t z = (s_ += 0x9e3779b97f4a7c15ull);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
  }
  std::uint64_t below(std::uint64_t n) noexcept { return (*this)() % n; }
  bool one_in(std::uint64_t n) noexcept { return n != 0 && below(n) == 0; }

 private:
  std::uint64_t s_;
};

// Bounded search: at choice `at` the thread `skip` places further in the round was taken.
struct deviation {
  std::uint32_t at;
  unsigned skip;
};
std::vector<deviation> parse_schedule(const std::string& s);
std::string to_string(const std::vector<deviation>& schedule);

class simulator {
 public:
  explicit simulator(const options& o);
  result run(const std::function<void()>& body);

  // ---- from simulated threads ----
  /// A place where others may go on. `yields`: this one has nothing to do before another has done something.
  void step(std::uint8_t kind, const char* file, int line, bool yields = false) noexcept;
  /// Waits until wake(key), or until then (never: for a wake alone). False: the time has come.
  bool wait(const char* what, const void* key, std::int64_t until) noexcept;
  /// How many were woken.
  unsigned wake(const void* key, unsigned most) noexcept;
  unsigned start(std::function<void()> body, const char* name) noexcept;
  void join(unsigned id) noexcept;
  [[noreturn]] void fail(verdict v, std::string why) noexcept;
  bool unreliable() const noexcept { return opts.spurious && how_ != scheduler::bounded; }
  void mutex_taken(void* m) { held_mutexes.push_back(m); }
  void mutex_given(void* m) { std::erase(held_mutexes, m); }

  std::int64_t now = 0;  // nanoseconds
  generator random;
  const options& opts;
  std::vector<std::uint8_t> alternatives;  // bounded: how many there were at each choice
  std::vector<void*> held_mutexes;

 private:
  friend std::string describe(simulator& s, std::size_t last_steps);
  struct event {
    unsigned id;
    std::uint8_t kind;
    int line;
    const char* file;
    std::int64_t at;
  };
  void loop() noexcept;
  void leave(fiber& f) noexcept;
  void expire() noexcept;
  void demote(fiber& f) noexcept { f.priority = --lowest_; }
  fiber* choose(fiber* current, bool yields) noexcept;
  fiber* choose_bounded(fiber* current, bool yields) noexcept;
  fiber* next_after_wait() noexcept;
  fiber* rotate(const fiber* from, unsigned skip) noexcept;
  unsigned runnable() const noexcept;
  void collect_ended() noexcept;

  std::vector<std::unique_ptr<fiber>> fibers_;
  fiber* next_ = nullptr;
  fiber* running_ = nullptr;  // whose context is under way
  bool over_ = false;
  result out_;
  std::string why_, description_;

  scheduler how_;
  std::uint64_t lowest_ = std::uint64_t{1} << 32, highest_ = std::uint64_t{1} << 63;
  std::vector<std::uint64_t> changes_;  // pct: the steps, descending
  std::uint64_t switch_one_in_ = 1, warp_one_in_ = 0, pause_yields_one_in_ = 1;
  std::int64_t op_ns_ = 10, pause_ns_ = 1000;
  std::int64_t next_deadline_ = never;
  std::uint64_t hash_ = 0xcbf29ce484222325ull;
  std::vector<deviation> schedule_;
  std::size_t replayed_ = 0;
  std::vector<event> events_;  // a ring
  static constexpr std::size_t remembered = 4096;
};

extern simulator* active;             // the run that goes on
extern thread_local fiber* self;      // the simulated thread that the caller is
inline bool inside() noexcept { return self != nullptr && active != nullptr; }
extern bool describing;               // a report is being written: nothing is a step

void forget_mutexes(simulator& s) noexcept;  // libc.cpp: unlocks what the threads of a failed run hold
std::string describe(simulator& s, std::size_t last_steps);
std::string describe_here();          // report.cpp: of the calling thread

}  // namespace sim
}  // namespace v0
}  // namespace weir
