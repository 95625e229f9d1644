// idle.hpp and parker.hpp together, used as search.cpp, submit.cpp and fork.cpp use them: publish, search, park, watch.
//
// Jobs meet at a gate: the first sleeps until as many run at the same time as there are workers. So a worker that sleeps
// while work is visible is a deadlock, which Relacy reports.
#include "relacy.hpp"

#include "idle.hpp"
#include "sleeper.hpp"

#include <weir/detail/split_deque.hpp>

#include <utility>

using namespace weir::detail;

namespace idle_model {
namespace {

using A = model_atomics;

// One producer's sub-queue with moodycamel's promises: what was enqueued before a fence is not missed after it.
class one_queue {
 public:
  void enqueue() noexcept { tail_.store(tail_.load(relaxed) + 1, release); }
  bool take() noexcept {
    unsigned h = head_.load(relaxed);
    while (h < tail_.load(acquire))
      if (head_.compare_exchange_weak(h, h + 1, relaxed, relaxed)) return true;
    return false;
  }
  bool empty() const noexcept { return head_.load(relaxed) >= tail_.load(relaxed); }

 private:
  A::atomic<unsigned> head_{0}, tail_{0};
};

// Opens when `n` have come.
class gate {
 public:
  explicit gate(unsigned n) : missing_(n) {}
  void pass() noexcept {
    if (missing_.fetch_sub(1, acq_rel) == 1) {
      open_.store(1, release);
      for (unsigned i = 0; i < model::sleepers::most; ++i) A::wake(open_);
      return;
    }
    while (open_.load(acquire) == 0) A::wait(open_, 0, forever);
  }

 private:
  A::atomic<std::uint32_t> missing_, open_{0};
};

// Apart: 64 if each worker is to have his bit in a word of its own, which then orders nothing between two of them.
template <class Self, unsigned Workers, unsigned Others, bool Elastic = false, unsigned Apart = 1>
struct idlers : model::test<Self, Workers + Others> {
  static constexpr const char* files = "idle.hpp; sleeper.hpp; parker.hpp";
  idle_state<A> idle{(Workers - 1) * Apart + 1, Elastic};
  static constexpr unsigned id(unsigned me) { return me * Apart; }
  sleeper<A> bed[Workers];
  one_queue queues[2];  // one a publisher
  A::atomic<unsigned> stop{0}, ended{0};
  model::plain<unsigned> slot[Workers];
  bool made[Workers]{};  // each worker's own

  Self& self() { return static_cast<Self&>(*this); }

