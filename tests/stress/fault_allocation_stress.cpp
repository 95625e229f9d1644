// Memory runs out: at each allocation of a whole scenario in turn, once only or for good. Every call answers as promised
// (errc::failed, bad_alloc as its cause, or the exception itself where a call throws), every task runs once or not at all
// and somebody is told, and nothing leaks. In a child process each, so that one that dies is counted and the sweep goes on.
//   WEIR_FAULT_AT=n  only the n-th
#include <weir/fork_join.hpp>
#include <weir/parallel.hpp>
#include <weir/runtime.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>

#include <allocations.hpp>
#include <child.hpp>
#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <exception>
#include <new>
#include <vector>

#include <execinfo.h>
#include <sys/mman.h>

namespace fault_allocation_stress {
namespace {

using namespace test;

class FaultAllocation : public stress {};

bool is_bad_alloc(const weir::error& e) {
  if (e.code != weir::errc::failed || !e.cause) return false;
  try {
    std::rethrow_exception(e.cause);
  } catch (const std::bad_alloc&) {
    return true;
  } catch (...) {
    return false;
  }
}

// One use of everything. What is accepted must run; what is not must be a failed allocation.
class scenario {
 public:
  scenario(child_checks& check, ledger& books) : check_(check), books_(books) {}

  void run() {
    weir::options o = with_workers(2);
    o.capacity = 64;
    o.on_unhandled = [](const weir::task_info& info, std::exception_ptr) { ++static_cast<scenario*>(info.context)->unhandled_; };
    o.context = this;
    auto made = weir::runtime::create(o);
    // A thread whose start found no memory is a system_error.
    if (!made) return check_(made.error().code == weir::errc::failed && made.error().cause, "create fails with its cause");
    weir::runtime& rt = **made;
    submits(rt);
    spawns(rt);
    groups(rt);
    inside(rt);
    timers(rt);
    beside(rt);
    loops(rt);
    check_(rt.wait_idle(), "it comes to rest");
    check_(books_.count(fate::ran) == accepted_, "what was accepted has run, and nothing else");
    try {
      const weir::snapshot m = rt.metrics();
      check_(m.submitted == m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped, "the books balance");
    } catch (const std::bad_alloc&) {
    }
    ends(rt);
  }

 private:
  void judge(ticket& t, const weir::status& s) {
    if (s) {
      ++accepted_;
      return;
    }
    check_(is_bad_alloc(s.error()), "a refusal is a failed allocation");
    if (t.whole()) t.refused();
  }
  template <class Send>
  void send(Send how) {
    ticket t(books_);
    const weir::status s = how(std::move(t));
    judge(t, s);
  }

  void submits(weir::runtime& rt) {
    send([&](ticket&& t) { return rt.submit(std::move(t)); });
    send([&](ticket&& t) { return rt.submit(std::move(t), {.prio = weir::lane::low}); });
    send([&](ticket&& t) { return rt.try_submit(std::move(t), {.name = "named"}); });
    send([&](ticket&& t) { return rt.submit(std::move(t), {.worker = 1}); });
    for (int i = 0; i < 140; ++i)  // over a block's end in the queue
      send([&](ticket&& t) {
        if (!rt.submit([&t] { t(); })) return no_memory();
        static_cast<void>(rt.wait_idle());
        return weir::status{};
      });
    std::vector<shared_ticket> some;
    {
      const own_allocations mine;
      for (int i = 0; i < 5; ++i) some.emplace_back(books_);
    }
    const weir::status s = rt.try_submit_bulk(some);
    const own_allocations mine;
    if (s) accepted_ += 5;
    else check_(is_bad_alloc(s.error()), "a refused bulk is a failed allocation");
    static_cast<void>(rt.wait_idle());
    some.clear();  // those that did not run are dropped here
  }
  static weir::status no_memory() { return weir::error{weir::errc::failed, std::make_exception_ptr(std::bad_alloc()), 1}; }

