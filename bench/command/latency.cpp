// latency: open loops against weir and its peers, a sweep over loads or over gaps; tables, knees, and the result for report.
#include "../harness/clock.hpp"
#include "../harness/host.hpp"
#include "../harness/plan.hpp"
#include "../harness/program.hpp"
#include "../harness/progress.hpp"
#include "../harness/result.hpp"
#include "../harness/table.hpp"
#include "../harness/verdicts.hpp"
#include "../latency/loaders.hpp"
#include "../latency/neighbour.hpp"
#include "../latency/sweep.hpp"
#include "between.hpp"
#include "command.hpp"

#include <CLI/CLI.hpp>
#include <fmt/chrono.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace bench {
namespace {

struct latency_options {
  sweep_settings how;
  std::vector<std::string> peers, programs;
  std::vector<double> gaps_us;
  double limit_us = 0;  // of p99
  bool quick = false, idle = false, noisy = false;
  std::string out;
};

// Between tasks of an idle pool; a spin ends somewhere in between.
const std::vector<double> usual_gaps_us = {10, 30, 100, 300, 1000, 10000};

struct found_peers {
  std::vector<load_peer> all;
  std::vector<std::string> troubles;
};

void list_of(const std::string& program, found_peers& f) {
  const program_end end = run_program({program, "list"}, 10);
  std::string why = end.failure;
  if (why.empty()) try {
      std::istringstream in(end.out);
      for (std::string line; std::getline(in, line);) {
        if (line.empty()) continue;
        const auto j = nlohmann::json::parse(line);
        if (j.at("case") == "latency/load") f.all.push_back({j.at("peer"), j.value("version", ""), program});
      }
    } catch (const std::exception& e) { why = e.what(); }
  if (!why.empty()) f.troubles.push_back(program + " list: " + why);
}

found_peers find_peers(const latency_options& o) {
  found_peers f;
  for (const peer_entry& e : peers())  // weir first
    for (const loader& l : loaders())
      if (l.peer == e.name) f.all.push_back({l.peer, e.version, this_program()});
  std::vector<std::string> programs = programs_beside();
  programs.insert(programs.end(), o.programs.begin(), o.programs.end());
  for (const std::string& p : programs) list_of(p, f);

  if (o.peers.empty()) {
    // The limit of waking is no pool: it stands beside the others where waking alone is measured.
    if (!o.idle) std::erase_if(f.all, [](const load_peer& p) { return p.name == "raw_futex"; });
    return f;
  }
  std::vector<std::string> known;
  for (const load_peer& p : f.all) known.push_back(p.name);
  for (const std::string& wanted : o.peers)
    if (std::find(known.begin(), known.end(), wanted) == known.end())
      f.troubles.push_back(fmt::format("no peer that takes tasks from outside is named '{}' here; there are {}", wanted,
                                       fmt::join(known, ", ")));
  std::erase_if(
      f.all, [&o](const load_peer& p) { return std::find(o.peers.begin(), o.peers.end(), p.name) == o.peers.end(); });
  return f;
}

std::string us_text(double us) { return number(us); }

std::string rate_text(double tasks_a_second) {
  return tasks_a_second >= 10e3 ? fmt::format("{:.1f} k", tasks_a_second / 1e3) : number(tasks_a_second);
}

// With a star where a tenth of it or more may be the generator's.
std::string quantile_text(const load_step& s, double q) {
  if (s.got.whole.beyond(q) < 10) return "";
  const double us = static_cast<double>(s.got.whole.at(q)) * 1e-3, lag = static_cast<double>(s.got.lag.at(q)) * 1e-3;
  return us_text(us) + (lag > us / 10 ? "*" : "");
}

std::vector<std::string> cells(const load_step& s, const latency_options& o) {
  const auto p99 = [](const histogram& h) { return us_text(static_cast<double>(h.at(0.99)) * 1e-3); };
  std::string first = o.idle          ? fmt::format("{} µs", number(1e6 / s.rate))
                      : s.percent > 0 ? fmt::format("{} %", number(s.percent))
                                      : "";
  std::string note;
  for (const auto& [round, why] : s.bad) note = why;
  if (s.bad.size() > 1) note += fmt::format(" (and {} rounds more)", s.bad.size() - 1);
  if (!s.good()) return {first, rate_text(s.rate), "", "", "", "", "", "", "", "", "", "", "", note};
  if (s.saturated(o.how.seconds)) note = note.empty() ? "saturated" : "saturated; " + note;
  const load_reading& r = s.got;
  return {first,
          rate_text(s.rate),
          quantile_text(s, 0.5),
          quantile_text(s, 0.9),
          quantile_text(s, 0.99),
          quantile_text(s, 0.999),
          quantile_text(s, 0.9999),
          p99(r.waited),
          p99(r.ran),
          p99(r.cost),
          p99(r.lag),
          fmt::format("{:.2f}", r.cpu_s / r.wall_s),
          number((r.voluntary + r.involuntary) / r.tasks),
          note};
}

void print_line(const load_line& line, const latency_options& o) {
  fmt::print("\n{} {}", line.peer.name, line.peer.version);
  if (line.capacity > 0) fmt::print(", {} tasks/s at most", rate_text(line.capacity));
  if (line.capacity_after > 0) fmt::print(", afterwards {}", rate_text(line.capacity_after));
  fmt::print("\n");
  if (!line.trouble.empty()) return fmt::print("  not measured: {}\n", line.trouble);
  if (line.steps.empty()) return;
  table t;
  t.text_columns = 1;
  t.head = {o.idle ? "gap" : "load",
            "tasks/s",
            "p50",
            "p90",
            "p99",
            "p99.9",
            "p99.99",
            "waited p99",
            "ran p99",
            "submit p99",
            "lag p99",
            "CPU",
            "switches/task",
            ""};
  for (const load_step& s : line.steps) t.rows.push_back(cells(s, o));
  fmt::print("{}", draw(t, look::terminal));
  if (o.idle || line.capacity <= 0) return;
  if (const int k = knee_of(line.steps); k >= 0) {
    const load_step& s = line.steps[static_cast<std::size_t>(k)];
    fmt::print("knee at {} % ({} tasks/s): from there on p99 grows faster than throughput\n", number(s.percent),
               rate_text(s.rate));
  }
  if (o.limit_us > 0) {
    const int k = last_within(line.steps, o.limit_us);
    if (k < 0) fmt::print("p99 is above {} µs at every load\n", us_text(o.limit_us));
    else
      fmt::print("p99 is at most {} µs up to {} %\n", us_text(o.limit_us),
                 number(line.steps[static_cast<std::size_t>(k)].percent));
  }
  if (line.capacity_after > 0 && std::fabs(line.capacity_after / line.capacity - 1) > 0.1)
    fmt::print(
        "the capacity changed by {:+.0f} % meanwhile: the host is not steady, and the loads are off by as much\n",
        100 * (line.capacity_after / line.capacity - 1));
}

row row_of(const load_line& line, const load_step& s, const latency_options& o) {
  row x;
  x.peer = line.peer.name;
  x.workers = o.how.workers;
  situation& what = x.what;
  what.suite = "latency";
  what.task = fmt::format("a task of {} µs", number(o.how.service_us));
  // At a share of each one's own capacity peers do different things: that is no comparison.
  what.compared.clear();
  if (o.idle || s.percent <= 0 || o.how.same_rates) what.compared = {"p50_us", "p99_us"};
  if (o.idle) {
    what.name = fmt::format("gap_{:g}us", 1e6 / s.rate);
    what.axis = "gap, µs";
    what.x = 1e6 / s.rate;
  } else if (s.percent > 0) {
    what.name = fmt::format("load_{:g}", s.percent);
    what.axis = o.how.same_rates ? "load, % of the first peer's capacity" : "load, % of its capacity";
    what.x = s.percent;
  } else {
    what.name = fmt::format("rate_{:g}", s.rate);
    what.axis = "tasks a second";
    what.x = s.rate;
  }
  what.size = static_cast<std::uint64_t>(s.rate);
  for (std::size_t i = 0; i < s.rounds.size(); ++i) x.add(s.rounds[i], s.each[i], std::nan(""));
  for (const auto& [round, why] : s.bad) x.failures.push_back({round, why});
  return x;
}

void fill(result& r, const sweep_result& got, const latency_options& o) {
  r.rows.clear();
  for (const load_line& line : got.lines) {
    if (!line.trouble.empty()) r.warnings.push_back(line.peer.name + ": " + line.trouble);
    for (const load_step& s : line.steps)
      if (s.good() || !s.bad.empty()) r.rows.push_back(row_of(line, s, o));
    if (line.capacity > 0)
      r.environment["capacity of " + line.peer.name] = fmt::format("{:.0f} tasks/s", line.capacity);
  }
  r.ratios = all_ratios(r.rows);
  r.complete = got.complete;
}

// Where everything runs; the cores of the workers are inherited by whatever is started from here.
std::string settle(latency_options& o) {
  const std::vector<int> all = allowed_cores();
  const placement p = place(all, o.how.workers);
  o.how.generator_core = p.generator;
  stay_on(p.workers);
  if (p.generator < 0) return "the cores are not known: nothing is pinned";
  if (p.shared)
    return fmt::format(
        "{} workers on {} cores: the generator shares core {} with a worker, and its lag tells how much that costs",
        o.how.workers, all.size(), p.generator);
  return fmt::format("{} workers on {} of {} cores; the generator has core {} to itself", o.how.workers,
                     p.workers.size(), all.size(), p.generator);
}

int latency(latency_options& o) {
  if (o.idle) {
    o.how.rates.clear();
    for (const double us : o.gaps_us) o.how.rates.push_back(1e6 / us);
    o.how.arrivals = arrival_kind::constant;
    o.how.service_us = 0;
  }
  std::sort(o.how.loads.begin(), o.how.loads.end());
  if (o.how.seed == 0) o.how.seed = std::random_device{}();

  const interrupts watch;
  found_peers who = find_peers(o);
  for (const std::string& t : who.troubles) fmt::print(stderr, "weir-bench: {}\n", t);
  if (who.all.empty()) {
    fmt::print(stderr, "weir-bench: nothing to measure: no peer fits\n");
    return 2;
  }
  result r;
  r.command = command_line();
  r.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  r.quick = o.quick;
  r.environment = environment();
  r.warnings = who.troubles;
  if (const std::string warning = not_idle(); !warning.empty()) r.warnings.push_back(warning);
  for (const load_peer& p : who.all) r.peers[p.name] = p.version;
  const std::string where = settle(o);
  r.environment["placement"] = where;
  r.environment["seed"] = std::to_string(o.how.seed);
  if (o.noisy) r.environment["neighbour"] = "a process that burns a core of the workers";
  if (!o.out.empty()) save(r, o.out);  // better now than at the end

  fmt::print("{}\n", machine(r.environment));
  for (const std::string& w : r.warnings) fmt::print("{}\n", w);
  fmt::print("{}\n{} µs of work a task, {} s a step, {} rounds in random order; times in µs from the intended start\n",
             where, number(o.how.service_us), number(o.how.seconds), o.how.rounds);
  std::fflush(stdout);

  const double began = seconds_now();
  sweep_result got;
  {
    std::optional<neighbour> noise;
    if (o.noisy) noise.emplace(allowed_cores());
    if (noise) fmt::print("a neighbour burns core {}\n", noise->core());
    progress line;
    got = sweep(
        who.all, o.how,
        [&o](const std::vector<std::string>& command) {
          program_end end = run_program(command, 60 + 3 * o.how.seconds);
          return load_answer{std::move(end.out), std::move(end.failure), end.interrupted};
        },
        [&line](const std::string& what, double left_s) { line.show(what, left_s); });
  }
  r.seconds = seconds_now() - began;
  for (const load_line& line : got.lines) print_line(line, o);
  fmt::print(
      "\nwaited: intended start to start. ran: its own work, preemption included. submit: the call. lag: the "
      "generator's own\n"
      "lateness; more than {:g} µs at p99 make a run void. CPU: cores, without the generator's. *: a tenth of it or "
      "more may be "
      "lag.\n",
      o.how.lag_budget_us);
  fill(r, got, o);
  if (!o.out.empty()) save(r, o.out);
  if (!got.complete) {
    fmt::print("interrupted: what is above was measured until then\n");
    return 130;
  }
  const bool failed = std::any_of(got.lines.begin(), got.lines.end(), [](const load_line& l) {
    return !l.trouble.empty() ||
           std::any_of(l.steps.begin(), l.steps.end(), [](const load_step& s) { return !s.good(); });
  });
  return failed || !who.troubles.empty() ? 1 : 0;
}

}  // namespace

