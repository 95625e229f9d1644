// The public runtime: checks its options, forwards to the core.
#include <weir/parallel.hpp>
#include <weir/runtime.hpp>

#include "worker.hpp"

#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

// Null when all is well, else what is wrong, for a reader.
const char* complaint(const options& o) noexcept {
  if (o.workers > max_slots) return "weir: options.workers is over 1024";
  if (o.max_workers > max_slots) return "weir: options.max_workers is over 1024";
  if (o.capacity == 0) return "weir: options.capacity is 0";
  if (o.capacity > (std::size_t{1} << 40)) return "weir: options.capacity is over 2^40";
  if (o.max_outstanding < o.capacity) return "weir: options.max_outstanding is less than options.capacity";
  if (o.full > on_full::discard) return "weir: options.full is no policy";
  if (o.pin > pinning::core) return "weir: options.pin is no pinning";
  if (o.spin.count() < 0 || o.spin.count() > 1'000'000) return "weir: options.spin is negative or over a second";
  if (o.starvation_bound < 4) return "weir: options.starvation_bound is less than 4";
  if (o.stack_size != 0 && o.stack_size < 64 * 1024) return "weir: options.stack_size is less than 64 KiB";
  if (o.codel_target.count() < 0 || o.codel_target.count() > 60'000'000) return "weir: options.codel_target is negative or over a minute";
  if (o.stall_after.count() < 0) return "weir: options.stall_after is negative";
  if (o.max_blocking == 0 || o.max_blocking > 65536) return "weir: options.max_blocking is not within 1 and 65536";
  if (o.blocking_capacity == 0) return "weir: options.blocking_capacity is 0";
  if (o.name == nullptr || o.name[0] == '\0') return "weir: options.name is empty";
  return nullptr;
}

}  // namespace

core* core_create(const options& o) {
  if (const char* c = complaint(o)) throw_invalid_argument(c);
  core* const c = new core(o, discover_topology());
  WEIR_TRY { c->start(); }
  WEIR_CATCH_ALL {
    c->release_ref();  // what on_thread_start has kept, a handle perhaps, may keep it
    WEIR_RETHROW;
  }
  return c;
}

bool on_own_worker(const core& c) noexcept { return worker::current_of(c) != nullptr; }
void run_entry(core& c, entry_job& e) { c.run_entry(e); }
unsigned base_workers(const core& c) noexcept { return c.active_workers(); }

void report_unhandled(core* c, std::exception_ptr e, const char* name) noexcept {
  worker* const w = worker::current();
  if (c == nullptr) c = w != nullptr ? &w->owner : this_caller.owner;
  task_info info;
  info.name = name != nullptr ? name : w != nullptr ? w->current_name.load(relaxed) : nullptr;
  info.worker = w != nullptr && c == &w->owner ? static_cast<int>(w->number) : -1;
  if (c != nullptr) info.context = c->opts.context;
  if (c != nullptr && c->opts.on_unhandled != nullptr) return c->opts.on_unhandled(info, std::move(e));  // throws: terminate
  static atomic<std::int64_t> next{0};  // one line a second
  const std::int64_t now = std::chrono::duration_cast<std::chrono::seconds>(clock_type::now().time_since_epoch()).count();
  std::int64_t seen = next.load(relaxed);
  if (now < seen || !next.compare_exchange_strong(seen, now + 1, relaxed, relaxed)) return;
  const char* what = "an exception that is no std::exception";
#if WEIR_EXCEPTIONS
  try {
    std::rethrow_exception(e);
  } catch (const std::exception& x) {
    std::fprintf(stderr, "weir: task %s threw: %s\n", info.name != nullptr ? info.name : "(unnamed)", x.what());
    return;
  } catch (...) {
  }
#endif
  std::fprintf(stderr, "weir: task %s threw %s\n", info.name != nullptr ? info.name : "(unnamed)", what);
}

unsigned current_workers() noexcept {
  worker* const w = worker::current();
  return w != nullptr ? w->owner.active_workers() : 0;
}

}  // namespace detail

runtime::runtime(options o) : core_(detail::core_create(o)) {}

runtime::~runtime() {
  if (core_->dead()) return;  // a forked child: the parent's threads do not exist here, and its locks may be held
  if (core_->on_own_thread()) {
    core_->hand_off();
    return;
  }
  core_->drain(time_point::max());
  core_->release_ref();
}

result<runtime_ptr> runtime::create(options o) noexcept {
  WEIR_TRY {
    if (detail::complaint(o) != nullptr) return errc::invalid;
    detail::core* c = detail::core_create(o);
    WEIR_TRY { return runtime_ptr(new runtime(c)); }
    WEIR_CATCH_ALL {
      c->drain(time_point::max());
      c->release_ref();
      WEIR_RETHROW;
    }
  }
  WEIR_CATCH_ALL { return weir::error{errc::failed, std::current_exception(), 1}; }
  return errc::failed;
}

