// What the files of a machine may say: cpu_quota() over a tree of /proc and cgroup files with any content, and the pure
// functions that come after it. Nothing crashes, and each answer makes sense.
//
// The input: a byte of sizes, then the files' contents one after another, separated by bytes 0.
#include "topology.hpp"

#include "bytes.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include <unistd.h>

namespace {

using namespace fuzz;
using namespace weir::detail;
namespace fs = std::filesystem;

constexpr std::array<const char*, 9> names{
    "proc/self/cgroup",      "proc/self/mountinfo",     "sys/fs/cgroup/cpu.max",         "sys/fs/cgroup/a/cpu.max",
    "sys/fs/cgroup/a/b/cpu.max", "cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us",        "cpu/a/cpu.cfs_quota_us",
    "cpu/a/cpu.cfs_period_us"};

// One tree a process, in memory where there is such a place.
struct tree {
  fs::path root;
  std::array<std::string, names.size()> written;
  tree() {
    std::string place = (fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string()) + "/weir-fuzz-XXXXXX";
    require(::mkdtemp(place.data()) != nullptr, "no scratch directory");
    root = place;
    for (const char* name : names) fs::create_directories((root / name).parent_path());
  }
  ~tree() {
    std::error_code ignored;
    fs::remove_all(root, ignored);
  }
  void put(std::size_t i, std::string_view text) {
    if (written[i] == text) return;
    written[i] = text;
    if (text.empty()) {
      fs::remove(root / names[i]);
      return;
    }
    std::ofstream(root / names[i], std::ios::binary).write(text.data(), static_cast<std::streamsize>(text.size()));
  }
};

std::size_t mask_bytes = 0;
std::string mask;

// sched_getaffinity as a kernel with another number of CPUs would answer.
int read_mask(std::size_t bytes, cpu_set_t* set) {
  if (bytes < mask_bytes) {
    errno = EINVAL;
    return -1;
  }
  std::memcpy(set, mask.data(), std::min(mask.size(), bytes));
  return 0;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tree files;
  bytes in(data, size);
  const unsigned sizes = in.byte();
  std::string_view rest(in.text(), in.left());
  for (std::size_t i = 0; i < names.size(); ++i) {
    const std::size_t end = std::min(rest.find('\0'), rest.size());
    files.put(i, rest.substr(0, end));
    rest.remove_prefix(std::min(end + 1, rest.size()));
  }

  const double quota = cpu_quota(files.root.string());
  require(!std::isnan(quota) && quota > 0, "a quota that is none");
  const double again = cpu_quota(files.root.string());
  require(quota == again, "the same files, another quota");

  mask.assign(rest);
  mask_bytes = (sizes & 3) * 128;
  errno = 0;
  const std::vector<int> allowed = allowed_cpus(&read_mask);
  require(!allowed.empty() && std::is_sorted(allowed.begin(), allowed.end()), "allowed CPUs");
  const topology t = flat_topology(allowed, quota);
  require(t.default_workers >= 1 && t.default_workers <= allowed.size(), "default_workers", t.default_workers, allowed.size());
  require(t.cpus.size() == allowed.size(), "a CPU was lost", t.cpus.size(), allowed.size());

  const unsigned workers = 1 + (sizes >> 2) % 24;
  for (const pin_mode mode : {pin_mode::automatic, pin_mode::none, pin_mode::core}) {
    const std::vector<int> plan = pin_plan(t, workers, mode, (sizes & 1) != 0);
    require(plan.empty() || plan.size() == workers, "a plan for some of the workers", plan.size(), workers);
    for (const int cpu : plan) require(std::binary_search(allowed.begin(), allowed.end(), cpu), "a plan with a CPU that is not allowed");
    const auto orders = victim_order(t, plan, workers);
    require(orders.size() == workers, "an order for each worker", orders.size(), workers);
    for (unsigned w = 0; w < workers; ++w) {
      std::vector<unsigned> others = orders[w];
      std::sort(others.begin(), others.end());
      require(others.size() == workers - 1, "a victim is missing", w, others.size());
      for (unsigned i = 0; i + 1 < workers; ++i) require(others[i] == (i < w ? i : i + 1), "a victim twice, or oneself", w, others[i]);
    }
  }
  return 0;
}
