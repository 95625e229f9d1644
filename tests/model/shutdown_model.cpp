// quiescence.hpp, entry_list.hpp, leader.hpp, and credits.hpp when it is shut: who waits for rest, what may still come, and who
// shuts down.
#include "relacy.hpp"

#include "counter.hpp"
#include "credits.hpp"
#include "entry_list.hpp"
#include "leader.hpp"
#include "quiescence.hpp"

#include <mutex>
#include <optional>

using namespace weir::detail;

namespace shutdown_model {
namespace {

using counter = own_counter<model_atomics>;

constexpr std::uint32_t quiesce_bit = 16, entries_bit = 8;

template <class Self, unsigned Threads>
struct rest_test : model::test<Self, Threads> {
  static constexpr const char* files = "quiescence.hpp; counter.hpp";
  model::atomic<std::uint32_t> attention{0};
  quiescence<model_atomics> rest{attention, quiesce_bit};
  counter submitted[2], ended[2];
  model::plain<int> wrote[2];
  unsigned returned = 0;

  rest_test() {
    for (auto& w : wrote) w.set(0);
  }
  bool at_rest() const {
    if (!model::keeps("rest: ends first")) {
      const std::uint64_t s = submitted[0].get() + submitted[1].get();
      return ended[0].get() + ended[1].get() == s;
    }
    const std::uint64_t e = ended[0].get() + ended[1].get();
    return submitted[0].get() + submitted[1].get() == e;
  }
  void end_task(unsigned worker) {
    wrote[worker].set(1);
    ended[worker].add();
    if (rest.asked()) rest.tell([this] { return at_rest(); });
  }
  void wait(unsigned tasks) {
    MODEL_CHECK(rest.wait([this] { return at_rest(); }, [] { return forever; }));
    for (unsigned i = 0; i < tasks; ++i) MODEL_CHECK(wrote[i].get() == 1);
    ++returned;
  }
  bool nobody_is_asked() const { return (attention.newest() & quiesce_bit) == 0; }
};

struct rest_reached : rest_test<rest_reached, 3> {
  static constexpr const char* fact = "whoever waits for rest wakes up at the last end of two workers, and not before";
  static constexpr const char* steps = "rest: ends first";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};
  model::atomic<std::uint32_t> child{0};
  void before() { submitted[0].add(); }
  void thread(unsigned i) {
    if (i == 2) return wait(2);
    if (i == 0) {  // its task submits a child, which the other one runs
      submitted[0].add();
      child.store(1, release);
    } else {
      while (child.load(acquire) == 0) model_atomics::pause();
    }
    end_task(i);
  }
  void after() { MODEL_CHECK(returned == 1 && nobody_is_asked()); }
};
MODEL_ADD(rest_reached);

// Both at the same time: each may see the bit, or the other's end, but one of them must see both.
struct rest_two_ends : rest_test<rest_two_ends, 3> {
  static constexpr const char* fact = "of two workers that end their tasks at the same time one sees both, and tells";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};
  void before() {
    submitted[0].add();
    submitted[1].add();
  }
  void thread(unsigned i) { i == 2 ? wait(2) : end_task(i); }
  void after() { MODEL_CHECK(returned == 1); }
};
MODEL_ADD(rest_two_ends);

// One of the two stops the worker as soon as it has seen the rest, as drain() does: it may not have told yet.
struct rest_two_waiters : rest_test<rest_two_waiters, 3> {
  static constexpr const char* fact = "two threads that wait for rest both return, though the first one stops the workers, and leave no bit";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 400'000};
  model::atomic<std::uint32_t> stop{0};
  void before() { submitted[0].add(); }
  void thread(unsigned i) {
    if (i != 0) {
      wait(1);
      stop.store(1, release);
      return;
    }
    wrote[0].set(1);
    ended[0].add();
    if (stop.load(relaxed) == 0 && rest.asked()) rest.tell([this] { return at_rest(); });
  }
  void after() { MODEL_CHECK(returned == 2 && nobody_is_asked()); }
};
MODEL_ADD(rest_two_waiters);

