#include "diagnose.hpp"

#include "worker.hpp"

#include <cstring>
#include <iterator>

#include <unistd.h>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

// Text without memory or locks; a line goes out at once, so that what comes before a crash is there.
class printer {
 public:
  explicit printer(int fd) noexcept : fd_(fd) {}
  ~printer() { flush(); }

  printer& operator<<(const char* text) noexcept {
    for (; *text != 0; ++text) put(*text);
    return *this;
  }
  printer& operator<<(std::uint64_t n) noexcept {
    char digits[20];
    int i = 0;
    do digits[i++] = static_cast<char>('0' + n % 10);
    while ((n /= 10) != 0);
    while (i > 0) put(digits[--i]);
    return *this;
  }
  printer& operator<<(std::uint32_t n) noexcept { return *this << std::uint64_t{n}; }
  printer& operator<<(std::int64_t n) noexcept {
    if (n < 0) put('-');
    return *this << (n < 0 ? std::uint64_t{0} - static_cast<std::uint64_t>(n) : static_cast<std::uint64_t>(n));
  }
  printer& operator<<(bool b) noexcept { return *this << (b ? "yes" : "no"); }
  printer& operator<<(const void* p) noexcept {
    *this << "0x";
    int shift = 60;
    const auto n = reinterpret_cast<std::uintptr_t>(p);
    while (shift > 0 && (n >> shift) == 0) shift -= 4;
    for (; shift >= 0; shift -= 4) put("0123456789abcdef"[(n >> shift) & 15]);
    return *this;
  }

 private:
  void put(char c) noexcept {
    text_[length_++] = c;
    if (c == '\n' || length_ == sizeof text_) flush();
  }
  void flush() noexcept {
    for (std::size_t done = 0; done < length_;) {
      const ssize_t n = ::write(fd_, text_ + done, length_ - done);
      if (n <= 0) break;
      done += static_cast<std::size_t>(n);
    }
    length_ = 0;
  }
  int fd_;
  std::size_t length_ = 0;
  char text_[512];
};

const char* const slot_names[] = {"open", "being filled", "full", "being emptied"};  // express_slot's order
const char* const lane_names[] = {"high", "normal", "low"};
const char* const outcome_names[outcome_count] = {"ok",      "full",    "stopped", "cancelled", "expired",
                                                  "dropped", "timeout", "starved", "invalid",   "failed"};

}  // namespace

class diagnosis {
 public:
  diagnosis(const core& c, int fd) noexcept : c_(c), out_(fd) {}

  void all() noexcept {
    const unsigned slots = c_.slot_count();
    out_ << "runtime \"" << c_.opts.name << "\" at " << static_cast<const void*>(&c_) << ": " << c_.active_workers() << " workers, "
         << slots - c_.by_number_.count() << " spares, " << c_.surplus_.load(relaxed) << " of them surplus workers"
         << (c_.backlog_.bits() != 0 ? " (a backlog is noted), " : ", ") << phase_name() << (c_.dead() ? ", of a forked process's parent" : "") << "\n";
    shared();
    for (unsigned i = 0; i < slots; ++i) one(*c_.slot(i));
    leases();
    judge();
  }

 private:
  const char* phase_name() const noexcept {
    switch (c_.doors_.now()) {
      case phase::running: return "running";
      case phase::closing: return "closing";
      case phase::stopped: return "stopped";
    }
    return "?";
  }

