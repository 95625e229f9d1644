#include "sweep.hpp"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <exception>
#include <random>
#include <stdexcept>
#include <utility>

namespace bench {
namespace {

const char* name_of(arrival_kind k) {
  switch (k) {
    case arrival_kind::constant: return "constant";
    case arrival_kind::poisson: return "poisson";
    case arrival_kind::bursts: return "bursts";
  }
  return "";
}

void add(load_reading& sum, const load_reading& r) {
  sum.tasks += r.tasks;
  sum.wall_s += r.wall_s;
  sum.drained_s += r.drained_s;
  sum.cpu_s += r.cpu_s;
  sum.voluntary += r.voluntary;
  sum.involuntary += r.involuntary;
  sum.waited.merge(r.waited);
  sum.ran.merge(r.ran);
  sum.whole.merge(r.whole);
  sum.cost.merge(r.cost);
  sum.behind.merge(r.behind);
  sum.lag.merge(r.lag);
}

double p99_us(const load_step& s) { return static_cast<double>(s.got.whole.at(0.99)) * 1e-3; }

class session {
 public:
  session(const std::vector<load_peer>& peers, const sweep_settings& s, const load_starter& start,
          const load_progress& tell)
      : s_(s), start_(start), tell_(tell), random_(s.seed) {
    for (const load_peer& p : peers) r_.lines.push_back({.peer = p});
    const std::size_t steps = s.rates.empty() ? s.loads.size() : s.rates.size();
    left_ = static_cast<double>(peers.size() * steps * s.rounds) * step_s() +
            (s.rates.empty() ? 2 * static_cast<double>(peers.size()) * capacity_s() : 0);
  }

  sweep_result run() {
    if (s_.rates.empty()) capacities(&load_line::capacity);
    for (load_line& line : r_.lines) plan(line);
    for (unsigned round = 0; round < s_.rounds && r_.complete; ++round) whole_round(round);
    if (s_.rates.empty() && r_.complete) capacities(&load_line::capacity_after);
    return std::move(r_);
  }

 private:
  // A process starts, calibrates and warms up in about 0.15 s.
  double step_s() const { return s_.seconds + 0.15; }
  double capacity_s() const { return std::clamp(s_.seconds, 0.1, 0.5) + 0.15; }

  std::vector<std::string> command(const load_peer& p, const char* verb) const {
    return {p.program,          verb,
            "--peer",           p.name,
            "--workers",        std::to_string(s_.workers),
            "--service-us",     fmt::format("{}", s_.service_us),
            "--generator-core", std::to_string(s_.generator_core)};
  }

  load_answer ask(const std::vector<std::string>& words, const std::string& what, double took) {
    tell_(what, left_);
    left_ = std::max(0.0, left_ - took);
    load_answer a = start_(words);
    if (a.interrupted) r_.complete = false;
    return a;
  }

  void capacities(double load_line::*into) {
    std::vector<load_line*> order;
    for (load_line& line : r_.lines)
      if (line.trouble.empty()) order.push_back(&line);
    std::shuffle(order.begin(), order.end(), random_);
    for (load_line* line : order) {
      if (!r_.complete) return;
      auto words = command(line->peer, "capacity");
      words.insert(words.end(), {"--seconds", fmt::format("{}", std::clamp(s_.seconds, 0.1, 0.5))});
      const load_answer a = ask(words, line->peer.name + ": capacity", capacity_s());
      if (a.interrupted) return;
      std::string why = a.failure;
      if (why.empty()) try {
          const auto rate = nlohmann::json::parse(a.out).at("tasks_per_s").get<double>();
          if (std::isfinite(rate) && rate > 0) line->*into = rate;
          else why = "it got nothing done";
        } catch (const std::exception& e) { why = std::string("said something that is no capacity: ") + e.what(); }
      if (!why.empty() && into == &load_line::capacity) line->trouble = why;
    }
  }

  void plan(load_line& line) {
    if (!line.trouble.empty()) return;
    for (const double rate : s_.rates) line.steps.push_back({.rate = rate});
    if (!s_.rates.empty()) return;
    const auto known = [](const load_line& l) { return l.capacity > 0; };
    const auto first = std::find_if(r_.lines.begin(), r_.lines.end(), known);
    const double capacity = s_.same_rates && first != r_.lines.end() ? first->capacity : line.capacity;
    if (capacity <= 0) return;  // interrupted
    for (const double percent : s_.loads) line.steps.push_back({.percent = percent, .rate = capacity * percent / 100});
  }

