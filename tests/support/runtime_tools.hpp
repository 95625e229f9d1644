// Tools to put a runtime into a known state from outside.
#pragma once

#include <weir/runtime.hpp>

#include <gate.hpp>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace test {

/// Options for tests: n workers, nothing pinned, so that 64 workers on 2 cores are nothing special.
inline weir::options with_workers(unsigned n) {
  weir::options o;
  o.workers = n;
  o.pin = weir::pinning::none;
  return o;
}
inline weir::options rejecting(unsigned workers, std::size_t capacity) {
  weir::options o = with_workers(workers);
  o.capacity = capacity;
  o.full = weir::on_full::reject;
  return o;
}

/// Keeps every worker busy until release(): what is accepted meanwhile does not start.
class plug {
 public:
  explicit plug(weir::runtime& rt) : plug(rt, rt.workers()) {}
  plug(weir::runtime& rt, unsigned n) : state_(std::make_shared<state>()) {
    for (unsigned i = 0; i < n; ++i) {
      auto hold = [s = state_] {
        s->started.fetch_add(1);
        s->release.wait();
        s->ended.fetch_add(1);
      };
      while (!rt.submit(hold)) std::this_thread::yield();
    }
    if (!eventually([&] { return state_->started.load() == n; })) state_->release.open();
  }
  ~plug() { release(); }
  plug(const plug&) = delete;
  plug& operator=(const plug&) = delete;
  void release() { state_->release.open(); }
  unsigned started() const { return state_->started.load(); }
  unsigned ended() const { return state_->ended.load(); }

 private:
  struct state {
    gate release;
    std::atomic<unsigned> started{0}, ended{0};
  };
  std::shared_ptr<state> state_;
};

/// Collects what on_unhandled is told.
class unhandled {
 public:
  void install(weir::options& o) {
    o.on_unhandled = &on_unhandled;
    o.context = this;
  }
  int count() const { return count_.load(); }
  std::vector<std::string> texts() {
    std::lock_guard lock(mutex_);
    return texts_;
  }
  std::vector<weir::task_info> infos() {
    std::lock_guard lock(mutex_);
    return infos_;
  }

 private:
  static void on_unhandled(const weir::task_info& info, std::exception_ptr e) {
    auto& self = *static_cast<unhandled*>(info.context);
    std::string text = "?";
    try {
      if (e) std::rethrow_exception(e);
      text = "(none)";
    } catch (const std::exception& x) {
      text = x.what();
    } catch (...) {
    }
    std::lock_guard lock(self.mutex_);
    self.texts_.push_back(text);
    self.infos_.push_back(info);
    self.count_.fetch_add(1);
  }
  std::atomic<int> count_{0};
  std::mutex mutex_;
  std::vector<std::string> texts_;
  std::vector<weir::task_info> infos_;
};

/// What became of a callable and its copies.
struct tally {
  std::atomic<int> copies{0}, moves{0}, calls{0}, alive{0};
  bool untouched() const { return copies == 0 && moves == 0 && calls == 0 && alive == 1; }
};

/// A callable that keeps count; too large for any inline storage when Bytes is large.
template <std::size_t Bytes = 8>
class probe {
 public:
  explicit probe(tally& t) : tally_(&t) { tally_->alive.fetch_add(1); }
  probe(const probe& o) : tally_(o.tally_) {
    tally_->copies.fetch_add(1);
    tally_->alive.fetch_add(1);
  }
  probe(probe&& o) noexcept : tally_(o.tally_) {
    o.moved_from_ = true;
    tally_->moves.fetch_add(1);
    tally_->alive.fetch_add(1);
  }
  probe& operator=(const probe&) = delete;
  ~probe() { tally_->alive.fetch_sub(1); }
  void operator()() { tally_->calls.fetch_add(1); }
  bool moved_from() const { return moved_from_; }

 private:
  tally* tally_;
  bool moved_from_ = false;
  [[maybe_unused]] unsigned char padding_[Bytes] = {};
};

/// Accepts tasks until the runtime says no; how many it took. Gives up at `most`.
inline std::size_t fill(weir::runtime& rt, std::atomic<std::size_t>& ran, std::size_t most = std::size_t{1} << 22) {
  std::size_t n = 0;
  while (n < most && rt.try_submit([&ran] { ran.fetch_add(1); })) ++n;
  return n;
}

}  // namespace test
