// credits.hpp: submitters with leases, workers that start, as admission.cpp uses them.
#include "relacy.hpp"

#include "counter.hpp"
#include "credits.hpp"

using namespace weir::detail;

namespace credits_model {
namespace {

using A = model_atomics;

template <class Self, unsigned Submitters, unsigned Workers, std::uint64_t Capacity>
struct admission_test : model::test<Self, Submitters + Workers> {
  static constexpr const char* files = "credits.hpp";
  credit_pool<A> pool{Capacity};
  credit_lease<A> leases[Submitters];
  A::atomic<std::uint64_t> starts{0};  // one worker's
  A::atomic<unsigned> queued{0}, over{0};
  model::mutex lease_mutex;
  unsigned accepted = 0, started = 0;

  std::uint64_t started_sum() const { return starts.load(acquire); }

  // 1: accepted. 0: full. As core::settle and core::admit_outside do it.
  bool submit(unsigned me) {
    credit_lease<A>& l = leases[me];
    if (!l.try_use() && !l.settle() && !ask(l)) return false;
    ++accepted;
    MODEL_CHECK(accepted - started <= Capacity);
    queued.fetch_add(1, release);
    return true;
  }
  bool ask(credit_lease<A>& l) {
    for (bool full = false; !full;) {
      const std::uint64_t s = started_sum(), r = pool.returns();
      if (l.draw(pool, 1, Capacity, 1, [this] { return started_sum(); })) return true;
      recall_all();
      full = started_sum() == s && pool.returns() == r;
    }
    return false;
  }
  void recall_all() {
    lease_mutex.lock();
    std::uint64_t n = 0;
    for (auto& l : leases) n += l.recall();
    if (n != 0) pool.give_back(n);
    lease_mutex.unlock();
  }
  void start_one() {  // something is queued
    ++started;
    MODEL_CHECK(started <= accepted);
    starts.store(starts.load(relaxed) + 1, release);
  }
};

// A has cached a credit in advance; B needs it. Nothing else is there.
struct credits_recall : admission_test<credits_recall, 2, 0, 2> {
  static constexpr const char* fact = "a credit that is recalled is used by its lease or by the pool, never by both";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 60'000};
  unsigned got[2]{};
  void before() { MODEL_CHECK(leases[0].grant(pool.acquire(2, 2, [] { return 0; }), 0)); }
  void thread(unsigned i) {
    for (int k = 0; k < 2; ++k) got[i] += submit(i);
  }
  void after() { MODEL_CHECK(got[0] + got[1] == 2 && accepted == 2); }
};
MODEL_ADD(credits_recall);

struct credits_capacity : admission_test<credits_capacity, 2, 1, 2> {
  static constexpr const char* fact = "accepted minus started never exceeds the capacity, and what was started makes room";
  static constexpr model::effort work{.preemptions = 2, .bounded = 60'000, .random = 60'000};
  void thread(unsigned i) {
    if (i == 2) {
      for (unsigned n = 0; n < 2;) {
        if (queued.load(acquire) > n) {
          start_one();
          ++n;
        } else if (over.load(acquire) == 2) {
          return;
        } else {
          A::pause();
        }
      }
      return;
    }
    for (int k = 0; k < 2; ++k) submit(i);
    over.fetch_add(1, release);
  }
};
MODEL_ADD(credits_capacity);

// Two credits, three submitters: the third may see the pool empty while another still carries what it took.
struct credits_full : admission_test<credits_full, 2, 0, 2> {
  static constexpr const char* fact = "nobody is told full while credits are on their way back";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 60'000};
  unsigned refused = 0;
  void before() { MODEL_CHECK(leases[0].grant(pool.acquire(2, 2, [] { return 0; }), 1)); }
  // One is taken, one is cached by lease 0, whose owner is away. Somebody recalls it, somebody else wants it.
  void thread(unsigned i) {
    if (i == 0) return recall_all();
    refused += !submit(1);
  }
  void after() { MODEL_CHECK(refused == 0); }
};
MODEL_ADD(credits_full);

// One draws both credits and is held up before anybody can see them in his lease.
struct credits_in_transit : admission_test<credits_in_transit, 2, 0, 2> {
  static constexpr const char* fact = "two submits, capacity two: none is refused";
  static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 60'000};
  unsigned got[2]{};
  void thread(unsigned i) { got[i] = submit(i); }
  void after() { MODEL_CHECK(got[0] + got[1] == 2); }
};
MODEL_ADD(credits_in_transit);

// One is taken. Two start; who was the first to ask takes what he has seen started, and the second, who knows of the other start, asks.
struct credits_seen : model::test<credits_seen, 3> {
  static constexpr const char* fact = "who sees a credit as taken sees the start that gave it, and is not told full for the next one";
  static constexpr const char* files = "credits.hpp; counter.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 60'000, .random = 60'000};
  static constexpr auto modes = model::one_mode;
  credit_pool<A> pool{1};
  own_counter<A> starts[2];
  bool first_got = false, first_saw = false, second_got = false;
  std::uint64_t sum() const { return starts[0].get() + starts[1].get(); }
  void before() { MODEL_CHECK(pool.acquire(1, 1, [] { return 0; }) == 1); }
  void thread(unsigned i) {
    if (i == 0) return starts[0].add();
    if (i == 1) {
      first_got = pool.acquire(1, 1, [this] {
        const std::uint64_t n = starts[0].get();
        first_saw = n == 1;
        return n + starts[1].get();
      }) != 0;
      return;
    }
    starts[1].add();
    for (bool full = false; !full && !second_got;) {
      const std::uint64_t started = sum(), returned = pool.returns();
      second_got = pool.acquire(1, 1, [this] { return sum(); }) != 0;
      full = sum() == started && pool.returns() == returned;
    }
  }
  void after() { MODEL_CHECK(second_got || (first_got && !first_saw)); }
};
MODEL_ADD(credits_seen);

// The lease is shut for good while its owner submits.
struct credits_shut : admission_test<credits_shut, 1, 1, 2> {
  static constexpr const char* fact = "what a shut lease has accepted is what its sum says, and later nothing is";
  static constexpr model::effort work{.preemptions = 4, .bounded = 100'000, .random = 60'000};
  std::uint64_t back = 0;
  bool sealed = false;
  void before() { MODEL_CHECK(leases[0].grant(pool.acquire(2, 2, [] { return 0; }), 0)); }
  void thread(unsigned i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        const bool late = sealed;
        const bool ok = leases[0].try_use() || leases[0].settle();
        MODEL_CHECK(!(late && ok));
        accepted += ok;
      }
      return;
    }
    shut_all(pool, [this](auto f) { f(leases[0]); });
    back = pool.free([] { return 0; });
    sealed = true;
    MODEL_CHECK(!leases[0].grant(1, 0));
  }
  void after() {
    MODEL_CHECK(accepted + back == 2);
    MODEL_CHECK(leases[0].used_settled() == accepted);
  }
};
MODEL_ADD(credits_shut);

}  // namespace
}  // namespace credits_model
