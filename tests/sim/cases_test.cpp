// Each case under many seeds: the first half fixed, so that a change of weir is compared with the same schedules, the other
// half fresh each time. WEIR_SIM_SEEDS is the number of seeds a case (default 1000); what fails prints its seed, and
// WEIR_SIM_SEED=N with --gtest_filter=*NAME repeats it. WEIR_SIM_FRESH=N: all are fresh, from N on.
#include "cases.hpp"

#include <gtest/gtest.h>

#include <cstdio>
#include <cstdlib>
#include <random>

namespace cases {
static void PrintTo(const named& c, std::ostream* out) { *out << c.name; }
}  // namespace cases

namespace {

std::uint64_t seeds() {
  const char* const s = std::getenv("WEIR_SIM_SEEDS");
  return s != nullptr ? std::strtoull(s, nullptr, 10) : 1000;
}

const char* fresh_from() { return std::getenv("WEIR_SIM_FRESH"); }
std::uint64_t fresh() {
  static const std::uint64_t first = [] {
    const std::uint64_t n =
        fresh_from() != nullptr ? std::strtoull(fresh_from(), nullptr, 0) : std::uint64_t{std::random_device{}()} << 16;
    std::printf("fresh seeds from %llu\n", static_cast<unsigned long long>(n));
    return n;
  }();
  return first;
}

class Simulated : public testing::TestWithParam<cases::named> {};

// In every run: what the case checks, and that its runtimes have given back all their memory.
void holds(const cases::named& c, std::uint64_t n, std::uint64_t seed, bool membarrier) {
  weir::sim::options o;
  o.membarrier = membarrier;
  if (std::getenv("WEIR_SIM_SEED") != nullptr) n = 1;
  for (o.seed = seed; n != 0; --n, ++o.seed) {
    cases::memory.out = 0;
    const weir::sim::exploration e = weir::sim::explore(1, c.run, o);
    ASSERT_TRUE(e) << c.name << " with seed " << e.failure.seed << (o.membarrier ? "" : ", without membarrier") << "\n" << e.failure.report;
    ASSERT_EQ(cases::memory.out, 0) << c.name << " with seed " << o.seed << (o.membarrier ? "" : ", without membarrier") << " keeps memory";
  }
}

void holds_in(const cases::named& c, std::uint64_t n, bool membarrier) {
  const std::uint64_t fixed = fresh_from() != nullptr ? 0 : n / 2;
  if (fixed != 0) holds(c, fixed, 1, membarrier);
  if (!testing::Test::HasFatalFailure()) holds(c, n - fixed, fresh(), membarrier);
}

TEST_P(Simulated, HoldsInEveryRun) {
  holds_in(GetParam(), seeds(), true);
}

TEST_P(Simulated, HoldsWithoutMembarrier) {
  if (GetParam().needs_membarrier) return;
  holds_in(GetParam(), seeds() / 4, false);
}

INSTANTIATE_TEST_SUITE_P(Case, Simulated, testing::ValuesIn(cases::all, cases::all + cases::count),
                         [](const auto& c) { return std::string(c.param.name); });

}  // namespace
