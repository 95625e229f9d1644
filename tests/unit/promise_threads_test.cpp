// P29: a thread that cannot be created is an error of the constructor, and never loses or doubles a task later.
#include <weir/runtime.hpp>

#include <child.hpp>
#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <new>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace promise_threads_test {
namespace {

using namespace test;
using weir::errc;

template <class Limit>
void creation_fails_cleanly(Limit limit, unsigned workers, std::size_t stack_size) {
  EXPECT_EQ(in_child([&](child_checks& check) {
              if (!limit()) return;
              weir::options o = with_workers(workers);
              o.stack_size = stack_size;
              static std::atomic<int> threads;
              threads = 0;
              o.on_thread_start = [](int) { ++threads; };
              o.on_thread_stop = [](int) { --threads; };
              bool thrown = false;
              try {
                weir::runtime rt(o);
              } catch (const std::system_error&) {
                thrown = true;
              } catch (const std::bad_alloc&) {
                thrown = true;
              }
              check(thrown, "the constructor throws std::system_error");
              check(threads == 0, "no thread is left behind");
              auto r = weir::runtime::create(o);
              check(!r, "create fails, too");
              check(!r && r.error().code == errc::failed, "with errc::failed");
              check(!r && r.error().cause != nullptr, "and the cause");
              weir::runtime small(with_workers(1));
              check(small.run([] { return 3; }) == 3, "a smaller runtime still works");
            }),
            "");
}

TEST(ThreadCreation, ThatFailsForItsStackThrowsSystemError) {
  creation_fails_cleanly([] { return true; }, 2, std::size_t{1} << 46);
}

TEST(ThreadCreation, ThatFailsHalfWayJoinsTheFirstHalf) {
  creation_fails_cleanly(
      [] {
        // Of what is there already a sanitizer has terabytes, and more for each thread, without which it gives up: so the limit is at
        // seven stacks and a half, not where one just fits or just does not.
        std::size_t pages = 0;
        std::ifstream("/proc/self/statm") >> pages;
        const std::size_t most = pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)) + (std::size_t{1940} << 20);
        const rlimit limit{most, most};
        return ::setrlimit(RLIMIT_AS, &limit) == 0;
      },
      64, std::size_t{256} << 20);
}

TEST(ThreadCreation, ThatFailsForTheNumberOfProcessesThrowsSystemError) {
  creation_fails_cleanly(
      [] {
        const rlimit limit{8, 8};
        if (::setrlimit(RLIMIT_NPROC, &limit) != 0) return false;
        return ::getuid() != 0 || ::setuid(65534) == 0;  // root has no such limit
      },
      64, 0);
}

// No spare can be made: the tasks behind the waiter run later, each once.
TEST(ThreadCreation, ASpareThatCannotBeHadLosesAndDoublesNothing) {
  EXPECT_EQ(in_child([](child_checks& check) {
              weir::runtime rt(with_workers(1)), other(with_workers(1));
              const rlimit limit{1, 1};
              const bool limited = ::setrlimit(RLIMIT_NPROC, &limit) == 0 && (::getuid() != 0 || ::setuid(65534) == 0);
              gate release;
              auto started = std::make_shared<gate>();
              auto far = other.spawn([&, started] {
                started->open();
                release.wait();
                return 4;
              });
              started->wait();
              auto waiting = std::make_shared<gate>();
              auto waiter = rt.spawn([&, waiting] {
                waiting->open();
                return far.get().value_or(-1);
              });
              waiting->wait();
              std::atomic<int> ran{0};
              for (int i = 0; i < 100; ++i) check(!!rt.submit([&] { ++ran; }), "submit still accepts");
              std::this_thread::sleep_for(20ms);
              check(!limited || ran == 0, "without a spare they wait");
              release.open();
              check(waiter.get().value_or(0) == 4, "the waiter goes on");
              check(rt.wait_idle(), "the runtime comes to rest");
              check(ran == 100, "each task ran once");
            }),
            "");
}

// Its destructor runs after all that the thread has of weir is gone.
struct submits_at_the_end {
  std::vector<weir::runtime*> to;
  std::atomic<int>* ran = nullptr;
  ~submits_at_the_end() {
    for (int i = 0; i < 3; ++i)
      for (weir::runtime* rt : to) EXPECT_TRUE(rt->submit([n = ran] { ++*n; }));
  }
};

TEST(Threads, MaySubmitInTheDestructorOfAThreadLocal) {
  std::atomic<int> ran{0};
  {
    weir::runtime a(with_workers(1)), b(with_workers(1));
    for (int round = 0; round < 3; ++round)
      std::thread([&] {
        thread_local submits_at_the_end last;
        last.to = {&a, &b};
        last.ran = &ran;
        EXPECT_TRUE(a.submit([&] { ++ran; }));
      }).join();
    ASSERT_TRUE(a.wait_idle());
    ASSERT_TRUE(b.wait_idle());
    EXPECT_EQ(a.metrics().submitted, 12u);
    EXPECT_EQ(b.metrics().submitted, 9u);
  }
  EXPECT_EQ(ran, 21);
}

}  // namespace
}  // namespace promise_threads_test
