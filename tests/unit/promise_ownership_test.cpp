// P12: submit and spawn own their callable.
#include <weir/runtime.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

namespace test {
bool submit_optional(weir::runtime& rt, bool full, std::atomic<long>& with, std::atomic<int>& without);  // unwritten_bytes.cpp
}

namespace promise_ownership_test {
namespace {

using namespace test;

TEST(Callables, AreOwnedBySubmitAndSpawn) {
  weir::runtime rt(with_workers(1));
  std::string seen;
  {
    plug p(rt);
    auto text = std::make_unique<std::string>(100, 'x');
    auto f = [text = *text, &seen] { seen = text; };
    ASSERT_TRUE(rt.submit(f));
    struct adder {
      int n;
      int operator()() const { return n + 1; }
    } a{41};
    auto h = rt.spawn(a);
    a.n = 0;
    text.reset();
    p.release();
    EXPECT_EQ(h.get().value_or(-1), 42);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, std::string(100, 'x'));
}

TEST(Callables, LvaluesAreCopiedOnceRvaluesAreOnlyMoved) {
  weir::runtime rt(with_workers(1));
  tally t;
  {
    probe<64> f(t);
    ASSERT_TRUE(rt.submit(f));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(t.copies, 1);
    EXPECT_EQ(t.calls, 1);
    EXPECT_FALSE(f.moved_from());
    EXPECT_EQ(t.alive, 1) << "the copy is gone once it has run";
    ASSERT_TRUE(rt.spawn(f).get());
    EXPECT_EQ(t.copies, 2);
    ASSERT_TRUE(rt.submit(std::move(f)));
    ASSERT_TRUE(rt.wait_idle());
    EXPECT_EQ(t.copies, 2);
    EXPECT_TRUE(f.moved_from());
    EXPECT_EQ(t.calls, 3);
  }
  EXPECT_EQ(t.alive, 0);
}

TEST(Callables, OfEverySizeAndAlignmentArriveWhole) {
  weir::runtime rt(with_workers(2));
  std::atomic<int> good{0};
  const auto send = [&]<std::size_t N>(std::integral_constant<std::size_t, N>) {
    std::array<unsigned char, N> bytes;
    for (std::size_t i = 0; i < N; ++i) bytes[i] = static_cast<unsigned char>(i * 7 + N);
    auto f = [bytes, &good] {
      for (std::size_t i = 0; i < N; ++i)
        if (bytes[i] != static_cast<unsigned char>(i * 7 + N)) return;
      ++good;
    };
    ASSERT_TRUE(rt.submit(f));
    ASSERT_TRUE(rt.spawn(f).get());
  };
  // Around what is stored in place, and around where blocks of the next size begin; each size costs the compiler a while.
  const auto send_all = [&]<std::size_t... N>(std::index_sequence<N...>) {
    (send(std::integral_constant<std::size_t, N>{}), ...);
    return sizeof...(N);
  };
  const std::size_t sizes = send_all(std::index_sequence<1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 23, 24, 25, 31, 32, 33, 39, 40, 41, 47,
                                                         48, 49, 55, 56, 57, 63, 64, 65, 79, 80, 81, 127, 128, 129, 5000>{});
  struct alignas(64) aligned {
    std::atomic<int>* good;
    void operator()() const {
      if (reinterpret_cast<std::uintptr_t>(this) % 64 == 0) ++*good;
    }
  };
  ASSERT_TRUE(rt.submit(aligned{&good}));
  ASSERT_TRUE(rt.spawn(aligned{&good}).get());
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(good, static_cast<int>(2 * sizes + 2));
}

TEST(Callables, MayHaveBytesThatWereNeverWritten) {
  weir::runtime rt(with_workers(1));
  std::atomic<long> sum{0};
  std::atomic<int> empty{0};
  EXPECT_TRUE(submit_optional(rt, false, sum, empty));
  EXPECT_TRUE(submit_optional(rt, true, sum, empty));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(sum, 7);
  EXPECT_EQ(empty, 1);
}

TEST(Callables, MayBeMoveOnly) {
  weir::runtime rt(with_workers(1));
  auto p = std::make_unique<int>(5);
  int seen = 0;
  ASSERT_TRUE(rt.submit([p = std::move(p), &seen] { seen = *p; }));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen, 5);
}

// A template, so that a runtime that does not take them fails this test and not the build.
template <class Runtime>
void submit_move_only_in_bulk(Runtime& rt, std::atomic<int>& sum) {
  struct move_only {
    std::unique_ptr<int> value;
    std::atomic<int>* sum;
    void operator()() { *sum += *value; }
  };
  std::vector<move_only> tasks;
  for (int i = 1; i <= 10; ++i) tasks.push_back({std::make_unique<int>(i), &sum});
  if constexpr (requires { rt.try_submit_bulk(std::move(tasks)); }) {
    ASSERT_TRUE(rt.try_submit_bulk(std::move(tasks)));
  } else {
    ADD_FAILURE() << "try_submit_bulk(rvalue container of move-only callables) does not compile";
  }
}

TEST(Callables, MayBeMoveOnlyInBulkToo) {
  std::atomic<int> sum{0};
  weir::runtime rt(with_workers(1));
  submit_move_only_in_bulk(rt, sum);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(sum, 55);
}

// Where both F() and F(std::stop_token) compile, the token is wanted.
TEST(Callables, PreferTheStopToken) {
  struct both {
    std::atomic<int>* tokens;
    void operator()() const { *tokens -= 100; }
    void operator()(std::stop_token t) const { *tokens += t.stop_possible() ? 1 : 0; }
  };
  weir::runtime rt(with_workers(1));
  std::atomic<int> tokens{0};
  ASSERT_TRUE(rt.submit(both{&tokens}));
  std::stop_source source;
  ASSERT_TRUE(rt.submit(both{&tokens}, {.stop = source.get_token()}));
  ASSERT_TRUE(rt.spawn(both{&tokens}).get());
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(tokens, 3);
}

}  // namespace
}  // namespace promise_ownership_test
