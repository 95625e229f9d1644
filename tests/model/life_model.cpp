// doors.hpp, crew.hpp (and the word that tells it to leave), slot_table.hpp, append_list.hpp, references.hpp, presence.hpp, counter.hpp, aftermath.hpp: who may still come, who is there, who
// leaves last, and what comes after that.
#include "relacy.hpp"

#include "aftermath.hpp"
#include "append_list.hpp"
#include "attention.hpp"
#include "crew.hpp"
#include "doors.hpp"
#include "presence.hpp"
#include "references.hpp"
#include "slot_table.hpp"

#include <optional>

using namespace weir::detail;

namespace life_model {
namespace {

// Whoever closes the doors takes the sum once, as a drain would that finds rest at once: nobody may come in after that.
struct doors_closed : model::test<doors_closed, 3> {
  static constexpr const char* fact = "who came in is in the sum of whoever closed the doors, and nobody comes in after it";
  static constexpr const char* files = "doors.hpp; counter.hpp";
  static constexpr const char* steps = "doors: look after the count";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  doors<model_atomics> d;
  unsigned inside = 0;
  std::uint64_t sum = 0;
  void thread(unsigned i) {
    if (i == 2) {
      d.close(phase::closing);
      sum = d.entered();
      return;
    }
    if (!model::keeps("doors: look after the count") && d.closed()) return;
    if (d.enter() || !model::keeps("doors: look after the count")) ++inside;
    else d.undo();
  }
  void after() { MODEL_CHECK(d.closed() && inside <= sum && d.entered() == inside); }
};
MODEL_ADD(doors_closed);

// What an entry did is visible to whoever has seen its end, and so is its count.
struct counted_before_ended : model::test<counted_before_ended, 2> {
  static constexpr const char* fact = "who sees that an entry has ended sees that it came in, and what it did";
  static constexpr const char* files = "counter.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 20'000, .random = 20'000};
  static constexpr auto modes = model::one_mode;
  shared_counter<model_atomics> came, ended;
  model::plain<int> did[2]{};
  void before() {
    did[0].set(0);
    did[1].set(0);
  }
  void thread(unsigned i) {
    if (i == 0) {
      for (auto& d : did) {
        came.add();
        d.set(1);
        ended.add();
      }
      return;
    }
    for (int k = 0; k < 4; ++k) {
      const std::uint64_t e = ended.get();
      for (std::uint64_t n = 0; n < e; ++n) MODEL_CHECK(did[n].get() == 1);
      MODEL_CHECK(came.get() >= e);
    }
  }
};
MODEL_ADD(counted_before_ended);

// Three workers; one of them orphans the runtime. The last one frees what all have written.
struct crew_leaves : model::test<crew_leaves, 3> {
  static constexpr const char* fact = "exactly one of an orphan's threads is the last, and it sees what all others did";
  static constexpr const char* files = "crew.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  crew<model_atomics> threads;
  model::plain<int> did[3]{};
  unsigned last = 0;
  void before() {
    for (auto& d : did) {
      d.set(0);
      threads.joins();
    }
  }
  void thread(unsigned i) {
    did[i].set(1);
    if (i == 1) threads.orphan();
    if (!threads.left()) return;
    ++last;
    for (auto& d : did) {
      MODEL_CHECK(d.get() == 1);
      d.set(2);
    }
  }
  void after() { MODEL_CHECK(last == 1); }
};
MODEL_ADD(crew_leaves);

// A caller who runs a task orphans the runtime, and tells its threads to go as core::check_quiescent does.
struct crew_is_told : model::test<crew_is_told, 3> {
  static constexpr const char* fact = "the last thread of a runtime that a caller has orphaned knows it";
  static constexpr const char* files = "attention.hpp; crew.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  static constexpr std::uint32_t stop = 1;
  crew<model_atomics> threads;
  attention_word<model_atomics> word;
  unsigned last = 0;
  void before() {
    threads.joins();
    threads.joins();
  }
  void thread(unsigned i) {
    if (i == 0) {
      threads.orphan();
      if (threads.orphaned()) word.raise_and_publish(stop);
      return;
    }
    while ((word.bits() & stop) == 0) model_atomics::pause();
    word.catch_up();
    last += threads.left();
  }
  void after() { MODEL_CHECK(last == 1); }
};
MODEL_ADD(crew_is_told);

// Two threads append under a lock, as blocking_pool::start does; one goes through without it, as a shutdown does.
struct appended_built : model::test<appended_built, 3> {
  static constexpr const char* fact = "what is found in a list that grows is built";
  static constexpr const char* files = "append_list.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  struct item {
    item() {}
    model::plain<int> built{0};
  };
  append_list<model_atomics, item> list;
  model::mutex lock;
  void thread(unsigned i) {
    if (i < 2) {
      const std::lock_guard held(lock);
      auto fresh = std::make_unique<item>();
      fresh->built.set(1);
      list.append(2, std::move(fresh));
      return;
    }
    for (int k = 0; k < 3; ++k) list.each([](item& x) { MODEL_CHECK(x.built.get() == 1); });
  }
  void after() {
    unsigned n = 0;
    list.each([&](item&) { ++n; });
    MODEL_CHECK(n == 2 && list.size() == 2);
  }
};
MODEL_ADD(appended_built);

// One adds workers; one counts them, one looks who is on duty, and one is told a number in a word that orders nothing.
struct slots_built : model::test<slots_built, 4> {
  static constexpr const char* fact = "a worker that is found in the table is built, whoever told its number";
  static constexpr const char* files = "slot_table.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  struct item {
    item() {}
    model::plain<int> built{0};
  };
  slot_table<model_atomics, item, 2> table;
  item items[2];
  model::atomic<unsigned> told{0};
  void thread(unsigned i) {
    if (i == 0) {
      for (unsigned n = 0; n < 2; ++n) {
        items[n].built.set(1);
        table.add(n, items[n]);
        told.store(n + 1, relaxed);
        table.set_on_duty(n + 1);
      }
    } else if (i == 1) {
      for (int k = 0; k < 3; ++k)
        for (unsigned n = 0, e = table.count(); n < e; ++n) {
          MODEL_CHECK(table.at(n) != nullptr);
          MODEL_CHECK(table.at(n)->built.get() == 1);
        }
    } else if (i == 2) {
      for (int k = 0; k < 3; ++k)
        if (const unsigned n = table.on_duty(); n != 0) {
          item* const it = table.at(n - 1);
          MODEL_CHECK(it != nullptr);
          MODEL_CHECK(it->built.get() == 1);
        }
    } else {
      for (int k = 0; k < 3; ++k)
        if (const unsigned n = told.load(relaxed); n != 0)
          if (item* const it = table.at(n - 1); it != nullptr) MODEL_CHECK(it->built.get() == 1);
    }
  }
};
MODEL_ADD(slots_built);

