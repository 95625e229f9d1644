// The queues alone, for longer than a unit test may take: random owners, random thieves, and a count of what each took.
#include "futex.hpp"
#include "inject_lane.hpp"
#include "run_queue.hpp"

#include <weir/detail/split_deque.hpp>

#include <stress.hpp>
#include <threads.hpp>

#include <memory>
#include <vector>

namespace queues_stress {
namespace {

using namespace test;
using weir::detail::inject_lane;
using weir::detail::job;
using weir::detail::os_atomics;
using weir::detail::steal_outcome;

class Queues : public stress, public ::testing::WithParamInterface<unsigned> {};

struct item {
  std::atomic<unsigned> taken{0};
  std::atomic<bool> over{false};
};

// Owner and thieves change roles: each thread owns a deque, pushes and takes back to random depths, and in its leaves and
// joins steals from the others, as workers do. Slots are used again and again, so an old view of one would show.
TEST_P(Queues, DequesOfOwnersThatStealFromEachOtherGiveEachJobOnce) {
  using deque = weir::detail::split_deque<os_atomics, weir::detail::pointer_slot<os_atomics, item>, 24>;
  const unsigned n = GetParam();
  struct owner {
    deque d;
    item items[24];
  };
  const auto owners = std::make_unique<owner[]>(n);
  std::atomic<unsigned> running{n};
  std::atomic<std::size_t> wrong{0}, stolen{0};
  together(n, [&](unsigned me) {
    random_numbers random(me);
    owner& mine = owners[me];
    const auto steal = [&] {
      if (n == 1) return;
      owner& from = owners[(me + 1 + random.below(n - 1)) % n];
      item* out = nullptr;
      steal_outcome o = from.d.steal(out, static_cast<std::uint32_t>(random.one_in(4) ? random.below(4) : 0));
      if (o == steal_outcome::empty && random.one_in(8) && os_atomics::asymmetric()) o = from.d.force(out);
      if (o == steal_outcome::empty) from.d.ring();
      if (o != steal_outcome::stolen) return;
      if (out->taken.fetch_add(1) != 0) ++wrong;
      ++stolen;
      out->over.store(true, std::memory_order_release);
    };
    const auto take_back = [&](std::uint32_t h) {  // or wait for its thief, as a join does
      if (mine.d.pop(h) || mine.d.reclaim(h)) {
        if (mine.items[h].taken.fetch_add(1) != 0) ++wrong;
      } else {
        mine.d.open_above(h);
        while (!mine.items[h].over.load(std::memory_order_acquire)) steal();
        mine.d.close(h);
      }
    };
    for (std::size_t r = 0; r < rounds(40'000) / n; ++r) {
      const auto depth = static_cast<std::uint32_t>(1 + random.below(24));
      std::uint32_t h = 0;
      while (h < depth) {
        mine.items[h].taken = 0;
        mine.items[h].over = false;
        if (mine.d.push(h, &mine.items[h])) {
          mine.d.answer_bell();
        }
        ++h;
        if (h > 1 && random.one_in(6)) {  // back and forth
          --h;
          take_back(h);
        }
        if (random.one_in(16)) steal();
        if (random.one_in(64)) std::this_thread::yield();  // what is taken back at once is nobody's to steal
      }
      while (h > 0) {
        --h;
        take_back(h);
        if (mine.items[h].taken != 1) ++wrong;
      }
      if (wrong != 0) break;
    }
    --running;
    while (running > 0) {
      steal();
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(wrong, 0u);
  if (n > 1) {
    EXPECT_GT(stolen, 0u);
  }
}

// From a lane, its slot and its queue, in batches into run queues, from which everybody steals: the way of a submitted task.
TEST_P(Queues, InjectedJobsReachOneOfManyRunQueuesOnce) {
  const unsigned n = GetParam();
  const std::size_t senders = 2, each = rounds(60'000);
  std::vector<std::atomic<unsigned char>> taken(senders * each);
  inject_lane in(true);
  std::vector<std::unique_ptr<inject_lane::producer>> from;
  for (std::size_t i = 0; i < senders; ++i) from.push_back(std::make_unique<inject_lane::producer>(in));
  struct owner {
    weir::detail::run_queue<os_atomics> q;
  };
  const auto owners = std::make_unique<owner[]>(n);
  std::atomic<std::size_t> left{senders * each};
  together(n + static_cast<unsigned>(senders), [&](unsigned me) {
    random_numbers random(100 + me);
    if (me >= n) {
      const std::size_t s = me - n;
      for (std::size_t i = 0; i < each; ++i) {
        ASSERT_TRUE(in.submit(*from[s], 2, s * each + i, ~(s * each + i)));
        if (random.one_in(64)) std::this_thread::yield();
      }
      return;
    }
    inject_lane::consumer c(in);
    const auto done = [&](const job& j) {
      if (j.data[1] != ~j.data[0]) std::abort();  // torn
      ++taken[j.data[0]];
      --left;
    };
    job batch[32], j{};
    while (left > 0) {
      if (random.one_in(8)) in.heat();
      const bool nothing_queued = random.one_in(4) && in.poll() == inject_lane::look::slot_only;
      if (const std::size_t got = in.take(c, batch, 1 + random.below(32), nothing_queued); got != 0) {
        owners[me].q.refill(batch, got);
        while (owners[me].q.pop(j)) {
          done(j);
          if (random.one_in(64)) std::this_thread::yield();
        }
        continue;
      }
      auto& victim = owners[random.below(n)].q;
      if (&victim == &owners[me].q) continue;
      steal_outcome o = victim.steal(j);
      if (o == steal_outcome::empty && os_atomics::asymmetric() && random.one_in(4)) o = victim.force(j);
      if (o == steal_outcome::stolen) done(j);
      else std::this_thread::yield();
    }
  });
  std::size_t wrong = 0;
  for (const auto& t : taken) wrong += t != 1;
  EXPECT_EQ(wrong, 0u) << "of " << taken.size();
  EXPECT_TRUE(in.empty());
}

// One worker, and submitters that wait now and then: each sees its own order, whichever way its jobs go.
TEST_F(stress, ALaneKeepsEachSubmittersOrderForOneWorker) {
  const unsigned senders = 3;
  const std::size_t each = rounds(60'000);
  inject_lane in(true);
  std::vector<std::unique_ptr<inject_lane::producer>> from;
  for (unsigned i = 0; i < senders; ++i) from.push_back(std::make_unique<inject_lane::producer>(in));
  std::vector<std::atomic<std::size_t>> taken(senders);
  std::size_t wrong = 0;
  together(senders + 1, [&](unsigned me) {
    random_numbers random(200 + me);
    if (me < senders) {
      for (std::size_t i = 0; i < each; ++i) {
        ASSERT_TRUE(in.submit(*from[me], 2, me, i));
        if (!random.one_in(4))
          while (taken[me] != i + 1) std::this_thread::yield();
      }
      return;
    }
    inject_lane::consumer c(in);
    job batch[32];
    for (std::size_t left = senders * each; left != 0;) {
      if (random.one_in(4)) in.heat();
      const bool nothing_queued = in.poll() == inject_lane::look::slot_only;
      const std::size_t got = in.take(c, batch, 1 + random.below(32), nothing_queued);
      for (std::size_t i = 0; i < got; ++i) wrong += taken[batch[i].data[0]]++ != batch[i].data[1];
      left -= got;
      if (got == 0) std::this_thread::yield();
    }
  });
  EXPECT_EQ(wrong, 0u);
  EXPECT_TRUE(in.empty());
}

INSTANTIATE_TEST_SUITE_P(Owners, Queues, ::testing::Values(1u, 2u, 4u, 16u));

}  // namespace
}  // namespace queues_stress