  void spawns(weir::runtime& rt) {
    std::stop_source stop(std::nostopstate);
    {
      const own_allocations mine;
      stop = std::stop_source();
    }
    for (const bool with_options : {false, true}) {
      ticket t(books_);
      auto h = with_options ? rt.spawn(std::move(t), {.stop = stop.get_token(), .name = "spawned"}) : rt.spawn(std::move(t));
      const auto r = h.get();
      if (r) ++accepted_;
      else check_(is_bad_alloc(r.error()), "a handle without result has bad_alloc");
      if (t.whole()) t.refused();
    }
    ticket t(books_);
    auto h = rt.spawn([u = std::move(t)](const std::stop_token&) mutable { u(); });
    h.cancel();
    const auto r = h.get();
    if (r) ++accepted_;
    else check_(r.error().code == weir::errc::cancelled || is_bad_alloc(r.error()), "a cancelled handle is cancelled");
    if (t.whole()) t.refused();
  }

  void groups(weir::runtime& rt) {
    const std::size_t before = books_.count(fate::ran);
    try {
      weir::task_group g(rt, {.limit = 1, .cancel_on_error = false, .keep_all_errors = true});
      for (int i = 0; i < 4; ++i) g.run(ticket(books_));
      const weir::status s = g.wait();
      const std::size_t ran = books_.count(fate::ran) - before;
      check_(s.has_value() ? ran == 4 : is_bad_alloc(s.error()), "a group says when a child could not be had");
    } catch (const std::bad_alloc&) {
    }
    accepted_ += books_.count(fate::ran) - before;
  }

  void inside(weir::runtime& rt) {
    std::size_t more = 0;
    rt.run([&] {
      for (const auto prio : {weir::lane::normal, weir::lane::high}) {
        ticket t(books_);
        const weir::status s = rt.submit(std::move(t), {.prio = prio});
        if (s) ++more;
        else check_(is_bad_alloc(s.error()), "a child's refusal is a failed allocation");
        if (t.whole()) t.refused();
      }
      ticket t(books_);
      const auto r = rt.spawn(std::move(t)).get();
      if (r) ++more;
      else check_(is_bad_alloc(r.error()), "a child's handle has bad_alloc");
      if (t.whole()) t.refused();
    });
    check_(rt.wait_idle(), "children end");
    accepted_ += more;
  }

  void timers(weir::runtime& rt) {
    // One that finds no place in the queue when it is due is dropped, and on_unhandled hears of it.
    const std::size_t ran = books_.count(fate::ran), told = unhandled_;
    std::size_t made = 0;
    for (int i = 0; i < 5; ++i) {
      ticket t(books_);
      weir::timer timer = weir::after(rt, std::chrono::microseconds(i * 50), std::move(t));
      if (timer.accepted()) ++made;
      else check_(is_bad_alloc(timer.accepted().error()), "a refused timer is a failed allocation");
      if (t.whole()) t.refused();
      timer.detach();
    }
    auto never = weir::after(rt, std::chrono::hours(1), ticket(books_));
    check_(never.cancel() == never.accepted().has_value(), "a pending timer can be cancelled");
    check_(rt.wait_idle(), "timers end");
    const std::size_t more = books_.count(fate::ran) - ran;
    check_(more + (unhandled_ - told) >= made && more <= made, "a timer runs, or somebody is told");
    // When nothing can be had any more, it may not run again: then each of its times is told.
    const std::size_t told_before = unhandled_;
    std::atomic<std::size_t> n{0};
    auto series = weir::every(rt, std::chrono::microseconds(20), [&n] { ++n; });
    if (series.accepted()) check_(eventually([&] { return n + (unhandled_ - told_before) >= 3; }), "a series goes on without memory for one time");
    series.cancel();
    check_(rt.wait_idle(), "a series ends");
    accepted_ += more;
  }

  // Calls that block, the second for the thread of the first; a thread that finds no memory is a system_error.
  void beside(weir::runtime& rt) {
    for (int i = 0; i < 2; ++i) {
      ticket t(books_);
      const auto r = rt.blocking(std::move(t)).get();
      if (r) ++accepted_;
      else check_(r.error().code == weir::errc::failed && r.error().cause, "a blocking call that is refused has its cause");
      if (t.whole()) t.refused();
    }
    check_(rt.wait_idle(), "blocking calls end");
  }

