// A refusal cannot be overlooked.
#include <weir/runtime.hpp>

void use(weir::runtime& rt) {
#ifdef MISUSE
  rt.try_submit([] {});
#else
  static_cast<void>(rt.try_submit([] {}));
#endif
}
