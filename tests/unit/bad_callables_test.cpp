// Callables that are null, throw in their copy, move or destructor, or are aligned or sized as few are: each has a defined answer.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <functional>
#include <stdexcept>
#include <string>

namespace bad_callables_test {
namespace {

using namespace test;
using weir::errc;

TEST(BadCallables, NullIsInvalidAndNothingIsQueued) {
  weir::runtime rt(with_workers(1));
  void (*pointer)() = nullptr;
  std::function<void()> empty;
  const auto invalid = [](const weir::status& s) { return !s && s.error().code == errc::invalid; };
  EXPECT_TRUE(invalid(rt.submit(pointer)));
  EXPECT_TRUE(invalid(rt.submit(empty)));
  EXPECT_TRUE(invalid(rt.submit(std::function<void()>())));
  EXPECT_TRUE(invalid(rt.submit(empty, {.prio = weir::lane::high})));
  EXPECT_TRUE(invalid(rt.submit(pointer, {.name = "null"})));
  EXPECT_TRUE(invalid(rt.try_submit(pointer)));
  EXPECT_TRUE(invalid(rt.try_submit(empty)));
  EXPECT_TRUE(invalid(rt.try_submit_bulk(std::vector<std::function<void()>>{[] {}, nullptr, [] {}})));
  EXPECT_EQ(rt.spawn(pointer).get().error().code, errc::invalid);
  EXPECT_EQ(rt.spawn(std::function<int()>()).get().error().code, errc::invalid);
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().submitted, 0u);
}

TEST(BadCallables, PlainFunctionsAndFunctionObjectsOfAnyKindWork) {
  weir::runtime rt(with_workers(1));
  static std::atomic<int> calls;
  calls = 0;
  struct local {
    static void function() { ++calls; }
  };
  ASSERT_TRUE(rt.submit(&local::function));
  ASSERT_TRUE(rt.submit(local::function));
  ASSERT_TRUE(rt.submit(std::function<void()>(&local::function)));
  ASSERT_TRUE(rt.submit(std::bind([](int n) { calls += n; }, 1)));
  auto lambda = []() mutable { ++calls; };
  ASSERT_TRUE(rt.submit(std::ref(lambda)));
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(calls, 5);
}

struct throws_in_copy {
  std::atomic<int>* alive;
  explicit throws_in_copy(std::atomic<int>& a) : alive(&a) { ++*alive; }
  throws_in_copy(const throws_in_copy&) { throw std::out_of_range("copy"); }
  throws_in_copy(throws_in_copy&& o) noexcept : alive(o.alive) { ++*alive; }
  ~throws_in_copy() { --*alive; }
  void operator()() const {}
};

struct throws_in_move {
  std::atomic<int>* alive;
  explicit throws_in_move(std::atomic<int>& a) : alive(&a) { ++*alive; }
  throws_in_move(const throws_in_move& o) : alive(o.alive) { ++*alive; }
  throws_in_move(throws_in_move&&) { throw std::out_of_range("move"); }  // NOLINT
  ~throws_in_move() { --*alive; }
  void operator()() const {}
};

struct throws_in_destructor {
  std::atomic<int>* calls;
  bool armed = true;
  explicit throws_in_destructor(std::atomic<int>& c) : calls(&c) {}
  throws_in_destructor(throws_in_destructor&& o) noexcept : calls(o.calls) { o.armed = false; }
  ~throws_in_destructor() noexcept(false) {
    if (armed) throw std::out_of_range("destructor");
  }
  void operator()() const { ++*calls; }
};

void expect_failed_with_cause(const weir::error& e) {
  EXPECT_EQ(e.code, errc::failed);
  ASSERT_TRUE(e.cause);
  EXPECT_THROW(std::rethrow_exception(e.cause), std::out_of_range);
}

class ThrowingCallables : public ::testing::Test {
 protected:
  void expect_exact_capacity() {
    std::atomic<std::size_t> ran{0};
    {
      plug p(rt);
      EXPECT_EQ(fill(rt, ran), 4u) << "a failed submit kept its place";
    }
    ASSERT_TRUE(rt.wait_idle());
    const weir::snapshot m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
  }
  static weir::options opts(unhandled& u) {
    weir::options o = with_workers(1);
    o.capacity = 4;
    o.full = weir::on_full::reject;
    u.install(o);
    return o;
  }
  unhandled seen;
  weir::runtime rt{opts(seen)};
};

TEST_F(ThrowingCallables, InTheCopyTheSubmitFailsWithThatCause) {
  std::atomic<int> alive{0};
  {
    throws_in_copy f(alive);
    for (int i = 0; i < 20; ++i) {
      const weir::status s = i % 2 == 0 ? rt.submit(f) : rt.submit(f, {.name = "n"});
      ASSERT_FALSE(s);
      expect_failed_with_cause(s.error());
      auto r = rt.spawn(f).get();
      ASSERT_FALSE(r);
      expect_failed_with_cause(r.error());
    }
    EXPECT_EQ(alive, 1);
    EXPECT_TRUE(rt.submit(std::move(f)));
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(seen.count(), 0) << "the submitter was told";
  expect_exact_capacity();
}

TEST_F(ThrowingCallables, InTheMoveTheSubmitFailsWithThatCause) {
  std::atomic<int> alive{0};
  {
    throws_in_move f(alive);
    for (int i = 0; i < 20; ++i) {
      const weir::status s = rt.submit(std::move(f));
      ASSERT_FALSE(s);
      expect_failed_with_cause(s.error());
      auto r = rt.spawn(std::move(f), {.prio = weir::lane::low}).get();
      ASSERT_FALSE(r);
      expect_failed_with_cause(r.error());
    }
    EXPECT_EQ(alive, 1);
    EXPECT_TRUE(rt.submit(f)) << "its copy is fine";
    EXPECT_TRUE(rt.spawn(f).get());
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(alive, 0);
  expect_exact_capacity();
}

TEST_F(ThrowingCallables, InTheDestructorTheTaskCountsAsFailed) {
  std::atomic<int> calls{0};
  const auto make = [&](auto&& send) {
    throws_in_destructor f(calls);
    send(std::move(f));
    f.armed = false;
  };
  make([&](auto&& f) { ASSERT_TRUE(rt.submit(std::move(f))); });
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(seen.texts(), std::vector<std::string>{"destructor"});
  make([&](auto&& f) {
    auto r = rt.spawn(std::move(f)).get();
    ASSERT_FALSE(r);
    expect_failed_with_cause(r.error());
  });
  {
    plug p(rt);
    make([&](auto&& f) {
      auto h = rt.spawn(std::move(f));
      h.cancel();
      EXPECT_EQ(h.get().error().code, errc::cancelled);
    });
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(calls, 2);
  EXPECT_EQ(rt.metrics().failed, 2u);
  expect_exact_capacity();
}

TEST_F(ThrowingCallables, InBulkNothingIsAccepted) {
  std::atomic<int> alive{0};
  {
    std::vector<throws_in_copy> v;
    v.reserve(3);
    for (int i = 0; i < 3; ++i) v.emplace_back(alive);
    const weir::status s = rt.try_submit_bulk(v);
    ASSERT_FALSE(s);
    expect_failed_with_cause(s.error());
    EXPECT_EQ(alive, 3);
  }
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(rt.metrics().ok, 0u);
  expect_exact_capacity();
}

TEST_F(ThrowingCallables, AResultWhoseMoveThrowsIsAFailedResult) {
  struct bad_result {
    bad_result() = default;
    bad_result(bad_result&&) { throw std::out_of_range("result"); }  // NOLINT
  };
  auto h = rt.spawn([] { return bad_result(); });
  auto r = [&]() -> errc {
    try {
      auto x = h.get();
      return x ? errc{} : x.error().code;
    } catch (const std::out_of_range&) {
      return errc::failed;
    }
  }();
  EXPECT_EQ(r, errc::failed);
  ASSERT_TRUE(rt.wait_idle());
}

// ---- callables of any alignment

template <std::size_t Align>
void aligned_one() {
  struct alignas(Align) aligned {
    int operator()() const { return reinterpret_cast<std::uintptr_t>(this) % Align == 0 ? 1 : 2; }
  };
  weir::runtime rt(with_workers(1));
  std::stop_source source;
  const weir::strand serial(rt);
  const weir::limited few(rt, 2, 8);
  const auto in_time = weir::clock_type::now() + std::chrono::hours(1);
  std::vector<weir::join_handle<int>> all;
  all.push_back(rt.spawn(aligned{}));
  all.push_back(rt.spawn(aligned{}, {.stop = source.get_token()}));
  all.push_back(rt.spawn(aligned{}, {.start_by = in_time}));
  all.push_back(rt.spawn(aligned{}, {.stop = source.get_token(), .deadline = in_time}));
  all.push_back(serial.spawn(aligned{}));
  all.push_back(few.spawn(aligned{}, {.stop = source.get_token(), .start_by = in_time}));
  for (std::size_t i = 0; i < all.size(); ++i) {
    const auto r = all[i].get();
    if (Align < 8192) ASSERT_EQ(r.value_or(0), 1) << i;
    else ASSERT_TRUE(!r && r.error().code == errc::failed) << i;
  }
  ASSERT_TRUE(rt.wait_idle());
}

TEST(BadInput, CallablesAreAlignedAndPastFourKilobytesRefused) {
  aligned_one<64>();
  aligned_one<2048>();
  aligned_one<4096>();
  aligned_one<8192>();
}

}  // namespace
}  // namespace bad_callables_test
