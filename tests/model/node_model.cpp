// task_state.hpp, set_once.hpp: who claims a task, who waits for it, who lets go of it last; running_list.hpp: who looks at it meanwhile.
#include "relacy.hpp"

#include "running_list.hpp"
#include "set_once.hpp"
#include "task_state.hpp"

#include <mutex>
#include <optional>

using namespace weir::detail;

namespace node_model {
namespace {

using states = task_state<model_atomics>;

struct node {
  states::word state, refs;
  model::plain<int> callable{7}, result{0}, links{1};  // links: what every holder looks at
  node(std::uint32_t flags, std::uint32_t holders) : state(node_state::queued | flags), refs(holders) {}
};

template <class Self, unsigned Threads>
struct node_test : model::test<Self, Threads> {
  static constexpr const char* files = "task_state.hpp; task_node.hpp; references.hpp";
  static constexpr auto modes = model::one_mode;

  std::optional<node> n;
  unsigned runs = 0, reports = 0, destroyed = 0;

  // What run_claimed() and node_fail() do with a task that they have claimed.
  void end(int result) {
    ++runs;
    MODEL_CHECK(n->callable.get() == 7);
    n->callable.set(0);
    n->result.set(result);
    if ((states::finish(n->state) & node_state::detached) != 0) report();
  }
  bool claim_and_end(int result) {
    std::uint32_t bits = 0;
    if (!states::claim(n->state, bits)) return false;
    MODEL_CHECK((bits & node_state::in_place) != 0);
    end(result);
    return true;
  }
  void report() {
    MODEL_CHECK(n->result.get() != 0);
    n->result.set(0);
    ++reports;
  }
  void let_go() {
    MODEL_CHECK(n->links.get() == 1);
    if (!drop_references(n->refs)) return;
    n->links.set(-1);  // everybody's last use must have come before
    n->callable.set(-1);
    n->result.set(-1);
    n.reset();
    ++destroyed;
  }
};

struct node_wait_model : node_test<node_wait_model, 3> {
  static constexpr const char* fact =
      "a task that a worker, a waiter and a stop token want is ended once, each sees its end, and the last one destroys it";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  node_wait_model() { n.emplace(node_state::in_place, 3); }
  void thread(unsigned i) {
    claim_and_end(static_cast<int>(i) + 1);
    if (i != 0) {  // the worker's ticket may be stale; the others look at the result
      MODEL_CHECK(states::sleep(n->state, [] { return forever; }));
      const int r = n->result.get();
      MODEL_CHECK(r >= 1 && r <= 3);
    }
    let_go();
  }
  void after() { MODEL_CHECK(runs == 1 && destroyed == 1); }
};
MODEL_ADD(node_wait_model);

struct node_sleepers : node_test<node_sleepers, 3> {
  static constexpr const char* fact = "every sleeper wakes up when the task ends, and one that sleeps by the clock gives up";
  static constexpr const char* steps = "node: the waited bit";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  node_sleepers() { n.emplace(node_state::in_place, 3); }
  void thread(unsigned i) {
    if (i == 0) {
      MODEL_CHECK(claim_and_end(1));
    } else if (i == 1) {
      if (model::keeps("node: the waited bit")) {
        MODEL_CHECK(states::sleep(n->state, [] { return forever; }));
      } else {
        while (!states::is_done(n->state)) model_atomics::wait(n->state, node_state::in_place, forever);
      }
      MODEL_CHECK(n->result.get() == 1);
    } else {
      bool asked = false;
      const bool done = states::sleep(n->state, [&asked] { return std::exchange(asked, true) ? std::int64_t{0} : std::int64_t{1000}; });
      if (done) MODEL_CHECK(n->result.get() == 1);
    }
    let_go();
  }
  void after() { MODEL_CHECK(destroyed == 1); }
};
MODEL_ADD(node_sleepers);

struct node_detach_model : node_test<node_detach_model, 2> {
  static constexpr const char* fact = "an error that no handle reads is reported once, by whoever comes second";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  node_detach_model() { n.emplace(node_state::in_place, 2); }
  void thread(unsigned i) {
    if (i == 0) claim_and_end(1);
    else if (states::detach(n->state)) report();
    let_go();
  }
  void after() { MODEL_CHECK(reports == 1 && destroyed == 1); }
};
MODEL_ADD(node_detach_model);

// A coroutine waits while the task ends.
struct node_awaited : node_test<node_awaited, 2> {
  static constexpr const char* fact = "a coroutine that waits for a task goes on once, by itself or by whoever ends it, and sees the result";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  model::plain<int> point{0};
  unsigned resumed = 0;
  node_awaited() { n.emplace(node_state::in_place, 2); }
  void go_on() {
    MODEL_CHECK(n->result.get() == 1);
    ++resumed;
  }
  void thread(unsigned i) {
    if (i == 0) {
      std::uint32_t bits = 0;
      MODEL_CHECK(states::claim(n->state, bits));
      n->callable.set(0);
      n->result.set(1);
      if ((states::finish(n->state) & node_state::awaited) != 0) {
        MODEL_CHECK(point.get() == 5);
        go_on();
      }
    } else {
      point.set(5);
      if (!states::await(n->state)) go_on();
    }
    let_go();
  }
  void after() { MODEL_CHECK(resumed == 1 && destroyed == 1); }
};
MODEL_ADD(node_awaited);

// A holder lends its reference on before it lets go of its own.
struct node_borrow : node_test<node_borrow, 2> {
  static constexpr const char* fact = "a reference that is passed on keeps the task alive";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  model::atomic<std::uint32_t> passed{0};
  node_borrow() { n.emplace(node_state::in_place, 1); }
  void thread(unsigned i) {
    if (i == 0) {
      add_reference(n->refs);
      passed.store(1, release);
    } else {
      while (passed.load(acquire) == 0) model_atomics::pause();
      claim_and_end(1);
    }
    let_go();
  }
  void after() { MODEL_CHECK(destroyed == 1); }
};
MODEL_ADD(node_borrow);

// Conditions are made when somebody asks for them: a token by the task, a cancel by a handle. What was there before goes on.
struct node_lazy : model::test<node_lazy, 3> {
  static constexpr const char* fact = "of those who give a task its conditions at the same time one wins, and all see them built";
  static constexpr const char* files = "set_once.hpp";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  struct conditions {
    conditions() {}
    model::plain<int> built{0};
  };
  conditions made[2];
  model::atomic<conditions*> word{nullptr};
  unsigned won = 0;
  void thread(unsigned i) {
    if (i == 2) {
      if (conditions* const c = look(word); c != nullptr) MODEL_CHECK(c->built.get() == 1);
      return;
    }
    conditions* seen = look(word);
    if (seen == nullptr) {
      made[i].built.set(1);
      if (set_once(word, seen, &made[i])) {
        ++won;
        return;
      }
    }
    MODEL_CHECK(seen != nullptr && seen->built.get() == 1);
  }
  void after() { MODEL_CHECK(won == 1); }
};
MODEL_ADD(node_lazy);
// A task that has thrown waits in the wheel. Who ran it goes on: a worker with its first ticket, or a waiter in place. The
// timekeeper takes it out for the next attempt, unless a stop token claims it first.
struct node_again : node_test<node_again, 4> {
  static constexpr const char* fact = "a task that waits for another attempt is ended once, by somebody who sees what the last one left";
  static constexpr const char* steps =
      "node: the lock after a claim; node: in_place for a claim without the lock; node: a first ticket that is overtaken";
  static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 100'000};
  model::mutex wheel;
  model::plain<bool> pending{false};
  node_again() { n.emplace(node_state::in_place, 4); }
  bool take_out() {
    const std::lock_guard lock(wheel);
    const bool was = pending.get();
    pending.set(false);
    return was;
  }
  void attempt() {
    MODEL_CHECK(n->callable.get() == 7);
    n->callable.set(3);
    n->callable.set(7);
    const std::lock_guard lock(wheel);
    MODEL_CHECK(states::unclaim(n->state, node_state::again, node_state::in_place, 0));
    MODEL_CHECK(!pending.get());
    pending.set(true);
  }
  void thread(unsigned i) {
    std::uint32_t bits = 0;
    if (i == 0) {  // a worker with the first ticket
      const bool asks = model::keeps("node: a first ticket that is overtaken");
      if (states::claim(n->state, bits, 0, asks ? node_state::again : 0)) attempt();
    } else if (i == 1) {  // a waiter on a worker
      const bool asks = model::keeps("node: in_place for a claim without the lock");
      if (states::claim(n->state, bits, asks ? node_state::in_place : 0)) attempt();
    } else if (i == 2) {  // a stop token
      if (states::claim(n->state, bits)) {
        if (model::keeps("node: the lock after a claim")) take_out();
        end(1);
      }
    } else if (take_out() && states::claim(n->state, bits)) {  // the timekeeper
      end(2);
    }
    let_go();
  }
  void after() { MODEL_CHECK(runs <= 1 && destroyed == 1); }
};
MODEL_ADD(node_again);

// A worker runs a task inside of another; two threads ask what runs to stop, as drains at their limit do. The node, and the
// group that it refers to, go away as soon as the worker has left.
struct running_inspected : model::test<running_inspected, 3> {
  static constexpr const char* fact = "what another thread finds running is there until it has looked, whoever else looks";
  static constexpr const char* files = "running_list.hpp";
  static constexpr const char* steps = "running: leave before it goes away";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};
  static constexpr auto modes = model::one_mode;

  struct task {
    task() {}  // by hand: clang knows no default one before the end of the enclosing class
    model::plain<int> group{0};
  };
  using list = running_list<model_atomics, task>;
  list running;
  std::optional<task> outer{std::in_place}, inner{std::in_place};

  void end(list::entry& e, std::optional<task>& t) {
    if (model::keeps("running: leave before it goes away")) running.leave(e);
    t->group.set(-1);
    if (!model::keeps("running: leave before it goes away")) running.leave(e);
    t.reset();
  }
  void thread(unsigned i) {
    if (i != 0) {
      running.inspect([](const list::entry& e) { MODEL_CHECK(e.node->group.get() == 5); });
      return;
    }
    list::entry first{&*outer}, second{&*inner};
    outer->group.set(5);
    running.enter(first);
    inner->group.set(5);
    running.enter(second);
    end(second, inner);
    end(first, outer);
  }
  void after() { MODEL_CHECK(running.top() == nullptr && running.inspectors() == 0); }
};
MODEL_ADD(running_inspected);

}  // namespace
}  // namespace node_model
