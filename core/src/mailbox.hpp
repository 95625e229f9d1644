// Jobs that are bound to one worker. Layer 3.
//
// Edges: the lock's. `some_` is a hint for the owner, changed under the lock; that it is seen in time is the business of whoever
// puts a letter in: he marks the attention word, then claims or wakes the owner (attention.hpp, idle.hpp, parker.hpp).
#pragma once

#include <weir/detail/atomics.hpp>

#include <algorithm>
#include <cstddef>
#include <deque>
#include <mutex>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

template <class A, class Job>
class mailbox {
 public:
  /// All or nothing. False: closed. Throws std::bad_alloc. each(job&) is told of every one that lies in the box now.
  template <class Each>
  bool put(const Job* jobs, std::size_t n, Each&& each) {
    const std::lock_guard lock(mutex_);
    if (!open_) return false;
    jobs_.insert(jobs_.end(), jobs, jobs + n);  // no effect if it throws
    for (auto at = jobs_.end() - static_cast<std::ptrdiff_t>(n); at != jobs_.end(); ++at) each(*at);
    some_.store(true, relaxed);
    return true;
  }
  /// Unless `stays` says that the oldest does; it is asked when there is one, and sees what came before that was put in.
  template <class Stays>
  bool take(Job& out, Stays&& stays) noexcept {
    return any() && take_anyhow(out, stays);
  }
  bool take_anyhow(Job& out) noexcept {
    return take_anyhow(out, [] { return false; });
  }
  bool any() const noexcept { return some_.load(relaxed); }  // a hint, unless ordered by the caller
  /// Takes out what nobody wants; the others keep their order. Without the memory for it: nothing.
  template <class Unwanted>
  std::vector<Job> sweep(Unwanted&& unwanted) noexcept {
    std::vector<Job> out;
    if (!any()) return out;
    const std::lock_guard lock(mutex_);
    WEIR_TRY { out.reserve(jobs_.size()); }
    WEIR_CATCH_ALL { return out; }
    const auto goes = [&](const Job& j) { return unwanted(j) && (out.push_back(j), true); };
    jobs_.erase(std::remove_if(jobs_.begin(), jobs_.end(), goes), jobs_.end());
    some_.store(!jobs_.empty(), relaxed);
    return out;
  }
  /// Closed: what is in it stays.
  void open(bool yes) noexcept {
    const std::lock_guard lock(mutex_);
    open_ = yes;
  }

 private:
  template <class Stays>
  bool take_anyhow(Job& out, Stays&& stays) noexcept {
    const std::lock_guard lock(mutex_);
    if (jobs_.empty() || stays()) return false;
    out = jobs_.front();
    jobs_.pop_front();
    some_.store(!jobs_.empty(), relaxed);
    return true;
  }

  typename A::mutex mutex_;
  std::deque<Job> jobs_;
  bool open_ = true;
  typename A::template atomic<bool> some_{false};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
