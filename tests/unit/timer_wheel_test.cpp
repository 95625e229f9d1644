// The timer wheel alone, under a clock that the tests make up.
#include "timer_wheel.hpp"

#include <sanitizers.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <random>
#include <vector>

namespace timer_wheel_test {
namespace {

using test::sanitized;
using weir::detail::timer_batch;
using weir::detail::timer_entry;
using weir::detail::timer_wheel;

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();
constexpr std::uint64_t hour = timer_wheel::tick_at(3'600'000'000'000);

struct entry : timer_entry {
  entry() = default;
  explicit entry(std::uint64_t t) { set(t, 1); }
};

// The ticks of what is due by `now`, in the order in which it comes out.
std::vector<std::uint64_t> due_by(timer_wheel& w, std::uint64_t now) {
  EXPECT_FALSE(w.advance(now, no_limit));
  std::vector<std::uint64_t> out;
  while (const timer_entry* e = w.pop()) {
    EXPECT_FALSE(e->linked());
    out.push_back(e->tick());
  }
  return out;
}

using ticks = std::vector<std::uint64_t>;

TEST(TimerWheel, GivesOutWhatIsDueAndNothingEarlier) {
  timer_wheel w(1000);
  entry a(1005), b(1003);
  w.insert(a);
  w.insert(b);
  EXPECT_EQ(w.size(), 2u);
  EXPECT_EQ(w.next(), 1003u);
  EXPECT_EQ(due_by(w, 1002), ticks{});
  EXPECT_EQ(due_by(w, 1003), ticks{1003});
  EXPECT_EQ(w.next(), 1005u);
  EXPECT_EQ(due_by(w, 2000), ticks{1005});
  EXPECT_EQ(w.size(), 0u);
  EXPECT_EQ(w.now(), 2000u);
}

TEST(TimerWheel, WhenEmptyHasNothingToCome) {
  timer_wheel w(0);
  EXPECT_EQ(w.next(), timer_wheel::never);
  EXPECT_EQ(due_by(w, hour), ticks{});
  EXPECT_EQ(w.next(), timer_wheel::never);
  entry a(hour + 5);
  w.insert(a);
  w.remove(a);
  EXPECT_FALSE(a.linked());
  EXPECT_EQ(w.next(), timer_wheel::never);
  EXPECT_EQ(w.size(), 0u);
}

TEST(TimerWheel, ATimeThatHasPassedIsDueAtOnce) {
  timer_wheel w(hour);
  entry a(5), b(0), c(hour);
  for (entry* e : {&a, &b, &c}) w.insert(*e);
  EXPECT_EQ(w.next(), hour);
  EXPECT_EQ(due_by(w, hour), (ticks{5, 0, hour})) << "in the order in which they came";
}

TEST(TimerWheel, ANanosecondBelongsToTheTickThatEndsLater) {
  EXPECT_EQ(timer_wheel::tick_after(0), 0u);
  EXPECT_EQ(timer_wheel::tick_after(1), 1u);
  EXPECT_EQ(timer_wheel::tick_after(1024), 1u);
  EXPECT_EQ(timer_wheel::tick_after(1025), 2u);
  EXPECT_EQ(timer_wheel::tick_at(1023), 0u);
  EXPECT_EQ(timer_wheel::tick_at(1024), 1u);
  EXPECT_EQ(timer_wheel::tick_after(-5), 0u) << "before the clock began";
  EXPECT_EQ(timer_wheel::tick_after(std::numeric_limits<std::int64_t>::min()), 0u);
  for (const std::int64_t ns : {std::int64_t{1}, std::int64_t{999}, std::int64_t{123'456'789}}) {
    EXPECT_GE(timer_wheel::begin_of(timer_wheel::tick_after(ns)), ns);
    EXPECT_LE(timer_wheel::begin_of(timer_wheel::tick_at(ns)), ns);
  }
}

TEST(TimerWheel, KnowsTimesUntilTheClockEnds) {
  constexpr std::int64_t last = std::numeric_limits<std::int64_t>::max();
  const std::uint64_t begin = timer_wheel::tick_at(1'000'000'000'000'000);
  timer_wheel w(begin);
  entry never(timer_wheel::tick_after(last)), centuries(timer_wheel::tick_at(last)), year(begin + 8766 * hour), soon(begin + 1);
  for (entry* e : {&never, &centuries, &year, &soon}) w.insert(*e);
  EXPECT_EQ(w.next(), begin + 1);
  EXPECT_EQ(due_by(w, begin + 1), ticks{begin + 1});
  EXPECT_EQ(w.next(), year.tick());
  EXPECT_EQ(due_by(w, year.tick() - 1), ticks{});
  EXPECT_EQ(due_by(w, year.tick()), ticks{year.tick()});
  EXPECT_EQ(due_by(w, timer_wheel::tick_at(last)), ticks{centuries.tick()});
  EXPECT_EQ(timer_wheel::begin_of(w.next()), last) << "a sleep until then is a sleep for ever";
  w.remove(never);
  EXPECT_EQ(w.next(), timer_wheel::never);
}

// One in each slot of each level, from a time with all digits full: every list moves down through all levels below.
TEST(TimerWheel, EntriesOfEveryLevelComeOutInOrder) {
  const std::uint64_t begin = (std::uint64_t{1} << 50) - 1;
  timer_wheel w(begin);
  std::vector<std::unique_ptr<entry>> entries;
  ticks expected;
  for (unsigned level = 0; level < timer_wheel::levels - 1; ++level)
    for (std::uint64_t digit = 1; digit < 64; ++digit) expected.push_back(begin + (digit << level * timer_wheel::digit_bits));
  for (const std::uint64_t t : expected) entries.push_back(std::make_unique<entry>(t));
  std::shuffle(entries.begin(), entries.end(), std::mt19937(7));
  for (auto& e : entries) w.insert(*e);
  std::sort(expected.begin(), expected.end());
  ticks got;
  while (w.next() != timer_wheel::never) {
    const std::uint64_t t = w.next();
    for (const std::uint64_t x : due_by(w, t)) {
      EXPECT_EQ(x, t) << "next() says when";
      got.push_back(x);
    }
  }
  EXPECT_EQ(got, expected);
}

TEST(TimerWheel, OneJumpOverAllOfTheTimeGivesOutEverythingInOrder) {
  std::mt19937_64 random(3);
  timer_wheel w(12345);
  std::vector<entry> entries(5000);
  ticks expected;
  for (entry& e : entries) {
    e.set(12345 + random() % (std::uint64_t{1} << 6 * (1 + random() % 7)), 1);
    expected.push_back(e.tick());
    w.insert(e);
  }
  std::sort(expected.begin(), expected.end());
  EXPECT_EQ(due_by(w, std::uint64_t{1} << 53), expected);
}

TEST(TimerWheel, WhatIsDueTogetherComesOutAsItWentIn) {
  timer_wheel w(0);
  std::vector<entry> entries(200);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].set(hour, 1);
    w.insert(entries[i]);
    if (i % 3 == 0) due_by(w, i * hour / 300);
  }
  EXPECT_FALSE(w.advance(hour, no_limit));
  for (entry& e : entries) EXPECT_EQ(w.pop(), &e);
  EXPECT_EQ(w.pop(), nullptr);
}

TEST(TimerWheel, ARemovedEntryDoesNotComeOutWhereverItLay) {
  for (const std::uint64_t distance : {std::uint64_t{0}, std::uint64_t{3}, std::uint64_t{100}, std::uint64_t{100'000}, hour, 1000 * hour}) {
    timer_wheel w(77);
    entry first(77 + distance), second(77 + distance), third(77 + distance);
    for (entry* e : {&first, &second, &third}) w.insert(*e);
    w.remove(second);
    w.remove(first);
    EXPECT_EQ(due_by(w, 77 + 2 * distance), ticks{77 + distance});
    w.insert(second);
    EXPECT_EQ(due_by(w, 77 + 2 * distance), ticks{77 + distance}) << "an entry can be used again";
  }
}

TEST(TimerWheel, WhatHasBeenTakenOutCanBePutBackWhileTheRestIsStillOnItsWay) {
  timer_wheel w(0);
  std::vector<entry> entries(100);
  for (entry& e : entries) {
    e.set(500, 1);
    w.insert(e);
  }
  std::size_t seen = 0;
  for (bool more = true; more;) {
    more = w.advance(500, 7);
    std::size_t at_once = 0;
    while (timer_entry* e = w.pop()) {
      EXPECT_LE(++at_once, 7u);
      ++seen;
      if (seen == 50) {
        e->set(600, 1);
        w.insert(*e);
      }
    }
    if (seen >= 49 && entries[99].linked()) w.remove(entries[99]);
  }
  EXPECT_EQ(seen, 99u);
  EXPECT_EQ(due_by(w, 700), ticks{600});
}

TEST(TimerWheel, AnEntryThatIsRemovedWhileItsListMovesDownIsGone) {
  timer_wheel w(0);
  std::vector<entry> entries(1000);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].set((1 << 18) + i, 1);
    w.insert(entries[i]);
  }
  EXPECT_TRUE(w.advance(1 << 18, 100)) << "in the middle of it";
  for (std::size_t i = 0; i < entries.size(); i += 2)
    if (entries[i].linked()) w.remove(entries[i]);
  ticks got;
  for (bool more = true; more;) more = w.advance(1 << 19, 100);
  while (timer_entry* e = w.pop()) got.push_back(e->tick());
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end()));
  for (std::size_t i = 1; i < entries.size(); i += 2) EXPECT_TRUE(std::binary_search(got.begin(), got.end(), (1 << 18) + i));
  EXPECT_LE(got.size(), 501u);
}

