// What runs on the caller may not return a reference, either: it would be one to a copy.
// expect: return a pointer or a std::reference_wrapper
#include <weir/fork_join.hpp>

#include <functional>

int use(int& a) {
#ifdef MISUSE
  return weir::fork_join([&]() -> int& { return a; }, [] { return 1; }).first;
#else
  return weir::fork_join([&] { return std::ref(a); }, [] { return 1; }).first;
#endif
}
