// The public half: run, explore, thread, check.
#include "simulator.hpp"

#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <signal.h>
#include <unistd.h>

namespace weir {
inline namespace v0 {
namespace sim {

namespace {

const char* name_of(verdict v) noexcept {
  switch (v) {
    case verdict::ok: return "ok";
    case verdict::failed: return "failed";
    case verdict::deadlock: return "deadlock";
    default: return "livelock";
  }
}

// Names the run that a crash ends, then lets the crash happen.
constexpr int fatal[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT};
struct sigaction before[std::size(fatal)];

extern "C" void weir_sim_crashed(int signal) {
  if (inside() && active->opts.catch_crashes && !describing) active->fail(verdict::failed, "signal " + std::to_string(signal));
  if (active != nullptr) {
    char text[160];
    const int n = std::snprintf(text, sizeof text, "weir::sim: signal %d; seed %" PRIu64 "%s%s\n", signal, active->opts.seed,
                                active->opts.schedule.empty() ? "" : ", schedule ", active->opts.schedule.c_str());
    static_cast<void>(!write(2, text, static_cast<std::size_t>(n)));
  }
  for (std::size_t i = 0; i < std::size(fatal); ++i) sigaction(fatal[i], &before[i], nullptr);
  if (signal == SIGABRT) raise(signal);  // the others happen again when this returns
}

class crash_handlers {
 public:
  crash_handlers() noexcept {
    struct sigaction a{};
    a.sa_handler = &weir_sim_crashed;
    a.sa_flags = SA_NODEFER;
    for (std::size_t i = 0; i < std::size(fatal); ++i) sigaction(fatal[i], &a, &before[i]);
  }
  ~crash_handlers() {
    for (std::size_t i = 0; i < std::size(fatal); ++i) sigaction(fatal[i], &before[i], nullptr);
  }
  crash_handlers(const crash_handlers&) = delete;
};

void print(const options& o, const result& r) {
  if (!o.print) return;
  std::fprintf(stderr, "weir::sim: %s after %" PRIu64 " steps; again with WEIR_SIM_SEED=%" PRIu64 "%s%s%s\n%s", name_of(r.what),
               r.steps, r.seed, o.how == scheduler::bounded ? " WEIR_SIM_SCHEDULE='" : "",
               o.how == scheduler::bounded ? r.schedule.c_str() : "", o.how == scheduler::bounded ? "'" : "", r.report.c_str());
}

void announce(const options& o) {
  static const bool verbose = std::getenv("WEIR_SIM_VERBOSE") != nullptr;
  if (verbose) std::fprintf(stderr, "weir::sim: seed %" PRIu64 " %s\n", o.seed, o.schedule.c_str());
}

result run_once(const options& o, const std::function<void()>& body, std::vector<std::uint8_t>* alternatives) {
  if (active != nullptr) {
    std::fputs("weir::sim: runs do not nest\n", stderr);
    std::abort();
  }
  announce(o);
  // A failed run leaves threads behind that may look at it.
  auto s = std::make_unique<simulator>(o);
  result r;
  {
    const crash_handlers handlers;
    r = s->run(body);
  }
  if (alternatives != nullptr) *alternatives = std::move(s->alternatives);
  if (!r) print(o, r);
  return r;
}

// All schedules with at most `budget` deviations more after those in o.schedule.
bool descend(exploration& e, options o, std::vector<deviation> prefix, unsigned budget, std::uint64_t most,
             const std::function<void()>& body) {
  if (e.runs >= most) return false;
  o.schedule = to_string(prefix);
  std::vector<std::uint8_t> alternatives;
  result r = run_once(o, body, &alternatives);
  ++e.runs;
  e.steps += r.steps;
  if (!r) {
    e.failure = std::move(r);
    return false;
  }
  if (budget == 0) return true;
  const std::size_t first = prefix.empty() ? 0 : prefix.back().at + 1;
  prefix.push_back({});
  for (std::size_t at = first; at < alternatives.size(); ++at)
    for (unsigned skip = 1; skip <= std::min<unsigned>(budget, alternatives[at]); ++skip) {
      prefix.back() = {static_cast<std::uint32_t>(at), skip};
      if (!descend(e, o, prefix, budget - skip, most, body)) return false;
    }
  return true;
}

}  // namespace

result run(const options& o, const std::function<void()>& body) { return run_once(o, body, nullptr); }

exploration explore(std::uint64_t n, const std::function<void()>& body, options o) {
  exploration e;
  const char* const seed = std::getenv("WEIR_SIM_SEED");
  const char* const schedule = std::getenv("WEIR_SIM_SCHEDULE");
  if (seed != nullptr) o.seed = std::strtoull(seed, nullptr, 10), n = 1;
  if (o.how == scheduler::bounded && schedule == nullptr && o.schedule.empty()) {
    for (unsigned budget = 0; budget <= o.depth; ++budget) {  // what needs few deviations is found first
      e.complete = descend(e, o, {}, budget, n, body);
      if (!e.complete) break;
    }
    return e;
  }
  if (schedule != nullptr) o.schedule = schedule, n = 1;
  for (; e.runs < n; ++o.seed) {
    result r = run_once(o, body, nullptr);
    ++e.runs;
    e.steps += r.steps;
    if (!r) {
      e.failure = std::move(r);
      break;
    }
  }
  return e;
}

namespace {
void need_run(const char* what) noexcept {
  if (inside()) return;
  std::fprintf(stderr, "weir::sim: %s outside of a run\n", what);
  std::abort();
}
}  // namespace

thread::thread(std::function<void()> body, const char* name) {
  need_run("a thread");
  active->step(static_cast<std::uint8_t>(step_kind::start), name, 0);
  id_ = active->start(std::move(body), name);
}
thread& thread::operator=(thread&& o) noexcept {
  join();
  id_ = o.id_;
  o.id_ = 0;
  return *this;
}
void thread::join() noexcept {
  if (id_ == 0) return;
  need_run("a join");
  active->step(static_cast<std::uint8_t>(step_kind::join), "join", 0);
  active->join(id_);
  id_ = 0;
}

void check(bool holds, const char* what, const char* file, int line) {
  if (holds) return;
  const std::string text = std::string(file) + ":" + std::to_string(line) + ": not so: " + what;
  if (inside()) active->fail(verdict::failed, text);
  std::fprintf(stderr, "weir::sim: %s\n", text.c_str());
  std::abort();
}

void point(const char* file, int line) noexcept {
  if (inside() && !describing) active->step(static_cast<std::uint8_t>(step_kind::point), file, line);
}
bool running() noexcept { return inside(); }
std::uint64_t random() noexcept {
  need_run("random()");
  return active->random();
}

}  // namespace sim
}  // namespace v0
}  // namespace weir
