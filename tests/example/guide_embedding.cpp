// What core/guide/embedding.md shows: the order of members, two runtimes, fork, exceptions turned off.
#include <weir/weir.hpp>

#include <cstdio>
#include <map>
#include <string>
#include <utility>

#include <sys/wait.h>
#include <unistd.h>

class cache {
 public:
  void warm(std::string key) {
    const weir::status s = one_by_one_.submit([this, key = std::move(key)] { entries_[key] = key.size(); });
    if (!s) std::fprintf(stderr, "not warmed: %s\n", weir::to_string(s.error().code));
  }
  std::size_t size() {
    return one_by_one_.spawn([this] { return entries_.size(); }).get().value();
  }

 private:
  std::map<std::string, std::size_t> entries_;  // what tasks refer to comes first, so it goes last
  weir::runtime rt_{{.name = "cache"}};
  weir::strand one_by_one_{rt_};  // may outlive the runtime: then it answers stopped
};

int main() {
  cache c;
  c.warm("a");
  c.warm("b");
  std::printf("%zu entries\n", c.size());

  // Without exceptions: create() in the place of the constructor, and a look before each value().
  weir::options wrong;
  wrong.capacity = 0;
  if (auto made = weir::runtime::create(wrong); !made) std::printf("create: %s\n", weir::to_string(made.error().code));

  // Two runtimes: each waits for the other without a deadlock; the second is not pinned.
  weir::runtime requests({.workers = 1}), batch({.workers = 1, .name = "batch"});
  std::printf("through both: %d\n",
              requests.run([&] { return batch.run([&] { return requests.run([] { return 42; }); }); }));

  // In the child of a fork() the parent's runtimes answer stopped, and a new one works.
  std::fflush(stdout);
  if (const pid_t child = fork(); child == 0) {
    const bool stopped = !requests.submit([] {}) && requests.submit([] {}).error().code == weir::errc::stopped;
    weir::runtime own({.workers = 1});
    _exit(stopped && own.run([] { return true; }) ? 0 : 1);
  } else {
    int status = 1;
    waitpid(child, &status, 0);
    std::printf("the child: %s\n", status == 0 ? "as promised" : "not as promised");
  }
}

// prints:
// 2 entries
// create: invalid
// through both: 42
// the child: as promised