  void loops(weir::runtime& rt) {
    std::atomic<int> n{0};
    const weir::status s = weir::parallel_for(rt, 0, 200, [&](int) { ++n; });
    check_(s ? n == 200 : is_bad_alloc(s.error()), "a loop is whole, or says why not");
    const auto [a, b] = rt.run([] { return weir::fork_join([] { return 1; }, [] { return 2; }); });
    check_(a + b == 3, "forks need no memory");
  }

  // A queue full of tasks, and an abort that hands them out; the destructor finds an ended runtime.
  void ends(weir::runtime& rt) {
    rt.pause();
    send([&](ticket&& t) { return rt.submit(std::move(t)); });
    send([&](ticket&& t) { return rt.submit(std::move(t), {.worker = 0}); });
    const std::size_t before = books_.count(fate::ran);
    try {
      static_cast<void>(rt.abort([](weir::task_fn&& f) {
        ticket::in_sink = true;
        weir::task_fn(std::move(f))();
        ticket::in_sink = false;
      }));
    } catch (const std::bad_alloc&) {
    }
    check_(books_.count(fate::ran) == before, "nothing starts after an abort");
  }

  child_checks& check_;
  ledger& books_;
  std::size_t accepted_ = 0;
  std::atomic<std::size_t> unhandled_{0};
};

void say_where(int number) {
  void* frames[32];
  ::backtrace_symbols_fd(frames, ::backtrace(frames, 32), STDERR_FILENO);
  std::signal(number, SIG_DFL);
  std::raise(number);
}

void one(child_checks& check, std::size_t n, bool for_good, std::atomic<int>& happened) {
  std::set_terminate([] { say_where(SIGABRT); });  // whoever let it through is on the stack
  std::signal(SIGSEGV, say_where);
  ledger books(4096);
  const std::size_t before = live_allocations();
  {
    const nth_allocation_fails fault(n, for_good);
    scenario(check, books).run();
    happened = fault.happened() ? 1 : 0;
  }
  for (const fate f : {fate::none, fate::refused, fate::dropped, fate::sunk, fate::ran}) static_cast<void>(books.count(f));
  std::size_t closed = 0;
  for (const fate f : {fate::refused, fate::dropped, fate::sunk, fate::ran}) closed += books.count(f);
  check(closed == books.opened(), "every callable has exactly one fate");
  if (live_allocations() != before) std::fprintf(stderr, "blocks: %zu, were %zu\n", live_allocations(), before);
  check(live_allocations() == before, "nothing leaks");
}

void sweep(bool for_good) {
  {  // what is allocated once in a process is not what this is about
    child_checks check;
    ledger books(4096);
    scenario(check, books).run();
    ASSERT_EQ(check.wrong(), 0);
  }
  void* const shared = ::mmap(nullptr, sizeof(std::atomic<int>), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  auto& happened = *::new (shared) std::atomic<int>(1);
  // At scale 1 every one of them; below that a part, another one each time.
  const std::size_t step = scale() >= 1 && !sanitized ? 1 : 7;
  const char* const only = std::getenv("WEIR_FAULT_AT");
  std::size_t n = only != nullptr ? static_cast<std::size_t>(std::atoi(only)) : 1 + seed() % step, places = 0, wrong = 0;
  for (; wrong < 5; n += step) {
    happened = 1;
    const std::string what = in_child([&](child_checks& check) { one(check, n, for_good, happened); });
    if (what.empty() && happened == 0) break;
    ++places;
    if (!what.empty()) {
      ++wrong;
      ADD_FAILURE() << "allocation " << n << (for_good ? " and all after it fail: " : " fails: ") << what;
    }
    if (only != nullptr) break;
  }
  std::printf("%zu places\n", places);
  EXPECT_TRUE(wrong != 0 || only != nullptr || places > 40 / step);
  ::munmap(shared, sizeof(std::atomic<int>));
}

TEST_F(FaultAllocation, OfAnyBlockOnceLosesDoublesAndLeaksNothing) { sweep(false); }
TEST_F(FaultAllocation, OfAnyBlockAndAllAfterItLosesDoublesAndLeaksNothing) { sweep(true); }

}  // namespace
}  // namespace fault_allocation_stress
