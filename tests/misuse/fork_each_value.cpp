// fork_each hands back no values, so a callable that returns one, a status or a coroutine is refused.
// expect: let it return void
#include <weir/weir.hpp>

void use() {
#ifdef MISUSE
  weir::fork_each(10, [](std::size_t n) { return weir::parallel_for(std::size_t{0}, n, [](std::size_t) {}); });
#else
  weir::fork_each(10, [](std::size_t n) { weir::parallel_for(std::size_t{0}, n, [](std::size_t) {}).value(); });
#endif
}