void add_latency(CLI::App& app, int& status) {
  const std::map<std::string, arrival_kind> kinds = {
      {"constant", arrival_kind::constant}, {"poisson", arrival_kind::poisson}, {"bursts", arrival_kind::bursts}};
  auto o = std::make_shared<latency_options>();
  o->how.workers = std::max(1u, std::min(64u, cores()) - 1);
  CLI::App* sub =
      app.add_subcommand("latency", "Tasks that arrive whether or not earlier ones have ended: latency by load");
  sub->add_option("--peers", o->peers, "only these")->delimiter(',');
  CLI::Option* loads =
      sub->add_option("--loads", o->how.loads, "percent of capacity (10, 20, … 90, 95; quick: 10,50,80,95)")
          ->delimiter(',')
          ->check(between(0.1, 200.0));
  CLI::Option* rates = sub->add_option("--rate", o->how.rates, "tasks a second in the place of loads")
                           ->delimiter(',')
                           ->check(between(0.1, 1e8));
  loads->excludes(rates);
  sub->add_flag("--same-rates", o->how.same_rates, "loads of the first peer's capacity for all: these can be compared");
  CLI::Option* idle =
      sub->add_flag("--idle", o->idle, "wake from idleness: single tasks without work of their own, by gap");
  idle->excludes(loads)->excludes(rates);
  CLI::Option* gaps = sub->add_option("--gaps", o->gaps_us, "with --idle: microseconds (10,30,100,300,1000,10000)")
                          ->delimiter(',')
                          ->check(between(1.0, 1e6))
                          ->needs(idle);
  CLI::Option* service = sub->add_option("--service-us", o->how.service_us, "each task's own work")
                             ->check(between(0.0, 1e6))
                             ->capture_default_str();
  idle->excludes(service);
  sub->add_option("--arrivals", o->how.arrivals, "constant, poisson (as it is) or bursts")
      ->transform(CLI::CheckedTransformer(kinds));
  sub->add_option("--burst", o->how.burst, "tasks of a burst")
      ->check(CLI::Range(1u, 1'000'000u))
      ->capture_default_str();
  CLI::Option* seconds =
      sub->add_option("--seconds", o->how.seconds, "a step (1; quick: 0.2)")->check(between(0.01, 3600.0));
  CLI::Option* rounds =
      sub->add_option("--rounds", o->how.rounds, "of all steps (3; quick: 1)")->check(CLI::Range(1u, 1000u));
  sub->add_option("--workers", o->how.workers, "of each peer (one less than cores)")->check(CLI::Range(1u, 256u));
  sub->add_flag("--neighbour", o->noisy, "another process burns a core of the workers meanwhile");
  sub->add_option("--lag-budget-us", o->how.lag_budget_us, "of the generator, at p99; beyond it a run is void")
      ->check(between(0.0, 1e9))
      ->capture_default_str();
  sub->add_option("--limit-us", o->limit_us, "tell up to which load p99 stays below")->check(between(0.0, 1e9));
  sub->add_option("--program", o->programs, "one more program that speaks the protocol of bench/README.md");
  sub->add_option("--seed", o->how.seed, "of arrivals and order (0: another each time)")->capture_default_str();
  sub->add_flag("--quick", o->quick, "few short steps");
  sub->add_option("-o,--output", o->out, "where the result is written, as JSON");
  sub->callback([o, loads, gaps, seconds, rounds, &status] {
    if (loads->count() == 0) {
      if (o->quick) o->how.loads = {10, 50, 80, 95};
      else o->how.loads = {10, 20, 30, 40, 50, 60, 70, 80, 90, 95};
    }
    if (gaps->count() == 0) o->gaps_us = usual_gaps_us;
    if (seconds->count() == 0) o->how.seconds = o->quick ? 0.2 : 1;
    if (rounds->count() == 0) o->how.rounds = o->quick ? 1 : 3;
    status = latency(*o);
  });
}

}  // namespace bench