  void whole_round(unsigned round) {
    std::vector<std::pair<load_line*, load_step*>> order;
    for (load_line& line : r_.lines)
      for (load_step& step : line.steps) order.emplace_back(&line, &step);
    std::shuffle(order.begin(), order.end(), random_);
    for (const auto& [line, step] : order) {
      if (!r_.complete) return;
      auto words = command(line->peer, "load");
      words.insert(words.end(), {"--rate", fmt::format("{}", step->rate), "--seconds", fmt::format("{}", s_.seconds),
                                 "--arrivals", name_of(s_.arrivals), "--burst", std::to_string(s_.burst), "--seed",
                                 std::to_string(s_.seed + round)});
      const std::string where =
          step->percent > 0 ? fmt::format("{} %", step->percent) : fmt::format("{:.0f}/s", step->rate);
      const load_answer a = ask(words, fmt::format("round {}, {} at {}", round + 1, line->peer.name, where), step_s());
      if (a.interrupted) return;
      std::string why = a.failure;
      load_reading got;
      if (why.empty()) try {
          got = nlohmann::json::parse(a.out).get<load_reading>();
          why = why_void(got, s_.lag_budget_us);
        } catch (const std::exception& e) { why = std::string("said something that is no reading: ") + e.what(); }
      if (!why.empty()) {
        step->bad[round] = why;
        continue;
      }
      step->rounds.push_back(round);
      add(step->got, got);
      step->each.push_back(as_reading(got, step->rate * s_.seconds));
    }
  }

  const sweep_settings& s_;
  const load_starter& start_;
  const load_progress& tell_;
  std::mt19937_64 random_;
  sweep_result r_;
  double left_ = 0;
};

}  // namespace

bool load_step::saturated(double seconds) const noexcept {
  return good() && got.wall_s > 1.05 * seconds * static_cast<double>(rounds.size());
}

std::string why_void(const load_reading& r, double lag_budget_us) {
  if (r.whole.count() == 0) return "void: no task was counted; it was too short";
  const double lag = static_cast<double>(r.lag.at(0.99)) * 1e-3;
  if (lag <= lag_budget_us) return "";
  return fmt::format("void: the generator lagged by {:.1f} µs at p99, and {:g} µs are allowed", lag, lag_budget_us);
}

int knee_of(const std::vector<load_step>& steps) {
  int best = -1;
  double most = 0;
  std::size_t good = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    if (!steps[i].good() || steps[i].got.wall_s <= 0) continue;
    ++good;
    const double power = steps[i].got.tasks / steps[i].got.wall_s / std::max(p99_us(steps[i]), 1e-3);
    if (power > most) most = power, best = static_cast<int>(i);
  }
  return good >= 3 ? best : -1;
}

int last_within(const std::vector<load_step>& steps, double limit_us) {
  int last = -1;
  for (std::size_t i = 0; i < steps.size() && steps[i].good() && p99_us(steps[i]) <= limit_us; ++i)
    last = static_cast<int>(i);
  return last;
}

std::vector<double> shown_quantiles(const histogram& h) {
  std::vector<double> shown;
  for (const double q : {0.5, 0.9, 0.99, 0.999, 0.9999})
    if (h.beyond(q) >= 10) shown.push_back(q);
  return shown;
}

reading as_reading(const load_reading& r, double expected_tasks) {
  reading a;
  a.tasks = r.tasks;
  a.wall_s = r.wall_s;
  a.cpu_s = r.cpu_s;
  a.voluntary = r.voluntary;
  a.involuntary = r.involuntary;
  const auto us = [](const histogram& h, double q) { return static_cast<double>(h.at(q)) * 1e-3; };
  constexpr std::array<std::pair<const char*, double>, 5> named = {
      {{"p50_us", 0.5}, {"p90_us", 0.9}, {"p99_us", 0.99}, {"p999_us", 0.999}, {"p9999_us", 0.9999}}};
  for (const auto& [name, q] : named)
    if (r.whole.beyond(q) >= 10) a.metrics[name] = us(r.whole, q);
  a.metrics["waited_p99_us"] = us(r.waited, 0.99);
  a.metrics["ran_p99_us"] = us(r.ran, 0.99);
  a.metrics["submit_p99_us"] = us(r.cost, 0.99);
  a.metrics["lag_p99_us"] = us(r.lag, 0.99);
  a.metrics["switches"] = r.tasks > 0 ? (r.voluntary + r.involuntary) / r.tasks : 0;
  // A tenth is the warm-up, and a Poisson process may bring a few less.
  const double sure = 0.9 * expected_tasks - 5 * std::sqrt(expected_tasks);
  for (const double q : {0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99, 0.995, 0.999, 0.9995, 0.9999})
    if (sure * (1 - q) >= 10) a.curves["latency_us"].push_back({q, us(r.whole, q)});
  return a;
}

sweep_result sweep(const std::vector<load_peer>& peers, const sweep_settings& s, const load_starter& start,
                   const load_progress& tell) {
  return session(peers, s, start, tell).run();
}

}  // namespace bench
