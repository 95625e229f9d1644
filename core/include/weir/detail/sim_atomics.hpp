// The seam of a simulation: every atomic operation is a place where another simulated thread may go on. Layer 0.
//
// Only atomics.hpp includes this, in builds with -DWEIR_SIM. The simulator runs one thread at a time, so the interleaving
// is sequentially consistent: it finds wrong protocols, not orders that are too weak (the model suite does that).
#pragma once

#include <weir/detail/hooked_atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

#if defined(WEIR_SIM)
struct sim_hook {
  static void before(atomic_op kind, const void* word, const char* file, int line) noexcept;
  static bool fails_weakly() noexcept;
};
using seam = hooked_atomics<sim_hook>;
#endif

}  // namespace detail
}  // namespace v0
}  // namespace weir
