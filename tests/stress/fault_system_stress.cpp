// Threads that cannot be had, futexes that return for no reason, and signals that interrupt whoever submits.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>
#include <weir/timer.hpp>

#include <allocations.hpp>
#include <faults.hpp>
#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <csignal>
#include <memory>
#include <system_error>
#include <thread>
#include <vector>

#include <dirent.h>
#include <pthread.h>

namespace fault_system_stress {
namespace {

using namespace test;

class FaultThreads : public stress {};
class FaultFutex : public stress {};

int threads_here() {
  int n = 0;
  DIR* d = ::opendir("/proc/self/task");
  while (d != nullptr && ::readdir(d) != nullptr) ++n;
  if (d != nullptr) ::closedir(d);
  return n - 2;
}

TEST_F(FaultThreads, TheNthOfARuntimeIsAnErrorAndTheOthersEnd) {
  static_cast<void>(weir::runtime(with_workers(64)).wait_idle());  // what is allocated once
  for (const unsigned workers : {1u, 4u, 64u}) {
    for (unsigned n = 1; n <= workers; n += workers > 8 && scale() < 1 ? 9 : 1) {
      const int before = threads_here();
      const std::size_t blocks = live_allocations();
      {
        const nth_thread_fails fault(n);
        EXPECT_THROW(weir::runtime rt(with_workers(workers)), std::system_error) << n << " of " << workers;
        EXPECT_TRUE(fault.happened());
      }
      {
        const nth_thread_fails fault(n);
        const auto r = weir::runtime::create(with_workers(workers));
        EXPECT_TRUE(!r && r.error().code == weir::errc::failed && r.error().cause != nullptr);
      }
      // A joined thread may still be seen for a moment.
      EXPECT_TRUE(eventually([&] { return threads_here() <= before; })) << n << " of " << workers;
      EXPECT_EQ(live_allocations(), blocks) << n << " of " << workers;
    }
  }
}

// A restart that fails leaves the runtime shut down, with what a former life has used, and the next one succeeds.
TEST_F(FaultThreads, ARestartThatFailsStaysShutDown) {
  for (std::size_t n = 1; n <= 3; ++n) {
    weir::runtime rt(with_workers(3));
    weir::after(rt, 1us, [] {}).detach();
    EXPECT_TRUE(rt.blocking([] {}).get());
    for (int round = 0; round < 2; ++round) {
      ASSERT_TRUE(rt.drain().complete);
      {
        const nth_thread_fails fault(n);
        const weir::status s = rt.restart();
        ASSERT_TRUE(!s && s.error().code == weir::errc::failed && s.error().cause != nullptr) << n;
        EXPECT_TRUE(fault.happened());
      }
      EXPECT_FALSE(rt.submit([] {}));
      EXPECT_FALSE(weir::after(rt, 1us, [] {}).accepted());
      ASSERT_TRUE(rt.restart());
      gate rang;
      weir::after(rt, 1us, [&] { rang.open(); }).detach();
      EXPECT_TRUE(rang.wait_for(10s));
      EXPECT_EQ(rt.blocking([] { return 5; }).get().value_or(0), 5);
    }
  }
}

weir::strand* strand_of_starters = nullptr;
weir::runtime* shut_of_starters = nullptr;  // to be restarted and drained by them
std::vector<weir::join_handle<int>> from_starters;  // by the first worker alone
std::atomic<int> starters{0}, told_starters{0};

void submit_at_start(int worker) {
  if (worker != 0) return;
  if (strand_of_starters != nullptr) from_starters.push_back(strand_of_starters->spawn([] { return 3; }));
  from_starters.push_back(weir::here().spawn([] { return 4; }));
  if (shut_of_starters != nullptr && !shut_of_starters->restart() && !shut_of_starters->drain().complete) ++told_starters;
  ++starters;
}

// Plainly and through a strand, by a thread of a restart that fails: no call waits for the other, and each task has its end.
TEST_F(FaultThreads, WhatIsSubmittedWhileTheyStartEndsThoughARestartFails) {
  weir::options o = with_workers(2);
  o.on_thread_start = &submit_at_start;
  const auto begun = [](int n) { return eventually([n] { return starters == n; }); };
  starters = told_starters = 0;
  {
    weir::runtime rt(o);
    ASSERT_TRUE(begun(1));
    weir::strand serial(rt);
    strand_of_starters = &serial;
    for (int round = 0; round < 3; ++round) {
      ASSERT_TRUE(rt.drain().complete);
      from_starters.clear();
      shut_of_starters = &rt;
      {
        const nth_thread_fails fault(2);
        ASSERT_FALSE(rt.restart());
        ASSERT_TRUE(fault.happened());
      }
      shut_of_starters = nullptr;
      EXPECT_EQ(told_starters, round + 1) << "a restart and a drain by a thread that starts wait for nothing";
      ASSERT_EQ(from_starters.size(), 2u);
      for (auto& h : from_starters) {
        ASSERT_TRUE(h.ready());
        const auto r = h.get();
        EXPECT_TRUE(r || r.error().code == weir::errc::stopped);  // the first worker may have come to it before the second failed
      }
      from_starters.clear();
      ASSERT_TRUE(rt.restart());
      ASSERT_TRUE(begun(2 * round + 3));
      ASSERT_EQ(from_starters.size(), 2u);
      EXPECT_EQ(from_starters[0].get().value_or(0), 3);
      EXPECT_EQ(from_starters[1].get().value_or(0), 4);
    }
    strand_of_starters = nullptr;
  }
  from_starters.clear();
  {  // a runtime that never comes to be
    const nth_thread_fails fault(2);
    EXPECT_THROW(weir::runtime rt(o), std::system_error);
  }
  ASSERT_EQ(from_starters.size(), 1u);
  const auto r = from_starters[0].get();
  EXPECT_TRUE(r || r.error().code == weir::errc::stopped);  // as above
  from_starters.clear();
}

// Spares fail at every place, for once or for good: what lies behind the waiter runs later, each once.
TEST_F(FaultThreads, ASpareThatCannotBeHadLosesNothing) {
  for (std::size_t n = 1; n <= 4; ++n) {
    for (const bool for_good : {false, true}) {
      weir::runtime rt(with_workers(2)), other(with_workers(4));
      ledger books(10'000);
      const nth_thread_fails fault(n, for_good);
      for (std::size_t round = 0; round < rounds(10); ++round) {
        auto release = std::make_shared<gate>();
        std::vector<weir::join_handle<int>> waiters;
        for (int k = 0; k < 4; ++k) {
          auto far = std::make_shared<weir::join_handle<int>>(other.spawn([release] {
            release->wait();
            return 7;
          }));
          waiters.push_back(rt.spawn([far] { return far->get().value_or(0); }));
        }
        for (int k = 0; k < 50; ++k) ASSERT_TRUE(rt.submit(ticket(books)));
        std::this_thread::sleep_for(500us);
        release->open();
        for (auto& w : waiters) ASSERT_EQ(w.get().value_or(-1), 7);
      }
      ASSERT_TRUE(rt.wait_idle());
      books.check();
      EXPECT_EQ(books.count(fate::ran), books.opened());
    }
  }
}

// Neither the worker that is needed nor, in the second half, the thread that would find that out: as soon as there are threads again
// they come, the one without another submit.
TEST_F(FaultThreads, AnElasticRuntimeGetsItsWorkersLater) {
  for (const std::size_t n : {1u, 2u}) {
    weir::options o = with_workers(1);
    o.max_workers = 3;
    std::unique_ptr<nth_thread_fails> fault;
    if (n == 2) fault = std::make_unique<nth_thread_fails>(2, true);
    weir::runtime rt(o);
    if (n == 1) fault = std::make_unique<nth_thread_fails>(1, true);
    ledger books(100'000);
    plug p(rt, 1);
    for (std::size_t i = 0; i < 1000; ++i) ASSERT_TRUE(rt.submit(ticket(books)));
    EXPECT_TRUE(eventually([&] { return fault->happened(); }));
    EXPECT_EQ(books.count(fate::ran), 0u);
    fault.reset();
    EXPECT_TRUE(eventually([&] {
      if (n == 2 && books.has_room()) {
        EXPECT_TRUE(rt.submit(ticket(books)));
      }
      return books.count(fate::ran) >= 1000;
    }));
    p.release();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    EXPECT_EQ(books.count(fate::ran), books.opened());
  }
}

TEST_F(FaultThreads, ATimekeeperThatCannotBeHadIsAnErrorUntilItCan) {
  for (std::size_t round = 0; round < rounds(20); ++round) {
    weir::runtime rt(with_workers(2));
    ledger books(100);
    {
      const nth_thread_fails fault(1, true);
      std::vector<std::thread> threads;
      for (int t = 0; t < 3; ++t)
        threads.emplace_back([&] {
          ticket own(books);
          const weir::timer none = weir::after(rt, 1ms, std::move(own));
          ASSERT_FALSE(none.accepted());
          EXPECT_THROW(none.accepted().value(), std::system_error);
          ASSERT_TRUE(own.whole());
          own.refused();
        });
      for (auto& t : threads) t.join();
    }
    weir::after(rt, 10us, ticket(books)).detach();
    ASSERT_TRUE(rt.wait_idle());
    books.check();
    EXPECT_EQ(books.count(fate::ran), 1u);
  }
}

// Everything that sleeps in weir, with a kernel that keeps waking it for nothing.
void use_all_sleeps(weir::runtime& rt, weir::runtime& other, std::uint64_t stream, std::size_t times,
                    std::atomic<std::size_t>& ran, std::atomic<std::size_t>& sent) {
  random_numbers random(stream);
  for (std::size_t i = 0; i < times; ++i) {
    const std::uint64_t work = random.below(3) * random.below(30'000);
    const auto task = [&ran, work] {
      burn(std::chrono::nanoseconds(work));
      ++ran;
    };
    switch (random.below(9)) {
      case 0: ASSERT_EQ(rt.run([] { return 5; }), 5); break;
      case 1: ASSERT_TRUE(rt.wait_idle(weir::clock_type::now() + 1h)); break;  // too long is the watchdog's word
      case 2: {
        auto h = rt.spawn([work] {
          burn(std::chrono::nanoseconds(work));
          return work;
        });
        ASSERT_EQ(h.get().value_or(work + 1), work);
        break;
      }
      case 3: {
        auto h = rt.spawn([work] {
          burn(std::chrono::nanoseconds(work * 4));
          return work;
        });
        const auto limit = weir::clock_type::now() + std::chrono::microseconds(random.below(100));
        if (auto r = h.get_until(limit); !r) {
          ASSERT_EQ(r.error().code, weir::errc::timeout);
          ASSERT_GE(weir::clock_type::now(), limit) << "a timeout is never early";
          ASSERT_EQ(h.get().value_or(work + 1), work);
        }
        break;
      }
      case 4: {
        weir::task_group g(rt, {.limit = 2});
        for (int k = 0; k < 6; ++k) g.run(task);
        sent += 6;
        ASSERT_TRUE(g.wait());
        break;
      }
      case 5: {  // a wait on a worker, on something far away
        auto h = rt.spawn([&other] { return other.spawn([] { return 9; }).get().value_or(0); });
        ASSERT_EQ(h.get().value_or(0), 9);
        break;
      }
      case 6: {
        const auto due = weir::clock_type::now() + std::chrono::microseconds(random.below(200));
        weir::at(rt, due, [&ran, due] {
          EXPECT_GE(weir::clock_type::now(), due) << "a timer is never early";
          ++ran;
        }).detach();
        ++sent;
        break;
      }
      default:
        ASSERT_TRUE(rt.submit(task));
        ++sent;
    }
  }
}

// Few rounds: where waits return at once, threads wait by turning round, and on a busy machine each hand-over costs a turn of the scheduler
// (10 ms and more; a run of six times as many once took its watchdog's 20 s, and nothing was lost).
TEST_F(FaultFutex, ThatReturnsEarlyWakesNobodyForGoodAndLosesNobody) {
  const std::size_t before = restless_futexes::early_returns();
  for (const unsigned one_in : {1u, 2u, 7u}) {
    const restless_futexes fault(one_in);
    for (const int spin : {0, 20}) {
      weir::options o = with_workers(3);
      o.capacity = 2;  // so that submitters block
      o.spin = std::chrono::microseconds(spin);
      weir::runtime rt(o), other(with_workers(1));
      std::atomic<std::size_t> ran{0}, sent{0};
      std::vector<std::thread> threads;
      for (unsigned t = 0; t < 3; ++t)
        threads.emplace_back([&, t] { use_all_sleeps(rt, other, one_in * 100 + t, rounds(one_in == 1 ? 150 : 300), ran, sent); });
      for (auto& t : threads) t.join();
      ASSERT_TRUE(rt.wait_idle());
      EXPECT_EQ(ran, sent);
      const weir::report r = rt.drain();
      EXPECT_TRUE(r.complete);
    }
  }
  EXPECT_GT(restless_futexes::early_returns(), before) << "no futex was made to return early";
}

// ---- signals ----

std::atomic<int> handled{0}, handled_by_workers{0};
struct sigaction watchdogs;

void on_signal(int number, siginfo_t* info, void* context) {
  if (number == SIGALRM && info->si_code > 0) return watchdogs.sa_sigaction(number, info, context);  // its time is over
  ++handled;
  if (weir::this_task::worker() >= 0) ++handled_by_workers;
}

class FaultSignals : public stress, public ::testing::WithParamInterface<std::tuple<int, int>> {};

TEST_P(FaultSignals, StormOnSubmittersLosesNothing) {
  const auto [number, flags] = GetParam();
  struct sigaction action {}, before {};
  action.sa_sigaction = &on_signal;
  action.sa_flags = SA_SIGINFO | flags;
  ASSERT_EQ(::sigaction(number, &action, &before), 0);
  if (number == SIGALRM) watchdogs = before;
  handled = handled_by_workers = 0;
  {
    weir::options o = with_workers(2);
    o.capacity = 2;
    weir::runtime rt(o), other(with_workers(1));
    std::atomic<std::size_t> ran{0}, sent{0};
    std::atomic<unsigned> running{3};
    std::vector<std::thread> threads;
    for (unsigned t = 0; t < 3; ++t)
      threads.emplace_back([&, t] {
        use_all_sleeps(rt, other, 900 + t, rounds(2500), ran, sent);
        --running;
      });
    random_numbers random(77);
    while (running > 0) {
      for (auto& t : threads) ::pthread_kill(t.native_handle(), number);
      if (random.one_in(8)) ::kill(::getpid(), number);  // to whichever thread takes it: never a worker
      burn(std::chrono::nanoseconds(random.below(40'000)));
    }
    for (auto& t : threads) t.join();
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(ran, sent);
    EXPECT_TRUE(rt.drain().complete);
  }
  EXPECT_GT(handled, 10);
  EXPECT_EQ(handled_by_workers, 0) << "workers block asynchronous signals";
  ::sigaction(number, &before, nullptr);
}

INSTANTIATE_TEST_SUITE_P(SignalsAndFlags, FaultSignals,
                         ::testing::Combine(::testing::Values(SIGUSR1, SIGALRM), ::testing::Values(0, SA_RESTART)), [](const auto& i) {
                           return std::string(std::get<0>(i.param) == SIGUSR1 ? "SIGUSR1" : "SIGALRM") +
                                  (std::get<1>(i.param) != 0 ? "restarting" : "interrupting");
                         });

}  // namespace
}  // namespace fault_system_stress
