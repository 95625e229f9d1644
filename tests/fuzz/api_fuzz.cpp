// Sequences of calls of the public API against an oracle: every callable has exactly one fate, handles always complete,
// refused callables are untouched, counters agree at rest, and all memory and threads are given back.
//
// The input: nine bytes of options, one that says how the runtime ends, then operations (actor.cpp). WEIR_FUZZ_TRACE=1
// prints the options, and what came of it.
#include "actor.hpp"

#include <cstdlib>
#include <filesystem>
#include <iterator>
#include <memory>

namespace {

using namespace fuzz;

std::atomic<int> threads_started{0}, threads_stopped{0};

bool tracing() {
  static const bool yes = std::getenv("WEIR_FUZZ_TRACE") != nullptr;
  return yes;
}

weir::options options_from(bytes& in, world& w) {
  static constexpr std::size_t capacities[] = {1, 2, 3, 8, 64, 1000};
  static constexpr int spins[] = {0, 5, 50};
  static constexpr const char* policies[] = {"block", "reject", "caller_runs", "drop_oldest", "discard"};
  weir::options o;
  o.workers = 1 + in.below(4);
  o.capacity = capacities[in.below(6)];
  o.max_outstanding = o.capacity + in.byte() * 4;
  const unsigned policy = in.byte();
  o.full = policy < 128 ? static_cast<weir::on_full>(policy % 2) : static_cast<weir::on_full>(policy % 5);
  w.full = o.full;
  w.drops = o.full == weir::on_full::drop_oldest;
  w.discards = o.full == weir::on_full::discard;
  o.pin = in.below(8) == 0 ? weir::pinning::core : weir::pinning::none;
  o.spin = std::chrono::microseconds(spins[in.below(3)]);
  const unsigned bound = in.byte();
  o.starvation_bound = 4 + bound % 61;
  o.max_blocking = 1 + bound % 4;
  o.blocking_capacity = 1 + bound / 4 % 16;
  const unsigned more = in.byte();
  o.max_spares = more % 4;
  if (const unsigned extra = more >> 2 & 3; extra != 0) {
    o.max_workers = o.workers + (1u << (extra - 1));
    w.elastic = true;
  }
  if ((more >> 4 & 3) == 3) {
    o.codel_target = 1ms;
    w.sheds = true;
  }
  if (const unsigned each = in.byte(); each >= 224) w.memory.fail_each = each - 222;
  o.memory = &w.memory;
  o.context = &w;
  o.on_unhandled = [](const weir::task_info& info, std::exception_ptr e) {
    auto& whose = *static_cast<world*>(info.context);
    try {
      std::rethrow_exception(e);
    } catch (const std::bad_alloc&) {
      require(whose.memory.fail_each != 0, "on_unhandled got a bad_alloc from nowhere");
      whose.failed_unrun.fetch_add(1);
    } catch (...) {
      whose.all.report(std::move(e));
    }
  };
  o.on_thread_start = [](int) { threads_started.fetch_add(1); };
  o.on_thread_stop = [](int) { threads_stopped.fetch_add(1); };
  if (tracing())
    std::fprintf(stderr, "workers %u capacity %zu outstanding %zu %s spin %d spares %u to %u target %d blocking %u + %zu memory fails each %u\n",
                 o.workers, o.capacity, o.max_outstanding, policies[static_cast<unsigned>(o.full)], static_cast<int>(o.spin.count()),
                 o.max_spares, o.max_workers, static_cast<int>(o.codel_target.count()), o.max_blocking, o.blocking_capacity,
                 w.memory.fail_each.load());
  return o;
}

std::ptrdiff_t threads_of_process() {
  const std::filesystem::directory_iterator all("/proc/self/task");
  return std::distance(begin(all), end(all));
}

template <class Fact>
void eventually(Fact fact, const char* what) {
  const auto until = weir::clock_type::now() + 10s;
  for (int i = 0; !fact(); ++i) {
    require(weir::clock_type::now() < until, what, static_cast<unsigned>(threads_started.load()), static_cast<unsigned>(threads_stopped.load()));
    std::this_thread::sleep_for(i < 100 ? 50us : 5'000us);
  }
}

// After drain or abort said complete and nobody else calls: everything has ended, and is counted.
void check_counters(world& w) {
  const weir::snapshot m = w.rt->metrics();
  const std::uint64_t unrun = m.cancelled + m.expired + m.dropped + m.stopped;
  require(m.submitted == m.ok + m.failed + unrun, "P35 after the shutdown: the books do not balance", m.submitted, m.ok);
  require(m.queued == 0 && m.running == 0, "after the shutdown something is left", m.queued, m.running);
  require(m.dropped == 0 || w.drops || w.discards, "dropped under another policy", m.dropped);
  require(m.shed <= m.expired && (m.shed == 0 || w.sheds), "shed, and not expired, or without a target", m.shed, m.expired);
  require(m.surplus_came == m.surplus_went && (m.surplus_came == 0 || w.elastic), "of the workers that came not all have gone",
          m.surplus_came, m.surplus_went);
}

void trace_end(const weir::snapshot& m) {
  const auto n = [](std::uint64_t x) { return static_cast<unsigned long long>(x); };
  std::fprintf(stderr, "submitted %llu ok %llu failed %llu cancelled %llu expired %llu (shed %llu) dropped %llu stopped %llu workers came %llu\n",
               n(m.submitted), n(m.ok), n(m.failed), n(m.cancelled), n(m.expired), n(m.shed), n(m.dropped), n(m.stopped), n(m.surplus_came));
}

void check_refusals(world& w) {
  if (w.all.size() + 8 > books::most) return;
  const weir::status s = give<ticket>(*w.rt, w, 0, 0, nullptr);
  require(!s && s.error().code == weir::errc::stopped, "P25: submit after the shutdown");
  auto h = lend<ticket>(*w.rt, w, 0, nullptr);
  require(!h, "P25: spawn after the shutdown");
  weir::task_group g(*w.rt);
  add<ticket>(g, w, 0, false);
  const weir::status ended = g.wait();
  require(!ended, "P25: a group after the shutdown");
}

void shut_down(world& w, unsigned how) {
  const auto complete = [](const weir::report& r) { require(r.complete, "a shutdown without a limit is not complete"); };
  switch (how) {
    case 0: complete(w.rt->drain()); break;
    case 1: complete(w.rt->abort()); break;
    case 2:
    case 3: {
      const unsigned throw_at = how == 2 ? ~0u : 2;
      unsigned n = 0;
      bool threw = false;
      try {
        complete(w.rt->abort([&](weir::task_fn&& f) {
          require(static_cast<bool>(f), "the sink got an empty callable");
          in_sink = true;
          if (n++ == throw_at) {
            in_sink = false;
            throw std::out_of_range("sink");
          }
          f();
          in_sink = false;
        }));
      } catch (const std::out_of_range&) {
        threw = true;
      }
      require(threw == (n > throw_at), "abort and its sink's exception", n);
      require(n <= throw_at || n == throw_at + 1, "the sink was called after it threw", n);
      complete(w.rt->abort());
      break;
    }
    case 4: {
      static_cast<void>(w.rt->drain(weir::clock_type::now()));
      complete(w.rt->drain());
      break;
    }
    default: {
      std::thread other([&] { complete(w.rt->drain()); });
      complete(w.rt->abort());
      other.join();
      break;
    }
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto w = std::make_unique<world>();
  bytes in(data, size);
  const weir::options o = options_from(in, *w);
  const unsigned end = in.byte();
  threads_started = threads_stopped = 0;
  // Once: a former runtime's may still be on their way out. A sanitizer starts a thread of its own with the first of the program's.
  static const auto threads_before = [] {
    std::thread([] {}).join();
    std::this_thread::sleep_for(50ms);  // a joined one may still be seen for a moment
    return threads_of_process();
  }();
  auto made = weir::runtime::create(o);
  if (!made) {
    require(made.error().code == weir::errc::failed && w->memory.fail_each != 0, "no runtime", static_cast<unsigned>(made.error().code));
    require(w->memory.out == 0, "a runtime that could not be made keeps memory", static_cast<unsigned long long>(w->memory.out));
    return 0;
  }
  w->rt = std::move(*made);
  if (end % 9 != 7) w->for_tasks = w->rt.get();
  require(w->rt->workers() == o.workers, "another number of workers", w->rt->workers(), o.workers);

  std::uint64_t submitted = 0, ran = 0, failed = 0, dropped = 0;
  bool counted = false;
  {
    actor main(*w, in, true);
    main.capacity = o.capacity;
    main.run();
    switch (const unsigned how = end % 9; how) {
      case 6:  // the destructor alone
      case 7:  // on an own worker
        main.join_sides();
        if (how == 7) {
          weir::runtime* const rt = w->rt.release();
          if (!rt->submit([rt] { delete rt; })) delete rt;
          // The tasks are still running; handles that nobody reads must not need the runtime.
          // Counting starts and stops would not do: threads of another life may not have begun yet.
          const auto over = [&] { return threads_of_process() <= threads_before; };
          eventually(over, "a runtime that was destroyed by a task did not end");
        } else {
          w->rt.reset();
        }
        break;
      case 8:  // with groups that still have children
        main.join_sides();
        main.drop_groups();
        [[fallthrough]];
      default:
        main.open_gate();
        shut_down(*w, how);
        main.join_sides();
        check_counters(*w);
        check_refusals(*w);
        const weir::snapshot m = w->rt->metrics();
        if (tracing()) trace_end(m);
        submitted = m.submitted, ran = m.ok + m.failed, failed = m.failed, dropped = m.dropped, counted = true;
        break;
    }
    if ((end & 0x80) != 0) w->rt.reset();  // handles and groups may outlive the runtime
    main.finish_handles();
    for (handle h{{}, 0}; w->take_shared(h);) {
      require(h.h.ready(), "after the shutdown a shared handle is not ready", h.id);
      if ((h.id & 1) != 0) {
        auto r = h.h.get();
        check_answer(*w, h, r);
      }
    }
    main.drop_groups();
    main.drop_timers();
    main.leave_gates();
    if ((end & 0x40) != 0 && end % 9 != 7) w->gates.clear();  // everything has ended: gates may go before the runtime or after
  }
  w->rt.reset();
  eventually([] { return threads_started == threads_stopped; }, "a thread was not given back");
  w->gates.clear();
  eventually([&] { return w->memory.out == 0; }, "memory was not given back");
  const books::sums s = w->all.check();
  if (counted) {
    const std::uint64_t begun = s.ran + w->entries, most = s.cut_short + w->failed_unrun;
    require(ran >= begun && ran <= begun + most, "the counters and the books differ on what ran", ran, begun);
    require(failed >= s.failed && failed <= s.failed + most, "the counters and the books differ on what failed", failed, s.failed);
    if (!w->uncountable) {
      const std::uint64_t accepted = s.accepted + w->entries + w->discarded;
      require(submitted == accepted, "the counters and the books differ on what was accepted", submitted, accepted);
      require(w->drops || dropped == w->discarded, "the counters and the books differ on what was discarded", dropped, w->discarded);
    }
  }
  return 0;
}
