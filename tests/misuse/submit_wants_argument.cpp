// A task is called without arguments, or with a stop token, and with nothing else.
#include <weir/runtime.hpp>

weir::status use(weir::runtime& rt) {
#ifdef MISUSE
  return rt.submit([](int) {});
#else
  return rt.submit([](std::stop_token) {});
#endif
}
