// Exceptions everywhere: each is told to exactly one place, nothing leaks, and the runtime goes on.
#include <weir/fork_join.hpp>
#include <weir/runtime.hpp>
#if __has_include(<weir/task_group.hpp>)
#include <weir/task_group.hpp>
#endif

#include <runtime_tools.hpp>
#include <stress.hpp>

#include <functional>
#include <stdexcept>
#include <thread>
#include <vector>

namespace exceptions_stress {
namespace {

using namespace test;

struct boom : std::runtime_error {
  boom() : std::runtime_error("boom") {}
};

// Counts its living copies; throws from where it is told to.
struct touchy {
  enum where : unsigned char { nowhere, copy, move, call, destructor };
  std::atomic<long>* alive;
  where at;
  bool armed = true;
  touchy(std::atomic<long>& a, where w) : alive(&a), at(w) { ++*alive; }
  touchy(const touchy& o) : alive(o.alive), at(o.at) {
    if (at == copy) throw boom();
    ++*alive;
  }
  touchy(touchy&& o) : alive(o.alive), at(o.at) {  // NOLINT
    if (at == move) throw boom();
    o.armed = false;
    ++*alive;
  }
  ~touchy() noexcept(false) {
    --*alive;
    if (at == destructor && armed) throw boom();
  }
  void operator()() const {
    if (at == call) throw boom();
  }
};

class Exceptions : public stress {};

TEST_F(Exceptions, EachIsToldToExactlyOnePlace) {
  for (const unsigned workers : {1u, 2u, 8u}) {
    unhandled seen;
    weir::options o = with_workers(workers);
    o.capacity = 128;
    seen.install(o);
    std::atomic<long> alive{0}, unread{0}, refused{0}, read{0}, accepted{0};
    {
      weir::runtime rt(o);
      std::vector<std::thread> threads;
      for (std::uint64_t t = 0; t < 3; ++t) {
        threads.emplace_back([&, t] {
          random_numbers random(workers * 8 + t);
          for (std::size_t i = 0; i < rounds(6000); ++i) {
            const auto where = static_cast<touchy::where>(random.below(5));
            touchy f(alive, where);
            const bool by_move = random.one_in(2);
            const bool refuses = (where == touchy::copy && !by_move) || (where == touchy::move && by_move);
            const bool fails = where == touchy::call || where == touchy::destructor;
            if (random.one_in(2)) {
              const weir::status s = by_move ? rt.submit(std::move(f)) : rt.submit(f);
              if (!s) ++refused;
              EXPECT_EQ(!s, refuses);
              accepted += !refuses;
              if (!refuses && fails) ++unread;
            } else {
              auto h = by_move ? rt.spawn(std::move(f)) : rt.spawn(f);
              accepted += !refuses;
              if (refuses) {
                EXPECT_FALSE(h.get());
                ++refused;
              } else if (random.one_in(2)) {
                auto r = h.get();
                EXPECT_EQ(!r, fails);
                if (!r) {
                  EXPECT_THROW(r.value(), boom);
                }
                if (fails) ++read;
              } else if (fails) {
                ++unread;
              }
            }
            f.armed = false;
          }
        });
      }
      for (auto& t : threads) t.join();
      ASSERT_TRUE(rt.wait_idle());
      EXPECT_TRUE(eventually([&] { return seen.count() == unread; })) << seen.count() << " of " << unread;
      const weir::snapshot m = rt.metrics();
      EXPECT_EQ(m.failed, static_cast<std::uint64_t>(unread + read));
      EXPECT_EQ(m.submitted, static_cast<std::uint64_t>(accepted));
      EXPECT_EQ(m.submitted, m.ok + m.failed);
    }
    EXPECT_EQ(seen.count(), unread);
    EXPECT_EQ(alive, 0);
  }
}

TEST_F(Exceptions, OfForkTreesUnwindAllLevels) {
  struct frame {
    std::atomic<long>& n;
    explicit frame(std::atomic<long>& c) : n(c) { ++n; }
    ~frame() { --n; }
  };
  for (const unsigned workers : {1u, 2u, 4u}) {
    std::atomic<long> frames{0};
    weir::runtime rt(with_workers(workers));
    random_numbers random(workers);
    std::size_t thrown = 0;
    for (std::size_t i = 0; i < rounds(1500); ++i) {
      const std::uint64_t bad = random.below(400);  // beyond 256: nobody throws
      const std::uint64_t second = random.one_in(2) ? random.below(400) : 1000;
      std::function<long(int, std::uint64_t)> tree = [&](int level, std::uint64_t path) -> long {
        frame f(frames);
        if (level == 0) {
          if (path == bad || path == second) throw boom();
          return 1;
        }
        const auto [a, b] = weir::fork_join([&] { return tree(level - 1, path * 2); }, [&] { return tree(level - 1, path * 2 + 1); });
        return a + b;
      };
      const bool expected = bad < 256 || second < 256;
      try {
        EXPECT_EQ(rt.run([&] { return tree(8, 0); }), 256);
        EXPECT_FALSE(expected);
      } catch (const boom&) {
        EXPECT_TRUE(expected);
        ++thrown;
      }
      EXPECT_EQ(frames, 0) << "a callable still runs after the call ended";
    }
    EXPECT_GT(thrown, 0u);
  }
}

#if __has_include(<weir/task_group.hpp>)
TEST_F(Exceptions, OfGroupsAreOneEachAndTheGroupGoesOn) {
  unhandled seen;
  weir::options o = with_workers(3);
  seen.install(o);
  weir::runtime rt(o);
  random_numbers random(1);
  weir::task_group g(rt);
  for (std::size_t i = 0; i < rounds(2000); ++i) {
    std::atomic<int> inside{0};
    const std::uint64_t n = random.below(20), bad = random.below(30);
    for (std::uint64_t k = 0; k < n; ++k) {
      g.run([&, k] {
        ++inside;
        if (k == bad) {
          --inside;
          throw boom();
        }
        burn(std::chrono::nanoseconds(500));
        --inside;
      });
    }
    const weir::status s = g.wait();
    EXPECT_EQ(inside, 0);
    ASSERT_EQ(!s, bad < n) << "round " << i << ", " << n << " children: " << weir::to_string(s ? weir::errc{} : s.error().code);
    if (!s) {
      EXPECT_THROW(s.value(), boom);
    }
  }
  EXPECT_EQ(seen.count(), 0);
}
#endif

}  // namespace
}  // namespace exceptions_stress
