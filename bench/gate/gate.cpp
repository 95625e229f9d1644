// The hot paths under callgrind, each between two marks. gate.py runs this and compares the counts with baseline.json.
//
// An instruction count does not depend on the machine's mood, so a path is driven in such a way that nothing depends on time:
// one worker, everybody else asleep in the kernel, and where the worker's own loop goes by the clock (how many tasks it
// claims at once, how long it searches) the parts that the loop is made of are driven directly.
#include "idle.hpp"
#include "inject_queue.hpp"
#include "parker.hpp"
#include "run_queue.hpp"

#include <weir/detail/atomics.hpp>
#include <weir/detail/split_deque.hpp>
#include <weir/weir.hpp>

#include <unistd.h>
#include <valgrind/callgrind.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <semaphore>
#include <vector>

namespace {

using namespace weir::detail;

constexpr unsigned times = 3;  // the least counts: whatever else ran meanwhile only adds

[[noreturn]] void give_up(const char* why) {
  std::fprintf(stderr, "weir-gate: %s\n", why);
  std::exit(1);
}

// The code that is counted depends on it.
const char* compiled_by() {
#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)
#if defined(__clang__)
#define COMPILER "clang " TEXT(__clang_major__)
#else
#define COMPILER "gcc " TEXT(__GNUC__)
#endif
#if defined(__x86_64__)
  return COMPILER " x86-64";
#elif defined(__aarch64__)
  return COMPILER " aarch64";
#else
  return COMPILER " of an unknown processor";
#endif
}

// path() does `operations` of what it measures.
template <class F>
void count(const char* name, unsigned operations, F path) {
  path();  // allocates, resolves symbols, faults pages in
  for (unsigned i = 0; i < times; ++i) {
    CALLGRIND_ZERO_STATS;
    path();
    char mark[64];
    std::snprintf(mark, sizeof mark, "%s/%u", name, operations);
    CALLGRIND_DUMP_STATS_AT(mark);
  }
}

void let_others_sleep() { usleep(50'000); }

constexpr unsigned many = 10'000;

[[gnu::noinline]] void fork_tree(unsigned depth) {
  if (depth != 0)
    static_cast<void>(weir::fork_join([depth] { fork_tree(depth - 1); }, [depth] { fork_tree(depth - 1); }));
}

void forks() {
  weir::runtime rt({.workers = 1});
  rt.run([] {
    let_others_sleep();
    count("fork_join_flat", many, [] {
      for (unsigned i = 0; i < many; ++i)
        static_cast<void>(weir::fork_join(
            [] {
              asm volatile("" ::: "memory");
            },
            [] {
              asm volatile("" ::: "memory");
            }));
    });
    count("fork_each", many, [] {
      for (unsigned i = 0; i < many / 8; ++i) weir::fork_each(8, [](std::size_t) { asm volatile("" ::: "memory"); });
    });
    count("fork_join_tree", (1u << 12) - 1, [] { fork_tree(12); });
  });
}

struct item {
  std::uint64_t n = 0;
};

void local_push_and_pop() {
  constexpr std::uint32_t depth = 500;
  const auto deque = std::make_unique<split_deque<os_atomics, pointer_slot<os_atomics, item>, 1000>>();
  item x;
  count("local_push_pop", depth, [&] {
    for (std::uint32_t h = 0; h < depth; ++h) deque->push(h, &x);
    for (std::uint32_t h = depth; h-- > 0;)
      if (!deque->pop(h)) give_up("a job that nobody wanted is not the owner's");
  });
  count("steal", depth / 2, [&] {
    for (std::uint32_t h = 0; h < depth; ++h) deque->push_quietly(h, &x);
    if (!deque->expose()) give_up("nothing to expose");
    item* out = nullptr;
    for (std::uint32_t i = 0; i < depth / 2; ++i)
      if (deque->steal(out) != steal_outcome::stolen) give_up("a public job was not to be stolen");
    deque->close(0);
  });
}

// The worker is busy, as far as anybody can tell: its task sleeps in the kernel. So nobody is to be woken.
void submit_from_outside() {
  weir::runtime rt({.workers = 1, .capacity = 8 * many});
  int pipe_ends[2];
  if (pipe(pipe_ends) != 0) give_up("no pipe");
  std::binary_semaphore began{0};
  if (!rt.submit([&] {
        began.release();
        char c;
        while (read(pipe_ends[0], &c, 1) != 1) {}
      }))
    give_up("a task was refused");
  began.acquire();
  let_others_sleep();
  count("submit", many, [&] {
    for (unsigned i = 0; i < many; ++i)
      if (!rt.submit([] {})) give_up("a task was refused");
  });
  if (write(pipe_ends[1], "x", 1) != 1) give_up("the pipe is closed");
  rt.wait_idle();
  close(pipe_ends[0]), close(pipe_ends[1]);
}

void submit_on_a_worker() {
  weir::runtime rt({.workers = 1});
  rt.run([] {
    let_others_sleep();
    count("submit_on_worker", many, [] {
      const weir::executor_ref here = weir::here();
      for (unsigned i = 0; i < many; ++i)
        if (!here.submit([] {})) give_up("a task was refused");
    });
  });
  rt.wait_idle();
}

// What a worker does to get at what was submitted: a batch out of the queue into its own, and from there one by one.
void take() {
  constexpr unsigned batch = 48, batches = 200;
  inject_queue queue;
  inject_queue::producer in(queue);
  inject_queue::consumer out(queue);
  const auto mine = std::make_unique<run_queue<os_atomics>>();
  std::vector<job> jobs(batch, inline_job<decltype([] {})>::make({}));
  std::uint64_t taken = 0;
  // The two together, so that the queue's blocks go round as they do in a stream.
  count("enqueue_take_pop", batch * batches, [&] {
    for (unsigned i = 0; i < batch * batches; ++i)
      if (!queue.enqueue(in, jobs[0])) give_up("no memory");
    job j;
    for (unsigned i = 0; i < batches; ++i) {
      mine->refill(jobs.data(), queue.take(out, jobs.data(), batch));
      while (mine->pop(j)) ++taken;
    }
  });
  if (taken != std::uint64_t{batch} * batches * (times + 1)) give_up("jobs were lost");
}

void empty_park() {
  const auto idle = std::make_unique<idle_state<os_atomics>>(2u);
  parker<os_atomics> bed;
  // To bed, and up again because there is work after all: what each search that finds nothing pays but for the sleep.
  count("park_cancelled", many, [&] {
    for (unsigned i = 0; i < many; ++i) {
      idle->enter_search();
      idle->prepare(0, false);
      if (!idle->cancel(0)) give_up("somebody woke nobody");
      static_cast<void>(idle->leave_with_work());
      static_cast<void>(idle->relax_hint());
    }
  });
  // To bed, claimed by a waker before the sleep has begun.
  count("park_woken", many, [&] {
    for (unsigned i = 0; i < many; ++i) {
      idle->enter_search();
      idle->prepare(0, false);
      if (!idle->should_wake() || idle->claim() != 0) give_up("the sleeper was not to be seen");
      bed.unpark();
      if (!bed.park()) give_up("no token");
      static_cast<void>(idle->leave_with_work());
      static_cast<void>(idle->relax_hint());
    }
  });
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 2 && std::strcmp(argv[1], "--key") == 0) {
    std::puts(compiled_by());
    return 0;
  }
  if (RUNNING_ON_VALGRIND == 0) give_up("runs under callgrind alone: gate.py starts it");
  if (!asymmetric_fences()) {
    std::fputs("weir-gate: membarrier is not to be had here, and without it other paths run\n", stderr);
    return 77;
  }
  forks();
  local_push_and_pop();
  submit_from_outside();
  submit_on_a_worker();
  take();
  empty_park();
  return 0;
}
