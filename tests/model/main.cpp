// Runs the models.   model [options]
//   --list             names, facts, the sources that each may kill mutants of, the steps that a mutant may drop
//   --smoke            a twentieth of the executions     --scale X   so many times the executions
//   --only TEXT        models whose name contains TEXT   --mode pair|kernel|absent
//   --mutant M         FILE:LINE:OP:ORDER, FILE:LINE:OP:removed or drop:STEP; runs the models that name FILE (or the step)
//                      until one fails, cheap runs first. Exit status 0: killed. One line says by whom and when.
// Otherwise the exit status is 0 when all models hold; a failure prints its history.
#include "relacy.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

#include <sys/wait.h>
#include <unistd.h>

using namespace weir::detail;

namespace weir {
inline namespace v0 {
namespace detail {
namespace model {
std::vector<entry>& entries() {
  static std::vector<entry> all;
  return all;
}
}  // namespace model
}  // namespace detail
}  // namespace v0
}  // namespace weir

namespace {

using clock_type = std::chrono::steady_clock;
double seconds_since(clock_type::time_point t) { return std::chrono::duration<double>(clock_type::now() - t).count(); }

const char* name_of(model::fence_mode m) {
  return m == model::fence_mode::pair ? "pair" : m == model::fence_mode::kernel ? "kernel" : "absent";
}
const char* name_of(model::search s) { return s == model::search::random ? "random" : "bounded"; }

bool parse(std::string_view text, model::mutant& m) {
  if (text.substr(0, 5) == "drop:") return m.dropped = text.substr(5), true;
  const std::size_t a = text.find(':'), b = text.find(':', a + 1), c = text.find(':', b + 1);
  if (a == text.npos || b == text.npos || c == text.npos) return false;
  m.file = '/' + std::string(text.substr(0, a));
  m.line = static_cast<unsigned>(std::strtoul(std::string(text.substr(a + 1, b - a - 1)).c_str(), nullptr, 10));
  const std::string_view kind = text.substr(b + 1, c - b - 1), order = text.substr(c + 1);
  constexpr std::string_view kinds[] = {"load", "store", "exchange", "cas", "cas_failure", "fetch", "fence", "light_fence",
                                        "heavy_fence"};
  constexpr std::string_view orders[] = {"relaxed", "consume", "acquire", "release", "acq_rel", "seq_cst"};
  bool found = false;
  for (std::size_t i = 0; i < std::size(kinds); ++i)
    if (kind == kinds[i]) m.kind = static_cast<model::op>(i), found = true;
  if (!found) return false;
  if (order == "removed") return m.removed = true;
  for (std::size_t i = 0; i < std::size(orders); ++i)
    if (order == orders[i]) return m.order = static_cast<std::memory_order>(i), true;
  return false;
}

// 0: not named; otherwise the place in the list, so that the likeliest killer runs first.
unsigned place_in(std::string_view list, std::string_view word) {
  unsigned n = 0;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(';'), list.size());
    std::string_view item = list.substr(0, end);
    while (!item.empty() && item.front() == ' ') item.remove_prefix(1);
    ++n;
    if (item == word) return n;
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return 0;
}

struct options {
  double scale = 1;
  std::string only, mode;
};
bool wanted(const model::entry& e, const options& o) { return std::string_view(e.name).find(o.only) != std::string_view::npos; }
bool wanted(model::fence_mode m, const options& o) { return o.mode.empty() || o.mode == name_of(m); }
std::uint64_t scaled(std::uint64_t n, double by) {
  return std::max<std::uint64_t>(1, static_cast<std::uint64_t>(static_cast<double>(n) * by));
}

