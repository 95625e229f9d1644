// What cannot be called cannot be submitted.
#include <weir/runtime.hpp>

weir::status use(weir::runtime& rt) {
#ifdef MISUSE
  return rt.submit(42);
#else
  return rt.submit([] {});
#endif
}
