// What a user's own simulation looks like: sees only what is installed. Exit status 0: the bug in it was found, and the same
// tasks without it hold.
#include <weir/weir.hpp>

#include <cstdio>

namespace {

// Two tasks move money between accounts; the careless ones look first and write then.
bool holds(bool careful) {
  weir::sim::options o;
  o.print = false;
  const auto found = weir::sim::explore(2000, [careful] {
    weir::sim::atomic<int> account{0};
    {
      weir::runtime rt({.workers = 2});
      const auto deposit = [&] {
        if (careful) account.fetch_add(1, std::memory_order_relaxed);
        else account.store(account.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
      };
      weir::sim::thread teller([&] { rt.submit(deposit).value(); });
      rt.submit(deposit).value();
    }
    weir::sim::check(account.load(std::memory_order_relaxed) == 2, "both deposits are there");
  }, o);
  if (!found) std::printf("found: %s\n", found.failure.report.substr(0, found.failure.report.find("\n")).c_str());
  return static_cast<bool>(found);
}

}  // namespace

int main() { return holds(true) && !holds(false) ? 0 : 1; }
