// Throwing from one place, so that a build without exceptions says why it ends. Layer 0.
#pragma once

#include <weir/error.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

[[noreturn]] void throw_system_error(int e, const char* what);
[[noreturn]] void throw_invalid_argument(const char* what);
// In the child of a fork(): a callable of a worker has returned there, where no worker goes on.
[[noreturn]] void returned_in_child() noexcept;
error system_failure(int e, const char* what) noexcept;  // errc::failed; the cause is a std::system_error

}  // namespace detail
}  // namespace v0
}  // namespace weir
