// The seam of the chaos build: every atomic operation, fence and pause of weir may be held up for a while before it
// happens, and a weak compare-exchange may fail for no reason. What is done when is chaos.cpp's business.
//   -DWEIR_SEAM='"…/chaos_seam.hpp"' for everything that sees weir's headers.
#pragma once

#include <weir/detail/hooked_atomics.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

struct chaos {
  static void before(atomic_op kind, const void* word, const char* file, int line) noexcept;
  static bool fails_weakly() noexcept;
};
using seam = hooked_atomics<chaos>;

}  // namespace detail
}  // namespace v0
}  // namespace weir
