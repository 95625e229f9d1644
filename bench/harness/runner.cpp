#include "runner.hpp"

#include "clock.hpp"
#include "host.hpp"
#include "program.hpp"
#include "verdicts.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <random>
#include <tuple>
#include <utility>

namespace bench {
namespace {

constexpr unsigned most_failures = 2;  // in a row; then that entrant is left out

std::string name_of(const entrant& e) {
  return fmt::format("{}/{} {} {}", e.what.suite, e.what.name, e.peer, e.workers);
}

// The cases in random order, in each the numbers of workers, and with each of these the peers: a host drifts within seconds, so those that
// are compared stand together. That alone does not tell 3 % apart, many short blocks do: see bench/README.md.
std::vector<std::size_t> random_order(const std::vector<entrant>& all, std::mt19937_64& random) {
  std::map<std::pair<std::string, std::string>, std::uint64_t> of_case;
  std::map<std::tuple<std::string, std::string, unsigned>, std::uint64_t> of_workers;
  using rank = std::tuple<std::uint64_t, std::uint64_t, std::uint64_t>;
  std::vector<rank> ranks;
  for (const entrant& e : all) {
    const std::uint64_t first = of_case.try_emplace({e.what.suite, e.what.name}, random()).first->second;
    const std::uint64_t second = of_workers.try_emplace({e.what.suite, e.what.name, e.workers}, random()).first->second;
    ranks.emplace_back(first, second, random());
  }
  std::vector<std::size_t> order(all.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return ranks[a] < ranks[b]; });
  return order;
}

class session {
 public:
  session(const plan& p, const run_settings& s, const block_starter& start, const run_events& tell, result& r)
      : plan_(p),
        settings_(s),
        start_(start),
        tell_(tell),
        r_(r),
        took_(p.entrants.size(), 0),
        failed_(p.entrants.size(), 0) {
    for (const entrant& e : p.entrants) {
      row x;
      x.what = e.what;
      x.peer = e.peer;
      x.workers = e.workers;
      r_.rows.push_back(std::move(x));
    }
  }

  void run() {
    std::mt19937_64 random(settings_.seed);
    began_ = seconds_now();
    best_probe_ = clock_probe();
    for (unsigned round = 0; round < settings_.rounds && r_.complete; ++round) {
      const double spent = seconds_now() - began_;
      if (round > 0 && spent + round_s_ > settings_.limit_s) {
        r_.warnings.push_back(fmt::format("{} of {} rounds: more would have taken longer than {:.0f} s", round,
                                          settings_.rounds, settings_.limit_s));
        break;
      }
      rounds_left_ = settings_.rounds - round;
      round_check check = one_try(round, random);
      const double later = seconds_now() - began_ + round_s_ * rounds_left_;
      const bool repeat = r_.complete && !check.disturbed.empty() && later <= settings_.limit_s;
      if (tell_.round) tell_.round(r_, check, repeat);
      if (repeat) {
        const auto first = std::exchange(ends_, {});
        const round_check again = one_try(round, random);
        if (r_.complete) check = again;  // interrupted within the second: the first is whole
        else ends_ = first;
        check.tries = 2;
        if (tell_.round) tell_.round(r_, check, false);
      }
      keep(round, check);
    }
  }

 private:
  // Every entrant once; what they returned is in ends_.
  round_check one_try(unsigned round, std::mt19937_64& random) {
    std::vector<std::size_t> order = random_order(plan_.entrants, random);
    std::erase_if(order, [this](std::size_t i) { return failed_[i] >= most_failures; });
    ends_.clear();
    const host_times before = host_times::now();
    double probe = clock_probe();
    for (std::size_t n = 0; n < order.size(); ++n) {
      const entrant& e = plan_.entrants[order[n]];
      if (seconds_now() - began_ > settings_.limit_s) {
        r_.warnings.push_back(
            fmt::format("round {} was cut short at the limit of {:.0f} s", round + 1, settings_.limit_s));
        break;
      }
      if (tell_.block) tell_.block(e, round, n, left(order, n));
      const double t = seconds_now();
      block_end end = start_(e, settings_);
      if (end.interrupted || interrupts::seen()) {
        r_.complete = false;
        if (end.interrupted) break;
      }
      took_[order[n]] = seconds_now() - t;
      ends_.emplace_back(order[n], std::move(end));
      if (!r_.complete) break;
    }
    probe = std::max(probe, clock_probe());
    best_probe_ = std::min(best_probe_, probe);
    const host_times after = host_times::now();
    const host_stretch s = between(before, after, cores());
    round_s_ = after.wall_s - before.wall_s;
    round_check c;
    c.round = round;
    c.seconds = round_s_;
    c.others = s.others;
    c.steal = s.steal;
    c.throttled_s = s.throttled_s;
    c.speed = best_probe_ / probe;
    c.disturbed = disturbance(s, c.speed);
    return c;
  }

