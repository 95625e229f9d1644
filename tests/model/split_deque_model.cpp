// split_deque.hpp: an owner that forks and joins as fork.cpp does, and thieves.
//
// The owner's program is a string: + pushes the next job, - joins the last one, o opens the deque above a stolen job for the
// jobs that the wait forks, b finds that somebody has rung. A thief's: r rings, s steals, f forces, ? is one of the three.
#include "relacy.hpp"

#include <weir/detail/split_deque.hpp>

using namespace weir::detail;

namespace split_deque_model {
namespace {

struct work_item {
  model::plain<int> input{0}, result{0};
  model::atomic<std::uint32_t> done{0};
  unsigned starts = 0;

  void run(int id) {
    ++starts;
    MODEL_CHECK(starts == 1);
    MODEL_CHECK(input.get() == id);
    result.set(id);
  }
};

template <unsigned Jobs, std::uint32_t Capacity, unsigned EpochBits = 39>
struct players {
  using deque = split_deque<model_atomics, pointer_slot<model_atomics, work_item>, Capacity, EpochBits>;
  deque d;
  work_item jobs[Jobs];
  unsigned next = 0, depth = 0, inlined = 0;  // inlined: forked while the deque was full
  unsigned stack[Jobs]{};

  int id_of(const work_item& w) const { return static_cast<int>(&w - jobs) + 1; }

  void push() {
    work_item& w = jobs[next];
    w.input.set(id_of(w));
    if (d.push(depth, &w)) {
      if (d.full(depth)) {  // as fork_slow does
        static_cast<void>(d.pop(depth));
        if (d.rung()) d.answer_bell();
        w.run(id_of(w));
        ++next;
        ++inlined;
        return;
      }
      d.answer_bell();
    }
    stack[depth++] = next++;
  }
  void join() {
    if (inlined != 0) {
      --inlined;
      return;
    }
    work_item& w = jobs[stack[--depth]];
    if (d.pop(depth) || d.reclaim(depth)) {
      w.run(id_of(w));
      return;
    }
    d.open_above(depth);
    wait_for(w);
    d.close(depth);
  }
  void wait_for(work_item& w) {
    while (w.done.load(acquire) == 0) model_atomics::pause();
    MODEL_CHECK(w.result.get() == id_of(w));
  }
  void owner(const char* program) {
    for (; *program != 0; ++program) {
      if (*program == '+') {
        push();
      } else if (*program == '-') {
        join();
      } else if (*program == 'b') {
        d.ring();
      } else {  // o: the job below is stolen or not; if it is, what the wait forks lies above it
        work_item& w = jobs[stack[depth - 1]];
        if (d.pop(depth - 1) || d.reclaim(depth - 1)) {
          --depth;
          w.run(id_of(w));
          continue;
        }
        d.open_above(depth - 1);
        push();
        join();
        wait_for(w);
        d.close(--depth);
      }
    }
  }
  void thief(const char* program) {
    for (; *program != 0; ++program) {
      char c = *program;
      if (c == '?') c = "rsf"[rl::rand(model_atomics::asymmetric() ? 3 : 2)];
      if (c == 'f' && !model_atomics::asymmetric()) c = 's';
      if (c == 'r') {
        d.ring();
        continue;
      }
      work_item* w = nullptr;
      if ((c == 's' ? d.steal(w) : d.force(w)) != steal_outcome::stolen) continue;
      MODEL_CHECK(w != nullptr);
      w->run(id_of(*w));
      w->done.store(1, release);
    }
  }
  void after() {
    for (unsigned i = 0; i < next; ++i) MODEL_CHECK(jobs[i].starts == 1);
    work_item* w = nullptr;
    MODEL_CHECK(d.head() == 0 && d.steal(w) == steal_outcome::empty && !d.visible());
  }
};

template <class Self, unsigned Thieves, unsigned Jobs, std::uint32_t Capacity>
struct forks : players<Jobs, Capacity>, model::test<Self, 1 + Thieves> {
  static constexpr const char* files = "split_deque.hpp";
  using base = players<Jobs, Capacity>;
  using base::d, base::jobs, base::id_of, base::owner, base::thief;
  void after() { base::after(); }
};

struct deque_force_pop : forks<deque_force_pop, 1, 2, 2> {
  static constexpr const char* fact = "a job goes to the owner or to the thief that forces it out, never to both";
  static constexpr model::effort work{.preemptions = 3, .bounded = 300'000, .random = 30'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? owner("+-+-") : thief("ff"); }
};
MODEL_ADD(deque_force_pop);

struct deque_steal_pop : forks<deque_steal_pop, 1, 3, 2> {
  static constexpr const char* fact = "an exposed job goes to the owner or to the thief, never to both";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 30'000};
  void thread(unsigned i) { i == 0 ? owner("++--+-") : thief("rss"); }
};
MODEL_ADD(deque_steal_pop);

struct deque_force_more : forks<deque_force_more, 2, 3, 3> {
  static constexpr const char* fact = "what a thief forces out for others is as visible to them as to it";
  static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 50'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? owner("+++---") : thief(i == 1 ? "f" : "ss"); }
};
MODEL_ADD(deque_force_more);

struct deque_force_full : forks<deque_force_full, 1, 3, 2> {
  static constexpr const char* fact = "of a full deque all is forced out but the slot that is one too many";
  static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 30'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? owner("+++---") : thief("fss"); }
};
MODEL_ADD(deque_force_full);

struct deque_two_forces : forks<deque_two_forces, 2, 4, 2> {
  static constexpr const char* fact = "a claim and a trap of an old epoch take nothing from a new one";
  static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 100'000};
  static constexpr auto modes = model::asymmetric_modes;
  void thread(unsigned i) { i == 0 ? owner("++--++--") : thief("ff"); }
};
MODEL_ADD(deque_two_forces);

struct deque_mixed : forks<deque_mixed, 2, 5, 2> {
  static constexpr const char* fact = "whatever two thieves do, each job runs once, with what its pusher wrote, and the deque ends empty";
  static constexpr model::effort work{.preemptions = 2, .bounded = 50'000, .random = 150'000};
  void thread(unsigned i) { i == 0 ? owner("++-++---+-") : thief("?????"); }
};
MODEL_ADD(deque_mixed);

// Worker 0 runs a stolen job that forks once, ends it, and then forks something else at the same index. The owner of the
// stolen job, who waits for it, may take the first only.
struct deque_leap : forks<deque_leap, 1, 2, 2> {
  static constexpr const char* fact = "who waits for a stolen job takes what that job forked, and nothing that came after it";
  static constexpr const char* steps = "leap: still at it";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 50'000};
  model::atomic<std::uint32_t> over{0};
  void thread(unsigned i) {
    if (i == 0) {
      owner("+-");
      over.store(1, release);
      return owner("+-");
    }
    const auto still = [this] { return !model::keeps("leap: still at it") || over.load(acquire) == 0; };
    for (int k = 0; k < 3; ++k) {
      work_item* w = nullptr;
      const unsigned how = rl::rand(model_atomics::asymmetric() ? 3 : 2);
      if (how == 0) d.ring();
      else if ((how == 1 ? d.steal(w, 0, still) : d.force(w, 0, still)) == steal_outcome::stolen) {
        MODEL_CHECK(w == &jobs[0]);
        w->run(id_of(*w));
        w->done.store(1, release);
      }
    }
  }
};
MODEL_ADD(deque_leap);

// fork_each pushes one job again and again, and says in it, before each push, which calls have not begun.
struct deque_again : model::test<deque_again, 3> {
  static constexpr const char* fact = "one job, pushed again with less in it: each call runs once, and who takes the job reads what was written for that push";
  static constexpr const char* files = "split_deque.hpp";
  static constexpr const char* steps = "again: says what is left before the push";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  static constexpr unsigned calls = 4;
  struct rest {
    model::plain<unsigned> first{0};
    model::atomic<std::uint32_t> done{0};
  };
  split_deque<model_atomics, pointer_slot<model_atomics, rest>, 2> d;
  rest job;
  unsigned begun[calls]{};

