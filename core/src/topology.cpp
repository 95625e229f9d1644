// Affinity, cgroup quota, placement. See topology.hpp for what is promised.
//
// How the quota is found. /proc/self/cgroup names our cgroup in each hierarchy, /proc/self/mountinfo says which part of
// a hierarchy is mounted where. Both print cgroup paths relative to the root of our cgroup namespace, with "/.." for
// each level above it. A mount tells about us only if its root is our cgroup or an ancestor: then the rest of our path
// leads from the mount point to our own directory, and each directory on the way up is an ancestor with limits that
// bind us too. Hybrid set-ups are no special case: both versions are looked at, and an absent file limits nobody.
#include "topology.hpp"

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <numeric>
#include <optional>
#include <string_view>
#include <system_error>
#include <tuple>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace weir {
inline namespace v0 {
namespace detail {
namespace {

constexpr double unlimited = std::numeric_limits<double>::infinity();
constexpr int max_cpus = 1 << 20;  // far above any kernel's NR_CPUS; it ends loops and bounds memory, nothing else

// ---- text --------------------------------------------------------------------------------------------------------

struct descriptor {
  int fd;
  explicit descriptor(int f) noexcept : fd(f) {}
  descriptor(const descriptor&) = delete;
  descriptor& operator=(const descriptor&) = delete;
  ~descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Files under /proc and /sys tell no size; they are read to the end. nullopt: missing, a directory, a read error.
std::optional<std::string> read_file(const std::string& path) {
  const descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.fd < 0) return std::nullopt;
  std::string text;
  char buffer[4096];
  for (;;) {
    const ssize_t n = ::read(file.fd, buffer, sizeof buffer);
    if (n == 0) return text;
    if (n > 0) text.append(buffer, static_cast<std::size_t>(n));
    else if (errno != EINTR) return std::nullopt;
  }
}

// Keeps empty fields: mountinfo prints an empty mount source as nothing between two spaces.
std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> fields;
  for (;;) {
    const std::size_t end = text.find(separator);
    fields.push_back(text.substr(0, end));
    if (end == std::string_view::npos) return fields;
    text.remove_prefix(end + 1);
  }
}

bool lists(std::string_view comma_separated, std::string_view item) {
  const auto items = split(comma_separated, ',');
  return std::find(items.begin(), items.end(), item) != items.end();
}

std::string_view trimmed(std::string_view text) noexcept {
  const std::size_t first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\n") - first + 1);
}

std::optional<std::int64_t> parse_integer(std::string_view text) noexcept {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// mountinfo writes space, tab, newline, backslash and '#' as \ooo.
std::string unescaped(std::string_view text) {
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '\\' && i + 3 < text.size() && text[i + 1] <= '3' && octal(text[i + 1]) && octal(text[i + 2]) &&
        octal(text[i + 3])) {
      out.push_back(static_cast<char>((text[i + 1] - '0') * 64 + (text[i + 2] - '0') * 8 + (text[i + 3] - '0')));
      i += 3;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

// ---- cgroups -----------------------------------------------------------------------------------------------------

// A cgroup path as the kernel prints it: so many levels up from the namespace's root, then down by these names.
struct cgroup_path {
  std::size_t up = 0;
  std::vector<std::string_view> names;  // point into the parsed text
};

std::optional<cgroup_path> parse_cgroup_path(std::string_view text) {
  if (text.empty() || text.front() != '/') return std::nullopt;
  cgroup_path path;
  for (const std::string_view name : split(text, '/')) {
    if (name.empty()) continue;
    if (name != "..") path.names.push_back(name);
    else if (path.names.empty()) ++path.up;
    else return std::nullopt;  // the kernel never prints it, and following it could leave the mount
  }
  return path;
}

// The names that lead from `root` down to `path`; nullopt if root is neither path nor its ancestor.
std::optional<std::vector<std::string_view>> names_below(const cgroup_path& root, const cgroup_path& path) {
  if (root.up > path.up) {
    // Straight above us, through levels whose names the namespace hides: only root itself can be looked at. With names
    // it has turned off into a branch that is not ours.
    if (root.names.empty()) return std::vector<std::string_view>{};
    return std::nullopt;
  }
  if (root.up < path.up || root.names.size() > path.names.size()) return std::nullopt;
  const auto rest = path.names.begin() + static_cast<std::ptrdiff_t>(root.names.size());
  if (!std::equal(root.names.begin(), root.names.end(), path.names.begin())) return std::nullopt;
  return std::vector<std::string_view>(rest, path.names.end());
}

struct cgroup_mount {
  std::string_view id, escaped_point;
  std::string root, point;
  bool v2 = false;
  bool covered = false;  // another mount sits on top of it: its files cannot be reached by path
};

// "36 35 98:0 ROOT POINT options optional… - type source super-options"
std::vector<cgroup_mount> cgroup_mounts(std::string_view mountinfo) {
  std::vector<cgroup_mount> mounts;
  const auto lines = split(mountinfo, '\n');
  for (const std::string_view line : lines) {
    const auto fields = split(line, ' ');
    if (fields.size() < 10) continue;
    const auto dash = std::find(fields.begin() + 6, fields.end(), "-");
    if (fields.end() - dash < 4) continue;
    const bool v2 = dash[1] == "cgroup2";
    if (!v2 && !(dash[1] == "cgroup" && lists(dash[3], "cpu"))) continue;
    mounts.push_back({fields[0], fields[4], unescaped(fields[3]), unescaped(fields[4]), v2, false});
  }
  if (mounts.empty()) return mounts;
  for (const std::string_view line : lines) {
    const auto fields = split(line, ' ');
    if (fields.size() < 5) continue;
    for (cgroup_mount& m : mounts)
      if (fields[1] == m.id && fields[4] == m.escaped_point) m.covered = true;
  }
  return mounts;
}

// "ID:controller,controller:PATH"; version 2 has ID 0 and no controllers. PATH may contain colons.
std::optional<cgroup_path> own_cgroup(std::string_view proc_cgroup, bool v2) {
  for (const std::string_view line : split(proc_cgroup, '\n')) {
    const std::size_t first = line.find(':');
    if (first == std::string_view::npos) continue;
    const std::size_t second = line.find(':', first + 1);
    if (second == std::string_view::npos) continue;
    const std::string_view controllers = line.substr(first + 1, second - first - 1);
    if (v2 ? line.substr(0, first) == "0" && controllers.empty() : lists(controllers, "cpu"))
      return parse_cgroup_path(line.substr(second + 1));
  }
  return std::nullopt;
}

double ratio(std::optional<std::int64_t> quota, std::optional<std::int64_t> period) noexcept {
  if (!quota || !period || *quota <= 0 || *period <= 0) return unlimited;  // -1 is version 1's word for "max"
  return static_cast<double>(*quota) / static_cast<double>(*period);
}

double directory_quota(const std::string& directory, bool v2) {
  if (v2) {
    const auto text = read_file(directory + "/cpu.max");
    if (!text) return unlimited;
    const auto fields = split(trimmed(*text), ' ');
    if (fields.size() != 2) return unlimited;
    return ratio(parse_integer(fields[0]), parse_integer(fields[1]));  // "max" is no integer
  }
  const auto quota = read_file(directory + "/cpu.cfs_quota_us");
  if (!quota) return unlimited;
  const auto period = read_file(directory + "/cpu.cfs_period_us");
  if (!period) return unlimited;
  return ratio(parse_integer(trimmed(*quota)), parse_integer(trimmed(*period)));
}

// ---- affinity ----------------------------------------------------------------------------------------------------

struct cpu_set_free {
  void operator()(cpu_set_t* set) const noexcept { CPU_FREE(set); }
};
using cpu_set_pointer = std::unique_ptr<cpu_set_t, cpu_set_free>;

int read_own_affinity(std::size_t bytes, cpu_set_t* mask) { return ::sched_getaffinity(0, bytes, mask); }

std::vector<int> online_cpus() {
  const long online = ::sysconf(_SC_NPROCESSORS_ONLN);
  std::vector<int> cpus(static_cast<std::size_t>(std::clamp(online, 1L, static_cast<long>(max_cpus))));
  std::iota(cpus.begin(), cpus.end(), 0);
  return cpus;
}

}  // namespace

double cpu_quota(const std::string& root) {
  const auto proc_cgroup = read_file(root + "/proc/self/cgroup");
  if (!proc_cgroup) return unlimited;
  const auto mountinfo = read_file(root + "/proc/self/mountinfo");
  if (!mountinfo) return unlimited;

  double quota = unlimited;
  for (const cgroup_mount& mount : cgroup_mounts(*mountinfo)) {
    if (mount.covered) continue;
    const auto own = own_cgroup(*proc_cgroup, mount.v2);
    const auto mounted = parse_cgroup_path(mount.root);
    if (!own || !mounted) continue;
    const auto names = names_below(*mounted, *own);
    if (!names) continue;
    std::string directory = root + mount.point;
    quota = std::min(quota, directory_quota(directory, mount.v2));
    for (const std::string_view name : *names) {
      directory.append(1, '/').append(name);
      quota = std::min(quota, directory_quota(directory, mount.v2));
    }
  }
  return quota;
}

std::vector<int> allowed_cpus(affinity_reader get) {
  for (int room = CPU_SETSIZE; room <= max_cpus; room *= 2) {
    const cpu_set_pointer set(CPU_ALLOC(static_cast<std::size_t>(room)));
    if (!set) break;
    const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(room));
    CPU_ZERO_S(bytes, set.get());
    if (get(bytes, set.get()) == 0) {
      std::vector<int> cpus;
      for (int i = 0; i < room; ++i)
        if (CPU_ISSET_S(static_cast<std::size_t>(i), bytes, set.get())) cpus.push_back(i);
      if (cpus.empty()) break;
      return cpus;
    }
    if (errno != EINVAL) break;  // EINVAL: the kernel's mask is larger than ours
  }
  return online_cpus();
}

std::vector<int> allowed_cpus() { return allowed_cpus(&read_own_affinity); }

namespace {
// `largest` is the greatest of the CPUs that add(set, bytes) puts in.
template <class Add>
bool run_on(std::size_t largest, Add add) noexcept {
  cpu_set_t* const set = CPU_ALLOC(largest + 1);
  if (set == nullptr) return false;  // errno is ENOMEM
  const std::size_t bytes = CPU_ALLOC_SIZE(largest + 1);
  CPU_ZERO_S(bytes, set);
  add(set, bytes);
  const bool done = ::sched_setaffinity(0, bytes, set) == 0;
  const int why = errno;
  CPU_FREE(set);  // older C libraries let free change errno
  errno = why;
  return done;
}
}  // namespace

bool pin_this_thread(int os_index) noexcept {
  if (os_index < 0 || os_index >= max_cpus) {
    errno = EINVAL;
    return false;
  }
  const auto index = static_cast<std::size_t>(os_index);
  return run_on(index, [index](cpu_set_t* set, std::size_t bytes) { CPU_SET_S(index, bytes, set); });
}

bool unpin_this_thread(const topology& t) noexcept {
  return run_on(static_cast<std::size_t>(t.cpus.back().os_index), [&t](cpu_set_t* set, std::size_t bytes) {
    for (const cpu& c : t.cpus) CPU_SET_S(static_cast<std::size_t>(c.os_index), bytes, set);
  });
}

// ---- shape -------------------------------------------------------------------------------------------------------

unsigned default_workers(std::size_t allowed, double quota) noexcept {
  const double whole = std::floor(quota);
  if (!(whole >= 1.0)) return 1;  // also for a quota that is not a number
  const double cpus = static_cast<double>(std::clamp<std::size_t>(allowed, 1, static_cast<std::size_t>(max_cpus)));
  return static_cast<unsigned>(std::min(cpus, whole));
}

topology flat_topology(std::vector<int> allowed, double quota) {
  std::sort(allowed.begin(), allowed.end());
  allowed.erase(std::unique(allowed.begin(), allowed.end()), allowed.end());
  if (allowed.empty()) allowed.push_back(0);
  topology t;
  t.cpus.reserve(allowed.size());
  for (const int os_index : allowed) t.cpus.push_back({os_index, static_cast<int>(t.cpus.size()), 0, 0, 0});
  t.quota = quota;
  t.fractional_quota = std::isfinite(quota) && std::floor(quota) != quota;
  t.default_workers = default_workers(t.cpus.size(), quota);
  return t;
}

void rank_siblings(std::vector<cpu>& cpus) {
  std::vector<cpu*> by_core;
  by_core.reserve(cpus.size());
  for (cpu& c : cpus) by_core.push_back(&c);
  std::sort(by_core.begin(), by_core.end(),
            [](const cpu* a, const cpu* b) { return std::tie(a->core, a->os_index) < std::tie(b->core, b->os_index); });
  for (std::size_t i = 0; i < by_core.size(); ++i)
    by_core[i]->smt_rank = i > 0 && by_core[i - 1]->core == by_core[i]->core ? by_core[i - 1]->smt_rank + 1 : 0;
}

#if !defined(WEIR_SIM)  // a simulation has its own machine
topology discover_topology(const std::string& root) {
  topology t = flat_topology(allowed_cpus(), cpu_quota(root));
#if defined(WEIR_HWLOC) && WEIR_HWLOC
  // Two CPUs have nobody to choose between, and hwloc's load costs milliseconds and 2 MiB.
  if (t.cpus.size() > 2) refine_with_hwloc(t);
#endif
  return t;
}
#endif

std::vector<int> pin_plan(const topology& t, unsigned workers, pin_mode mode, bool first_runtime) {
  const std::size_t n = t.cpus.size();
  if (mode == pin_mode::none || workers == 0 || n == 0) return {};
  if (mode == pin_mode::automatic && (workers != n || t.fractional_quota || !first_runtime)) return {};

  std::vector<cpu> order = t.cpus;
  std::sort(order.begin(), order.end(), [](const cpu& a, const cpu& b) {
    return std::tie(a.smt_rank, a.numa, a.llc, a.core, a.os_index) <
           std::tie(b.smt_rank, b.numa, b.llc, b.core, b.os_index);
  });
  std::vector<int> plan(workers);
  for (std::size_t w = 0; w < plan.size(); ++w) plan[w] = order[w % n].os_index;
  return plan;
}

std::vector<std::vector<unsigned>> victim_order(const topology& t, const std::vector<int>& plan, unsigned workers) {
  std::vector<const cpu*> place(workers, nullptr);
  for (std::size_t w = 0; w < std::min<std::size_t>(workers, plan.size()); ++w) {
    const auto at = std::lower_bound(t.cpus.begin(), t.cpus.end(), plan[w],
                                     [](const cpu& c, int os_index) { return c.os_index < os_index; });
    if (at != t.cpus.end() && at->os_index == plan[w]) place[w] = &*at;
  }
  constexpr int farthest = 3;
  const auto distance = [&place](unsigned a, unsigned b) {
    const cpu* const x = place[a];
    const cpu* const y = place[b];
    if (x == nullptr || y == nullptr) return farthest;
    return x->core == y->core ? 0 : x->llc == y->llc ? 1 : x->numa == y->numa ? 2 : farthest;
  };

  std::vector<std::vector<unsigned>> orders(workers);
  for (unsigned self = 0; self < workers; ++self) {
    std::vector<unsigned>& order = orders[self];
    order.reserve(workers - 1);
    for (int near = 0; near <= farthest; ++near)
      for (unsigned step = 1; step < workers; ++step) {
        const auto other = static_cast<unsigned>((std::size_t{self} + step) % workers);
        if (distance(self, other) == near) order.push_back(other);
      }
  }
  return orders;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
