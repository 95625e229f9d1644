// Throwing from one place, so that a build without exceptions says why it ends. Layer 0.
#pragma once

namespace weir {
inline namespace v0 {
namespace detail {

[[noreturn]] void throw_system_error(int e, const char* what);
[[noreturn]] void throw_invalid_argument(const char* what);

}  // namespace detail
}  // namespace v0
}  // namespace weir