TEST(TimerWheel, ALongListIsOnItsWayBeforeItsTimeAndAShortOneWaitsForIt) {
  constexpr std::uint64_t slot = 1 << 18;
  for (const std::size_t n : {std::size_t{10}, std::size_t{20'000}}) {
    timer_wheel w(0);
    std::vector<entry> entries(n);
    for (std::size_t i = 0; i < n; ++i) {
      entries[i].set(slot + 1000 + i, 1);
      w.insert(entries[i]);
    }
    if (n <= timer_wheel::many) {
      EXPECT_EQ(w.next(), slot + 1000);
    } else {
      EXPECT_EQ(w.next(), slot - slot / 4) << "in time for a million of them";
    }
    std::size_t steps = 0;
    for (std::uint64_t now = w.next(); now < slot + 1000; now = std::max(now + 1, w.next())) {
      while (w.advance(now, 256)) ++steps;
      EXPECT_EQ(w.pop(), nullptr) << "nothing is early";
    }
    if (n <= timer_wheel::many) {
      EXPECT_EQ(steps, 0u);
    } else {
      EXPECT_GE(steps, n / 256);
    }
    EXPECT_FALSE(w.advance(slot + 1000, 256)) << "what is due needs no more than a piece of work";
    EXPECT_NE(w.pop(), nullptr);
    EXPECT_EQ(w.pop(), nullptr);
    EXPECT_EQ(due_by(w, slot + 1000 + n).size(), n - 1);
  }
}

TEST(TimerWheel, WhatIsDueCanBeRemovedUntilItIsTakenOut) {
  timer_wheel w(0);
  entry a(5), b(5), c(5);
  for (entry* e : {&a, &b, &c}) w.insert(*e);
  EXPECT_FALSE(w.advance(10, no_limit));
  EXPECT_EQ(w.next(), 10u) << "there is something to do";
  EXPECT_EQ(w.pop(), &a);
  EXPECT_TRUE(b.linked());
  w.remove(b);
  b.set(20, 1);
  w.insert(b);
  EXPECT_EQ(w.pop(), &c);
  EXPECT_EQ(w.pop(), nullptr);
  EXPECT_EQ(w.next(), 20u);
}

TEST(TimerWheel, TakesOutWhatIsAskedForWhereverItLies) {
  timer_wheel w(99);
  std::vector<entry> entries(300);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    entries[i].set(99 + (std::uint64_t{1} << i % 50), i % 3 == 0 ? 2 : 1);
    w.insert(entries[i]);
  }
  EXPECT_FALSE(w.advance(99 + 10, no_limit)) << "some of it is due";
  timer_batch b;
  for (unsigned i = 0; i < timer_wheel::list_count; ++i) w.take(i, [](const timer_entry& e) { return e.kind() == 2; }, b);
  EXPECT_EQ(b.size(), 100u);
  while (const timer_entry* e = b.pop()) EXPECT_EQ(e->kind(), 2u);
  EXPECT_EQ(w.size(), 200u);
  EXPECT_EQ(due_by(w, std::uint64_t{1} << 53).size(), 200u);
}

// Against a map, in small and large steps, with work that is cut short anywhere.
TEST(TimerWheel, DoesAsAnOrderedMapDoes) {
  for (std::uint64_t seed = 1; seed <= (sanitized ? 20u : 100u); ++seed) {
    std::mt19937_64 random(seed);
    std::uint64_t now = random() >> (14 + random() % 40);
    timer_wheel w(now);
    std::vector<entry> entries(1 + random() % 3000);
    std::multimap<std::uint64_t, entry*> expected;  // not removed, not come out
    const auto drop = [&](entry& e) {
      for (auto [i, end] = expected.equal_range(e.tick()); i != end; ++i)
        if (i->second == &e) return void(expected.erase(i));
      FAIL() << "it was not there";
    };
    const unsigned spread = 1 + static_cast<unsigned>(random() % 8);
    std::size_t inserts = 0, removals = 0, came = 0;
    for (int step = 0; step < 4000; ++step) {
      entry& e = entries[random() % entries.size()];
      if (!e.linked()) {
        e.set(now + random() % (std::uint64_t{1} << 6 * spread) - std::min<std::uint64_t>(now, random() % 3), 1);
        w.insert(e);
        expected.emplace(e.tick(), &e);
        ++inserts;
      } else if (random() % 3 == 0) {
        w.remove(e);
        drop(e);
        ++removals;
      }
      if (random() % 8 != 0) continue;
      if (const std::uint64_t next = w.next(); next != timer_wheel::never && random() % 2 == 0) now = next;
      else now += random() % (std::uint64_t{1} << random() % (6 * spread));
      bool more = true;
      for (int pieces = 0; more && pieces < 3; ++pieces) more = w.advance(now, random() % 50);
      timer_entry* out = nullptr;
      while (random() % 20 != 0 && (out = w.pop()) != nullptr) {
        ASSERT_LE(out->tick(), now) << "early";
        drop(static_cast<entry&>(*out));
        ++came;
      }
      if (!more && out == nullptr && w.next() != w.now() && !expected.empty()) {
        ASSERT_GT(expected.begin()->first, now) << "late";
        ASSERT_LE(w.next(), expected.begin()->first) << "would be slept over";
      }
      ASSERT_EQ(w.size(), expected.size());
    }
    const std::size_t rest = due_by(w, std::uint64_t{1} << 53).size();
    EXPECT_EQ(rest, expected.size());
    EXPECT_EQ(inserts, removals + came + rest);
  }
}

}  // namespace
}  // namespace timer_wheel_test
