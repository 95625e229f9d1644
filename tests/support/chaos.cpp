// Holds up whoever is about to touch an atomic of weir. Linked into the executables of the chaos build only.
//   WEIR_CHAOS_SEED   repeats a run as far as a schedule can be repeated (each run prints its own)
//   WEIR_CHAOS_EVERY  operations between two disturbances of a thread, on average (default 64; 0: none)
//
// Two kinds of disturbance, because races come in two kinds. Anywhere, now and then, mostly shortly: two neighbouring
// operations drift apart. And in a few places, often and for longer: each test draws its own eighth of the source lines, so
// that one side of a race is slow throughout, which is what a race needs that is open for two instructions only.
//
// Repeatable: each thread draws from a stream of its own, numbered in the order in which the threads first came by.
#include <weir/detail/atomics.hpp>

#include <watchdog.hpp>

#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <random>

#include <gtest/gtest.h>
#include <sched.h>

namespace {

struct stream {
  std::uint64_t state = 0;
  std::uint64_t epoch = 0;  // of the test that this thread was seeded for; 0: not yet
  std::uint32_t left = 0;   // operations until the next disturbance

  std::uint64_t next() noexcept {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
};
constinit thread_local stream mine __attribute__((tls_model("initial-exec")));

std::uint64_t number(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : static_cast<std::uint64_t>(std::strtoull(text, nullptr, 0));
}
const std::uint64_t seed = number("WEIR_CHAOS_SEED", [] {
  std::random_device device;
  return (std::uint64_t{device()} << 32) | device();
}());
const auto every = static_cast<std::uint32_t>(number("WEIR_CHAOS_EVERY", 64));

std::atomic<std::uint64_t> epoch{1}, threads{0}, places{0};  // places: what the slow lines of this test are drawn with

bool slow_place(int line) noexcept {
  const std::uint64_t x = (static_cast<std::uint64_t>(line) + places.load(std::memory_order_relaxed)) * 0x9e3779b97f4a7c15u;
  return ((x ^ (x >> 32)) & 7) == 0;
}

void spin(std::uint64_t ticks) noexcept {
  for (const std::uint64_t end = weir::detail::ticks() + ticks; weir::detail::ticks() < end;) weir::detail::cpu_relax();
}

void disturb(std::uint64_t r, bool longer) noexcept {
  const int before = errno;
  const std::uint64_t kind = r & 15, size = (r >> 8) & 1023;
  if (kind < 8) {
    ::sched_yield();
  } else if (kind < 14) {
    spin(size * (longer ? 32 : 4));  // up to 1 µs, or 10
  } else if (kind == 14 || !longer) {
    spin(size * 64);
  } else {
    const timespec t{0, static_cast<long>(size * 64)};
    ::nanosleep(&t, nullptr);
  }
  errno = before;
}

// Each test begins with a number of its own, so that a test repeats alone as it went among the others.
class renewal final : public ::testing::EmptyTestEventListener {
  void OnTestProgramStart(const ::testing::UnitTest&) override {
    std::printf("WEIR_CHAOS_SEED=%llu WEIR_CHAOS_EVERY=%u\n", static_cast<unsigned long long>(seed), every);
    std::fflush(stdout);
  }
  void OnTestStart(const ::testing::TestInfo& info) override {
    std::uint64_t hash = seed;
    for (const char* name : {info.test_suite_name(), info.name()})
      for (; *name != 0; ++name) hash = (hash ^ static_cast<unsigned char>(*name)) * 0x100000001b3u;
    places = hash;
    threads = 0;
    ++epoch;
  }
  void OnTestEnd(const ::testing::TestInfo& info) override {
    if (info.result()->Failed()) std::printf("again: WEIR_CHAOS_SEED=%llu\n", static_cast<unsigned long long>(seed));
  }
};
[[maybe_unused]] const bool installed = [] {
  ::testing::UnitTest::GetInstance()->listeners().Append(new renewal);
  test::patience = 4.0;
  return true;
}();

}  // namespace

namespace weir {
inline namespace v0 {
namespace detail {

void chaos::before(atomic_op kind, const void*, const char*, int line) noexcept {
  if (every == 0) return;
  stream& s = mine;
  if (s.left != 0 && s.epoch == epoch.load(std::memory_order_relaxed)) [[likely]] {
    --s.left;
    if (kind == atomic_op::pause || !slow_place(line) || (s.left & 3) != 0) return;
    return disturb(s.next(), true);
  }
  if (const std::uint64_t now = epoch.load(std::memory_order_relaxed); s.epoch != now) {
    s.epoch = now;
    s.state = places.load(std::memory_order_relaxed) + threads.fetch_add(1, std::memory_order_relaxed) * 0xd1342543de82ef95u;
  }
  const std::uint64_t r = s.next();
  s.left = static_cast<std::uint32_t>(1 + (r >> 40) % (2 * every));
  disturb(r, false);
}

bool chaos::fails_weakly() noexcept { return every != 0 && (mine.next() & 15) == 0; }

}  // namespace detail
}  // namespace v0
}  // namespace weir
