// A bounded queue in front of a service: what does not fit is refused at once, and the caller answers 503.
#include <weir/weir.hpp>

#include <cstdio>
#include <string>

int main() {
  weir::options o;
  o.workers = 1;
  o.capacity = 3;                    // accepted and not yet started; exact
  o.full = weir::on_full::reject;    // the default blocks the caller until there is room
  weir::runtime rt(o);

  rt.pause();  // a busy moment: nothing starts
  for (int request = 1; request <= 5; ++request) {
    auto handler = [request, body = std::string("…")] { std::printf("request %d: 200\n", request); };
    if (weir::status s = rt.submit(std::move(handler)); !s)  // a refused callable is untouched
      std::printf("request %d: 503, %s\n", request, weir::to_string(s.error().code));
  }
  rt.resume();
  rt.wait_idle();

  const weir::snapshot m = rt.metrics();
  std::printf("%d ran, %d were refused\n", static_cast<int>(m.ok), static_cast<int>(m.rejected));
}

// prints:
// request 4: 503, full
// request 5: 503, full
// request 1: 200
// request 2: 200
// request 3: 200
// 3 ran, 2 were refused
