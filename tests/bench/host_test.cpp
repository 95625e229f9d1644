#include "harness/host.hpp"

#include <gtest/gtest.h>

namespace host_test {
namespace {

using namespace bench;

TEST(ProcStat, GivesBusyAndStolenTime) {
  // user nice system idle iowait irq softirq steal guest guest_nice
  const cpu_line c = parse_proc_stat("cpu  100 20 30 5000 7 1 2 40 9 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n", 100);
  EXPECT_DOUBLE_EQ(c.busy_s, 1.53);
  EXPECT_DOUBLE_EQ(c.steal_s, 0.4);
}

TEST(ProcStat, ThatIsMissingOrOldIsZero) {
  EXPECT_EQ(parse_proc_stat("", 100).busy_s, 0);
  EXPECT_EQ(parse_proc_stat("cpu  100 0 0 500\n", 100).busy_s, 1);
  EXPECT_EQ(parse_proc_stat("cpu  100 0 0 500\n", 100).steal_s, 0);
}

TEST(CpuStat, IsReadInBothVersions) {
  EXPECT_DOUBLE_EQ(parse_throttled("usage_usec 5\nnr_throttled 3\nthrottled_usec 2500000\n"), 2.5);
  EXPECT_DOUBLE_EQ(parse_throttled("nr_periods 0\nnr_throttled 0\nthrottled_time 1500000000\n"), 1.5);
  EXPECT_EQ(parse_throttled(""), 0);
}

TEST(Stretch, CountsWhatOthersUsed) {
  const host_times a{.wall_s = 10, .busy_s = 100, .ours_s = 50, .steal_s = 1, .throttled_s = 0};
  const host_times b{.wall_s = 20, .busy_s = 118, .ours_s = 63, .steal_s = 2, .throttled_s = 0.5};
  const host_stretch s = between(a, b, 2);
  EXPECT_DOUBLE_EQ(s.others, 0.5);
  EXPECT_DOUBLE_EQ(s.steal, 0.05);
  EXPECT_DOUBLE_EQ(s.throttled_s, 0.5);
}

TEST(Disturbance, NamesItsCause) {
  EXPECT_EQ(disturbance({}, 1), "");
  EXPECT_NE(disturbance({.throttled_s = 0.1}, 1).find("quota"), std::string::npos);
  EXPECT_NE(disturbance({.steal = 0.1}, 1).find("steal"), std::string::npos);
  EXPECT_NE(disturbance({.others = 1}, 1).find("other programs"), std::string::npos);
  EXPECT_NE(disturbance({}, 0.8).find("80 %"), std::string::npos);
}

TEST(Host, KnowsItself) {
  EXPECT_GE(cores(), 1u);
  const auto e = environment();
  for (const char* key : {"processor", "cores", "kernel", "compiler", "build", "quota"})
    EXPECT_FALSE(e.at(key).empty()) << key;
  EXPECT_NE(machine(e).find(e.at("processor")), std::string::npos);
  const host_times before = host_times::now();
  EXPECT_GT(clock_probe(), 0);
  const host_times after = host_times::now();
  EXPECT_GT(after.wall_s, before.wall_s);
  EXPECT_GE(after.ours_s, before.ours_s);
  EXPECT_GT(after.busy_s, 0);
}

}  // namespace
}  // namespace host_test
