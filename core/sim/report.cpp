// What a failed run says: where each thread is, the state of its runtime in words, the last steps.
#include "simulator.hpp"

#include "diagnose.hpp"
#include "worker.hpp"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include <cxxabi.h>
#include <dlfcn.h>
#include <execinfo.h>
#include <sys/mman.h>
#include <unistd.h>

namespace weir {
inline namespace v0 {
namespace sim {

const char* name_of(std::uint8_t kind) noexcept {
  constexpr const char* names[] = {"load",       "store",      "exchange", "compare-exchange", "fetch", "fence", "light fence",
                                   "heavy fence", "pause",     "queue",    "clock",            "mutex", "unlock", "futex wait",
                                   "futex wake", "condition", "sleep",    "start",            "join",  "point"};
  static_assert(std::size(names) == static_cast<std::size_t>(step_kind::point) + 1);
  return kind < std::size(names) ? names[kind] : "?";
}

namespace {

const char* base_name(const char* file) noexcept {
  const char* const slash = std::strrchr(file, '/');
  return slash != nullptr ? slash + 1 : file;
}

std::string format(const char* pattern, ...) __attribute__((format(printf, 1, 2)));
std::string format(const char* pattern, ...) {
  char text[512];
  va_list args;
  va_start(args, pattern);
  std::vsnprintf(text, sizeof text, pattern, args);
  va_end(args);
  return text;
}

// Frames of the calling thread, the simulator's own left out. For addr2line where the name is not exported.
std::string frames() {
  void* at[48];
  const int n = backtrace(at, static_cast<int>(std::size(at)));
  std::string out;
  for (int i = 0, shown = 0; i < n && shown < 14; ++i) {
    Dl_info info{};
    if (dladdr(at[i], &info) == 0) continue;
    std::string name;
    if (info.dli_sname != nullptr) {
      int bad = 0;
      char* const plain = abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &bad);
      name = plain != nullptr ? plain : info.dli_sname;
      std::free(plain);
      if (name.rfind("weir::v0::sim::", 0) == 0) continue;
      if (name.size() > 100) name = name.substr(0, 97) + "...";
    }
    out += format("        %s+0x%zx %s\n", base_name(info.dli_fname),
                  static_cast<std::size_t>(static_cast<char*>(at[i]) - static_cast<char*>(info.dli_fbase)), name.c_str());
    ++shown;
  }
  return out;
}

std::string state_of(const detail::worker& w) {
  const auto f = [&](const char* name, bool b) { return b ? std::string(" ") + name : std::string(); };
  return format("      worker %u: forks %u, claimed %s, started %llu", w.index, w.forks.head(), w.claimed.owner_empty() ? "none" : "some",
                static_cast<unsigned long long>(w.started.get())) +
         f("roused", w.bed.roused()) + f("has_mail", w.mail.any()) +
         f("drains", w.drains.load(std::memory_order_relaxed)) + f("waits", w.waits.load(std::memory_order_relaxed)) +
         f("spare", w.spare) +
         (w.spare ? format(" duty %d", static_cast<int>(w.on_duty.now())) : std::string()) + "\n";
}

// Every state word of every runtime (src/diagnose.hpp).
std::string state_words() {
  const int fd = memfd_create("weir-sim", MFD_CLOEXEC);
  if (fd < 0) return {};
  detail::diagnose(fd);
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), ' ');
  const ssize_t got = pread(fd, text.data(), text.size(), 0);
  text.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  close(fd);
  return text;
}

}  // namespace

std::string describe_here() {
  const fiber& f = *self;
  std::string out = format("  %u %s: %s%s, last at %s:%d (%s)\n", f.id, f.name.c_str(),
                           f.waits_for != nullptr ? "waits for " : "can run", f.waits_for != nullptr ? f.waits_for : "", base_name(f.file), f.line,
                           name_of(f.kind));
  if (f.waits_for != nullptr && f.key != nullptr && std::strcmp(f.waits_for, "a futex") == 0)
    out += format("      word %u\n", static_cast<const std::atomic<std::uint32_t>*>(f.key)->load());
  if (detail::worker* const w = detail::worker::current(); w != nullptr) {
    out += state_of(*w);
  }
  return out + frames();
}

std::string describe(simulator& s, std::size_t last_steps) {
  describing = true;
  std::string out;
  for (auto& f : s.fibers_) {
    if (f->ended) continue;
    if (!f->started) {
      out += format("  %u %s: has not begun\n", f->id, f->name.c_str());
      continue;
    }
    s.description_.clear();
    f->context.enter();
    out += s.description_;
  }
  out += state_words();
  describing = false;
  out += format("    after %llu steps and %lld ns; the last steps:\n", static_cast<unsigned long long>(s.out_.steps),
                static_cast<long long>(s.now));
  const std::uint64_t steps = s.out_.steps;
  last_steps = std::min({last_steps, static_cast<std::size_t>(steps), simulator::remembered});
  for (std::uint64_t i = steps - last_steps + 1; i <= steps; ++i) {
    const auto& e = s.events_[i % simulator::remembered];
    out += format("    %12lld  %2u %-12s %-16s %s:%d\n", static_cast<long long>(e.at), e.id, s.fibers_[e.id - 1]->name.c_str(),
                  name_of(e.kind), base_name(e.file), e.line);
  }
  return out;
}

}  // namespace sim
}  // namespace v0
}  // namespace weir