int run_all(const options& o) {
  int failures = 0;
  const auto t0 = clock_type::now();
  for (const model::entry& e : model::entries()) {
    if (!wanted(e, o)) continue;
    std::printf("%s: %s\n", e.name, e.fact);
    std::fflush(stdout);
    // A process each: what a failed execution leaves behind would disturb the next model.
    const pid_t child = fork();
    if (child != 0) {
      int status = 1;
      waitpid(child, &status, 0);
      failures += status != 0;
      continue;
    }
    for (const model::fence_mode m : e.modes) {
      if (!wanted(m, o)) continue;
      model::fences = m;
      for (const model::search how : {model::search::bounded, model::search::random}) {
        const std::uint64_t budget = how == model::search::bounded ? e.work.bounded : e.work.random;
        if (budget == 0) continue;
        const auto t1 = clock_type::now();
        const model::outcome r = e.run(how, 1, scaled(budget, o.scale), true);
        std::printf("  %-6s %-7s %9llu executions%-22s %5.1f s  %s\n", name_of(m), name_of(how),
                    static_cast<unsigned long long>(r.executions),
                    how == model::search::random ? ""
                    : r.exhausted ? (", all with " + std::to_string(e.work.preemptions) + " preempt.").c_str()
                                  : " (not all)",
                    seconds_since(t1), r.failed ? ("FAILED: " + r.why).c_str() : "ok");
        std::fflush(stdout);
        if (r.failed) std::_Exit(1);
      }
    }
    std::_Exit(0);
  }
  std::printf("%s in %.1f s\n", failures == 0 ? "ok" : "FAILED", seconds_since(t0));
  return failures == 0 ? 0 : 1;
}

int run_mutant(const options& o) {
  const auto t0 = clock_type::now();
  const model::mutant& m = model::the_mutant;
  std::vector<const model::entry*> chosen[9];
  for (const model::entry& e : model::entries()) {
    if (!wanted(e, o)) continue;
    const unsigned p = m.dropped.empty() ? place_in(e.files, std::string_view(m.file).substr(1)) : place_in(e.steps, m.dropped);
    if (p != 0) chosen[std::min(p, 8u)].push_back(&e);
  }
  std::uint64_t total = 0;
  struct round {
    model::search how;
    std::uint64_t first, last;  // 0: the budget
  };
  constexpr std::uint64_t quick = 1'000;
  for (const round r : {round{model::search::random, 1, quick}, round{model::search::bounded, 1, 2 * quick},
                        round{model::search::random, quick + 1, 0}, round{model::search::bounded, 1, 0}}) {
    for (const auto& group : chosen)
      for (const model::entry* e : group)
        for (const model::fence_mode mode : e->modes) {
          if (!wanted(mode, o)) continue;
          model::fences = mode;
          const std::uint64_t budget = scaled(r.how == model::search::random ? e->work.random : e->work.bounded, o.scale);
          const std::uint64_t last = r.last == 0 ? budget : std::min(r.last, budget);
          if (budget == 0 || r.first > last) continue;
          const model::outcome got = e->run(r.how, r.first, last, false);
          total += got.executions - r.first + 1;
          if (!got.failed) continue;
          std::printf("killed by %s, %s, %s, execution %llu: %s\t(%llu in all, %.2f s)\n", e->name, name_of(mode), name_of(r.how),
                      static_cast<unsigned long long>(got.executions), got.why.c_str(), static_cast<unsigned long long>(total),
                      seconds_since(t0));
          return 0;
        }
  }
  std::printf("survived %llu executions, reached %llu times\t(%.2f s)\n", static_cast<unsigned long long>(total),
              static_cast<unsigned long long>(m.reached), seconds_since(t0));
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  options o;
  bool mutated = false;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const auto value = [&] { return i + 1 < argc ? argv[++i] : ""; };
    if (a == "--list") {
      for (const model::entry& e : model::entries()) std::printf("%s\t%s\t%s\t%s\n", e.name, e.files, e.steps, e.fact);
      return 0;
    } else if (a == "--smoke") {
      o.scale = 0.05;
    } else if (a == "--scale") {
      o.scale = std::atof(value());
    } else if (a == "--only") {
      o.only = value();
    } else if (a == "--mode") {
      o.mode = value();
    } else if (a == "--mutant" && parse(value(), model::the_mutant)) {
      mutated = true;
    } else {
      std::fprintf(stderr, "model: cannot read %s; the head of tests/model/main.cpp tells the options\n", a.c_str());
      return 2;
    }
  }
  return mutated ? run_mutant(o) : run_all(o);
}
