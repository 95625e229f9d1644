// fork_join returns values, so a callable that returns a reference is refused.
// expect: return a pointer or a std::reference_wrapper
#include <weir/fork_join.hpp>

#include <functional>

int use(int& a) {
#ifdef MISUSE
  return weir::fork_join([] { return 1; }, [&]() -> int& { return a; }).second;
#else
  return weir::fork_join([] { return 1; }, [&] { return std::ref(a); }).second;
#endif
}