  // ---- as core does it ----
  void publish(unsigned from = 0) {
    queues[from].enqueue();
    if (const std::uint32_t h = idle.published(); h != 0 && h != idle_state<A>::watched_hint && idle.should_wake()) wake_one();
  }
  // Whoever claims a worker knows nothing else of him: his place in the table of slots must be there.
  void rouse(unsigned i) {
    MODEL_CHECK(slot[i].get() == 1);
    bed[i].rouse();
  }
  bool wake_one(bool for_forks = false) {
    const int i = idle.claim(for_forks);
    if (i >= 0) rouse(static_cast<unsigned>(i) / Apart);
    return i >= 0;
  }
  void stop_all() {
    stop.store(1, relaxed);
    for (unsigned i = 0; i < Workers; ++i)
      if (idle.claim_one(id(i))) rouse(i);
  }
  bool queues_empty() const { return queues[0].empty() && queues[1].empty(); }
  // ---- as worker does it ----
  template <class... Call>
  void prepare(unsigned me, bool nap, Call&&... call) {
    if (!std::exchange(made[me], true)) slot[me].set(1);
    idle.prepare(id(me), nap, call...);
  }
  bool has_work(unsigned) { return stop.load(relaxed) != 0 || !queues_empty(); }
  bool find(unsigned) { return queues[0].take() || queues[1].take(); }
  void rise(unsigned me) {
    if (idle.cancel(id(me))) return;
    bed[me].await_waker();
  }
  void leave_search(unsigned me) {
    if (idle.leave_with_work() && model::keeps("leave: look again") && self().has_work(me)) wake_one();
  }
  void get_up(unsigned me) {
    rise(me);
    if (idle.relax_hint() && model::keeps("relax: look again") && self().has_work(me)) wake_one();
  }
  void sleep(unsigned me) {
    prepare(me, false);
    if (model::keeps("park: re-check") && self().has_work(me)) return get_up(me);
    bed[me].park();
    get_up(me);
  }
  // The same where somebody may take jobs in batches, which are not stuck when they were claimed a moment ago.
  void sleep_or_watch(unsigned me) {
    prepare(me, false);
    if (has_work(me)) return get_up(me);
    bool watch = self().drains();
    if (watch) {
      idle.begin_watch();
      watch = self().drains();
      if (!watch) {
        idle.end_watch();
        if (model::keeps("watch: re-check") && self().has_work(me)) return get_up(me);
      }
    }
    if (!watch) {
      bed[me].park();
    } else if (bed[me].park(1) || self().has_work(me)) {
      idle.leave_watch();
    } else {
      idle.end_watch();
      if (!(model::keeps("watch: look when it is over") && self().has_work(me))) bed[me].park();
    }
    get_up(me);
  }
  // Searches, and sleeps, until it has found one job, and is busy for good.
  void find_one(unsigned me) {
    idle.enter_search();
    while (!self().find(me)) {
      self().sleep(me);
      A::pause();
    }
    leave_search(me);
  }
  // Works until `stop`.
  void work(unsigned me) {
    for (;;) {
      if (self().find(me)) {
        self().run(me);
        continue;
      }
      idle.enter_search();
      for (;;) {
        if (stop.load(relaxed) != 0) return self().leave_search(me);
        if (self().find(me)) break;
        self().sleep(me);
        A::pause();
      }
      self().leave_search(me);
      self().run(me);
    }
  }
  void end_one(unsigned of) {
    if (ended.fetch_add(1, acq_rel) + 1 == of) stop_all();
  }
  void after() {
    MODEL_CHECK(idle.searchers() == 0);
    MODEL_CHECK(!idle.any_parked());
    MODEL_CHECK(queues_empty());
  }
};

struct idle_one_worker : idlers<idle_one_worker, 1, 1> {
  static constexpr const char* fact = "a worker does not sleep through what an outside thread publishes";
  static constexpr const char* steps = "park: re-check";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 40'000};
  void run(unsigned) { end_one(2); }
  void thread(unsigned i) {
    if (i == 0) return idlers::work(0);
    publish();
    publish();
  }
};
MODEL_ADD(idle_one_worker);

struct idle_two_workers : idlers<idle_two_workers, 2, 1> {
  static constexpr const char* fact = "no worker sleeps while published work waits and the other is busy";
  static constexpr const char* steps = "leave: look again; park: re-check";
  static constexpr model::effort work{.preemptions = 2, .bounded = 60'000, .random = 80'000};
  gate both{2};
  void run(unsigned) {
    both.pass();
    end_one(2);
  }
  void thread(unsigned i) {
    if (i < 2) return idlers::work(i);
    publish();
    publish();
  }
};
MODEL_ADD(idle_two_workers);

struct idle_two_publishers : idlers<idle_two_publishers, 2, 2> {
  static constexpr const char* fact = "of two publishers at the same time none relies on a searcher that the other has used up";
  static constexpr const char* steps = "leave: look again; park: re-check";
  static constexpr model::effort work{.preemptions = 2, .bounded = 40'000, .random = 80'000};
  gate both{2};
  void run(unsigned) {
    both.pass();
    end_one(2);
  }
  void thread(unsigned i) { i < 2 ? idlers::work(i) : publish(i - 2); }
};
MODEL_ADD(idle_two_publishers);

// Worker 0 has been woken, finds that nobody sleeps and takes the hint back, finds work of its own and is busy for good.
struct idle_relax : idlers<idle_relax, 2, 1> {
  static constexpr const char* fact = "a hint that one worker takes back while another parks is up again when that one sleeps";
  static constexpr const char* steps = "leave: look again";
  static constexpr model::effort work{.preemptions = 2, .bounded = 150'000, .random = 60'000};
  void before() {
    idle.enter_search();
    prepare(0, false);
    idle.cancel(0);
  }
  void thread(unsigned i) {
    if (i == 2) return publish();
    if (i == 0) {
      if (idle.relax_hint() && has_work(0)) wake_one();
      return leave_search(0);
    }
    find_one(1);
  }
};
MODEL_ADD(idle_relax);

// Two of them, and the job is what one of them submits then: the hint that it has overwritten may be the other's, who has raised it for
// the sleeper, and knows less.
struct idle_relax_two : idlers<idle_relax_two, 3, 0> {
  static constexpr const char* fact = "a hint that two workers take back while another parks is up again when that one sleeps";
  static constexpr const char* steps = "leave: look again";
  static constexpr model::effort work{.preemptions = 2, .bounded = 400'000, .random = 60'000};
  void before() {
    for (unsigned i = 0; i < 2; ++i) {
      idle.enter_search();
      prepare(i, false);
      idle.cancel(i);
    }
    idle.enter_search();
  }
  void thread(unsigned i) {
    if (i == 2) {
      while (!find(2)) sleep(2);
      return leave_search(2);
    }
    if (idle.relax_hint() && has_work(i)) wake_one();
    leave_search(i);
    if (i == 1) publish();
  }
};
MODEL_ADD(idle_relax_two);

// The second claim is of two jobs at once: the second hides behind the first, which goes on only when the second runs, too.
struct idle_watch : idlers<idle_watch, 2, 1> {
  static constexpr const char* fact = "a claimed job that is stuck behind a long one finds a watcher or wakes a worker";
  static constexpr const char* steps = "claim: look after the rest";
  static constexpr model::effort work{.preemptions = 2, .bounded = 40'000, .random = 60'000};
  A::atomic<unsigned> claimed{0}, claims{0};
  bool meets[2]{};  // by worker: the job that it runs is one of the two
  gate both{2};

