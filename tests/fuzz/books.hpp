// The oracle's books: one record for each callable, and each record has exactly one fate.
#pragma once

#include "bytes.hpp"

#include <array>
#include <atomic>
#include <cstdint>
#include <exception>
#include <new>

namespace fuzz {

// Who learns of the end of a task: nobody, a handle, a group; or several workers run copies of it, or it runs again and again; or it is
// part of another one, a coroutine, and no task.
enum class kind : std::uint8_t { plain, spawned, child, copies, series, part };

struct record {
  std::atomic<std::uint8_t> sunk{0}, dropped{0}, refused{0};
  std::atomic<std::uint8_t> tries{0};  // of a task with a retry policy
  std::atomic<std::uint32_t> ran{0}, failed{0}, reported{0};
  std::atomic<bool> accepted{false};  // by its submitter's knowledge, that is: perhaps after it ran
  std::atomic<bool> threw{false}, read{false};
  std::atomic<bool> cancelled{false}, inside{false};  // a timer's
  std::atomic<bool> left{false};  // a coroutine's: it ended as cancelled or stopped, which is neither ok nor failed
  std::uint32_t ran_at_cancel = 0;
  bool traceless = false;  // a plain value: nothing tells when it is destroyed
  kind what = kind::plain;
  std::uint8_t most = 1;  // copies
};

/// What tasks throw: it names its record.
struct thrown {
  unsigned id;
};

class books {
 public:
  static constexpr unsigned most = 1024, none = ~0u;

  /// A new record; `none` when this run has had enough tasks.
  unsigned open(kind k, bool traceless) noexcept {
    const unsigned id = next_.fetch_add(1, std::memory_order_relaxed);
    if (id >= most) return none;
    records_[id].what = k;
    records_[id].traceless = traceless;
    return id;
  }
  record& operator[](unsigned id) noexcept { return records_[id]; }
  unsigned size() const noexcept {
    const unsigned n = next_.load();
    return n < most ? n : most;
  }

  /// on_unhandled's exception: each task that threw is reported once at most, and only to those who were not told.
  void report(std::exception_ptr e) {
    try {
      std::rethrow_exception(e);
    } catch (const thrown& t) {
      records_[t.id].reported.fetch_add(1);
    } catch (...) {
      require(false, "on_unhandled got an exception that no task threw");
    }
  }

  // Sums over all records, for the comparison with the counters.
  struct sums {
    std::uint64_t ran = 0, failed = 0, accepted = 0;
    std::uint64_t cut_short = 0;  // have been tried, and were not tried again: failed or cancelled, nobody can say which
  };

  /// Everything is over, all handles and groups are gone.
  sums check() {
    sums s;
    for (unsigned id = 0; id < size(); ++id) {
      const record& r = records_[id];
      const unsigned ran = r.ran, sunk = r.sunk, dropped = r.dropped, refused = r.refused;
      if (r.what == kind::copies) {
        require(ran + sunk <= r.most, "a broadcast ran too often", id, ran + sunk);
        s.ran += ran;
        continue;
      }
      if (r.what == kind::series) {
        require(sunk + dropped + refused == 1, "a series had two fates, or none", id, sunk * 100 + dropped * 10 + refused);
        require(r.accepted || ran == 0, "a refused series ran", id);
        require(r.reported == r.failed, "a series: not each exception was reported once", r.failed, r.reported);
        require(!r.cancelled || ran <= r.ran_at_cancel + 1, "a series ran after it was cancelled", id, ran);
        s.ran += ran;
        s.failed += r.failed;
        continue;
      }
      if (r.what == kind::part) {
        require(ran + dropped == 1, "a part of a coroutine had two fates, or none", id, ran * 10 + dropped);
        require(r.reported == 0, "the error of a part of a coroutine was reported", id);
        continue;
      }
      if (r.traceless) {
        require(ran + sunk + refused <= 1, "a task had two fates", id, ran + sunk + refused);
      } else {
        require(ran + sunk + dropped + refused != 0, "a task was lost", id);
        require(ran + sunk + dropped + refused == 1, "a task had two fates", id, ran * 1000 + sunk * 100 + dropped * 10 + refused);
      }
      require(!r.accepted || refused == 0, "an accepted task was left untouched", id);
      require(r.accepted || ran + sunk == 0, "a refused task ran", id);
      require(!r.cancelled || ran + sunk == 0, "a timer ran that was cancelled", id);
      if (r.tries != 0 && ran == 0) {
        require(r.reported <= (r.read || r.what == kind::child ? 0 : 1), "the error of a task that was tried was reported twice", id);
        ++s.cut_short;
        s.accepted += r.accepted ? 1 : 0;
        continue;
      }
      if (r.left) {
        require(ran == 1 && r.reported == 0, "a coroutine that was stopped was reported", id, r.reported);
        s.accepted += r.accepted ? 1 : 0;
        continue;
      }
      const bool tell = r.threw && ran != 0 && (r.what == kind::plain || (r.what == kind::spawned && !r.read));
      require(r.reported == (tell ? 1 : 0), tell ? "an error that nobody read was not reported once" : "an error was reported that somebody had read",
              id, r.reported);
      s.ran += ran;
      s.failed += r.threw && ran != 0 ? 1 : 0;
      s.accepted += r.accepted ? 1 : 0;
    }
    return s;
  }

 private:
  std::array<record, most> records_{};
  std::atomic<unsigned> next_{0};
};

}  // namespace fuzz
