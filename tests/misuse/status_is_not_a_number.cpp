// A status does not turn into a number.
#include <weir/error.hpp>

bool use(const weir::status& s) {
#ifdef MISUSE
  return s == 1;
#else
  return s ? true : false;
#endif
}
