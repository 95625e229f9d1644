// A trace id that follows a request wherever its parts run: tasks, forks on other threads, blocking calls, timers.
#include <weir/weir.hpp>

#include <cstdint>
#include <cstdio>

thread_local std::uintptr_t trace = 0;  // where a logging library keeps it

void log(const char* what) { std::printf("[%03u] %s\n", static_cast<unsigned>(trace), what); }

struct tracer final : weir::observer {
  // A word. Whoever needs more gives out counted pointers here, and takes them back in release().
  void* capture() noexcept override { return reinterpret_cast<void*>(trace); }
  void restore(void* word) noexcept override { trace = reinterpret_cast<std::uintptr_t>(word); }

  // Spans: of this task, and of whose child it is.
  void on_end(const weir::task_info& task, weir::errc e) noexcept override {
    if (task.name == nullptr) return;
    std::printf("[%03u] span %s, %s, %s\n", static_cast<unsigned>(trace), task.name,
                task.parent != 0 ? "a child" : "a root", e == weir::errc{} ? "ok" : weir::to_string(e));
  }
};

int main() {
  tracer spans;
  weir::options o;
  o.obs = &spans;
  weir::runtime rt(o);

  const auto price = [&](int item) {
    log("pricing");
    const auto [net, tax] =
        weir::fork_join([&] { return item * 10; }, [&] { return trace == 17 ? item : -1; });  // wherever it runs
    return net + tax;
  };

  trace = 17;  // a request comes in
  auto order = rt.spawn(
      [&] {
        log("order");
        const int sum = rt.spawn([&] { return price(4); }, {.name = "price"}).get().value();
        rt.blocking([] { log("written to disk"); }, {.name = "write"}).get().value();
        return sum;
      },
      {.name = "order"});
  trace = 0;  // and this thread is free for the next one
  std::printf("sum %d\n", order.get().value());

  trace = 18;
  auto later = weir::after(rt, std::chrono::milliseconds(1), [] { log("reminder"); });
  trace = 0;
  rt.wait_idle();
  rt.spawn([] { log("no request's"); }).get().value();
}

// prints:
// [017] order
// [017] pricing
// [017] span price, a child, ok
// [017] written to disk
// [017] span write, a child, ok
// [017] span order, a root, ok
// sum 44
// [018] reminder
// [000] no request's
