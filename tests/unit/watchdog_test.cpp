// The watchdog barks: a child process hangs on purpose, and what it leaves behind says who, where and why.
#include <weir/runtime.hpp>

#include <core_of.hpp>
#include <runtime_tools.hpp>
#include <watchdog.hpp>

#include <gtest/gtest.h>

#include <string>
#include <thread>

#include <sys/wait.h>
#include <unistd.h>

namespace watchdog_test {
namespace {

using namespace test;

/// Runs hang() in a child that is watched for a second, and must die of SIGABRT. What it wrote.
template <class Hang>
std::string last_words(Hang hang) {
  int ends[2];
  if (::pipe(ends) != 0) return {};
  const pid_t pid = ::fork();
  if (pid == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    hang();
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string text;
  char buffer[4096];
  for (ssize_t n; (n = ::read(ends[0], buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<std::size_t>(n));
  ::close(ends[0]);
  int status = 0;
  EXPECT_EQ(::waitpid(pid, &status, 0), pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT) << "wait status " << status;
  return text;
}

void expect_words(const std::string& text, std::initializer_list<const char*> words) {
  for (const char* w : words) EXPECT_NE(text.find(w), std::string::npos) << "not said: " << w << "\nbut:\n" << text;
}

TEST(Watchdog, NamesTheHungTaskItsWorkerAndEveryStateWord) {
  expect_words(last_words([] {
                 weir::options o = with_workers(2);
                 o.name = "stuck";
                 o.capacity = 1;
                 weir::runtime rt(o);
                 gate never;
                 std::atomic<int> running{0};
                 for (int i = 0; i < 2; ++i) {
                   weir::task_options t;
                   t.name = i == 0 ? "waits for ever" : "the other one";
                   static_cast<void>(rt.submit([&] {
                     ++running;
                     never.wait();
                   }, t));
                   eventually([&] { return running == i + 1; });
                 }
                 static_cast<void>(rt.submit([] {}, {.prio = weir::lane::low}));
                 std::thread blocked([&] { static_cast<void>(rt.submit([] {})); });
                 eventually([&] { return core_of(rt).attention_bits() == (1024u | 32u); });
                 std::thread waits([&] { static_cast<void>(rt.wait_idle()); });
                 eventually([&] { return core_of(rt).attention_bits() == (1024u | 32u | 16u); });
                 watch("A.HangOnPurpose", 1);
                 waits.join();
               }),
               {"this test hangs: A.HangOnPurpose", "runtime \"stuck\" at 0x", "2 workers, 0 spares, 0 of them surplus workers, running",
                "HUNG? worker 0 is inside task \"", "HUNG? worker 1 is inside task \"", "waits for ever", "the other one",
                "attention: quiesce blocked low;", "queues: high 0 normal 0 low 1, local 0, entries none",
                "capacity 1, taken 3, started 2, free 0, blocked 1", "submitted 3, ended 0", "wait for rest 1",
                "w1 (slot 1) runs a task",
                "forks: head 0, split 0 (owner's 0), tail 0, claim no, epoch", "claimed: head", "bed ", "lease 0: used 3",
                "thread ", "\"stuck/w0\"", "\"stuck/w1\""});
}

// Nobody is told of a job that lies in a queue: what a lost wake-up looks like from outside.
TEST(Watchdog, RecognisesALostWakeUp) {
  expect_words(last_words([] {
                 weir::options o = with_workers(2);
                 o.spin = std::chrono::microseconds(0);
                 weir::runtime rt(o);
                 auto& c = core_of(rt);
                 weir::detail::inject_lane::producer p(c.lanes[1]);
                 eventually([&] { return c.metrics().parks >= 2; });
                 let_it_misbehave();
                 c.lanes[1].enqueue(p, weir::detail::queued_job(weir::detail::job{}));
                 watch("B.LostWakeUp", 1);
                 for (;;) ::pause();
               }),
               {"this test hangs: B.LostWakeUp", "normal 1", ", slot open ", "parked: 0 1", "w0 (slot 0) is parked", "bed slept in",
                "HUNG? public work waits, 2 workers are parked, nobody searches: a lost wake-up"});
}

}  // namespace
}  // namespace watchdog_test
