#include "harness/result.hpp"

#include "harness/table.hpp"
#include "harness/targets.hpp"
#include "harness/verdicts.hpp"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>

namespace result_test {
namespace {

using namespace bench;
using nlohmann::json;

class scratch {
 public:
  scratch() : path_(::testing::TempDir() + "weir-bench-result-XXXXXX") {
    if (mkdtemp(path_.data()) == nullptr) throw std::runtime_error("no scratch folder");
  }
  scratch(const scratch&) = delete;
  scratch& operator=(const scratch&) = delete;
  ~scratch() { std::filesystem::remove_all(path_); }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

reading taking(double wall_s, double tasks = 10) {
  reading r;
  r.tasks = tasks;
  r.wall_s = wall_s;
  r.cpu_s = 2 * wall_s;
  r.voluntary = 5;
  r.involuntary = 1;
  return r;
}

row row_of(const char* peer, unsigned workers, std::initializer_list<double> walls) {
  row x;
  x.what = {.suite = "fork", .name = "fib", .size = 35, .task = "a run", .against_serial = true, .label = "fib(35)"};
  x.peer = peer;
  x.workers = workers;
  unsigned round = 0;
  for (const double w : walls) x.add(round++, taking(w), 4e6);
  return x;
}

std::string said(const std::string& path) {
  try {
    static_cast<void>(load(path));
  } catch (const std::exception& e) { return e.what(); }
  return "";
}

TEST(Reading, IsRefusedWhenANumberIsMissingOrImpossible) {
  json good = taking(1);
  EXPECT_NO_THROW(static_cast<void>(good.get<reading>()));
  for (const char* key : {"tasks", "wall_s", "cpu_s", "voluntary", "involuntary"}) {
    json bad = good;
    bad.erase(key);
    EXPECT_ANY_THROW(static_cast<void>(bad.get<reading>())) << key;
    bad[key] = -1;
    EXPECT_ANY_THROW(static_cast<void>(bad.get<reading>())) << key;
    bad[key] = "1";
    EXPECT_ANY_THROW(static_cast<void>(bad.get<reading>())) << key;
  }
  good["tasks"] = 0;
  EXPECT_ANY_THROW(static_cast<void>(good.get<reading>()));
}

TEST(Reading, ComesBackAsItWasWritten) {
  reading r = taking(0.5);
  r.allocations = 7;
  r.metrics["p50_us"] = 1.5;
  r.curves["latency_us"] = {{0.5, 1.5}, {0.99, 9}};
  const reading back = json::parse(json(r).dump()).get<reading>();
  EXPECT_EQ(back.allocations, 7);
  EXPECT_FALSE(back.bytes.has_value());
  EXPECT_EQ(back.metrics.at("p50_us"), 1.5);
  EXPECT_EQ(back.curves.at("latency_us"), r.curves.at("latency_us"));
}

TEST(Row, DividesByTasks) {
  const row x = row_of("weir", 2, {1e-6});
  EXPECT_DOUBLE_EQ(x.median_of("wall"), 100);
  EXPECT_DOUBLE_EQ(x.median_of("cpu"), 200);
  EXPECT_DOUBLE_EQ(x.median_of("voluntary"), 0.5);
  EXPECT_DOUBLE_EQ(x.median_of("involuntary"), 0.1);
  EXPECT_DOUBLE_EQ(x.median_of("peak_mb"), 4);
  EXPECT_TRUE(std::isnan(x.median_of("allocations")));
  EXPECT_TRUE(std::isnan(x.median_of("nothing of this name")));
}

TEST(Row, KeepsSamplesBesideTheirRoundsWhenAMetricComesLate) {
  row x = row_of("weir", 2, {1, 2});
  reading late = taking(3);
  late.metrics["p50_us"] = 8;
  late.curves["latency_us"] = {{0.5, 8}};
  x.add(7, late, 0);
  x.add(8, taking(4), 0);
  ASSERT_EQ(x.samples.at("p50_us").size(), 4u);
  EXPECT_EQ(x.samples.at("p50_us")[2], 8);
  EXPECT_EQ(x.median_of("p50_us"), 8);
  ASSERT_EQ(x.curves.at("latency_us").size(), 4u);
  EXPECT_TRUE(x.curves.at("latency_us")[1].empty());
}

TEST(Result, ComesBackAsItWasWritten) {
  const scratch folder;
  result r;
  r.command = {"weir-bench", "run"};
  r.quick = true;
  r.environment["cores"] = "2";
  r.warnings = {"w"};
  r.rounds = {{.round = 1, .tries = 2, .steal = 0.5, .disturbed = "steal"}};
  r.rows = {row_of("weir", 2, {1, 2, 3}), row_of("serial", 1, {2, 4, 6})};
  r.rows[0].failures = {{3, "died: Segmentation fault"}};
  r.ratios = all_ratios(r.rows);
  save(r, folder / "a.json");
  const result back = load(folder / "a.json");
  EXPECT_EQ(json(back), json(r));
  EXPECT_FALSE(std::filesystem::exists(folder / "a.json.part"));
}

TEST(Result, ThatIsTruncatedForeignOrNewerIsRefusedWithTheCause) {
  const scratch folder;
  result r;
  r.rows = {row_of("weir", 2, {1, 2, 3})};
  save(r, folder / "a.json");
  std::string text;
  std::getline(std::ifstream(folder / "a.json"), text, '\0');
  std::ofstream(folder / "cut.json") << text.substr(0, text.size() / 2);
  EXPECT_NE(said(folder / "cut.json").find("cut.json: "), std::string::npos);
  EXPECT_NE(said(folder / "cut.json").find("parse error"), std::string::npos);
  std::ofstream(folder / "other.json") << R"({"benchmarks": []})";
  EXPECT_NE(said(folder / "other.json").find("not a result of weir-bench"), std::string::npos);
  json newer = json::parse(text);
  newer["version"] = 99;
  std::ofstream(folder / "newer.json") << newer;
  EXPECT_NE(said(folder / "newer.json").find("version 99"), std::string::npos);
  json uneven = json::parse(text);
  uneven["rows"][0]["samples"]["wall"].erase(0);
  std::ofstream(folder / "uneven.json") << uneven;
  EXPECT_NE(said(folder / "uneven.json").find("a sample a round"), std::string::npos);
  EXPECT_NE(said(folder / "nowhere.json").find("cannot be read"), std::string::npos);
}

TEST(Result, ThatCannotBeWrittenSaysWhy) {
  const scratch folder;
  try {
    save({}, folder / "no/such/folder.json");
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find("No such file or directory"), std::string::npos) << e.what();
  }
}

TEST(Result, GoesIntoADeviceAndDoesNotReplaceIt) {
  const scratch folder;
  for (const char* device : {"null", "full"})
    std::filesystem::create_symlink(std::string("/dev/") + device, folder / device);
  save({}, folder / "null");
  EXPECT_TRUE(std::filesystem::is_symlink(folder / "null"));
  try {
    save({}, folder / "full");
    FAIL();
  } catch (const std::runtime_error& e) {
    EXPECT_NE(std::string(e.what()).find("No space left"), std::string::npos) << e.what();
  }
}

TEST(Verdict, IsGivenOnlyWhenTheWholeIntervalIsBeyondOne) {
  EXPECT_EQ(verdict_of({0.9, 0.8, 0.95}, 9), verdict::faster);
  EXPECT_EQ(verdict_of({0.9, 0.8, 1.05}, 9), verdict::not_told_apart);
  EXPECT_EQ(verdict_of({1.2, 1.1, 1.3}, 9), verdict::slower);
  EXPECT_EQ(verdict_of({0.995, 0.993, 0.997}, 9), verdict::not_told_apart) << "too small to mean anything";
  EXPECT_EQ(verdict_of({0.5, 0.4, 0.6}, least_rounds - 1), verdict::not_told_apart) << "too few rounds";
  EXPECT_EQ(verdict_of({std::nan(""), 0, 0}, 9), verdict::not_told_apart);
}

TEST(Ratio, IsPairedByRound) {
  // Each round is slower than the last for both: unpaired they overlap, paired one always takes half.
  row a = row_of("weir", 2, {1, 2, 3, 4, 5, 6, 7}), b = row_of("oneTBB", 2, {2, 4, 6, 8, 10, 12, 14});
  const ratio r = ratio_of(a, b, "wall");
  EXPECT_DOUBLE_EQ(r.value.mid, 0.5);
  EXPECT_DOUBLE_EQ(r.value.low, 0.5);
  EXPECT_EQ(r.said, verdict::faster);
  EXPECT_EQ(ratio_of(b, a, "wall").said, verdict::slower);
}

TEST(Ratio, LeavesOutRoundsThatOneOfThemMissed) {
  row a = row_of("weir", 2, {1, 2, 3}), b = row_of("oneTBB", 2, {});
  b.add(1, taking(4), 0);
  b.add(9, taking(4), 0);
  EXPECT_EQ(paired(a, b, "wall"), (std::vector<double>{0.5}));
  EXPECT_TRUE(paired(a, b, "no such metric").empty());
  EXPECT_TRUE(paired(a, b, "allocations").empty());
}

TEST(Ratio, StandsBetweenEqualNumbersOfWorkersAndBesideAPeerWithoutAChoice) {
  const std::vector<row> rows = {row_of("weir", 1, {1}), row_of("weir", 2, {1}), row_of("oneTBB", 1, {1}),
                                 row_of("oneTBB", 2, {1}), row_of("serial", 1, {1})};
  std::vector<std::string> got;
  for (const ratio& r : all_ratios(rows))
    got.push_back(r.of + std::to_string(r.of_workers) + "/" + r.to + std::to_string(r.to_workers));
  EXPECT_EQ(got, (std::vector<std::string>{"weir1/oneTBB1", "weir1/serial1", "weir2/oneTBB2", "weir2/serial1",
                                           "oneTBB1/serial1", "oneTBB2/serial1"}));
}

TEST(Goals, AreJudgedByTheMeasuredRatio) {
  result r;
  r.rows = {row_of("weir", 1, {1.2, 1.2, 1.2}), row_of("serial", 1, {1, 1, 1})};
  const std::vector<goal> all = goals(r);
  ASSERT_FALSE(all.empty());
  EXPECT_EQ(all[0].what, "fib(35): weir 1 / serial 1");
  EXPECT_DOUBLE_EQ(all[0].value.mid, 1.2);
  EXPECT_EQ(meets(all[0].value, all[0].wanted), "PASS");
  EXPECT_EQ(meets({1.2, 1.1, 1.3}, {bound::at_most, 1.25}), "PASS?");
  EXPECT_EQ(meets({1.2, 1.1, 1.3}, {bound::at_least, 2}), "MISS");
}

TEST(Numbers, AreShortAndHaveUnits) {
  EXPECT_EQ(nanoseconds(17.24), "17.2 ns");
  EXPECT_EQ(nanoseconds(3456), "3.46 µs");
  EXPECT_EQ(nanoseconds(3.4567e6), "3.457 ms");
  EXPECT_EQ(nanoseconds(2e9), "2 s");
  EXPECT_EQ(number(123456.7), "123457");
  EXPECT_EQ(number(std::nan("")), "-");
  EXPECT_EQ(metric_title("p99_us"), "p99 µs");
}

TEST(Table, LinesUpWhateverItsCharacters) {
  table t;
  t.head = {"name", "µs"};
  t.rows = {{"a", "1"}, {}, {"long", "20"}};
  EXPECT_EQ(draw(t, look::terminal), "name  µs\na      1\n\nlong  20\n");
  EXPECT_EQ(draw(t, look::markdown), "| name | µs |\n| --- | ---: |\n| a | 1 |\n| long | 20 |\n");
}

TEST(Summary, NamesWhatFailedAndWarns) {
  result r;
  r.rows = {row_of("weir", 2, {1, 2, 3})};
  r.rows[0].failures = {{1, "hung: killed after 60 s"}};
  r.warnings = {"verdicts need 6 rounds; there are 3"};
  const std::string text = summary(r, look::terminal);
  EXPECT_NE(text.find("failed: fork/fib weir 2, 1 times: hung: killed after 60 s"), std::string::npos) << text;
  EXPECT_NE(text.find("warning: verdicts need 6 rounds"), std::string::npos);
}

}  // namespace
}  // namespace result_test
