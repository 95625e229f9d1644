// Unit tests of weir/parallel.hpp: every fact holds outside any runtime and on 1, 2 and 8 workers.
#include <weir/parallel.hpp>

#include <gtest/gtest.h>

#include <runtime_tools.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <deque>
#include <functional>
#include <limits>
#include <list>
#include <memory>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace parallel_test {
namespace {

using namespace std::chrono_literals;
using weir::errc;
using weir::parallel_for;
using weir::parallel_options;
using weir::parallel_reduce;
using weir::status;

// Outside any runtime, and on workers.
template <class F>
void everywhere(F&& f) {
  {
    SCOPED_TRACE("outside");
    f();
  }
  for (const unsigned workers : {1u, 2u, 8u}) {
    SCOPED_TRACE(testing::Message() << workers << " workers");
    weir::runtime rt(test::with_workers(workers));
    rt.run(f);
  }
}

template <class T>
T must(weir::result<T> r) {
  return std::move(r).value();
}

errc code_of(const status& s) { return s ? errc{} : s.error().code; }
template <class T>
errc code_of(const weir::result<T>& r) {
  return r ? errc{} : r.error().code;
}

std::string message_of(const weir::error& e) {
  if (!e.cause) return "(no cause)";
  try {
    std::rethrow_exception(e.cause);
  } catch (const std::exception& x) {
    return x.what();
  }
}

void spin_for(std::chrono::nanoseconds t) {
  for (const auto end = std::chrono::steady_clock::now() + t; std::chrono::steady_clock::now() < end;) {
  }
}

constexpr std::size_t grains[] = {0, 1, 3, 64, 1'000'000, std::numeric_limits<std::size_t>::max()};

// ---- parallel_for

TEST(ParallelFor, EachIterationRunsExactlyOnce) {
  everywhere([] {
    for (const std::size_t grain : grains)
      for (const std::size_t n : {0u, 1u, 2u, 3u, 31u, 32u, 33u, 100u, 1023u, 10'007u}) {
        std::vector<std::atomic<int>> ran(n);
        const auto body = [&](std::size_t i) { ran[i].fetch_add(1, std::memory_order_relaxed); };
        ASSERT_TRUE(parallel_for(std::size_t{0}, n, body, {.grain = grain}));
        for (std::size_t i = 0; i < n; ++i) ASSERT_EQ(ran[i].load(), 1) << i << " of " << n << ", grain " << grain;
      }
  });
}

TEST(ParallelFor, IteratorsGiveTheElementsThemselves) {
  everywhere([] {
    std::vector<int> v(5'000, 1);
    ASSERT_TRUE(parallel_for(v.begin(), v.end(), [](int& x) { ++x; }));
    EXPECT_EQ(std::accumulate(v.begin(), v.end(), 0), 10'000);
    std::deque<std::string> d(700, "a");
    ASSERT_TRUE(parallel_for(d.begin(), d.end(), [](std::string& s) { s += 'b'; }, {.grain = 7}));
    for (const auto& s : d) ASSERT_EQ(s, "ab");
    const std::array<int, 3> a{1, 2, 3};
    std::atomic<int> sum{0};
    ASSERT_TRUE(parallel_for(a.data(), a.data() + a.size(), [&](const int& x) { sum += x; }));
    EXPECT_EQ(sum, 6);
    std::vector<bool> bits(1, false);  // a proxy, not a reference
    ASSERT_TRUE(parallel_for(bits.begin(), bits.end(), [](auto bit) { bit = true; }));
    EXPECT_TRUE(bits[0]);
  });
}

TEST(ParallelFor, AnyIndexTypeWorksToItsEnds) {
  everywhere([] {
    std::array<std::atomic<int>, 256> ran{};
    ASSERT_TRUE(parallel_for(std::int8_t{-128}, std::int8_t{127},
                             [&](std::int8_t i) { ++ran[static_cast<std::size_t>(i + 128)]; }));
    for (std::size_t i = 0; i < 255; ++i) ASSERT_EQ(ran[i], 1);
    EXPECT_EQ(ran[255], 0);

    std::atomic<std::int64_t> sum{0};
    ASSERT_TRUE(parallel_for(-50, 51, [&](int i) { sum += i; }));
    EXPECT_EQ(sum, 0);
    constexpr auto low = std::numeric_limits<std::int64_t>::min();
    std::atomic<int> count{0};
    ASSERT_TRUE(parallel_for(low, low + 1000, [&](std::int64_t i) { count += i < 0 ? 1 : 0; }));
    constexpr auto high = std::numeric_limits<std::int64_t>::max();
    ASSERT_TRUE(parallel_for(high - 1000, high, [&](std::int64_t i) { count += i > 0 ? 1 : 0; }));
    EXPECT_EQ(count, 2000);
  });
}

TEST(ParallelFor, TheWholeOfSizeTOverflowsNothing) {
  everywhere([] {
    constexpr auto most = std::numeric_limits<std::size_t>::max();
    for (const std::size_t grain : {std::size_t{0}, std::size_t{1} << 54, most}) {
      std::atomic<std::size_t> largest{0};
      const auto body = [&](std::size_t i) -> status {
        largest = i;
        return errc::dropped;  // ends the loop
      };
      EXPECT_EQ(code_of(parallel_for(std::size_t{0}, most, body, {.grain = grain})), errc::dropped);
      EXPECT_LT(largest, most);
    }
    using limits = std::numeric_limits<std::int64_t>;
    const auto body = [](std::int64_t) -> status { return errc::dropped; };
    EXPECT_EQ(code_of(parallel_for(limits::min(), limits::max(), body)), errc::dropped);
  });
}

TEST(ParallelFor, BoundsOfTwoIntegerTypesMeetInTheirCommonType) {
  everywhere([] {
    const std::vector<int> v(100, 1);
    std::atomic<std::size_t> sum{0};
    ASSERT_TRUE(parallel_for(0, v.size(), [&](auto i) {
      static_assert(std::is_same_v<decltype(i), std::size_t>);
      sum += i;
    }));
    EXPECT_EQ(sum, 4950u);
    EXPECT_EQ(code_of(parallel_for(-1, v.size(), [](std::size_t) { FAIL(); })), errc::invalid);
    EXPECT_EQ(code_of(parallel_for(std::size_t{0}, -1, [](std::size_t) { FAIL(); })), errc::invalid);
  });
}

TEST(ParallelFor, FirstBeyondLastIsInvalid) {
  everywhere([] {
    EXPECT_EQ(code_of(parallel_for(1, 0, [](int) { FAIL(); })), errc::invalid);
    EXPECT_EQ(code_of(parallel_for(std::size_t{1}, std::size_t{0}, [](std::size_t) { FAIL(); })), errc::invalid);
    std::vector<int> v(3);
    EXPECT_EQ(code_of(parallel_for(v.end(), v.begin(), [](int) { FAIL(); })), errc::invalid);
    EXPECT_EQ(code_of(parallel_reduce(1, 0, 0, [](int i) { return i; }, std::plus<>{})), errc::invalid);
  });
}

TEST(ParallelFor, TheFirstErrorIsReportedOnceEveryStartedChunkHasEnded) {
  everywhere([] {
    for (const std::size_t grain : {std::size_t{0}, std::size_t{1}, std::size_t{16}}) {
      std::atomic<int> running{0}, threw{0};
      const auto body = [&](int i) {
        ++running;
        struct leave {
          std::atomic<int>& n;
          ~leave() { --n; }
        } l{running};
        if (i == 300) {
          ++threw;
          throw std::runtime_error("three hundred");
        }
        if (i % 64 == 0) spin_for(20us);
      };
      const status s = parallel_for(0, 2'000, body, {.grain = grain});
      EXPECT_EQ(running, 0);
      EXPECT_EQ(threw, 1);
      ASSERT_EQ(code_of(s), errc::failed);
      EXPECT_EQ(message_of(s.error()), "three hundred");
      EXPECT_THROW(s.value(), std::runtime_error);
    }
  });
}

TEST(ParallelFor, OfManyErrorsExactlyOneIsReported) {
  everywhere([] {
    for (int round = 0; round < 50; ++round) {
      std::atomic<int> threw{0};
      const auto body = [&](int) { throw std::runtime_error(std::to_string(++threw)); };
      const status s = parallel_for(0, 1'000, body, {.grain = 1});
      ASSERT_EQ(code_of(s), errc::failed);
      ASSERT_GE(threw, 1);
      ASSERT_LE(threw, 64) << "chunks went on starting";
    }
  });
}

TEST(ParallelFor, AfterAnErrorNoFurtherChunkStarts) {
  parallel_options o{.grain = 10};
  int ran = 0;
  EXPECT_EQ(code_of(parallel_for(0, 1'000, [&](int i) {
              ++ran;
              if (i == 15) throw 1;
            }, o)),
            errc::failed);
  EXPECT_EQ(ran, 16);
}

TEST(ParallelFor, ABodyMayFailWithAStatus) {
  everywhere([] {
    std::atomic<int> ran{0};
    const auto body = [&](int i) -> status {
      ++ran;
      if (i == 5) return errc::timeout;
      return {};
    };
    EXPECT_EQ(code_of(parallel_for(0, 1'000'000, body)), errc::timeout);
    EXPECT_LT(ran, 1'000'000);
    EXPECT_TRUE(parallel_for(6, 1'000, body));
  });
}

TEST(ParallelFor, AStopBeforeTheFirstChunkRunsNothing) {
  everywhere([] {
    std::stop_source source;
    source.request_stop();
    for (const std::size_t grain : grains)
      EXPECT_EQ(code_of(parallel_for(0, 100, [](int) { FAIL(); }, {.grain = grain, .stop = source.get_token()})),
                errc::cancelled);
    EXPECT_TRUE(parallel_for(0, 0, [](int) { FAIL(); }, {.stop = source.get_token()})) << "nothing was left out";
  });
}

TEST(ParallelFor, AStopInTheMiddleKeepsFurtherChunksFromStarting) {
  everywhere([] {
    std::stop_source source;
    std::atomic<int> ran{0};
    const auto body = [&](int) {
      const int n = ++ran;
      if (n == 100) source.request_stop();
      while (n > 100 && !source.stop_requested()) std::this_thread::yield();
    };
    EXPECT_EQ(code_of(parallel_for(0, 1'000'000, body, {.grain = 10, .stop = source.get_token()})), errc::cancelled);
    EXPECT_GE(ran, 100);
    EXPECT_LE(ran, 100 + 8 * 10 + 8 * 10);
  });
}

TEST(ParallelFor, AStopThatComesAfterTheLastChunkBeganChangesNothing) {
  std::stop_source source;
  int ran = 0;
  EXPECT_TRUE(parallel_for(0, 10, [&](int i) {
    ++ran;
    if (i == 9) source.request_stop();
  }, {.grain = 5, .stop = source.get_token()}));
  EXPECT_EQ(ran, 10);
}

TEST(ParallelFor, AnErrorOutranksACancellation) {
  weir::runtime rt(test::with_workers(2));
  std::stop_source source;
  std::atomic<bool> met{false};
  const auto body = [&](int i) {
    if (i == 0) {
      EXPECT_TRUE(test::eventually([&] { return met.load(); }));
      source.request_stop();
      std::this_thread::sleep_for(5ms);  // the other worker sees the stop meanwhile, in its next chunk
      throw std::runtime_error("the reason");
    }
    if (i == 2) {
      met = true;
      EXPECT_TRUE(test::eventually([&] { return source.stop_requested(); }));
    }
  };
  const status s = parallel_for(rt, 0, 4, body, {.grain = 1, .stop = source.get_token()});
  ASSERT_EQ(code_of(s), errc::failed);
  EXPECT_EQ(message_of(s.error()), "the reason");
}

TEST(ParallelFor, LoopsNest) {
  everywhere([] {
    std::vector<std::vector<std::atomic<int>>> ran(50);
    for (auto& row : ran) row = std::vector<std::atomic<int>>(200);
    ASSERT_TRUE(parallel_for(ran.begin(), ran.end(), [](auto& row) {
      parallel_for(row.begin(), row.end(), [](auto& cell) { ++cell; }).value();
    }));
    for (auto& row : ran)
      for (auto& cell : row) ASSERT_EQ(cell, 1);
    const status s = parallel_for(0, 50, [](int i) {
      parallel_for(0, 50, [i](int j) {
        if (i == 7 && j == 9) throw std::out_of_range("inner");
      }).value();
    });
    ASSERT_EQ(code_of(s), errc::failed);
    EXPECT_EQ(message_of(s.error()), "inner");
  });
}

TEST(ParallelFor, OutsideAnyRuntimeTheCallerRunsAllInOrder) {
  const auto me = std::this_thread::get_id();
  int next = 0;
  ASSERT_TRUE(parallel_for(0, 10'000, [&](int i) {
    ASSERT_EQ(std::this_thread::get_id(), me);
    ASSERT_EQ(i, next++);
  }));
  EXPECT_EQ(next, 10'000);
}

TEST(ParallelFor, TheBodyIsSharedNotCopied) {
  struct counter {
    std::atomic<int> n{0};
    void operator()(int) { ++n; }
  } body;
  everywhere([&] {
    body.n = 0;
    ASSERT_TRUE(parallel_for(0, 1'000, body));
    EXPECT_EQ(body.n, 1'000);
  });
}

TEST(ParallelFor, WithARuntimeFirstItRunsOnItsWorkers) {
  weir::runtime rt(test::with_workers(2));
  const auto me = std::this_thread::get_id();
  std::atomic<int> ran{0};
  ASSERT_TRUE(parallel_for(rt, 0, 1'000, [&](int) {
    EXPECT_NE(std::this_thread::get_id(), me);
    EXPECT_GE(weir::this_task::worker(), 0);
    ++ran;
  }));
  EXPECT_EQ(ran, 1'000);
  EXPECT_EQ(code_of(parallel_for(rt, 0, 10, [](int) { throw 1; })), errc::failed);
  EXPECT_EQ(code_of(parallel_for(rt, 1, 0, [](int) {})), errc::invalid);
  EXPECT_EQ(must(parallel_reduce(rt, 0, 1'000, 0, [](int i) { return i; }, std::plus<>{})), 499'500);
  ASSERT_TRUE(parallel_for(rt, 0, 10, [&](int) { parallel_for(rt, 0, 10, [&](int) { ++ran; }).value(); }));
  EXPECT_EQ(ran, 1'100);
}

TEST(ParallelFor, OnAStoppedRuntimeItAnswersStopped) {
  weir::runtime rt(test::with_workers(2));
  rt.drain();
  EXPECT_EQ(code_of(parallel_for(rt, 0, 10, [](int) { FAIL(); })), errc::stopped);
  EXPECT_EQ(code_of(parallel_reduce(rt, 0, 10, 0, [](int i) { return i; }, std::plus<>{})), errc::stopped);
}

TEST(ParallelFor, TwoIterationsThatWaitForEachOtherMeet) {
  weir::runtime rt(test::with_workers(2));
  for (int round = 0; round < 20; ++round) {
    std::atomic<int> here{0};
    std::atomic<bool> gave_up{false};
    ASSERT_TRUE(parallel_for(rt, 0, 2, [&](int) {
      ++here;
      for (const auto end = std::chrono::steady_clock::now() + 20s; here < 2;) {
        if (std::chrono::steady_clock::now() > end) {
          gave_up = true;
          break;
        }
        std::this_thread::yield();
      }
    }));
    ASSERT_FALSE(gave_up) << "the second iteration was not offered to the other worker";
  }
}

TEST(ParallelFor, OneHeavyIterationDoesNotHoldBackTheRest) {
  // While the heavy one sleeps, the other worker must come to all the others but those of the heavy one's own chunk.
  weir::runtime rt(test::with_workers(2));
  for (const int heavy : {0, 1, 500, 999}) {
    std::atomic<int> done{0};
    std::atomic<int> seen{0};
    ASSERT_TRUE(parallel_for(rt, 0, 1'000, [&](int i) {
      if (i == heavy) {
        for (const auto end = std::chrono::steady_clock::now() + 10s;
             done < 900 && std::chrono::steady_clock::now() < end;)
          std::this_thread::sleep_for(1ms);
        seen = done.load();
      } else {
        ++done;
      }
    }));
    EXPECT_GE(seen, 900) << "heavy " << heavy;
  }
}

// ---- parallel_reduce

TEST(ParallelReduce, SumsWhatMapGives) {
  everywhere([] {
    for (const bool deterministic : {false, true})
      for (const std::size_t grain : grains)
        for (const std::size_t n : {0u, 1u, 2u, 3u, 33u, 511u, 512u, 513u, 10'007u}) {
          const parallel_options o{.grain = grain, .deterministic = deterministic};
          const auto twice = [](std::size_t i) { return 2 * i; };
          const auto sum = parallel_reduce(std::size_t{0}, n, std::uint64_t{5}, twice, std::plus<>{}, o);
          ASSERT_EQ(must(sum), n * (n - (n > 0 ? 1 : 0)) + 5) << n << ", grain " << grain;
        }
  });
}

TEST(ParallelReduce, KeepsTheOrderAndUsesInitOnce) {
  everywhere([] {
    std::string expected = "(";
    std::vector<std::string> words;
    for (int i = 0; i < 3'000; ++i) expected += words.emplace_back(std::to_string(i) + ",");
    for (const bool deterministic : {false, true})
      for (const std::size_t grain : grains)
        for (int round = 0; round < 5; ++round)
          ASSERT_EQ(must(parallel_reduce(
                        words.begin(), words.end(), std::string("("), [](const std::string& s) { return s; },
                        [](std::string a, const std::string& b) { return a += b; },
                        {.grain = grain, .deterministic = deterministic})),
                    expected);
  });
}

TEST(ParallelReduce, AnEmptyRangeGivesInit) {
  everywhere([] {
    const auto combine = [](int a, int b) { return ADD_FAILURE(), a + b; };
    EXPECT_EQ(must(parallel_reduce(7, 7, 42, [](int i) { return i; }, combine)), 42);
    EXPECT_EQ(must(parallel_reduce(7, 7, 42, [](int i) { return i; }, combine, {.deterministic = true})), 42);
  });
}

TEST(ParallelReduce, DeterministicGivesTheSameBitsOnAnyNumberOfWorkers) {
  constexpr int n = 100'003;
  const auto term = [](int i) { return std::sin(i) * std::pow(10.0, i % 17 - 8); };
  for (const std::size_t grain : {std::size_t{0}, std::size_t{1}, std::size_t{1'000}}) {
    const auto sum = [&] {
      return must(parallel_reduce(0, n, 0.0, term, std::plus<>{}, {.grain = grain, .deterministic = true}));
    };
    const double outside = sum();
    everywhere([&] {
      for (int round = 0; round < 10; ++round) {
        const double again = sum();
        ASSERT_EQ(std::memcmp(&again, &outside, sizeof again), 0) << again << " != " << outside;
      }
    });
  }
}

TEST(ParallelReduce, TakesMoveOnlyValues) {
  everywhere([] {
    for (const bool deterministic : {false, true}) {
      const auto r = parallel_reduce(0, 1'000, std::make_unique<int>(1), [](int i) { return std::make_unique<int>(i); },
                                     [](std::unique_ptr<int> a, std::unique_ptr<int> b) {
                                       *a += *b;
                                       return a;
                                     },
                                     {.deterministic = deterministic});
      ASSERT_TRUE(r);
      EXPECT_EQ(**r, 499'501);
    }
  });
}

TEST(ParallelReduce, TakesValuesWithoutADefault) {
  struct span {
    explicit span(int i) : low(i), high(i) {}
    int low, high;
  };
  everywhere([] {
    const auto r = parallel_reduce(-500, 501, span(0), [](int i) { return i; },
                                   [](span a, span b) {
                                     a.low = std::min(a.low, b.low);
                                     a.high = std::max(a.high, b.high);
                                     return a;
                                   });
    ASSERT_TRUE(r);
    EXPECT_EQ(r->low, -500);
    EXPECT_EQ(r->high, 500);
  });
}

TEST(ParallelReduce, ReportsWhatMapOrCombineThrowsAndDestroysEachPartial) {
  struct tracked {
    explicit tracked(std::atomic<int>& n) : live(&n) { ++*live; }
    tracked(tracked&& o) noexcept : live(o.live) { ++*live; }
    tracked& operator=(tracked&&) noexcept = default;
    ~tracked() { --*live; }
    std::atomic<int>* live;
  };
  everywhere([] {
    for (const bool deterministic : {false, true})
      for (const int which : {0, 1, 2}) {
        std::atomic<int> live{0}, combined{0};
        {
          const auto r = parallel_reduce(
              0, 2'000, tracked(live),
              [&](int i) {
                if (which == 1 && i == 1'234) throw std::runtime_error("map");
                return tracked(live);
              },
              [&](tracked a, tracked) {
                if (which == 2 && ++combined == 700) throw std::runtime_error("combine");
                return a;
              },
              {.deterministic = deterministic});
          if (which == 0) {
            ASSERT_TRUE(r);
          } else {
            ASSERT_EQ(code_of(r), errc::failed);
            EXPECT_EQ(message_of(r.error()), which == 1 ? "map" : "combine");
          }
        }
        EXPECT_EQ(live, 0);
      }
  });
}

TEST(ParallelReduce, AStopGivesCancelledAndNoHalfResult) {
  everywhere([] {
    for (const bool deterministic : {false, true}) {
      std::stop_source source;
      std::atomic<int> mapped{0};
      const auto r = parallel_reduce(0, 1'000'000, 0, [&](int) {
        const int n = ++mapped;
        if (n == 50) source.request_stop();
        while (n > 50 && !source.stop_requested()) std::this_thread::yield();
        return 1;
      }, std::plus<>{}, {.grain = 10, .stop = source.get_token(), .deterministic = deterministic});
      EXPECT_EQ(code_of(r), errc::cancelled);
      EXPECT_LT(mapped, 1'000);
    }
  });
}

TEST(ParallelReduce, ACombineThatReturnsAReferenceToItsArgumentIsSafe) {
  everywhere([] {
    const auto r = parallel_reduce(0, 1'000, std::vector<int>{}, [](int i) { return std::vector<int>{i}; },
                                   [](std::vector<int>&& a, std::vector<int>&& b) -> std::vector<int>&& {
                                     a.insert(a.end(), b.begin(), b.end());
                                     return std::move(a);
                                   });
    ASSERT_TRUE(r);
    ASSERT_EQ(r->size(), 1'000u);
    for (int i = 0; i < 1'000; ++i) ASSERT_EQ((*r)[static_cast<std::size_t>(i)], i);
  });
}

TEST(ParallelReduce, LoopsOfBothKindsNest) {
  everywhere([] {
    const auto r = parallel_reduce(0, 100, 0, [](int i) {
      std::atomic<int> n{0};
      parallel_for(0, i, [&](int) { ++n; }).value();
      return parallel_reduce(0, n.load(), 0, [](int) { return 1; }, std::plus<>{}, {.deterministic = true}).value();
    }, std::plus<>{});
    ASSERT_TRUE(r);
    EXPECT_EQ(*r, 4950);
  });
}

}  // namespace
}  // namespace parallel_test
