// join_state.hpp: a thief that finishes a stolen job, and its owner, whose frame the job lies in.
#include "relacy.hpp"

#include "follower.hpp"
#include "join_state.hpp"
#include "parker.hpp"

#include <weir/detail/split_deque.hpp>

#include <optional>

using namespace weir::detail;

namespace join_model {
namespace {

using joins = join_state<model_atomics>;

struct stolen_job {
  joins::word word{0x1000};  // the address of its run function
  model::plain<int> result{0};
  model::plain<int> frame{0};  // whatever else of it the thief looks at
};

// The thief runs, the owner sleeps as join_stolen() and sleep_in_join() do, and somebody leaves a token that is meant for
// an earlier sleep. The frame goes away as soon as the owner has returned.
struct join_wait : model::test<join_wait, 3> {
  static constexpr const char* fact = "the owner of a stolen job wakes up to its result, and nobody touches the job afterwards";
  static constexpr const char* files = "join_state.hpp; parker.hpp";
  static constexpr const char* steps = "join: leave the job alone; join: tokens may be stale; join: the token";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;

  std::optional<stolen_job> job{std::in_place};
  parker<model_atomics> bed;
  bool returned = false;

  void thief() {
    stolen_job& j = *job;
    joins::begin(j.word, 0, 0);
    MODEL_CHECK(j.frame.get() == 0);
    j.result.set(42);
    const join_value before = joins::finish(j.word, true);
    if (!model::keeps("join: leave the job alone")) MODEL_CHECK(j.frame.get() == 0);
    if (before.is_waiting() && model::keeps("join: the token")) bed.unpark();
  }
  void owner() {
    for (bool running = false;;) {
      const join_value w = joins::look(job->word);
      if (w.is_over()) break;
      running = running || w.is_running();
      if (!running) {
        model_atomics::pause();
        continue;
      }
      if (!joins::fall_asleep(job->word, 1)) continue;
      bed.park();
      if (!model::keeps("join: tokens may be stale")) break;
    }
    MODEL_CHECK(job->result.get() == 42);
    MODEL_CHECK(joins::look(job->word).has_thrown());
    job->frame.set(-1);
    job.reset();
    returned = true;
  }
  void thread(unsigned i) {
    if (i == 0) thief();
    else if (i == 1) owner();
    else bed.unpark();
  }
  void after() { MODEL_CHECK(returned); }
};
MODEL_ADD(join_wait);

// The thief forks and joins, and then forks again and is in a leaf that goes on only when somebody has taken that fork: the waiter,
// which looks, rings, and sleeps. As in worker::answer_bell() and sleep_in_join().
struct join_bell : model::test<join_bell, 2> {
  static constexpr const char* fact = "a waiter that sleeps is told of what its thief forks, or has seen it before";
  static constexpr const char* files = "split_deque.hpp; parker.hpp; follower.hpp";
  static constexpr const char* steps = "bell: tell the follower; bell: ring before the look";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 50'000};
  static constexpr auto modes = model::asymmetric_modes;

  split_deque<model_atomics, pointer_slot<model_atomics, int>, 2> forks;
  follower<model_atomics> follows;
  model::atomic<std::uint32_t> taken{0};
  parker<model_atomics> bed;
  int job = 0;

  void before() { forks.ring(); }  // the waiter did, while it looked around
  void fork() {
    if (forks.push(0, &job) && forks.answer_bell() && follows.who() != follows.nobody && model::keeps("bell: tell the follower"))
      bed.unpark();
  }
  void thief() {
    fork();
    if (forks.pop(0) || forks.reclaim(0)) {
      fork();
      leaf();
    }
    while (taken.load(acquire) == 0) model_atomics::pause();
    forks.close(0);
  }
  void leaf() {
    while (taken.load(acquire) == 0) model_atomics::pause();
    const bool mine = forks.pop(0) || forks.reclaim(0);
    MODEL_CHECK(!mine);
  }
  void waiter() {
    int* got = nullptr;
    for (unsigned n = 0;; ++n) {  // forces only after a while
      if (forks.steal(got) == steal_outcome::stolen) break;
      if ((n > 2 || rl::rand(2) != 0) && forks.force(got) == steal_outcome::stolen) break;
      follows.begin(1);
      bool visible = false;
      if (model::keeps("bell: ring before the look")) {
        visible = forks.ring_and_look();
      } else {
        visible = forks.visible();
        forks.ring();
      }
      if (visible) model_atomics::pause();
      else bed.park();
      follows.end();
    }
    MODEL_CHECK(got == &job);
    taken.store(1, release);
  }
  void thread(unsigned i) { i == 0 ? thief() : waiter(); }
};
MODEL_ADD(join_bell);

// Where nobody can force: each push exposes, and the waiter sleeps on what is private, but not on what is public.
struct join_bell_absent : model::test<join_bell_absent, 2> {
  static constexpr const char* fact = "without membarrier a waiter does not sleep on what its thief has made public";
  static constexpr const char* files = "split_deque.hpp; parker.hpp; follower.hpp";
  static constexpr const char* steps = "bell: stay for what is public";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 30'000};
  static constexpr std::array modes{model::fence_mode::absent};

  split_deque<model_atomics, pointer_slot<model_atomics, int>, 2> forks;
  follower<model_atomics> follows;
  model::atomic<std::uint32_t> taken{0};
  parker<model_atomics> bed;
  int job = 0;

  void thief() {
    if (forks.push(0, &job) && forks.answer_bell() && follows.who() != follows.nobody) bed.unpark();
    while (taken.load(acquire) == 0) model_atomics::pause();
    MODEL_CHECK(!forks.pop(0) && !forks.reclaim(0));
    forks.close(0);
  }
  void waiter() {
    int* got = nullptr;
    while (forks.steal(got) != steal_outcome::stolen) {
      follows.begin(1);
      const bool there = forks.ring_and_look() && !forks.public_empty();
      if (there && model::keeps("bell: stay for what is public")) model_atomics::pause();
      else bed.park();
      follows.end();
    }
    MODEL_CHECK(got == &job);
    taken.store(1, release);
  }
  void thread(unsigned i) { i == 0 ? thief() : waiter(); }
};
MODEL_ADD(join_bell_absent);

}  // namespace
}  // namespace join_model
