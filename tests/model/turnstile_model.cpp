// turnstile.hpp and inbox.hpp: entries pushed by two threads, taken by turns that workers run, by a shutdown, or by a push whose turn
// finds no memory; and, with mailbox.hpp and entry_list.hpp, after a pause. room.hpp: a place that three want.
#include "relacy.hpp"

#include "attention.hpp"
#include "entry_list.hpp"
#include "mailbox.hpp"
#include "references.hpp"
#include "room.hpp"
#include "turnstile.hpp"

#include <mutex>
#include <optional>
#include <utility>

using namespace weir::detail;

namespace turnstile_model {
namespace {

using A = model_atomics;

// What gate_state.cpp and the runtime's queues make of it: a turn that was started lies in a queue until a worker takes it.
struct entry {
  model::atomic<entry*> next{nullptr};
  model::plain<int> callable;
};

bool any(const entry&) { return true; }
bool always() { return true; }

template <class Self, rl::thread_id_t Threads>
struct turns_test : model::test<Self, Threads> {
  static constexpr const char* files = "turnstile.hpp; inbox.hpp";
  static constexpr auto modes = model::one_mode;
  model::atomic<unsigned> queued{0};

  void post(unsigned turns) {
    if (turns != 0) queued.fetch_add(turns, release);
  }
  bool take() {
    unsigned n = queued.load(relaxed);
    while (n != 0)
      if (queued.compare_exchange_weak(n, n - 1, acquire, relaxed)) return true;
    return false;
  }
};

// A strand. Each turn makes room for others after one entry.
struct strand_turns : turns_test<strand_turns, 4> {
  static constexpr const char* fact = "a strand's entries run one at a time, each once, in the order of each thread, and see each other's writes";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 200'000};

  turnstile<A, entry> q{1};
  entry all[4];
  model::plain<int> guarded;
  unsigned ran = 0, next[2]{};

  void before() { guarded.set(0); }
  void push(unsigned who) {
    for (unsigned i = 0; i < 2; ++i) {
      entry& e = all[who * 2 + i];
      e.callable.set(static_cast<int>(who * 2 + i) + 1);
      post(q.push(e, e));
    }
  }
  void work_off() {
    while (ran != 4) {
      if (!take()) {
        A::pause();
        continue;
      }
      entry* const e = q.next(always);
      if (e == nullptr) continue;
      const auto k = static_cast<unsigned>(e - all);
      MODEL_CHECK(e->callable.get() == static_cast<int>(k) + 1);
      MODEL_CHECK(next[k / 2]++ == k % 2);
      guarded.set(guarded.get() + 1);
      ++ran;
      if (!q.over_if_empty()) post(1);
    }
  }
  void thread(unsigned i) { i < 2 ? push(i) : work_off(); }
  void after() { MODEL_CHECK(guarded.get() == 4 && q.take_if(&any) == nullptr); }
};
MODEL_ADD(strand_turns);

// Two entries at once from each of two threads, linked as gate_push links them; one goes in while the strand is being swept.
struct strand_bulk : turns_test<strand_bulk, 3> {
  static constexpr const char* fact = "what is pushed together stays in order, and what a sweep leaves is not lost";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 100'000};

  turnstile<A, entry> q{1};
  entry all[4];
  unsigned ran = 0, swept = 0, next = 0;

  void thread(unsigned i) {
    if (i == 0) {
      for (unsigned k = 0; k < 3; ++k) all[k].callable.set(static_cast<int>(k));
      all[1].next.store(&all[0], relaxed);
      all[2].next.store(&all[1], relaxed);
      return post(q.push(all[2], all[0]));
    }
    if (i == 1) {
      all[3].callable.set(-1);  // unwanted
      post(q.push(all[3], all[3]));
      std::size_t left = 0;
      for (entry* e = q.sweep([](entry& x) { return x.callable.get() < 0; }, left); e != nullptr; e = e->next.load(relaxed)) ++swept;
      return;
    }
    while (ran + swept != 4) {
      if (!take()) {
        A::pause();
        continue;
      }
      while (entry* const e = q.next(always)) {
        if (e->callable.get() >= 0) MODEL_CHECK(static_cast<unsigned>(e->callable.get()) == next++);
        ++ran;
      }
    }
  }
  void after() { MODEL_CHECK(next == 3 && ran + swept == 4); }
};
MODEL_ADD(strand_bulk);

// A limit of two. The second and the third entry need each other, so both must get a turn, whoever pushes first and however
// the first one's turn ends meanwhile.
struct limit_meets : turns_test<limit_meets, 4> {
  static constexpr const char* fact = "of a limit of two both places are used, and never three";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 200'000, .depth = 4'000};

