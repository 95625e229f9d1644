// A periodic job: every 5 ms, without drift and never beside itself, until it is called off; and something once, later.
#include <weir/weir.hpp>

#include <atomic>
#include <chrono>
#include <cstdio>
#include <future>
#include <thread>

using namespace std::chrono_literals;

int main() {
  weir::runtime rt;
  const auto begin = weir::clock_type::now();

  std::atomic<int> beats{0};
  std::promise<void> third;
  auto heart = weir::every(rt, 5ms, [&] {  // at begin + 5 ms, + 10 ms, …, however long each takes
    if (++beats == 3) third.set_value();
  });

  // One that takes longer than its period: what comes meanwhile is left out, or follows as overlap::queue and coalesce say.
  std::atomic<int> inside{0};
  std::atomic<bool> beside_itself{false};
  auto slow = weir::every(rt, 1ms, [&] {
    if (++inside > 1) beside_itself = true;
    std::this_thread::sleep_for(3ms);
    --inside;
  }, weir::overlap::skip);

  std::promise<void> rang;
  weir::after(rt, 10ms, [&] { rang.set_value(); }).detach();  // once; without detach() the timer's destructor cancels it

  third.get_future().wait();
  std::printf("three beats not before 15 ms: %s\n", weir::clock_type::now() - begin >= 15ms ? "yes" : "no");
  rang.get_future().wait();
  std::printf("the alarm not before 10 ms: %s\n", weir::clock_type::now() - begin >= 10ms ? "yes" : "no");
  heart.cancel();  // once it has said true no beat starts any more
  slow.cancel();
  rt.drain();
  std::printf("beside itself: %s\n", beside_itself ? "yes" : "no");
}

// prints:
// three beats not before 15 ms: yes
// the alarm not before 10 ms: yes
// beside itself: no
