// A retry: what fails is tried again, later and later, and no worker waits meanwhile.
#include <weir/weir.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <stdexcept>

using namespace std::chrono_literals;

struct no_such_user : std::runtime_error {
  no_such_user() : runtime_error("no such user") {}
};

// Only what may be better next time is worth another attempt.
bool worth_it(const weir::error& e) noexcept {
  try {
    std::rethrow_exception(e.cause);
  } catch (const no_such_user&) {
    return false;
  } catch (...) {
    return true;
  }
}

int main() {
  weir::options o;
  o.workers = 1;
  weir::runtime rt(o);

  // Before attempt n it waits for a random time up to base × 2^(n-2), at most cap, so that many clients do not come back together.
  const weir::retry_policy policy{.max_attempts = 5, .base = 1ms, .cap = 20ms, .retryable = &worth_it};

  std::atomic<int> calls{0};
  auto answer = rt.spawn(
      [&] {
        if (++calls < 3) throw std::runtime_error("connection refused");
        return 42;
      },
      {.name = "ask", .retry = &policy});
  const int value = answer.get().value();
  std::printf("%d after %d calls\n", value, calls.load());

  auto lookup = rt.spawn([]() -> int { throw no_such_user(); }, {.retry = &policy});
  std::printf("no such user, after %u attempt\n", lookup.get().error().attempts);

  auto down = rt.spawn([]() -> int { throw std::runtime_error("still down"); }, {.retry = &policy});
  std::printf("still down, after %u attempts\n", down.get().error().attempts);
}

// prints:
// 42 after 3 calls
// no such user, after 1 attempt
// still down, after 5 attempts