  turnstile<A, entry> q{2};
  entry all[3];
  unsigned ran = 0, inside = 0, met = 0;

  void push(unsigned k) {
    all[k].callable.set(static_cast<int>(k));
    post(q.push(all[k], all[k]));
  }
  void thread(unsigned i) {
    if (i == 0) return push(0), push(1);
    if (i == 1) return push(2);
    while (ran != 3) {
      if (!take()) {
        A::pause();
        continue;
      }
      MODEL_CHECK(++inside <= 2);
      while (entry* const e = q.next(always)) {
        if (e->callable.get() != 0)
          for (++met; met < 2;) A::pause();
        ++ran;
      }
      --inside;
    }
  }
};
MODEL_ADD(limit_meets);

// A shutdown takes what waits, and the turns out of the runtime's queue, while two still push; as core::flush. Each turn and each
// push holds the gate, and nobody else: the last one that lets go takes it down.
struct turns_flushed : turns_test<turns_flushed, 3> {
  static constexpr const char* fact = "a shutdown takes out each entry once, in the order of each thread, and none is left in a gate that goes";
  static constexpr const char* steps = "turn: it ends where nothing is left";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 200'000};

  turnstile<A, entry> q{1};
  entry all[4];
  A::atomic<std::uint32_t> refs{2};
  unsigned ended = 0, next[2]{};
  bool gone = false;

  void let_go() {
    if (!drop_references(refs)) return;
    MODEL_CHECK(q.take_if(&any) == nullptr);
    gone = true;
  }
  void end(entry& e) {
    const auto k = static_cast<unsigned>(&e - all);
    MODEL_CHECK(e.callable.get() == 1 && next[k / 2]++ == k % 2);
    ++ended;
  }
  void thread(unsigned i) {
    if (i < 2) {
      for (entry* e = all + 2 * i; e != all + 2 * i + 2; ++e) {
        e->callable.set(1);
        for (unsigned turns = q.push(*e, *e); turns != 0; --turns) {
          add_reference(refs);
          post(1);
        }
      }
      return let_go();
    }
    while (!gone) {
      if (try_add_reference(refs)) {
        while (entry* const e = q.take_if(&any)) end(*e);
        let_go();
      }
      if (!take()) {
        A::pause();
        continue;
      }
      const bool whole = model::keeps("turn: it ends where nothing is left");
      do
        while (entry* const e = q.take_if(&any)) end(*e);
      while (whole && !q.over_if_empty());
      let_go();
    }
  }
  void after() { MODEL_CHECK(ended == 4); }
};
MODEL_ADD(turns_flushed);

// A turn that finds no memory is the gate's own spare one, as in gate_state::use_spare_turn; where that is under way already, it ends.
template <class Self, unsigned Places>
struct memory_test : turns_test<Self, 4> {
  static constexpr model::effort work{.preemptions = 2, .bounded = 150'000, .random = 150'000};
  turnstile<A, entry> q{Places};
  entry all[3];
  unsigned ended = 0, inside = 0;
  A::mutex spare_mutex;
  bool spare_out = false, kept = false;