  void call(unsigned i) {
    ++begun[i];
    MODEL_CHECK(begun[i] == 1);
  }
  void thread(unsigned i) {
    if (i != 0) {
      for (int k = 0; k < 3; ++k) {
        const unsigned how = rl::rand(model_atomics::asymmetric() ? 3 : 2);
        if (how == 0) {
          d.ring();
          continue;
        }
        rest* r = nullptr;
        if ((how == 1 ? d.steal(r) : d.force(r)) != steal_outcome::stolen) continue;
        for (unsigned c = r->first.get(); c < calls; ++c) call(c);
        r->done.store(1, release);
      }
      return;
    }
    const bool before = model::keeps("again: says what is left before the push");
    for (unsigned c = 0; c + 1 < calls; ++c) {
      if (before) job.first.set(c + 1);
      if (d.push(0, &job)) d.answer_bell();
      if (!before) job.first.set(c + 1);
      call(c);
      if (d.pop(0) || d.reclaim(0)) continue;
      while (job.done.load(acquire) == 0) model_atomics::pause();
      return d.close(0);
    }
    call(calls - 1);
  }
  void after() {
    for (unsigned c = 0; c < calls; ++c) MODEL_CHECK(begun[c] == 1);
    MODEL_CHECK(d.head() == 0 && !d.visible());
  }
};
MODEL_ADD(deque_again);

// The epoch wraps. With k bits a thief's last step goes wrong if the owner makes 2^k slow operations behind its first look, and
// not if it makes fewer: two bits stand three of them, one bit breaks at two, and two bits break at four. So each further bit
// doubles what a thief must sleep through; split_deque.hpp says what that means for the shipped 39.
struct deque_epoch : model::test<deque_epoch, 2> {
  static constexpr const char* fact = "a steal fails if the owner was slow in between, for up to 2^bits - 1 slow operations";
  static constexpr const char* files = "split_deque.hpp";
  static constexpr const char* steps = "epoch: two bits for three slow operations; epoch: fewer slow operations than epochs";
  static constexpr model::effort work{.preemptions = 3, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::asymmetric_modes;
  players<3, 2, 2> two;
  players<2, 2, 1> one;
  // The thief's look comes behind the first exposure (b+) or later, so that a slow - , an exposure and a slow - are left.
  const char* program() const { return model::keeps("epoch: fewer slow operations than epochs") ? "b+-b+-" : "b+-b+-b+-"; }
  void thread(unsigned i) {
    if (model::keeps("epoch: two bits for three slow operations")) i == 0 ? two.owner(program()) : two.thief("s");
    else i == 0 ? one.owner("b+-b+-") : one.thief("s");
  }
  void after() {
    two.after();
    one.after();
  }
};
MODEL_ADD(deque_epoch);

struct deque_open : forks<deque_open, 2, 5, 3> {
  static constexpr const char* fact = "what a waiting owner forks above a stolen job is found there, and nothing below is taken again";
  static constexpr model::effort work{.preemptions = 2, .bounded = 50'000, .random = 100'000};
  void thread(unsigned i) { i == 0 ? owner("+o+o+-") : thief("????"); }
};
MODEL_ADD(deque_open);

}  // namespace
}  // namespace split_deque_model
