// The core behind a runtime, for tests that look at what no user can see.
#pragma once

#include <weir/runtime.hpp>

#include "worker.hpp"

namespace weir {
inline namespace v0 {
struct runtime_access {
  static detail::core& core_of(runtime& rt) { return *rt.core_; }
};
}  // namespace v0
}  // namespace weir

namespace test {

inline weir::detail::core& core_of(weir::runtime& rt) { return weir::runtime_access::core_of(rt); }

}  // namespace test
