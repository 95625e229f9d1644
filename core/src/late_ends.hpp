// Children of one group that a worker has run and not told it of. Layer 5.
//
// Each end takes the group's lock, and with it the lines of the cache that whoever adds children writes. A worker that runs one child
// of a group after another tells of many at once: nobody who waits misses the ends before, for he waits for the child that runs,
// too. So this is empty whenever its worker, outermost, begins anything else, asks the queues, goes off duty, or sleeps. Who waits for a place under a
// limit would miss them: an end is told late only of a group without one, and all are told with the first end after it has got one.
// wait_idle() counts a task a moment before its group hears of it. One thread has all this to itself.
#pragma once

#include <weir/detail/child_node.hpp>
#include <weir/detail/job.hpp>

#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

class group_state;

class late_ends {
 public:
  static constexpr unsigned most = 32;
  // What is known of groups, a layer above.
  struct rules {
    void (*tell)(group_state& g, child_node* const* all, unsigned n) noexcept;
    bool (*child_of)(const job& j, const group_state& g) noexcept;
  };

  bool any() const noexcept { return size_ != 0; }
  void tell() noexcept {
    if (size_ == 0) return;
    child_node* all[most];
    const unsigned n = size_;
    for (unsigned i = 0; i < n; ++i) all[i] = all_[i];
    size_ = 0;  // first: what a group takes away with it may run more
    rules_->tell(*of_, all, n);
  }
  /// The worker is about to run j from its run queue. expect(nullptr) comes after.
  void begins(const job& j) noexcept {
    if (any() && !rules_->child_of(j, *of_)) tell();
    expected_ = j.pointer();
  }
  /// The node, if it is a child's, whose end may be told of late: that of what the worker runs outermost, or in place. Returns the one before.
  const void* expect(const void* node) noexcept { return std::exchange(expected_, node); }

  /// False: the group is to be told now. True: later; the caller's reference to the node is taken.
  bool add(child_node& n, group_state& g, const rules& r) noexcept {
    if (&n != expected_) return false;
    if (any() && (of_ != &g || size_ == most)) tell();
    of_ = &g;
    rules_ = &r;
    all_[size_++] = &n;
    return true;
  }

 private:
  const void* expected_ = nullptr;
  group_state* of_ = nullptr;
  const rules* rules_ = nullptr;
  unsigned size_ = 0;
  child_node* all_[most];
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
