// A join handle cannot be copied: a result is taken once.
// expect: deleted|copy constructor
#include <weir/weir.hpp>

#include <utility>

void use(weir::join_handle<int>& handle) {
#ifdef MISUSE
  weir::join_handle<int> other = handle;
#else
  weir::join_handle<int> other = std::move(handle);
#endif
  other.detach();
}
