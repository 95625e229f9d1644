// The children of a group or stream that have not begun: those that may, and those that wait for a place. Layer 6.
//
// A child that has a place is a task whose ticket lies in a queue, or is about to; one that waits for a place has none. The parent keeps
// both in lists of its own, so that who waits for them can claim them wherever their tickets are (P14). A child of a stream leaves the list when
// it begins, one of a group when that is told of its end, for the lock is taken then: until then it may be found there, claimed by somebody, and
// whoever looks drops what is in front of the unclaimed. Everything here is under the parent's lock but for post().
#pragma once

#include "gate_state.hpp"
#include "references.hpp"

#include <weir/detail/child_node.hpp>

#include <mutex>

namespace weir {
inline namespace v0 {
namespace detail {

class siblings {
 public:
  enum place : std::uint8_t { nowhere, unstarted, pending };

  unsigned limit = 0;  // at most so many have a place; 0: all

  bool has_unstarted() noexcept { return drop_claimed(), unstarted_.first != nullptr; }
  /// A place for one that is to come, ahead of its add().
  bool reserve() noexcept { return room() && (++active_, true); }

  /// True: it has a place, and is to be posted.
  bool add(child_node& n, bool reserved) noexcept {
    const bool now = reserved || room();
    if (now && !reserved) ++active_;
    n.where = now ? unstarted : pending;
    (now ? unstarted_ : pending_).push(n);
    return now;
  }
  /// It begins or ends. Either way it has a place from here on, which leave() gives back.
  void unlink(child_node& n) noexcept {
    if (n.where == unstarted) unstarted_.remove(n);
    if (n.where == pending) pending_.remove(n), ++active_;
    n.where = nowhere;
  }
  /// A place is free: whoever gets it, to be posted; null: nobody.
  child_node* leave() noexcept {
    --active_;
    return admit();
  }
  /// Also when the limit has changed. The caller has a reference to what it gets.
  child_node* admit() noexcept {
    child_node* const n = pending_.first;
    if (n == nullptr || !room()) return nullptr;
    pending_.remove(*n);
    unstarted_.push(*n);
    n->where = unstarted;
    ++active_;
    add_reference(n->refs);
    return n;
  }
  /// For who waits on a worker: the oldest that may begin, unlinked, with a reference.
  child_node* oldest_unstarted() noexcept {
    drop_claimed();
    child_node* const n = unstarted_.first;
    if (n == nullptr) return nullptr;
    unstarted_.remove(*n);
    n->where = nowhere;
    add_reference(n->refs);
    return n;
  }
  /// Any that nobody has claimed a moment ago, unlinked, with a reference.
  child_node* any(bool& posted) noexcept {
    posted = pending_.first == nullptr;  // first those that have no ticket: each end of another would give one of them a place and a ticket
    if (posted) drop_claimed();
    child_node* const n = posted ? unstarted_.first : pending_.first;
    if (n == nullptr) return nullptr;
    unlink(*n);
    add_reference(n->refs);
    return n;
  }

 private:
  struct list {
    child_node *first = nullptr, *last = nullptr;
    void push(child_node& n) noexcept {
      n.next = nullptr;
      n.previous = last;
      (last != nullptr ? last->next : first) = &n;
      last = &n;
    }
    void remove(child_node& n) noexcept {
      (n.previous != nullptr ? n.previous->next : first) = n.next;
      (n.next != nullptr ? n.next->previous : last) = n.previous;
    }
  };
  bool room() const noexcept { return limit == 0 || active_ < limit; }
  // A claimed child is never unclaimed again.
  void drop_claimed() noexcept {
    while (unstarted_.first != nullptr && (unstarted_.first->state.load(relaxed) & node_state::phase) != node_state::queued)
      unlink(*unstarted_.first);
  }

  list unstarted_, pending_;
  unsigned active_ = 0;  // have a place, begun or not
};

/// A child that has got its place: its ticket, with a reference that the caller gives it, goes to a queue, past every admission
/// (P38). `held`: its runtime, if the caller holds that.
inline void post_with_reference(child_node& n, core* held = nullptr) noexcept {
  const bool plain = (n.state.load(relaxed) & (node_state::gated | node_state::clocked)) == 0;
  job ticket = node_ticket(n);
  if (plain && held != nullptr ? held->post_while_held(ticket) : node_post(n)) return;
  ticket.ops().drop(ticket, errc::failed);  // no memory for it; whoever has claimed the child meanwhile counts it as stale
}
inline void post(child_node& n) noexcept {
  add_reference(n.refs);
  post_with_reference(n);
}
/// What leave() and admit() gave: posts it, and lets go of it.
inline void post_admitted(child_node* n) noexcept {
  if (n == nullptr) return;
  post(*n);
  node_release(*n);
}

/// Ends all that have not begun. Whatever somebody else has just claimed hears of it by its token.
template <class Mutex>
void cancel_unstarted(siblings& s, Mutex& m) noexcept {
  for (;;) {
    child_node* n = nullptr;
    bool posted = false;
    {
      const std::lock_guard lock(m);
      n = s.any(posted);
    }
    if (n == nullptr) return;
    node_fail(*n, errc::cancelled, posted);
    node_release(*n);
  }
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