// One waits by the clock and gives up: his going must not hide the other.
struct rest_one_gives_up : rest_test<rest_one_gives_up, 3> {
  static constexpr const char* fact = "a waiter who gives up takes nobody's wake-up with him, and leaves no bit for who has gone before";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 200'000};
  void before() { submitted[0].add(); }
  void thread(unsigned i) {
    if (i == 0) return end_task(0);
    if (i == 1) return wait(1);
    if (rest.wait([this] { return at_rest(); }, [] { return std::int64_t{0}; })) MODEL_CHECK(wrote[0].get() == 1);
  }
  void after() { MODEL_CHECK(returned == 1 && nobody_is_asked()); }
};
MODEL_ADD(rest_one_gives_up);

// A drain without a limit, and one whose limit has passed: that one halts the runtime, and only what is handed back then ends.
struct rest_look_again : rest_test<rest_look_again, 2> {
  static constexpr const char* fact = "who waits for rest without a limit hears of a halt, and does then what it asks for";
  static constexpr const char* steps = "rest: look again";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  model::atomic<std::uint32_t> halted{0};
  void before() { submitted[0].add(); }
  void thread(unsigned i) {
    if (i == 1) {
      halted.store(1, relaxed);
      if (model::keeps("rest: look again")) rest.look_again();
      return;
    }
    const bool at_once = rest.wait([this] { return at_rest(); }, [this] { return halted.load(relaxed) != 0 ? std::int64_t{0} : forever; });
    MODEL_CHECK(!at_once && halted.load(relaxed) == 1);
    end_task(0);  // takes out what nobody runs any more
    wait(1);
  }
  void after() { MODEL_CHECK(returned == 1); }
};
MODEL_ADD(rest_look_again);

// Three want the same to be done, as core::shut_down does it; the first leader's try fails, as a drain's at its limit. One of them
// does not wait.
struct leader_shared : model::test<leader_shared, 3> {
  static constexpr const char* fact = "one at a time leads, whoever waits gets what a leader has left, and nobody sleeps over it";
  static constexpr const char* files = "leader.hpp";
  static constexpr const char* steps = "leader: say that it is over";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;
  model::mutex mutex;
  leader<model_atomics> shutdown;
  model::plain<int> result{0};
  bool complete = false;
  unsigned leading = 0, tries = 0, got = 0, late = 0;
  void thread(unsigned i) {
    for (;;) {
      std::unique_lock held(mutex);
      for (;;) {
        if (complete) {
          MODEL_CHECK(result.get() == 5);
          ++got;
          return;
        }
        if (shutdown.take()) break;
        if (i == 2) {
          ++late;
          return;
        }
        shutdown.wait(held, forever);
      }
      MODEL_CHECK(++leading == 1);
      const bool first = tries++ == 0;
      held.unlock();
      if (!first) result.set(5);
      held.lock();
      --leading;
      complete = !first;
      if (model::keeps("leader: say that it is over")) shutdown.leave(held);
      if (first) continue;
      ++got;
      return;
    }
  }
  void after() { MODEL_CHECK(got + late == 3 && tries == 2); }
};
MODEL_ADD(leader_shared);

