// group_counter.hpp: children that end, one that waits for a place, and somebody who waits for all of them.
#include "relacy.hpp"

#include "group_counter.hpp"

#include <mutex>
#include <optional>

using namespace weir::detail;

namespace group_model {
namespace {

// A group with limit 1, as task_group.cpp has it: child 0 runs on a worker, child 1 gets its place when that ends, child 2
// is posted from outside past the limit. Nobody but the waiter can run child 1. What the waiter owns of the group goes away
// as soon as it has seen the rest; the other threads hold shares.
struct group_rest : model::test<group_rest, 3> {
  static constexpr const char* fact = "a group's waiter runs what becomes startable, and returns when all children have ended, not before";
  static constexpr const char* files = "group_counter.hpp";
  static constexpr const char* steps = "group: tell of a start; group: look before the sleep; group: the shares";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;

  struct shared {
    shared() {}  // by hand: clang knows no default one before the end of the enclosing class
    model::mutex mutex;
    group_counter<model_atomics> children{mutex};
    model::plain<int> pending{1}, unstarted{0}, round{0};  // under the lock
    model::atomic<std::uint32_t> shares{3};
  };
  std::optional<shared> g{std::in_place};
  model::plain<int> wrote[3];
  bool returned = false, freed = false;

  group_rest() {
    for (auto& w : wrote) w.set(0);
  }
  void before() {
    const std::lock_guard lock(g->mutex);
    MODEL_CHECK(g->children.add());
    MODEL_CHECK(!g->children.add());
    g->children.add();
  }
  void drop_share() {
    if (g->shares.fetch_sub(1, acq_rel) != 1) return;
    g->round.set(-1);
    g.reset();
    freed = true;
  }
  void run(unsigned child) {
    wrote[child].set(1);
    bool last = false;
    {
      const std::lock_guard lock(g->mutex);
      if (child == 0) {  // its place goes to the pending one
        g->pending.set(0);
        g->unstarted.set(1);
        if (model::keeps("group: tell of a start")) g->children.startable();
      }
    }
    {
      const std::lock_guard lock(g->mutex);
      last = g->children.ended();
      g->round.set(last ? 1 : 0);
    }
  }
  void wait() {
    while (!g->children.over()) {
      bool take = false;
      {
        const std::lock_guard lock(g->mutex);
        take = g->unstarted.get() != 0;
        if (take) g->unstarted.set(0);
      }
      if (take) {
        run(1);
        continue;
      }
      g->children.sleep(forever, [this] { return model::keeps("group: look before the sleep") && g->unstarted.get() != 0; });
    }
    for (auto& w : wrote) {
      MODEL_CHECK(w.get() == 1);
      w.set(2);  // what children wrote to goes away
    }
    returned = true;
    if (model::keeps("group: the shares")) return drop_share();
    g->round.set(-1);
    g.reset();
  }
  void thread(unsigned i) {
    if (i == 1) return wait();
    run(i);
    drop_share();
  }
  void after() { MODEL_CHECK(returned && freed); }
};
MODEL_ADD(group_rest);

// Rounds of a group, as task_group.cpp has them. One adds a child a round and waits; another cancels once. A child that has not begun is
// ended by the cancel, or runs on the waiter.
struct group_rounds : model::test<group_rounds, 2> {
  static constexpr const char* fact = "a cancel ends the children of one round, fires the source of that round, and that round says so";
  static constexpr const char* files = "group_counter.hpp";
  static constexpr const char* steps = "group: a cancel holds its round; group: the source with the flag";
  static constexpr model::effort work{.preemptions = 4, .bounded = 60'000, .random = 60'000};
  static constexpr auto modes = model::one_mode;
  static constexpr unsigned rounds = 2;
  model::mutex mutex;
  group_counter<model_atomics> children{mutex};
  model::plain<unsigned> round;                 // these under the lock; the round is its stop source, too
  model::plain<bool> unbegun, cancelled;
  unsigned ran[rounds + 1]{}, ended[rounds + 1]{}, fired[rounds + 1]{}, said[rounds + 1]{};

  void before() {
    round.set(0);
    unbegun.set(false);
    cancelled.set(false);
  }
  bool take() {
    const bool was = unbegun.get();
    unbegun.set(false);
    return was;
  }
  void cancel() {
    const bool holds = model::keeps("group: a cancel holds its round"), at_once = model::keeps("group: the source with the flag");
    unsigned source;
    {
      const std::lock_guard lock(mutex);
      cancelled.set(true);
      source = round.get();
      if (holds) children.add();
    }
    {
      const std::lock_guard lock(mutex);
      if (take()) {
        ++ended[round.get()];
        children.ended();
      }
    }
    {
      const std::lock_guard lock(mutex);
      if (holds) children.ended();
    }
    if (!at_once) {
      const std::lock_guard lock(mutex);
      source = round.get();
    }
    ++fired[source];
  }
  void wait() {
    for (;; children.sleep(forever, [] { return false; })) {
      const std::lock_guard lock(mutex);
      if (take()) {
        ++ran[round.get()];
        children.ended();
      }
      if (children.alive() != 0) continue;
      said[round.get()] = cancelled.get();
      cancelled.set(false);
      return round.set(round.get() + 1);
    }
  }
  void thread(unsigned i) {
    if (i == 1) return cancel();
    for (unsigned n = 0; n < rounds; ++n) {
      {
        const std::lock_guard lock(mutex);
        if (!cancelled.get()) {
          children.add();
          unbegun.set(true);
        }
      }
      wait();
    }
  }
  void after() {
    for (unsigned n = 0; n < rounds; ++n)
      if (said[n] == 0) MODEL_CHECK(ran[n] == 1 && ended[n] == 0 && fired[n] == 0);
  }
};
MODEL_ADD(group_rounds);

}  // namespace
}  // namespace group_model
