// A runtime cannot be copied.
// expect: deleted|implicitly-deleted|copy constructor
#include <weir/runtime.hpp>

void use(weir::runtime& rt) {
#ifdef MISUSE
  weir::runtime other = rt;
#else
  weir::runtime& other = rt;
#endif
  static_cast<void>(other);
}