  void push(entry& e) {
    e.callable.set(1);
    for (unsigned turns = q.push(e, e); turns != 0; --turns) {
      if (rl::rand(2) == 0) {
        this->post(1);
        continue;
      }
      bool out;
      {
        const std::lock_guard lock(spare_mutex);
        out = std::exchange(spare_out, true);
        if (!out) kept = true;
      }
      if (out) q.end_turn();
    }
  }
  bool take_any() {
    {
      const std::lock_guard lock(spare_mutex);
      if (std::exchange(kept, false)) return spare_out = false, true;
    }
    return this->take();
  }
  void thread(unsigned i) {
    if (i == 0) return push(all[0]), push(all[1]);
    if (i == 1) return push(all[2]);
    while (ended != 3) {
      if (!take_any()) {
        A::pause();
        continue;
      }
      while (entry* const e = q.next(always)) {
        MODEL_CHECK(++inside <= Places && e->callable.get() == 1);
        e->callable.set(2);
        ++ended;
        --inside;
      }
    }
  }
  void after() { MODEL_CHECK(q.take_if(&any) == nullptr); }
};
struct strand_without_memory : memory_test<strand_without_memory, 1> {
  static constexpr const char* fact = "a strand whose turn finds no memory runs each entry once, one at a time";
};
MODEL_ADD(strand_without_memory);
struct limit_without_memory : memory_test<limit_without_memory, 2> {
  static constexpr const char* fact = "a limit some of whose turns find no memory runs each entry once, and never three at a time";
};
MODEL_ADD(limit_without_memory);

// As core::pause, gate_state::run_turn, worker::take_mail and worker::attend do it. A turn and a worker are under way already, and have
// seen that nothing is paused.
struct pause_holds : model::test<pause_holds, 2> {
  static constexpr const char* fact = "what goes to a gate, into a mailbox or to the callers' list after a pause is not begun before its end";
  static constexpr const char* files = "inbox.hpp; entry_list.hpp; turnstile.hpp; mailbox.hpp";
  static constexpr const char* steps = "pause: look with the job in hand";
  static constexpr model::effort work{.preemptions = 4, .bounded = 60'000, .random = 60'000};
  static constexpr auto modes = model::one_mode;
  static constexpr std::uint32_t paused = 2, entries_bit = 8, mail_bit = 64;
  struct caller {
    caller* next = nullptr;
    A::atomic<std::uint32_t> latch{0};
  };
  attention_word<A> word;
  turnstile<A, entry> gate{1};
  mailbox<A, int> box;
  entry_list<A, caller> callers{word.raw(), entries_bit};
  entry first, late;
  caller calls;
  unsigned begun = 0;
  void before() {
    MODEL_CHECK(gate.push(first, first) == 1);
    MODEL_CHECK(gate.next(always) == &first);
  }
  void thread(unsigned i) {
    if (i == 0) {
      word.raise(paused);
      gate.push(late, late);
      const int letter = 1;
      MODEL_CHECK(box.put(&letter, 1, [](int&) {}));
      word.mark(mail_bit);
      callers.push(calls);
      return;
    }
    for (int k = 0; k < 2; ++k) {
      const std::uint32_t seen = word.bits();
      if ((seen & paused) != 0) return;
      const auto stays = [&] { return ((model::keeps("pause: look with the job in hand") ? word.bits() : seen) & paused) != 0; };
      begun += gate.next([&] { return !stays(); }) != nullptr;
      int letter = 0;
      begun += box.take(letter, stays);
      bool others = false;
      if (caller* const c = callers.take(others); c != nullptr) {
        if (stays()) callers.push(*c);
        else ++begun;
      }
    }
  }
  void after() { MODEL_CHECK(begun == 0 && !callers.empty()); }
};
MODEL_ADD(pause_holds);

// One place. Its holder gives it back; two stand in line, or come when it is free; one of them is told to go.
struct room_line : model::test<room_line, 4> {
  static constexpr const char* fact = "one at a time has the place, nobody sleeps past his turn, and who is sent away has not got it";
  static constexpr const char* files = "room.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 200'000};
  static constexpr auto modes = model::one_mode;

  room<A> r{1};
  room<A>::waiter* second = nullptr;
  model::plain<int> held;
  unsigned had = 0, sent = 0;

  void before() {
    held.set(0);
    MODEL_CHECK(r.take());
  }
  void use() {
    held.set(held.get() + 1);
    ++had;
    r.give();
  }
  void thread(unsigned i) {
    if (i == 0) return use();
    if (i == 3) {  // a stop token: its callback ends before the waiter goes
      while (second == nullptr) A::pause();
      if (r.turn_away(*second, weir::errc::cancelled)) ++sent;
      second = nullptr;
      return;
    }
    room<A>::waiter me;
    const bool at_once = r.line_up(me);
    if (i == 2) second = &me;
    const weir::errc said = at_once ? weir::errc{} : r.await(me, [] { return forever; });
    if (i == 2)
      while (second != nullptr) A::pause();
    if (said == weir::errc{}) return use();
    MODEL_CHECK(i == 2 && said == weir::errc::cancelled);
  }
  void after() { MODEL_CHECK(r.used() == 0 && had + sent == 3 && held.get() == static_cast<int>(had)); }
};
MODEL_ADD(room_line);

}  // namespace
}  // namespace turnstile_model