  void keep(unsigned round, const round_check& check) {
    for (auto& [i, end] : ends_) {
      row& x = r_.rows[i];
      if (end.failure.empty()) {
        x.add(round, end.got, end.peak_bytes);
        failed_[i] = 0;
        continue;
      }
      x.failures.push_back({round, end.failure});
      if (++failed_[i] == most_failures)
        r_.warnings.push_back(name_of(plan_.entrants[i]) + " was given up: " + end.failure);
    }
    r_.rounds.push_back(check);
  }

  // What is still to come, from what each took the last time or all took on average.
  double left(const std::vector<std::size_t>& order, std::size_t next) const {
    double known = 0, count = 0;
    for (const double t : took_) known += t, count += t > 0 ? 1 : 0;
    const double mean = count > 0 ? known / count : settings_.seconds * 2.5;
    const auto of = [&](std::size_t i) { return took_[i] > 0 ? took_[i] : mean; };
    double here = 0, whole = 0;
    for (std::size_t n = 0; n < order.size(); ++n) {
      whole += of(order[n]);
      if (n >= next) here += of(order[n]);
    }
    return std::min(here + whole * (rounds_left_ - 1), settings_.limit_s - (seconds_now() - began_));
  }

  const plan& plan_;
  const run_settings& settings_;
  const block_starter& start_;
  const run_events& tell_;
  result& r_;
  std::vector<double> took_;
  std::vector<unsigned> failed_;
  std::vector<std::pair<std::size_t, block_end>> ends_;
  double began_ = 0, best_probe_ = 0, round_s_ = 0;
  unsigned rounds_left_ = 0;
};

void warn(result& r) {
  const auto bad =
      std::count_if(r.rounds.begin(), r.rounds.end(), [](const round_check& c) { return !c.disturbed.empty(); });
  if (bad > 0)
    r.warnings.push_back(fmt::format("{} of {} rounds were disturbed, the last time because {}", bad, r.rounds.size(),
                                     std::find_if(r.rounds.rbegin(), r.rounds.rend(), [](const round_check& c) {
                                       return !c.disturbed.empty();
                                     })->disturbed));
  if (r.rounds.size() < least_rounds)
    r.warnings.push_back(fmt::format("verdicts need {} rounds; there are {}", least_rounds, r.rounds.size()));
  if (!r.complete) r.warnings.emplace_back("interrupted: the last round is not whole");
}

}  // namespace

block_end start_block(const entrant& e, const run_settings& s) {
  std::vector<std::string> command = {e.program,
                                      "block",
                                      e.what.suite + "/" + e.what.name,
                                      "--peer",
                                      e.asked_for,
                                      "--workers",
                                      std::to_string(e.workers),
                                      "--size",
                                      std::to_string(e.what.size),
                                      "--seconds",
                                      fmt::format("{:.3f}", s.seconds)};
  if (s.quick) command.emplace_back("--quick");
  if (s.handicap > 0 && e.peer == "weir") command.insert(command.end(), {"--handicap", fmt::format("{}", s.handicap)});
  const program_end end = run_program(command, s.block_limit_s);
  block_end b;
  b.peak_bytes = end.peak_bytes;
  b.interrupted = end.interrupted;
  b.failure = end.failure;
  if (!b.failure.empty()) return b;
  try {
    b.got = nlohmann::json::parse(end.out).get<reading>();
  } catch (const std::exception& x) { b.failure = std::string("said something that is no reading: ") + x.what(); }
  return b;
}

double loop_seconds(const run_settings& s, std::size_t blocks) {
  if (s.seconds > 0) return s.seconds;
  // A third, for processes start, runtimes warm up, and Google Benchmark searches for the number of turns.
  const double share = s.limit_s / 3 / static_cast<double>(std::max<std::size_t>(1, blocks)) / s.rounds;
  return std::clamp(share, 0.02, s.quick ? 0.15 : 0.5);
}

void measure(const plan& p, const run_settings& s, const block_starter& start, const run_events& tell, result& r) {
  run_settings settled = s;
  settled.seconds = loop_seconds(s, p.entrants.size());
  r.quick = s.quick;
  r.complete = true;
  r.environment["seconds of a loop"] = fmt::format("{:.3f}", settled.seconds);
  r.environment["seed"] = std::to_string(s.seed);
  if (s.handicap > 0)
    r.warnings.push_back(
        fmt::format("weir was made {:g} % slower on purpose, to see whether that is found", s.handicap));
  session(p, settled, start, tell, r).run();
  std::erase_if(r.rows, [](const row& x) { return x.rounds.empty() && x.failures.empty(); });
  r.ratios = all_ratios(r.rows);
  warn(r);
}

}  // namespace bench
