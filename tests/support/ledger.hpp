// Exactly-once accounting: each task has a number, each number has one fate.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <utility>

#include <gtest/gtest.h>

namespace test {

enum class fate : unsigned char { none, ran, sunk, dropped, refused };

class ledger {
 public:
  explicit ledger(std::size_t most) : size_(most), entries_(std::make_unique<entry[]>(most)) {}

  /// A number for a new task.
  std::size_t open() {
    const std::size_t id = next_.fetch_add(1, std::memory_order_relaxed);
    if (id >= size_) {
      std::fprintf(stderr, "the test's own arithmetic is wrong: its ledger has only %zu entries\n", size_);
      std::abort();
    }
    return id;
  }
  void close(std::size_t id, fate f) {
    if (entries_[id].closed.fetch_add(1, std::memory_order_relaxed) == 0) entries_[id].how.store(f, std::memory_order_relaxed);
    counts_[static_cast<std::size_t>(f)].fetch_add(1, std::memory_order_relaxed);
  }
  std::size_t opened() const { return next_.load(); }
  /// For whoever opens until somebody else is quick enough to stop it: a bit is kept back for what is under way.
  bool has_room() const { return opened() + 1000 < size_; }
  std::size_t count(fate f) const { return counts_[static_cast<std::size_t>(f)].load(); }

  /// Every number has exactly one fate.
  void check() const {
    std::size_t lost = 0, doubled = 0, first_lost = 0, first_doubled = 0;
    for (std::size_t i = 0; i < opened(); ++i) {
      const unsigned n = entries_[i].closed.load();
      if (n == 0 && lost++ == 0) first_lost = i;
      if (n > 1 && doubled++ == 0) first_doubled = i;
    }
    EXPECT_EQ(lost, 0u) << "of " << opened() << "; the first is " << first_lost;
    EXPECT_EQ(doubled, 0u) << "of " << opened() << "; the first is " << first_doubled;
  }

 private:
  struct entry {
    std::atomic<unsigned> closed{0};
    std::atomic<fate> how{fate::none};
  };
  std::size_t size_;
  std::unique_ptr<entry[]> entries_;
  std::atomic<std::size_t> next_{0};
  std::atomic<std::size_t> counts_[5]{};
};

/// A callable with a number. Called: ran, or sunk where the sink calls it. Destroyed uncalled: dropped.
class ticket {
 public:
  explicit ticket(ledger& l) : ledger_(&l), id_(l.open()) {}
  ticket(ticket&& o) noexcept : ledger_(std::exchange(o.ledger_, nullptr)), id_(o.id_) {}
  ticket& operator=(ticket&&) = delete;
  ~ticket() {
    if (ledger_ != nullptr) ledger_->close(id_, fate::dropped);
  }
  void operator()() { close(in_sink ? fate::sunk : fate::ran); }
  /// The runtime said no, so the callable is still ours.
  void refused() { close(fate::refused); }
  bool whole() const { return ledger_ != nullptr; }

  static inline thread_local bool in_sink = false;

 private:
  void close(fate f) {
    if (ledger_ == nullptr) std::abort();  // moved from, or called twice
    std::exchange(ledger_, nullptr)->close(id_, f);
  }
  ledger* ledger_;
  std::size_t id_;
};

/// The same, copyable: copies share the number. (For interfaces that want copyable callables.)
class shared_ticket {
 public:
  explicit shared_ticket(ledger& l) : ticket_(std::make_shared<ticket>(l)) {}
  void operator()() const { (*ticket_)(); }
  void refused() const {
    if (ticket_.use_count() != 1) std::abort();  // somebody kept a copy of a refused callable
    ticket_->refused();
  }

 private:
  std::shared_ptr<ticket> ticket_;
};

}  // namespace test
