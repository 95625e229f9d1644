// group_counter.hpp: children that end, one that waits for a place, and somebody who waits for all of them.
#include "relacy.hpp"

#include "group_counter.hpp"

#include <mutex>
#include <optional>

using namespace weir::detail;

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

}  // namespace
