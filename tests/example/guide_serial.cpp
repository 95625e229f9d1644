// What core/guide/serial.md shows: a limit before a strand's like, what waiting inside of one means, a stream with a window.
#include <weir/weir.hpp>

#include <atomic>
#include <cstdio>

int main() {
  weir::runtime rt;

  // At most two tasks of this client at once, at most three in line, whatever the others do.
  weir::limited client(rt, 2, 3);
  std::atomic<int> began{0};
  int accepted = 0, refused = 0;
  rt.pause();
  for (int i = 0; i < 5; ++i)
    if (client.submit([&] { ++began; })) ++accepted;
    else ++refused;
  rt.resume();
  rt.wait_idle();
  std::printf("accepted %d, refused %d, ran %d\n", accepted, refused, began.load());

  // A strand behind a limit: its tasks are one after the other, and count in the limit.
  weir::strand account(client);
  int balance = 0;  // no lock
  if (!account.submit([&] { balance += 5; }) || !account.submit([&] { balance -= 2; })) return 1;
  std::printf("balance %d\n", account.spawn([&] { return balance; }).get().value());

  // A task of a strand that waits for a later one of the same strand would wait for ever. It is told so.
  auto inner = account.spawn([&account] {
    auto later = account.spawn([] {});
    return later.get().error().code;
  });
  std::printf("inside of itself: %s\n", weir::to_string(inner.get().value()));

  // Whoever submits and reads on one thread keeps below the capacity: here a window of four.
  weir::result_stream<int> squares(rt, {.capacity = 4, .ordered = true});
  int next = 0, sum = 0;
  for (; next < 4; ++next) squares.submit([next] { return next * next; }).value();
  while (auto r = squares.next()) {
    sum += r->value();
    if (next < 10) squares.submit([next] { return next * next; }).value(), ++next;
    else squares.close();
  }
  std::printf("sum %d\n", sum);
}

// prints:
// accepted 3, refused 2, ran 3
// balance 3
// inside of itself: starved
// sum 285