  void shared() noexcept {
    const std::uint32_t bits = c_.attention_bits();
    out_ << "  attention:";
    const struct {
      std::uint32_t bit;
      const char* name;
    } names[] = {{attention::stop, " stop"},         {attention::paused, " paused"},   {attention::halted, " halted"},
                 {attention::leftovers, " leftovers"},
                 {attention::entries, " entries"},   {attention::quiesce, " quiesce"}, {attention::blocked, " blocked"},
                 {attention::mail, " mail"},         {attention::lane_bit(lane::high), " high"},
                 {attention::kept, " kept"},
                 {attention::lane_bit(lane::low), " low"}};
    for (const auto& n : names)
      if ((bits & n.bit) != 0) out_ << n.name;
    out_ << (bits == 0 ? " none" : "") << "; hint " << c_.idle.hint() << ", searching " << c_.idle.searching_.load(relaxed)
         << ", watchers " << c_.idle.watchers_.load(relaxed) << ", parked:";
    bit_list(c_.idle.parked_);
    out_ << ", napping:";
    bit_list(c_.idle.napping_);
    const auto& slot = c_.lanes[static_cast<std::size_t>(lane::normal)].slot_;
    out_ << "\n  queues:";
    for (std::size_t i = 0; i < lane_count; ++i) out_ << " " << lane_names[i] << " " << c_.lanes[i].size();
    out_ << ", local " << c_.local.size() << ", entries " << (c_.entries_.empty() ? "none" : "some") << ", mail "
         << std::uint64_t{c_.letters_.left()} << ", kept " << std::uint64_t{c_.kept_mark_.left()} << ", slot "
         << slot_names[slot.state_.load(relaxed) % std::size(slot_names)] << (slot.hot() ? " hot" : " cold") << ", stale tickets "
         << c_.stale_tickets.load(relaxed) << "\n";
    out_ << "  capacity " << c_.credits.capacity() << ", taken " << c_.credits.taken_.load(relaxed) << ", started " << c_.started_sum()
         << ", free " << free_credits() << ", blocked " << c_.line_.length() << "\n";
    out_ << "  submitted " << submitted() << ", ended " << c_.ended_sum() << ":";
    for (outcome o = 0; o < outcome_count; ++o)
      if (const std::uint64_t n = c_.ended_sum(o); n != 0) out_ << " " << outcome_names[o] << " " << n;
    out_ << "; wait for rest " << c_.rest_.waiters_.load(relaxed) << ", orphan "
         << c_.crew_.orphaned() << ", threads " << c_.crew_.threads_.load(relaxed) << ", references " << c_.refs_.load(relaxed)
         << "\n";
  }

  void bit_list(const idle_state<os_atomics>::bits* words) noexcept {
    bool any = false;
    for (unsigned i = 0, e = c_.slot_count(); i < e; ++i)
      if ((words[i / 64].load(relaxed) >> (i % 64) & 1) != 0) out_ << " " << i, any = true;
    if (!any) out_ << " none";
  }

  void one(const worker& w) noexcept {
    const std::uint64_t begun = w.started.get(), over = ended(w);
    out_ << "  " << (w.spare ? "s" : "w") << (w.spare ? w.number - first_spare : w.number) << " (slot " << w.index << ") "
         << doing(w) << "\n    bed " << bed_name(w) << ", roused " << w.bed.roused() << ", waits " << w.waits.load(relaxed)
         << ", drains " << w.drains.load(relaxed) << ", duty " << static_cast<std::uint32_t>(w.on_duty.now()) << ", inspected "
         << w.running.inspectors() << ", follower ";
    if (const std::uint32_t f = w.follows.who(); f == w.follows.nobody) out_ << "none";
    else out_ << f;
    out_ << ", mail " << w.mail.any() << "\n    forks: ";
    deque(w.forks);
    out_ << "    claimed: ";
    deque(w.claimed.deque_);
    out_ << "    started " << begun << ", from outside " << w.started_outside.get() << ", ended " << over << ", submitted " << w.submitted.get()
         << ", steals " << w.steals.get() << ", forced " << w.forced.get() << ", parks " << w.parks.get() << ", wakes "
         << w.wakes.get() << "\n";
  }

  template <class Deque>
  void deque(const Deque& d) noexcept {
    const auto p = d.state_.load(relaxed);
    const auto own = d.split_.load(relaxed);
    out_ << "head " << d.head_.load(relaxed) << ", split " << d.split(p) << " (owner's ";
    if (own == Deque::trap) out_ << "trap";
    else out_ << own;
    out_ << "), tail " << d.tail(p) << ", claim " << d.claimed(p) << ", epoch " << (p / Deque::epoch_one) << ", bell "
         << (d.rung() ? "rung" : "silent") << "\n";
  }

  static const char* bed_name(const worker& w) noexcept {
    switch (w.bed.word_.load(relaxed)) {
      case parker<os_atomics>::empty: return "empty";
      case parker<os_atomics>::parked: return "slept in";
      default: return "with a token";
    }
  }
  static std::uint64_t ended(const worker& w) noexcept {
    std::uint64_t n = 0;
    for (const counter& k : w.ended) n += k.get();
    return n;
  }
  static std::uint64_t inside(const worker& w) noexcept {
    const std::uint64_t begun = w.started.get(), over = ended(w);
    return begun > over ? begun - over : 0;
  }
  bool parked(unsigned i) const noexcept { return (c_.idle.parked_[i / 64].load(relaxed) >> (i % 64) & 1) != 0; }