// A core: its runtime, and handles that outlive it.
struct references_dropped : model::test<references_dropped, 3> {
  static constexpr const char* fact = "what is held by count goes once, after everybody's last use";
  static constexpr const char* files = "references.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  struct held {
    held() {}
    model::plain<int> used[3]{};
  };
  std::optional<held> thing{std::in_place};
  model::atomic<std::uint64_t> refs{2};
  unsigned gone = 0;
  void before() {
    for (auto& u : thing->used) u.set(0);
  }
  void let_go() {
    if (!drop_references(refs)) return;
    for (auto& u : thing->used) u.set(-1);
    thing.reset();
    ++gone;
  }
  void thread(unsigned i) {
    if (i == 2) return;
    if (i == 0) add_reference(refs);  // a task's, that ends on the same thread
    thing->used[i].set(1);
    let_go();
    if (i != 0) return;
    thing->used[2].set(1);
    let_go();
  }
  void after() { MODEL_CHECK(gone == 1); }
};
MODEL_ADD(references_dropped);

// The task that is submitted is the last that holds the runtime; its submitter still wakes somebody.
struct caller_inside : model::test<caller_inside, 2> {
  static constexpr const char* fact = "what a submitted task destroys is there until its submitter has left";
  static constexpr const char* files = "presence.hpp";
  static constexpr const char* steps = "presence: enter before the publication";
  static constexpr model::effort work{.preemptions = 3, .bounded = 20'000, .random = 20'000};
  static constexpr auto modes = model::one_mode;
  presence<model_atomics> call;
  model::atomic<std::uint32_t> queue{0};
  model::plain<int> core_state;
  void before() { core_state.set(0); }
  void thread(unsigned i) {
    if (i == 0) {
      const bool in_order = model::keeps("presence: enter before the publication");
      if (in_order) call.enter();
      queue.store(1, release);
      if (!in_order) call.enter();
      core_state.set(1);
      call.leave();
      return;
    }
    while (queue.load(acquire) == 0) model_atomics::pause();
    call.wait_gone([] { model_atomics::pause(); });
    core_state.set(-1);
  }
  void after() { MODEL_CHECK(core_state.get() == -1); }
};
MODEL_ADD(caller_inside);

// As core::post and core::shut_down. The queue is a word: what is in it, and it is emptied by who leads.
struct late_let_go : model::test<late_let_go, 3> {
  static constexpr const char* fact = "what is queued after the last worker has gone is let go of by who stopped the runtime or who queued it";
  static constexpr const char* files = "aftermath.hpp; leader.hpp; doors.hpp";
  static constexpr const char* steps = "late: look again for who came meanwhile";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  model::mutex life;
  doors<model_atomics> d;
  leader<model_atomics> shutdown;
  aftermath<model_atomics> after_all;
  model::atomic<std::uint32_t> queued{0};
  model::plain<int> leading;
  void before() {
    leading.set(0);
    d.close(phase::closing);
  }
  bool stopped() const { return d.now() == phase::stopped; }
  void drain() {
    leading.set(1);
    if (queued.load(relaxed) != 0) queued.exchange(0, acquire);
    leading.set(0);
  }
  void thread(unsigned i) {
    const auto has_stopped = [this] { return stopped(); };
    const auto let_go = [this] { drain(); };
    if (i == 2) {
      std::unique_lock held(life);
      MODEL_CHECK(shutdown.take());
      d.close(phase::stopped);
      after_all.let_go(held, let_go);
      shutdown.leave(held);
      return;
    }
    queued.fetch_add(1, release);
    if (!after_all.came_late(has_stopped)) return;
    std::unique_lock held(life);
    if (shutdown.led() && !model::keeps("late: look again for who came meanwhile")) return;
    after_all.late(held, shutdown, has_stopped, let_go);
  }
  void after() { MODEL_CHECK(queued.newest() == 0); }
};
MODEL_ADD(late_let_go);

}  // namespace
}  // namespace life_model
