// A runtime cannot be moved: workers hold its address.
#include <weir/runtime.hpp>

#include <utility>

void use(weir::runtime& rt) {
#ifdef MISUSE
  weir::runtime other = std::move(rt);
#else
  weir::runtime& other = rt;
#endif
  static_cast<void>(other);
}
