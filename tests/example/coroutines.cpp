// Requests that wait for each other, for time, and for nobody's thread: coroutines on two workers.
#include <weir/weir.hpp>

#include <cstdio>
#include <string>

using namespace std::chrono_literals;
using weir::task;

// A remote call, as far as we can tell: it takes a while, and no worker waits for it.
task<std::string> ask(std::string who, weir::duration takes) {
  co_await weir::sleep_until(weir::clock_type::now() + takes);
  if (who == "mallory") throw std::runtime_error("does not answer politely");
  co_return "hello from " + who;
}

task<> all_of_them() {
  auto [a, b, m] = co_await weir::when_all(ask("alice", 2ms), ask("bob", 1ms), ask("mallory", 1ms));
  std::printf("%s, %s, mallory: %s\n", a.value().c_str(), b.value().c_str(), m ? "polite" : "rude");
}

task<> whoever_is_first() {
  auto first = co_await weir::when_any(ask("tortoise", 1h), ask("hare", 1ms));  // the tortoise is called off
  std::visit([](const std::string& s) { std::printf("%s\n", s.c_str()); }, first);
}

task<> not_too_long() {
  auto r = co_await weir::with_deadline(ask("sleeper", 1h), weir::clock_type::now() + 1ms);
  std::printf("sleeper: %s\n", r ? "awake" : weir::to_string(r.error().code));
}

// A counter without a lock: whoever touches it is in the strand.
task<> count_up(weir::strand in, int& counter) {
  for (int i = 0; i < 100; ++i) {
    co_await weir::schedule(in);
    ++counter;
    co_await weir::schedule(weir::here());
  }
}

int main() {
  weir::runtime rt({.workers = 2});
  for (auto* story : {all_of_them, whoever_is_first, not_too_long}) weir::spawn(rt, story()).get().value();
  int counter = 0;
  weir::strand in(rt);
  std::vector<weir::join_handle<void>> all;
  for (int i = 0; i < 10; ++i) all.push_back(weir::spawn(rt, count_up(in, counter)));
  for (auto& h : all) h.get().value();
  std::printf("counted to %d\n", counter);
}
// prints:
// hello from alice, hello from bob, mallory: rude
// hello from hare
// sleeper: timeout
// counted to 1000