// drain() against a submit: the lease is shut, then rest is waited for. The queue is a word.
struct drain_and_submit : model::test<drain_and_submit, 3> {
  static constexpr const char* fact = "a drain returns when all that was accepted has ended, and nothing is accepted after it";
  static constexpr const char* files = "credits.hpp; quiescence.hpp";
  static constexpr const char* steps = "drain: shut before the wait";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};

  model::atomic<std::uint32_t> attention{0};
  quiescence<model_atomics> rest{attention, quiesce_bit};
  credit_pool<model_atomics> pool{2};
  credit_lease<model_atomics> lease;
  model::atomic<std::uint32_t> queued{0}, over{0};
  counter ended;
  unsigned accepted = 0, ran = 0;
  bool drained = false;

  void before() { MODEL_CHECK(lease.grant(pool.acquire(2, 2, [] { return 0; }), 0)); }
  bool at_rest() {
    const std::uint64_t e = ended.get();
    return lease.used_settled() == e;
  }
  void submitter() {
    for (int i = 0; i < 2; ++i) {
      if (!lease.try_use() && !lease.settle()) break;
      MODEL_CHECK(!drained);
      ++accepted;
      queued.fetch_add(1, release);
    }
    over.fetch_or(1, release);
  }
  void worker() {
    for (std::uint32_t n = 0;;) {
      const std::uint32_t o = over.load(acquire);
      if (queued.load(acquire) != n) {
        ++n;
        ++ran;
        ended.add();
        continue;
      }
      if (rest.asked()) rest.tell([this] { return at_rest(); });
      if (o == 3) return;
      while (queued.load(acquire) == n && over.load(acquire) == o) model_atomics::pause();
    }
  }
  void closer() {
    if (model::keeps("drain: shut before the wait")) {
      shut_all(pool, [this](auto f) { f(lease); });
    }
    MODEL_CHECK(rest.wait([this] { return at_rest(); }, [] { return forever; }));
    MODEL_CHECK(ran == accepted);
    drained = true;
    over.fetch_or(2, release);
  }
  void thread(unsigned i) { i == 0 ? submitter() : i == 1 ? worker() : closer(); }
  void after() { MODEL_CHECK(ran == accepted && drained); }
};
MODEL_ADD(drain_and_submit);

struct entry {
  entry* next = nullptr;
  model::atomic<std::uint32_t> latch{0};
  model::plain<int> callable{0}, result{0};
};

template <class Self, unsigned Threads>
struct entry_test : model::test<Self, Threads> {
  static constexpr const char* files = "entry_list.hpp";
  static constexpr auto modes = model::one_mode;
  using list = entry_list<model_atomics, entry>;
  model::atomic<std::uint32_t> attention{0};
  list entries{attention, entries_bit};
  std::optional<entry> frames[3];
  unsigned ran[3]{}, order[3]{}, served = 0, returned = 0;

  void call(unsigned i) {
    entry& e = frames[i].emplace();
    e.callable.set(static_cast<int>(i) + 1);
    entries.push(e);
    if (i == 0) {  // one spins, the other sleeps
      while (!list::is_over(e)) model_atomics::pause();
    } else {
      MODEL_CHECK(list::sleep(e, [] { return forever; }));
    }
    MODEL_CHECK(e.result.get() == 1);
    e.result.set(2);
    frames[i].reset();
    ++returned;
  }
  bool serve() {  // as worker::attend does: the bit first
    if ((attention.load(relaxed) & entries_bit) == 0) return false;
    bool others = false;
    entry* const e = entries.take(others);
    if (e == nullptr) return false;
    const auto i = static_cast<unsigned>(e->callable.get()) - 1;
    ++ran[i];
    order[served++] = i;
    e->result.set(1);
    list::finish(*e, entry_done);
    if (!model::keeps("entry: leave it alone")) MODEL_CHECK(e->result.get() != 0);
    return true;
  }
};

struct entry_calls : entry_test<entry_calls, 4> {
  static constexpr const char* fact = "each of two calls is run once by one of two workers, and its caller then has its frame for itself";
  static constexpr const char* steps = "entry: leave it alone";
  static constexpr model::effort work{.preemptions = 2, .bounded = 150'000, .random = 150'000};
  void thread(unsigned i) {
    if (i < 2) return call(i);
    while (served != 2)
      if (!serve()) model_atomics::pause();
  }
  void after() { MODEL_CHECK(ran[0] == 1 && ran[1] == 1 && returned == 2 && entries.empty()); }
};
MODEL_ADD(entry_calls);

struct entry_order : entry_test<entry_order, 2> {
  static constexpr const char* fact = "calls are served in the order in which they came";
  static constexpr model::effort work{.preemptions = 1, .bounded = 100, .random = 0};
  void thread(unsigned t) {
    if (t != 0) return;
    for (unsigned i = 0; i < 3; ++i) {
      entry& e = frames[i].emplace();
      e.callable.set(static_cast<int>(i) + 1);
      entries.push(e);
    }
    while (serve()) {}
  }
  void after() { MODEL_CHECK(served == 3 && order[0] == 0 && order[1] == 1 && order[2] == 2); }
};
MODEL_ADD(entry_order);

}  // namespace
}  // namespace shutdown_model
