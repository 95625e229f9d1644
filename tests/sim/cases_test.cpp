// Each case under many seeds: the first half fixed, so that a change of weir is compared with the same schedules, the other
// half fresh each time. WEIR_SIM_SEEDS is the number of seeds a case (default 1000); what fails prints its seed, and
// WEIR_SIM_SEED=N with --gtest_filter=*NAME repeats it. WEIR_SIM_FRESH=N: all are fresh, from N on. WEIR_SIM_SECONDS: where
// the machine is too slow for all of them in that time, each case stops when its share is over, but not before an eighth of its
// seeds; the end says which fell short.
#include "cases.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string_view>
#include <vector>

namespace cases {
static void PrintTo(const named& c, std::ostream* out) { *out << c.name; }
}  // namespace cases

namespace {

std::uint64_t seeds(unsigned one_in) {
  if (std::getenv("WEIR_SIM_SEED") != nullptr) return 1;
  const char* const s = std::getenv("WEIR_SIM_SEEDS");
  return (s != nullptr ? std::strtoull(s, nullptr, 10) : 1000) / one_in;
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

using clock = std::chrono::steady_clock;

// Who is early leaves its time to the others.
class time_table : public testing::Environment {
 public:
  void SetUp() override {
    const char* const s = std::getenv("WEIR_SIM_SECONDS");
    const auto& suite = *testing::UnitTest::GetInstance();
    for (int i = 0; i < suite.total_test_suite_count(); ++i)
      for (int k = 0; k < suite.GetTestSuite(i)->total_test_count(); ++k) {
        const testing::TestInfo& t = *suite.GetTestSuite(i)->GetTestInfo(k);
        if (t.should_run() && t.value_param() != nullptr) left_ += weight_of(t);
      }
    end_ = s != nullptr ? clock::now() + std::chrono::seconds(std::strtoll(s, nullptr, 10)) : clock::time_point::max();
  }
  clock::time_point share() {
    const int mine = weight_of(*testing::UnitTest::GetInstance()->current_test_info()), of = std::max(mine, left_);
    left_ -= mine;
    if (end_ == clock::time_point::max()) return end_;
    const auto now = clock::now();
    return now + std::max(clock::duration::zero(), end_ - now) * mine / of;
  }
  void ran(std::uint64_t n, std::uint64_t of) {
    ++cases_;
    if (n < of) parts_.push_back(static_cast<double>(n) / static_cast<double>(of));
  }
  void TearDown() override {
    if (parts_.empty()) return;
    std::sort(parts_.begin(), parts_.end());
    std::printf("\nmeasured: this machine is slow: the time was over for %zu of %d cases; of their seeds ran %.0f %% at least, half of these cases ran %.0f %%\n",
                parts_.size(), cases_, 100 * parts_.front(), 100 * parts_[parts_.size() / 2]);
  }

 private:
  // As many seeds as it has, one to four.
  static int weight_of(const testing::TestInfo& t) { return std::string_view(t.name()).starts_with("HoldsInEveryRun") ? 4 : 1; }

  clock::time_point end_;
  int left_ = 0, cases_ = 0;
  std::vector<double> parts_;
};
time_table& table = static_cast<time_table&>(*testing::AddGlobalTestEnvironment(new time_table));

class Simulated : public testing::TestWithParam<cases::named> {};

// In every run: what the case checks, and that its runtimes have given back all their memory. How many there were.
std::uint64_t holds(const cases::named& c, std::uint64_t n, std::uint64_t seed, bool membarrier, clock::time_point until) {
  weir::sim::options o;
  o.membarrier = membarrier;
  const char* const without = membarrier ? "" : ", without membarrier";
  for (o.seed = seed; o.seed - seed != n && (o.seed - seed < std::max<std::uint64_t>(1, n / 8) || clock::now() < until); ++o.seed) {
    cases::memory.out = 0;
    const weir::sim::exploration e = weir::sim::explore(1, c.run, o);
    if (!e) ADD_FAILURE() << c.name << " with seed " << e.failure.seed << without << "\n" << e.failure.report;
    else if (cases::memory.out != 0) ADD_FAILURE() << c.name << " with seed " << o.seed << without << " keeps memory: " << cases::memory.out;
    else continue;
    break;
  }
  return o.seed - seed;
}

void holds_in(const cases::named& c, std::uint64_t n, bool membarrier) {
  const std::uint64_t fixed = fresh_from() != nullptr ? 0 : n / 2;
  const auto begin = clock::now(), until = table.share();
  std::uint64_t ran = holds(c, fixed, 1, membarrier, until == clock::time_point::max() ? until : begin + (until - begin) / 2);
  if (testing::Test::HasFailure()) return;
  ran += holds(c, n - fixed, fresh(), membarrier, until);
  if (!testing::Test::HasFailure()) table.ran(ran, n);
}

// The cheap ones first: what they leave over is for the others.
TEST_P(Simulated, HoldsWithoutMembarrier) {
  if (GetParam().needs_membarrier) return;
  holds_in(GetParam(), seeds(4), false);
}

TEST_P(Simulated, HoldsInEveryRun) {
  holds_in(GetParam(), seeds(1), true);
}

INSTANTIATE_TEST_SUITE_P(Case, Simulated, testing::ValuesIn(cases::all, cases::all + cases::count),
                         [](const auto& c) { return std::string(c.param.name); });

}  // namespace
