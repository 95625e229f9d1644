// waiting_line.hpp: submitters that wait for room, and those who make it or hold it, as admission.cpp and worker.cpp have them.
#include "relacy.hpp"

#include "counter.hpp"
#include "credits.hpp"
#include "waiting_line.hpp"

using namespace weir::detail;

namespace line_model {
namespace {

using A = model_atomics;
using line = waiting_line<A>;

constexpr std::uint32_t blocked_bit = 32;

template <class Self, unsigned Threads, unsigned Workers>
struct line_test : model::test<Self, Threads> {
  static constexpr const char* files = "waiting_line.hpp; attention.hpp; counter.hpp";
  static constexpr const char* steps = "line: look after the announcement";
  attention_word<A> attention;
  line l{attention, blocked_bit};
  credit_pool<A> pool{1};
  own_counter<A> starts[Workers];
  model::plain<int> wrote[Workers];
  unsigned in = 0;

  line_test() {
    for (auto& w : wrote) w.set(0);
  }
  std::uint64_t started_sum() const {
    std::uint64_t n = 0;
    for (const auto& s : starts) n += s.get();
    return n;
  }
  struct room {
    line_test& t;
    bool take() {
      return t.pool.acquire(1, 1, [this] { return t.started_sum(); }) != 0;
    }
    void give_back() { t.pool.give_back(1); }
  };
  void take_all() { MODEL_CHECK(pool.acquire(1, 1, [] { return 0; }) == 1); }
  // As core::room_made.
  void room_made() {
    if (pool.free([this] { return started_sum(); }) >= 1) l.serve(room{*this});
  }
  // A worker starts a task that was accepted.
  void start(unsigned worker) {
    wrote[worker].set(1);
    starts[worker].add();
    if (attention.told(blocked_bit)) room_made();
  }
  line::state wait(line::place& me, std::int64_t ns = forever) {
    l.join(me);
    if (l.announce() && model::keeps("line: look after the announcement")) room_made();
    line::state s = line::look(me);
    while (s <= line::asleep) {
      s = line::sleep(me, ns);
      if (s != line::asleep || ns == forever) continue;
      line::answer_oneself(me, line::expired);
      s = line::look(me);
    }
    if (s == line::served) ++in;
    else l.leave(me);
    return s;
  }
};

struct line_one : line_test<line_one, 2, 1> {
  static constexpr const char* fact = "whoever waits for room is woken by the start that makes it, and sees what came before it";
  static constexpr model::effort work{.preemptions = 4, .bounded = 100'000, .random = 100'000};
  void before() { take_all(); }
  void thread(unsigned i) {
    if (i == 1) return start(0);
    line::place me;
    MODEL_CHECK(wait(me) == line::served);
    MODEL_CHECK(wrote[0].get() == 1);
  }
  void after() { MODEL_CHECK(in == 1 && l.empty() && (attention.raw().newest() & blocked_bit) == 0); }
};
MODEL_ADD(line_one);

// Room for two is made by two: the one who finds the other at work leaves it to him.
struct line_two : line_test<line_two, 4, 2> {
  static constexpr const char* fact = "room that is made while another serves the line reaches those who wait";
  static constexpr model::effort work{.preemptions = 2, .bounded = 150'000, .random = 150'000};
  void before() { take_all(); }
  void thread(unsigned i) {
    if (i >= 2) return start(i - 2);
    line::place me;
    MODEL_CHECK(wait(me) == line::served);
  }
  void after() { MODEL_CHECK(in == 2 && l.empty() && (attention.raw().newest() & blocked_bit) == 0); }
};
MODEL_ADD(line_two);

// One who came before anybody waited takes what the first start has made; the second start makes room for the one who waits.
struct line_newcomer : line_test<line_newcomer, 4, 2> {
  static constexpr const char* fact = "who has made room serves the line, though others take room meanwhile that he did not make";
  static constexpr const char* files = "credits.hpp; waiting_line.hpp; attention.hpp; counter.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};
  void before() { take_all(); }
  void thread(unsigned i) {
    if (i >= 2) return start(i - 2);
    if (i == 1) {
      if (l.empty()) static_cast<void>(room{*this}.take());
      return;
    }
    line::place me;
    MODEL_CHECK(wait(me) == line::served);
  }
  void after() { MODEL_CHECK(in == 1 && l.empty()); }
};
MODEL_ADD(line_newcomer);

// One place is free. A server takes it for somebody who gives up meanwhile; a newcomer asks for it, as core::admit_outside does, who
// may have looked at the line before anybody stood there.
struct line_full : line_test<line_full, 3, 1> {
  static constexpr const char* fact = "nobody is told full for a place that a server carries to one who has given up";
  static constexpr const char* steps = "line: look at it before `full`";
  static constexpr model::effort work{.preemptions = 4, .bounded = 150'000, .random = 150'000};
  unsigned accepted = 0;
  bool ask() {
    const auto sum = [this] { return started_sum(); };
    for (bool full = false; !full;) {
      const std::uint64_t started = started_sum(), returned = pool.returns();
      if (!l.empty() && l.serve_now(room{*this})) {
        full = started_sum() == started && pool.returns() == returned;
        continue;
      }
      if (pool.acquire(1, 1, sum) != 0) return true;
      full = (!model::keeps("line: look at it before `full`") || l.empty()) && started_sum() == started &&
             pool.returns() == returned;
    }
    return false;
  }
  void thread(unsigned i) {
    if (i == 1) return l.serve(room{*this});
    if (i == 2) {
      accepted += ask();
      return;
    }
    line::place me;
    l.join(me);
    line::answer_oneself(me, line::expired);
    if (line::look(me) == line::served) ++accepted;
    else l.leave(me);
  }
  void after() { MODEL_CHECK(accepted == 1 && l.empty()); }
};
MODEL_ADD(line_full);

// The first gives up; its room goes to the second. What the first is given all the same, it starts at once.
struct line_expiry : line_test<line_expiry, 3, 2> {
  static constexpr const char* fact = "who gives up while he is being served does not take the room along";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 150'000};
  void before() { take_all(); }
  void thread(unsigned i) {
    if (i == 2) return start(0);
    line::place me;
    if (i == 0) {
      if (wait(me, 1000) == line::served) start(1);
    } else {
      MODEL_CHECK(wait(me) == line::served);
    }
  }
  void after() {
    MODEL_CHECK(l.empty() && (attention.raw().newest() & blocked_bit) == 0);
    MODEL_CHECK(pool.free([this] { return started_sum(); }) + in == started_sum());
  }
};
MODEL_ADD(line_expiry);

// The end of the runtime against a server and a newcomer: as core::shut_leases and core::wait_for_room.
struct line_shut : line_test<line_shut, 3, 1> {
  static constexpr const char* fact = "nobody waits on in a line that was shut";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  model::mutex lease_mutex;
  model::plain<int> closed{0};
  void before() { take_all(); }
  void thread(unsigned i) {
    if (i == 1) return start(0);
    if (i == 2) {
      lease_mutex.lock();
      closed.set(1);
      lease_mutex.unlock();
      return l.shut_all();
    }
    line::place me;
    l.join(me);
    lease_mutex.lock();
    if (closed.get() != 0) line::answer_oneself(me, line::shut);
    lease_mutex.unlock();
    if (l.announce()) l.serve(room{*this});
    line::state s = line::look(me);
    while (s <= line::asleep) s = line::sleep(me, forever);
    if (s == line::served) ++in;
    else l.leave(me);
  }
  void after() { MODEL_CHECK(l.empty() && pool.free([this] { return started_sum(); }) + in == 1); }
};
MODEL_ADD(line_shut);

// What the two below have beside the line: leases, and the lock that recall_all and whoever gives his rest up hold.
template <class Self, unsigned Threads>
struct lease_test : line_test<Self, Threads, 1> {
  using base = line_test<Self, Threads, 1>;
  static constexpr const char* files = "waiting_line.hpp; credits.hpp; attention.hpp";
  using room = typename base::room;
  credit_lease<A> leases[2];
  model::mutex lease_mutex;
  std::uint64_t free_now() {
    return this->pool.free([this] { return this->started_sum(); });
  }
  void recall_all() {
    const std::lock_guard lock(lease_mutex);
    for (auto& held : leases)
      if (const std::uint64_t n = held.recall(); n != 0) this->pool.give_back(n);
  }
  line::state wait_after_recall(line::place& me) {
    this->l.join(me);
    recall_all();
    if (this->l.announce()) this->l.serve(room{*this});
    line::state s = line::look(me);
    while (s <= line::asleep) s = line::sleep(me, forever);
    return s;
  }
};

// One finds nobody in the line and takes more than he uses; the other comes to wait. Nothing starts any more.
struct line_rest : lease_test<line_rest, 2> {
  static constexpr const char* fact = "what a lease has in advance is not slept over by who comes to wait for it";
  static constexpr const char* steps = "line: look after the draw";
  static constexpr model::effort work{.preemptions = 4, .bounded = 100'000, .random = 100'000};
  void before() { this->starts[0].add(); }  // capacity 1 and one start: two are free
  void thread(unsigned i) {
    if (i == 0) {
      if (!l.empty()) return;
      if (!leases[0].draw(pool, 1, 2, 1, [this] { return started_sum(); })) return;
      if (!model::keeps("line: look after the draw") || l.empty()) return;
      {
        const std::lock_guard lock(lease_mutex);
        if (const std::uint64_t n = leases[0].give_up(); n != 0) pool.give_back(n);
      }
      return l.serve(room{*this});
    }
    line::place me;
    MODEL_CHECK(wait_after_recall(me) == line::served);
  }
  void after() { MODEL_CHECK(l.empty() && (attention.raw().newest() & blocked_bit) == 0); }
};
MODEL_ADD(line_rest);

// A thread ends, with a credit that it has not used.
struct line_thread_ends : lease_test<line_thread_ends, 2> {
  static constexpr const char* fact = "what a thread that ends gives back is not slept over by who comes to wait for it";
  static constexpr const char* steps = "line: the rest under the lock";
  static constexpr model::effort work{.preemptions = 4, .bounded = 100'000, .random = 100'000};
  void before() { MODEL_CHECK(leases[0].draw(pool, 1, 1, 0, [] { return 0; })); }
  void thread(unsigned i) {
    if (i == 0) {
      const bool locked = model::keeps("line: the rest under the lock");
      if (locked) lease_mutex.lock();
      if (const std::uint64_t n = leases[0].give_up(); n != 0) pool.give_back(n);
      if (locked) lease_mutex.unlock();
      return;
    }
    line::place me;
    MODEL_CHECK(wait_after_recall(me) == line::served);
  }
  void after() { MODEL_CHECK(l.empty() && free_now() == 0); }
};
MODEL_ADD(line_thread_ends);

}  // namespace
}  // namespace line_model
