// Unit tests of the CPU quota in core/src/topology.hpp: invented file trees, and a real cgroup where that is permitted.
#include "topology.hpp"

#include <gtest/gtest.h>

#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

namespace topology_quota_test {
namespace {

using namespace weir::detail;
namespace fs = std::filesystem;
constexpr double unlimited = std::numeric_limits<double>::infinity();

// A file tree of its own that stands in for "/".
class fake_root {
 public:
  fake_root() {
    std::string name = (fs::temp_directory_path() / "weir-topology-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    path_ = name;
  }
  fake_root(const fake_root&) = delete;
  fake_root& operator=(const fake_root&) = delete;
  ~fake_root() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }

  fake_root& file(const std::string& absolute, const std::string& text) {
    const fs::path p = path_.string() + absolute;
    fs::create_directories(p.parent_path());
    std::ofstream(p, std::ios::binary) << text;
    return *this;
  }
  fake_root& cgroup(const std::string& lines) { return file("/proc/self/cgroup", lines); }
  fake_root& mounts(const std::string& lines) { return file("/proc/self/mountinfo", lines); }
  fake_root& v2(const std::string& directory, const std::string& text) { return file(directory + "/cpu.max", text); }
  fake_root& v1(const std::string& directory, const std::string& quota, const std::string& period = "100000\n") {
    return file(directory + "/cpu.cfs_quota_us", quota).file(directory + "/cpu.cfs_period_us", period);
  }
  double quota() const { return cpu_quota(path_.string()); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

const std::string v2_mount = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
const std::string v1_mount =
    "33 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n";
const std::string other_mounts =
    "22 27 0:21 / /proc rw,relatime - proc proc rw\n"
    "27 1 254:0 / / rw,relatime - ext4 /dev/vda rw\n"
    "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n";

// ---- version 2

TEST(CpuQuota, WithoutAnyCgroupFileThereIsNoQuota) {
  fake_root r;
  EXPECT_EQ(r.quota(), unlimited);
  r.cgroup("0::/a\n");
  EXPECT_EQ(r.quota(), unlimited);
  r.mounts(other_mounts + v2_mount);
  EXPECT_EQ(r.quota(), unlimited);
}

TEST(CpuQuota, MaxMeansNoQuota) {
  fake_root r;
  r.cgroup("0::/a\n").mounts(v2_mount).v2("/sys/fs/cgroup/a", "max 100000\n");
  EXPECT_EQ(r.quota(), unlimited);
}

TEST(CpuQuota, QuotaIsQuotaOverPeriod) {
  fake_root r;
  r.cgroup("0::/a\n").mounts(other_mounts + v2_mount);
  EXPECT_EQ(r.v2("/sys/fs/cgroup/a", "150000 100000\n").quota(), 1.5);
  EXPECT_EQ(r.v2("/sys/fs/cgroup/a", "10000 100000\n").quota(), 0.1);
  EXPECT_EQ(r.v2("/sys/fs/cgroup/a", "40000 10000").quota(), 4.0);
}

TEST(CpuQuota, AParentsTighterQuotaWins) {
  fake_root r;
  r.cgroup("0::/kube/pod/box\n").mounts(v2_mount);
  r.v2("/sys/fs/cgroup/kube", "800000 100000\n").v2("/sys/fs/cgroup/kube/pod", "200000 100000\n");
  r.v2("/sys/fs/cgroup/kube/pod/box", "400000 100000\n");
  EXPECT_EQ(r.quota(), 2.0);
}

TEST(CpuQuota, AnAncestorCountsAcrossLevelsWithoutFiles) {
  fake_root r;
  r.cgroup("0::/a/b/c/d\n").mounts(v2_mount).v2("/sys/fs/cgroup/a", "300000 100000\n");
  EXPECT_EQ(r.quota(), 3.0);
}

TEST(CpuQuota, ADeletedCgroupStillHasAncestors) {
  fake_root r;
  r.cgroup("0::/a/gone (deleted)\n").mounts(v2_mount).v2("/sys/fs/cgroup/a", "300000 100000\n");
  EXPECT_EQ(r.quota(), 3.0);
}

TEST(CpuQuota, ASiblingsQuotaIsNotOurs) {
  fake_root r;
  r.cgroup("0::/a/b\n").mounts(v2_mount);
  r.v2("/sys/fs/cgroup/a/c", "100000 100000\n").v2("/sys/fs/cgroup/a/bb", "100000 100000\n");
  EXPECT_EQ(r.quota(), unlimited);
}

// In a container the mount's root file is the container's own limit, and the path is "/".
TEST(CpuQuota, TheMountPointsOwnFileCounts) {
  fake_root r;
  r.cgroup("0::/\n").mounts(v2_mount).v2("/sys/fs/cgroup", "250000 100000\n");
  EXPECT_EQ(r.quota(), 2.5);
}

TEST(CpuQuota, ColonsInACgroupNameAreKept) {
  fake_root r;
  r.cgroup("0::/a:b::c\n").mounts(v2_mount).v2("/sys/fs/cgroup/a:b::c", "100000 100000\n");
  EXPECT_EQ(r.quota(), 1.0);
}

TEST(CpuQuota, GarbageIsIgnored) {
  for (const char* text :
       {"", "\n", "max", "100000", "max max", "100000 0\n", "0 100000\n", "-1 100000\n", "1e5 100000\n", "100000 -5\n",
        "100000 100000 100000\n", "99999999999999999999 100000\n", "0x10 100000\n", "100000 abc\n", " \n \n"}) {
    fake_root r;
    r.cgroup("0::/a\n").mounts(v2_mount).v2("/sys/fs/cgroup/a", text).v2("/sys/fs/cgroup", "700000 100000\n");
    EXPECT_EQ(r.quota(), 7.0) << "cpu.max: '" << text << "'";
  }
  for (const char* text :
       {"", "\n\n", "0", "0:", "0::", "0::a\n", "nonsense", ":::", "0:cpu:/a\n", "0::/a/../b\n", "1:cpuset:/a\n"}) {
    fake_root r;
    r.cgroup(text).mounts(v2_mount).v2("/sys/fs/cgroup/a", "100000 100000\n").v2("/sys/fs/cgroup/b", "100000 100000\n");
    EXPECT_EQ(r.quota(), unlimited) << "cgroup: '" << text << "'";
  }
  for (const char* text : {"", "\n", "30", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2\n", "- - - - - - - - - -\n",
                           "30 23 0:26 / /sys/fs/cgroup rw cgroup2 cgroup2 rw a b\n",
                           "30 23 0:26 x /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"}) {
    fake_root r;
    r.cgroup("0::/a\n").mounts(text).v2("/sys/fs/cgroup/a", "100000 100000\n");
    EXPECT_EQ(r.quota(), unlimited) << "mountinfo: '" << text << "'";
  }
  fake_root r;  // a directory where a file should be
  fs::create_directories(r.path() + "/sys/fs/cgroup/a/cpu.max");
  r.cgroup("0::/a\n").mounts("rubbish\n" + v2_mount).v2("/sys/fs/cgroup", "200000 100000\n");
  EXPECT_EQ(r.quota(), 2.0);
}

// ---- mounts and namespaces

TEST(CpuQuota, OctalEscapesInMountinfoAreDecoded) {
  fake_root r;
  r.cgroup("0::/my slice/x\n");
  r.mounts("30 23 0:26 /my\\040slice /mnt/c\\011g\\134\\043 rw - cgroup2 cgroup2 rw\n");
  r.v2("/mnt/c\tg\\#/x", "200000 100000\n");
  EXPECT_EQ(r.quota(), 2.0);
}

TEST(CpuQuota, OptionalFieldsOfMountinfoMayBeManyOrNone) {
  fake_root r;
  r.cgroup("0::/\n").v2("/c", "200000 100000\n");
  EXPECT_EQ(r.mounts("30 23 0:26 / /c rw - cgroup2 none rw\n").quota(), 2.0);
  EXPECT_EQ(r.mounts("30 23 0:26 / /c rw shared:1 master:2 propagate_from:3 unbindable - cgroup2 none rw\n").quota(),
            2.0);
  EXPECT_EQ(r.mounts("30 23 0:26 / /c rw -  - cgroup2 none rw\n").quota(), unlimited);
  EXPECT_EQ(r.mounts("30 23 0:26 / /c rw - cgroup2  rw\n").quota(), 2.0) << "an empty source";
}

// A bind mount of /docker/box over /sys/fs/cgroup, without a cgroup namespace: the usual container of version 1's days.
TEST(CpuQuota, AMountOfASubtreeIsMatchedByItsRoot) {
  fake_root r;
  r.cgroup("0::/docker/box/inner\n");
  r.mounts("30 23 0:26 /docker/box /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n");
  r.v2("/sys/fs/cgroup", "300000 100000\n").v2("/sys/fs/cgroup/inner", "500000 100000\n");
  EXPECT_EQ(r.quota(), 3.0);
  r.v2("/sys/fs/cgroup/docker/box", "100000 100000\n");
  EXPECT_EQ(r.quota(), 3.0) << "the whole path must not be appended to the mount point";
}

TEST(CpuQuota, AMountOfAnotherBranchIsIgnored) {
  fake_root r;
  r.cgroup("0::/docker/box\n").v2("/c", "100000 100000\n");
  EXPECT_EQ(r.mounts("30 23 0:26 /docker/bo /c ro - cgroup2 cgroup2 rw\n").quota(), unlimited);
  EXPECT_EQ(r.mounts("30 23 0:26 /docker/box/inner /c ro - cgroup2 cgroup2 rw\n").quota(), unlimited);
  EXPECT_EQ(r.mounts("30 23 0:26 /other /c ro - cgroup2 cgroup2 rw\n").quota(), unlimited);
}

// The namespace's root is /x, the process sits outside of it: the mount shows only /x, whose limits are not ours.
TEST(CpuQuota, AProcessOutsideItsNamespaceIgnoresTheNamespacesMount) {
  fake_root r;
  r.cgroup("0::/../sibling\n").mounts(v2_mount);
  r.v2("/sys/fs/cgroup", "100000 100000\n").v2("/sys/fs/cgroup/sibling", "100000 100000\n");
  r.v2("/sys/fs/sibling", "100000 100000\n");
  EXPECT_EQ(r.quota(), unlimited);
}

TEST(CpuQuota, AMountAboveTheNamespaceShowsTheProcessOutsideOfIt) {
  fake_root r;
  r.cgroup("0::/../sibling/x\n").mounts("30 23 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  r.v2("/sys/fs/cgroup", "900000 100000\n").v2("/sys/fs/cgroup/sibling", "200000 100000\n");
  r.v2("/sys/fs/cgroup/sibling/x", "300000 100000\n");
  EXPECT_EQ(r.quota(), 2.0);
}

// The host's mount seen from inside a namespace two levels down: the names between are hidden, its root is an ancestor.
TEST(CpuQuota, OfAMountAboveTheNamespaceOnlyTheRootIsKnownToBeOurs) {
  fake_root r;
  r.cgroup("0::/x\n").mounts("30 23 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  r.v2("/sys/fs/cgroup/x", "100000 100000\n");
  EXPECT_EQ(r.quota(), unlimited);
  r.v2("/sys/fs/cgroup", "600000 100000\n");
  EXPECT_EQ(r.quota(), 6.0);
  r.mounts("30 23 0:26 /../../y /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(r.quota(), unlimited) << "a branch that turns off above us";
}

TEST(CpuQuota, AllMountsOfAHierarchyAreLookedAt) {
  fake_root r;
  r.cgroup("0::/a/b\n");
  r.mounts("30 23 0:26 /a/b /own rw - cgroup2 cgroup2 rw\n40 23 0:26 /a /parent rw - cgroup2 cgroup2 rw\n");
  r.v2("/own", "400000 100000\n").v2("/parent", "300000 100000\n").v2("/parent/b", "400000 100000\n");
  EXPECT_EQ(r.quota(), 3.0);
}

TEST(CpuQuota, AMountCoveredByAnotherIsNotLookedAt) {
  fake_root r;
  r.cgroup("0::/a\n").v2("/c", "100000 100000\n").v2("/c/a", "100000 100000\n");
  r.mounts("30 23 0:26 / /c rw - cgroup2 cgroup2 rw\n41 30 0:50 / /c rw - tmpfs tmpfs rw\n");
  EXPECT_EQ(r.quota(), unlimited);
  r.mounts("41 23 0:50 / /c rw - tmpfs tmpfs rw\n30 41 0:26 / /c rw - cgroup2 cgroup2 rw\n");
  EXPECT_EQ(r.quota(), 1.0) << "here it is the upper one";
}

// ---- version 1 and hybrid

TEST(CpuQuota, VersionOneReadsQuotaAndPeriod) {
  fake_root r;
  r.cgroup("5:cpuset:/z\n4:cpu,cpuacct:/a\n1:name=systemd:/q\n").mounts(other_mounts + v1_mount);
  const std::string at = "/sys/fs/cgroup/cpu,cpuacct/a";
  EXPECT_EQ(r.v1(at, "-1\n").quota(), unlimited);
  EXPECT_EQ(r.v1(at, "0\n").quota(), unlimited);
  EXPECT_EQ(r.v1(at, "150000\n").quota(), 1.5);
  EXPECT_EQ(r.v1(at, "10000\n").quota(), 0.1);
  EXPECT_EQ(r.v1(at, "150000\n", "50000\n").quota(), 3.0);
  EXPECT_EQ(r.v1(at, "150000\n", "0\n").quota(), unlimited);
  EXPECT_EQ(r.v1(at, "many\n").quota(), unlimited);
}

TEST(CpuQuota, VersionOneWithoutAPeriodHasNoQuota) {
  fake_root r;
  r.cgroup("4:cpu:/\n").mounts(v1_mount).file("/sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "100000\n");
  EXPECT_EQ(r.quota(), unlimited);
}

TEST(CpuQuota, VersionOneAncestorsCountToo) {
  fake_root r;
  r.cgroup("4:cpu,cpuacct:/a/b\n").mounts(v1_mount);
  r.v1("/sys/fs/cgroup/cpu,cpuacct/a/b", "-1\n").v1("/sys/fs/cgroup/cpu,cpuacct/a", "200000\n");
  r.v1("/sys/fs/cgroup/cpu,cpuacct", "-1\n");
  EXPECT_EQ(r.quota(), 2.0);
}

TEST(CpuQuota, ControllersAreWholeWords) {
  fake_root r;
  r.cgroup("3:cpuset:/a\n2:cpuacct:/a\n1:name=cpu:/a\n");
  r.mounts("33 31 0:29 / /c rw - cgroup cgroup rw,cpuset,cpuacct\n").v1("/c/a", "100000\n");
  EXPECT_EQ(r.quota(), unlimited);
  r.cgroup("4:cpu:/a\n");
  EXPECT_EQ(r.quota(), unlimited) << "the mount is not the cpu controller's";
}

TEST(CpuQuota, InAHybridTheTighterVersionWins) {
  fake_root r;
  r.cgroup("4:cpu,cpuacct:/one\n0::/two\n");
  r.mounts(other_mounts + v1_mount + "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
  r.v1("/sys/fs/cgroup/cpu,cpuacct/one", "300000\n");
  EXPECT_EQ(r.quota(), 3.0);
  r.v2("/sys/fs/cgroup/unified/two", "200000 100000\n");
  EXPECT_EQ(r.quota(), 2.0);
  r.v1("/sys/fs/cgroup/cpu,cpuacct/one", "100000\n");
  EXPECT_EQ(r.quota(), 1.0);
}

// ---- a real cgroup: a forked child moves itself into a fresh group and reads its own quota

// The error of writing to a file whole, 0: none. No stream: it would hide the cause.
int write_file(const std::string& path, const std::string& text) {
  const int file = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (file < 0) return errno;
  const int error = ::write(file, text.data(), text.size()) < 0 ? errno : 0;
  ::close(file);
  return error;
}

struct child_answer {
  int error = 0;    // why it could not move
  long quota = -1;  // in thousandths of a CPU, -1: none
};

child_answer quota_of_a_child_in(const std::string& group) {
  int channel[2];
  if (::pipe(channel) != 0) return {errno, -1};
  const pid_t child = ::fork();
  if (child == 0) {
    child_answer answer{write_file(group + "/cgroup.procs", std::to_string(::getpid())), -1};
    if (const double quota = cpu_quota(); answer.error == 0 && std::isfinite(quota))
      answer.quota = std::lround(quota * 1000);
    const ssize_t written = ::write(channel[1], &answer, sizeof answer);
    ::_exit(written == static_cast<ssize_t>(sizeof answer) ? 0 : 1);
  }
  child_answer answer{child < 0 ? errno : 0, -1};
  ::close(channel[1]);
  if (child > 0) {
    ssize_t got;
    while ((got = ::read(channel[0], &answer, sizeof answer)) < 0 && errno == EINTR) continue;
    EXPECT_EQ(got, static_cast<ssize_t>(sizeof answer)) << "the child died before it answered";
    ::waitpid(child, nullptr, 0);
  }
  ::close(channel[0]);
  return answer;
}

TEST(CpuQuota, ARealCgroupsQuotaIsInheritedByItsChildGroup) {
  if (cpu_quota() < 1.5) GTEST_SKIP() << "NOT TESTED: this process itself runs under a quota below 1.5 CPUs";
  std::string tried;
  for (const std::string mount : {"/sys/fs/cgroup", "/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu,cpuacct"}) {
    const auto failed = [&](const char* step, int error) {
      tried += "; " + mount + ": " + step + ": " + std::generic_category().message(error);
    };
    if (!fs::exists(mount + "/cgroup.procs")) {
      failed("no cgroup", ENOENT);
      continue;
    }
    std::string outer = mount + "/weir-test-XXXXXX";  // what a killed run left behind must not be in the way
    if (::mkdtemp(outer.data()) == nullptr) {
      failed("mkdtemp", errno);
      continue;
    }
    const std::string inner = outer + "/inner";
    child_answer answer;
    const char* step = "mkdir";
    if (::mkdir(inner.c_str(), 0755) != 0) {
      answer.error = errno;
    } else {
      step = "the quota";
      if (fs::exists(outer + "/cpu.max")) {
        answer.error = write_file(outer + "/cpu.max", "150000 100000");
      } else {
        answer.error = write_file(outer + "/cpu.cfs_period_us", "100000");
        if (answer.error == 0) answer.error = write_file(outer + "/cpu.cfs_quota_us", "150000");
      }
      if (answer.error == 0) {
        step = "moving a child";
        answer = quota_of_a_child_in(inner);
      }
      EXPECT_EQ(::rmdir(inner.c_str()), 0) << inner << " was left behind";
    }
    EXPECT_EQ(::rmdir(outer.c_str()), 0) << outer << " was left behind";
    if (answer.error != 0) {
      failed(step, answer.error);
      continue;
    }
    EXPECT_EQ(answer.quota, 1500) << "in " << inner;
    return;
  }
  GTEST_SKIP() << "NOT TESTED: no cgroup with a CPU quota can be had" << tried;
}

// ---- together with the mask

TEST(CpuQuota, DiscoveryCombinesMaskAndQuota) {
  fake_root r;
  r.cgroup("0::/a\n").mounts(v2_mount).v2("/sys/fs/cgroup/a", "50000 100000\n");
  const topology t = discover_topology(r.path());
  EXPECT_EQ(t.quota, 0.5);
  EXPECT_TRUE(t.fractional_quota);
  EXPECT_EQ(t.default_workers, 1u);
  std::vector<int> found;
  for (const cpu& c : t.cpus) found.push_back(c.os_index);
  EXPECT_EQ(found, allowed_cpus());

  fake_root none;
  EXPECT_EQ(discover_topology(none.path()).default_workers, allowed_cpus().size());
}

}  // namespace
}  // namespace topology_quota_test