  const char* doing(const worker& w) const noexcept {
    const bool busy = inside(w) != 0;
    if (w.waits.load(relaxed)) return busy ? "runs a task that sleeps in a wait" : "sleeps in a wait";
    if (busy) return "runs a task";
    if (parked(w.index)) return "is parked";
    if (w.on_duty.now() != w.on_duty.on) return "is off duty";
    return "looks for work";
  }

  std::uint64_t free_credits() const noexcept {
    return c_.credits.free([this] { return c_.started_sum(); });
  }

  // As submitted_sum(), but without its lock if that is not to be had.
  std::uint64_t submitted() const noexcept {
    const bool locked = c_.lease_mutex_.try_lock();
    std::uint64_t back = 0;
    for (const auto& l : c_.leases_) back += l->returned.get();
    std::uint64_t n = c_.doors_.entered() + c_.time.submitted();
    for (unsigned i = 0, e = c_.slot_count(); i < e; ++i) n += c_.slot(i)->submitted.get();
    for (const auto& l : c_.leases_) n += l->credits.used();
    if (locked) c_.lease_mutex_.unlock();
    return n - back;
  }

  void leases() noexcept {
    const bool locked = c_.lease_mutex_.try_lock();
    if (!locked) out_ << "  the leases' lock is held; read without it:\n";
    std::uint64_t i = 0;
    for (const auto& l : c_.leases_) {
      const std::uint64_t limit = l->credits.limit_.load(relaxed);
      out_ << "  lease " << i++ << ": used " << l->credits.used() << ", limit " << limit << (limit == 0 ? " (trap)" : "")
           << ", granted " << l->credits.granted_ << ", shut " << l->credits.shut_ << ", returned " << l->returned.get()
           << ", rejected " << l->rejected.get() << "\n";
    }
    if (locked) c_.lease_mutex_.unlock();
  }

  // What looks wrong, in words.
  void judge() noexcept {
    unsigned asleep = 0, awake = 0;
    bool claimed = false;
    for (unsigned i = 0, e = c_.slot_count(); i < e; ++i) {
      const worker& w = *c_.slot(i);
      claimed = claimed || w.claimed.visible();
      if (const std::uint64_t n = inside(w); n != 0) {
        const char* const name = w.current_name.load(relaxed);
        out_ << "  HUNG? " << (w.spare ? "spare " : "worker ") << (w.spare ? w.number - first_spare : w.number) << " is inside "
             << (name != nullptr ? "task \"" : "an unnamed task") << (name != nullptr ? name : "") << (name != nullptr ? "\"" : "");
        if (n > 1) out_ << ", " << n << " tasks deep";
        out_ << (w.waits.load(relaxed) ? ", asleep in a wait\n" : "\n");
      } else if (parked(i)) {
        ++asleep;
      } else if (!w.waits.load(relaxed) && w.on_duty.now() == w.on_duty.on) {
        ++awake;
      }
    }
    const std::uint32_t bits = c_.attention_bits();
    const bool work = claimed || !c_.queues_empty() || c_.letters_.left() != 0 || c_.any_kept();
    if (work && awake == 0 && asleep != 0 && (bits & attention::paused) == 0)
      out_ << "  HUNG? public work waits, " << std::uint64_t{asleep} << " workers are parked, nobody searches: a lost wake-up\n";
    if (work && (bits & attention::paused) != 0) out_ << "  work waits, but the runtime is paused\n";
    if (c_.line_.length() != 0 && free_credits() != 0)
      out_ << "  HUNG? submitters are blocked although credits are free\n";
    if (c_.rest_.waiters_.load(relaxed) != 0 && submitted() == c_.ended_sum())
      out_ << "  HUNG? somebody waits for rest although there is rest\n";
    if (c_.lease_mutex_.try_lock()) c_.lease_mutex_.unlock();
    else out_ << "  HUNG? the leases' lock is held\n";
  }

  const core& c_;
  printer out_;
};

void diagnose(int fd) noexcept {
  for_registered_cores([](const core& c, void* p) noexcept { diagnosis(c, *static_cast<int*>(p)).all(); }, &fd);
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