status runtime::resize(unsigned n) { return core_->resize(n); }
status runtime::restart() { return core_->restart(); }
void runtime::pause() noexcept { core_->pause(); }
void runtime::resume() noexcept { core_->resume(); }
bool runtime::wait_idle(time_point until) {
  if (core_->dead() || core_->on_own_thread()) return false;
  return core_->wait_quiescent(until);
}
report runtime::drain(time_point until) { return core_->drain(until); }
report runtime::abort(std::function<void(task_fn&&)> sink) { return core_->abort(std::move(sink)); }
snapshot runtime::metrics() const { return core_->metrics(); }
unsigned runtime::workers() const noexcept { return core_->workers_on_duty(); }

executor_ref here() noexcept {
  detail::worker* const w = detail::worker::current();
  if (w != nullptr) return executor_ref(&w->owner);
  if (detail::this_side != nullptr) return executor_ref(&detail::this_side->owner);
  return detail::this_caller.owner != nullptr ? executor_ref(detail::this_caller.owner) : executor_ref();
}

int this_task::worker() noexcept {
  detail::worker* const w = detail::worker::current();
  return w != nullptr ? static_cast<int>(w->number) : -1;
}

namespace {
// As a label's value.
std::string escaped(const char* text) {
  std::string out;
  for (; *text != '\0'; ++text) {
    if (*text == '\\' || *text == '"') out += '\\';
    if (*text == '\n') out += "\\n";
    else out += *text;
  }
  return out;
}
}  // namespace

std::string snapshot::prometheus() const {
  std::string s;
  const auto add = [&](const char* name, const char* type, const char* help, auto emit) {
    s.append("# HELP weir_").append(name).append(" ").append(help).append("\n# TYPE weir_").append(name).append(" ").append(type).append("\n");
    emit([&](const char* labels, std::uint64_t v) {
      s.append("weir_").append(name).append(labels).append(" ").append(std::to_string(v)).append("\n");
    });
  };
  const auto by_name = [](auto& line, const std::vector<task_info>& tasks) {
    std::map<std::string, std::uint64_t> all;
    for (const task_info& t : tasks) ++all[escaped(t.name != nullptr ? t.name : "")];
    for (const auto& [name, n] : all) line(("{task=\"" + name + "\"}").c_str(), n);
  };
  add("tasks_submitted_total", "counter", "Tasks accepted.", [&](auto line) { line("", submitted); });
  add("tasks_rejected_total", "counter", "Tasks refused.", [&](auto line) { line("", rejected); });
  add("tasks_ended_total", "counter", "Tasks ended, by outcome.", [&](auto line) {
    line("{outcome=\"ok\"}", ok);
    line("{outcome=\"failed\"}", failed);
    line("{outcome=\"cancelled\"}", cancelled);
    line("{outcome=\"expired\"}", expired);
    line("{outcome=\"dropped\"}", dropped);
    line("{outcome=\"stopped\"}", stopped);
  });
  add("tasks_queued", "gauge", "Tasks accepted and not started.", [&](auto line) { line("", queued); });
  add("tasks_running", "gauge", "Tasks running.", [&](auto line) { line("", running); });
  add("tasks_shed_total", "counter", "Tasks ended unrun because they had waited too long under overload.", [&](auto line) { line("", shed); });
  add("overloaded", "gauge", "1 while such tasks are ended.", [&](auto line) { line("", overloaded ? 1 : 0); });
  add("tasks_overran_total", "counter", "Tasks that ran past their deadline.", [&](auto line) { line("", overran); });
  add("tasks_overdue", "gauge", "Tasks that run past their deadline now, by name.", [&](auto line) {
    by_name(line, overdue);
  });
  add("workers", "gauge", "Workers on duty.", [&](auto line) { line("", on_duty); });
  add("surplus_workers_came_total", "counter", "Workers that came for a backlog.", [&](auto line) { line("", surplus_came); });
  add("surplus_workers_went_total", "counter", "Workers that came for a backlog and went.", [&](auto line) { line("", surplus_went); });
  add("tasks_stalled_total", "counter", "Tasks that ran longer than stall_after.", [&](auto line) { line("", stalled); });
  add("tasks_stalling", "gauge", "Tasks that run longer than stall_after now, by name.", [&](auto line) { by_name(line, stalling); });
  add("steals_total", "counter", "Jobs taken from another worker.", [&](auto line) { line("", steals); });
  add("parks_total", "counter", "Times a worker went to sleep.", [&](auto line) { line("", parks); });
  add("wakes_total", "counter", "Workers woken by workers.", [&](auto line) { line("", wakes); });
  return s;
}

}  // namespace v0
}  // namespace weir