  bool has_work(unsigned me) { return idlers::has_work(me) || claimed.load(relaxed) != 0; }
  bool find(unsigned me) {
    unsigned one = 1;
    meets[me] = true;
    if (claimed.load(relaxed) == 1 && claimed.compare_exchange_strong(one, 0, acquire, relaxed)) return true;
    if (!idlers::find(me)) return false;
    meets[me] = claims.fetch_add(1, relaxed) != 0;
    if (!meets[me]) return true;
    claimed.store(1, release);
    if (model::keeps("claim: look after the rest") && idle.should_wake() && !idle.watched()) wake_one();
    return true;
  }
  bool drains() const { return claimed.load(relaxed) != 0; }
  void sleep(unsigned me) { sleep_or_watch(me); }
  void run(unsigned me) {
    if (meets[me]) both.pass();
    end_one(3);
  }
  void thread(unsigned i) {
    if (i < 2) return idlers::work(i);
    publish();
    publish();
  }
  void after() {
    MODEL_CHECK(!idle.watched());
    idlers::after();
  }
};
MODEL_ADD(idle_watch);

// Worker 0 takes the last of what it had claimed, and is busy for good.
struct idle_watch_over : idlers<idle_watch_over, 2, 1> {
  static constexpr const char* fact = "a watch that ends for want of somebody to watch does not sleep over what was left to it";
  static constexpr const char* steps = "watch: re-check; watch: look when it is over";
  static constexpr model::effort work{.preemptions = 2, .bounded = 60'000, .random = 60'000};
  A::atomic<unsigned> claimed{1};
  bool drains() const { return claimed.load(relaxed) != 0; }
  void sleep(unsigned me) { sleep_or_watch(me); }
  void thread(unsigned i) {
    if (i == 2) return publish();
    if (i == 0) return claimed.store(0, relaxed);
    find_one(1);
  }
};
MODEL_ADD(idle_watch_over);

// Worker 0 has watched, gets up, finds work of its own and is busy for good. Worker 1 sleeps without a clock, or is about to.
struct idle_watch_ends : idlers<idle_watch_ends, 2, 1> {
  static constexpr const char* fact = "what a publisher leaves to a watcher who gets up is seen by him, or wakes another";
  static constexpr const char* steps = "leave: look again";
  static constexpr model::effort work{.preemptions = 2, .bounded = 150'000, .random = 60'000};
  void before() {
    idle.enter_search();
    prepare(0, false);
    idle.begin_watch();
  }
  void thread(unsigned i) {
    if (i == 2) return publish();
    if (i == 0) {
      idle.leave_watch();
      get_up(0);
      return leave_search(0);
    }
    find_one(1);
  }
};
MODEL_ADD(idle_watch_ends);

// Worker 0 watches, 2 goes to sleep, 1 begins to watch and gets up, 0 gets up; both are busy for good when the publisher comes. What says
// so orders nothing.
struct idle_two_watch : idlers<idle_two_watch, 3, 1, false, 64> {
  static constexpr const char* fact = "the last of two watchers takes back the hint that either left";
  A::atomic<unsigned> asleep{0}, left{0}, up{0};
  void sleep(unsigned me) {
    prepare(me, false);
    asleep.store(1, relaxed);
    if (!has_work(me)) bed[me].park();
    get_up(me);
  }
  static constexpr const char* steps = "leave: look again";
  static constexpr model::effort work{.preemptions = 2, .bounded = 60'000, .random = 200'000};
  void before() {
    for (unsigned i = 0; i < 2; ++i) {
      idle.enter_search();
      prepare(i, false);
    }
    idle.begin_watch();
  }
  void thread(unsigned i) {
    if (i == 3) {
      while (up.load(relaxed) != 2) A::pause();
      return publish();
    }
    if (i < 2) {
      A::atomic<unsigned>& before = i == 1 ? asleep : left;
      while (before.load(relaxed) == 0) A::pause();
      if (i == 1) idle.begin_watch();
      idle.leave_watch();
      if (i == 1) left.store(1, relaxed);
      get_up(i);
      up.fetch_add(1, relaxed);
      return leave_search(i);
    }
    find_one(2);
  }
};
MODEL_ADD(idle_two_watch);

// The watcher, who has found work elsewhere, was the only one to sleep; another worker may have to come for what is published now.
struct idle_busy : idlers<idle_busy, 1, 1, true> {
  static constexpr const char* fact = "in an elastic runtime what is left to a watcher who gets up is noted as a backlog, by him or the publisher";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 40'000};
  A::atomic<unsigned> noted{0};
  void before() {
    idle.enter_search();
    prepare(0, false);
    idle.begin_watch();
  }
  void thread(unsigned i) {
    if (i == 1) {
      queues[0].enqueue();
      if ((idle.published() & ~idle_state<A>::busy_hint) == idle_state<A>::watched_hint) return;
      if (idle.should_wake()) wake_one();
      else if (!idle.searched() && !idle.any_parked()) noted.store(1, relaxed);
      return;
    }
    idle.leave_watch();
    get_up(0);
    leave_search(0);
    if (!idle.should_wake() && !idle.searched() && !queues_empty()) noted.store(1, relaxed);
  }
  void after() { MODEL_CHECK(noted.load(relaxed) == 1); }
};
MODEL_ADD(idle_busy);

// The same while another worker, who never slept, takes the hint back, and the watcher is called for mail: both find work elsewhere.
struct idle_busy_two : idlers<idle_busy_two, 2, 2, true> {
  static constexpr const char* fact = "what was left to a watcher is noted as a backlog, whoever takes the hint back";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 100'000};
  A::atomic<unsigned> noted{0};
  void before() {
    idle.enter_search();
    idle.enter_search();
    prepare(1, false);
  }
  void take_back(unsigned me) {
    if (idle.relax_hint() && has_work(me)) wake_one();
    leave_search(me);
    if (!idle.should_wake() && !idle.searched() && !queues_empty()) noted.store(1, relaxed);
  }
  void thread(unsigned i) {
    if (i == 0) return take_back(0);
    if (i == 1) {
      idle.begin_watch();
      bed[1].park();
      idle.leave_watch();
      rise(1);
      return take_back(1);
    }
    if (i == 3) {
      if (idle.claim_one(1)) rouse(1);
      return;
    }
    queues[0].enqueue();
    if ((idle.published() & ~idle_state<A>::busy_hint) == idle_state<A>::watched_hint) return;
    if (idle.should_wake()) wake_one();
    else if (!idle.searched() && !idle.any_parked()) noted.store(1, relaxed);
  }
  void after() { MODEL_CHECK(noted.load(relaxed) == 1 || idle.any_parked()); }
};
MODEL_ADD(idle_busy_two);

// Worker 0 forks and joins, and then forks again and waits in the first half until the second has begun elsewhere: as in fork_slow() and
// join_slow().
template <class Self, unsigned Workers>
struct forkers : idlers<Self, Workers, 0> {
  using base = idlers<Self, Workers, 0>;
  using base::idle, base::wake_one, base::stop_all;
  static constexpr const char* files = "split_deque.hpp; idle.hpp; parker.hpp";
  struct job {
    unsigned runs = 0;
  };
  split_deque<A, pointer_slot<A, job>, 2> forks;
  job j;
  gate both{2};

  bool find(unsigned me) {
    if (me == 0) return false;
    job* got = nullptr;
    return forks.steal(got) == steal_outcome::stolen || (A::asymmetric() && forks.force(got) == steal_outcome::stolen);
  }
  void run(unsigned) {
    ++j.runs;
    both.pass();
    stop_all();
  }
  void fork() {
    if (forks.push(0, &j) && forks.answer_bell() && !idle.searched() && idle.any_hungry()) wake_one(true);
  }
  bool take_back() {
    if (forks.pop(0)) return true;
    if (!forks.reclaim(0)) return false;
    if (forks.public_empty() && idle.any_hungry()) forks.ring();
    return true;
  }
  void fork_twice() {
    fork();
    if (take_back()) fork();
    both.pass();
  }
};

// Worker 1 may have rung for the first fork, and be asleep before the second: as in worker::sleep().
struct idle_bell : forkers<idle_bell, 2> {
  static constexpr const char* fact = "a worker that rang and parked is woken by the next fork that is not taken back at once, or has seen it";
  static constexpr const char* steps = "park: re-check; bell: ring when it shows; bell: ring ahead of the fence";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 60'000};
  bool has_work(unsigned me) { return stop.load(relaxed) != 0 || (me == 1 && forks.visible()); }
  void sleep(unsigned me) {
    const bool shows = model::keeps("bell: ring when it shows"), ahead = model::keeps("bell: ring ahead of the fence");
    if (!shows) forks.ring();
    prepare(me, false, [&] {
      if (shows && ahead) forks.ring();
    });
    if (!ahead) forks.ring();
    if (model::keeps("park: re-check") && has_work(me)) return get_up(me);
    bed[me].park();
    get_up(me);
  }
  void before() { forks.ring(); }  // worker 1 did, while it looked around
  void thread(unsigned i) {
    if (i == 1) return idlers::work(1);
    fork_twice();
  }
};
MODEL_ADD(idle_bell);

// Worker 1 has rung and goes over to a nap, from which no clock wakes it here; worker 2 sleeps.
struct idle_nap : forkers<idle_nap, 3> {
  static constexpr const char* fact = "a fork that was exposed for a searcher who naps wakes another";
  static constexpr const char* steps = "nap: look for others";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 60'000};
  bool has_work(unsigned) { return stop.load(relaxed) != 0 || forks.visible(); }
  void sleep(unsigned me) {
    prepare(me, false, [this] { forks.ring(); });
    if (has_work(me)) return get_up(me);
    bed[me].park();
    get_up(me);
  }
  void before() {
    idle.enter_search();
    idle.enter_search();
    prepare(2, false);
    forks.ring();
  }
  void thread(unsigned i) {
    if (i == 0) return fork_twice();
    if (i == 1) {
      prepare(1, true);
      if (model::keeps("nap: look for others") && !idle.searched() && idle.any_hungry() && has_work(1)) wake_one(true);
    }
    bed[i].park();
    rise(i);
    const bool found = stop.load(relaxed) == 0 && find(i);
    leave_search(i);
    if (found) return run(i);
    idlers::work(i);
  }
};
MODEL_ADD(idle_nap);

// As worker::rise does when it finds itself claimed: the waker's count comes before the flag.
struct idle_rouse : model::test<idle_rouse, 2> {
  static constexpr const char* fact = "who was claimed goes on when its waker has said so, not for a token that was meant for something else";
  static constexpr const char* files = "sleeper.hpp";
  static constexpr const char* steps = "rouse: wait for the waker";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  sleeper<A> bed;
  model::plain<int> counted{0};
  void thread(unsigned i) {
    if (i == 0) {
      for (int n = 1; n <= 2; ++n) {
        if (model::keeps("rouse: wait for the waker")) bed.await_waker();
        else bed.park();
        MODEL_CHECK(counted.get() == n);
        over.store(static_cast<unsigned>(n), release);
      }
      return;
    }
    bed.unpark();  // meant for something else
    for (int n = 1; n <= 2; ++n) {
      counted.set(n);
      bed.rouse();
      while (over.load(acquire) != static_cast<unsigned>(n)) A::pause();
    }
  }
  A::atomic<unsigned> over{0};
};
MODEL_ADD(idle_rouse);

struct parker_token : model::test<parker_token, 2> {
  static constexpr const char* fact = "a token is neither lost nor invented, and brings what its sender wrote";
  static constexpr const char* files = "parker.hpp";
  static constexpr model::effort work{.preemptions = 4, .bounded = 100'000, .random = 40'000};
  static constexpr auto modes = model::one_mode;
  parker<A> bed;
  model::plain<int> first{0}, second{0};
  A::atomic<unsigned> taken{0};
  void thread(unsigned i) {
    if (i == 1) {
      first.set(1);
      bed.unpark();
      while (taken.load(relaxed) == 0) A::pause();
      second.set(1);
      bed.unpark();
      return;
    }
    MODEL_CHECK(bed.park());
    MODEL_CHECK(first.get() == 1);
    taken.store(1, relaxed);
    while (!bed.park(1)) {}
    MODEL_CHECK(second.get() == 1);
  }
};
MODEL_ADD(parker_token);

}  // namespace
}  // namespace idle_model
