// Failures as values: errc, error, result<T>, status.
//
// result<T> is shaped like std::expected<T, error>. value() rethrows the stored cause; a failure without a cause
// throws std::system_error carrying the errc. In a build without exceptions value() on a failure terminates.
// Thread safety: as for int; a result is a plain value.
#pragma once

#include <weir/detail/platform.hpp>

#include <cstdint>
#include <exception>
#include <new>
#include <system_error>
#include <type_traits>
#include <memory>
#include <utility>

namespace weir {
inline namespace v0 {

/// Why a task was refused or did not end well.
enum class errc : std::uint8_t {
  full = 1,   ///< capacity or max_outstanding was reached
  stopped,    ///< the runtime is draining, stopped, or belongs to the parent of this forked process
  cancelled,  ///< a stop token or cancel() came before the start
  expired,    ///< not started by start_by
  dropped,    ///< evicted by on_full::drop_oldest or on_full::discard
  timeout,    ///< a timed wait ended first
  starved,    ///< waiting here could never end, as far as can be seen; the handle stays valid
  invalid,    ///< null callable, moved-from handle, option out of range
  failed,     ///< the callable (or an allocation on its behalf) threw; the cause says what
};

WEIR_API const std::error_category& error_category() noexcept;
inline std::error_code make_error_code(errc e) noexcept { return {static_cast<int>(e), error_category()}; }
WEIR_API const char* to_string(errc e) noexcept;

/// Sixteen bytes, for each task with a handle keeps room for one.
struct error {
  error() noexcept = default;
  error(errc c, std::exception_ptr why = {}, std::uint32_t tries = 1) noexcept  // NOLINT: an errc is an error
      : code(c), attempts(tries), cause(std::move(why)) {}
  errc code = errc::failed;
  std::uint32_t attempts = 1;
  std::exception_ptr cause{};
};

namespace detail {
[[noreturn]] WEIR_API void throw_error(const error& e);  // rethrows the cause, or throws std::system_error; else terminates
[[noreturn]] WEIR_API void throw_errc(errc e);
[[noreturn]] WEIR_API void bad_result_access() noexcept;  // value of a failure, or failure of a value
}  // namespace detail

template <class T>
class [[nodiscard]] result {
  static_assert(!std::is_reference_v<T> && !std::is_same_v<std::remove_cv_t<T>, weir::error>);

 public:
  using value_type = T;
  using error_type = weir::error;

  template <class U = T>
    requires(std::is_constructible_v<T, U> && !std::is_same_v<std::remove_cvref_t<U>, result> &&
             !std::is_same_v<std::remove_cvref_t<U>, weir::error> && !std::is_same_v<std::remove_cvref_t<U>, errc>)
  result(U&& v) noexcept(std::is_nothrow_constructible_v<T, U>) : ok_(true) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<U>(v));
  }
  template <class... A>
    requires std::is_constructible_v<T, A...>
  explicit result(std::in_place_t, A&&... args) noexcept(std::is_nothrow_constructible_v<T, A...>) : ok_(true) {
    ::new (static_cast<void*>(std::addressof(value_))) T(std::forward<A>(args)...);
  }
  result(weir::error e) noexcept : ok_(false) { ::new (static_cast<void*>(&error_)) weir::error(std::move(e)); }
  result(errc e) noexcept : result(weir::error{e, {}, 1}) {}
  result(const result& o)
    requires std::is_copy_constructible_v<T>
      : ok_(o.ok_) {
    if (ok_) ::new (static_cast<void*>(std::addressof(value_))) T(o.value_);
    else ::new (static_cast<void*>(&error_)) weir::error(o.error_);
  }
  result(result&& o) noexcept(std::is_nothrow_move_constructible_v<T>) : ok_(o.ok_) {
    if (ok_) ::new (static_cast<void*>(std::addressof(value_))) T(std::move(o.value_));
    else ::new (static_cast<void*>(&error_)) weir::error(std::move(o.error_));
  }
  // Strong guarantee: a throwing move leaves *this a failure that carries the exception's place, never half a value.
  result& operator=(result o) noexcept(std::is_nothrow_move_constructible_v<T>) {
    destroy();
    ok_ = false;
    ::new (static_cast<void*>(&error_)) weir::error();
    if (o.ok_) {
      error_.~error();
      if constexpr (std::is_nothrow_move_constructible_v<T>) {
        ::new (static_cast<void*>(std::addressof(value_))) T(std::move(o.value_));
      } else {
        WEIR_TRY { ::new (static_cast<void*>(std::addressof(value_))) T(std::move(o.value_)); }
        WEIR_CATCH_ALL {
          ::new (static_cast<void*>(&error_)) weir::error();
          WEIR_RETHROW;
        }
      }
      ok_ = true;
    } else {
      error_ = std::move(o.error_);
    }
    return *this;
  }
  ~result() { destroy(); }

  bool has_value() const noexcept { return ok_; }
  explicit operator bool() const noexcept { return ok_; }

  T& value() & { return check(), value_; }
  const T& value() const& { return check(), value_; }
  T&& value() && { return check(), std::move(value_); }
  T& operator*() & noexcept { return value_; }
  const T& operator*() const& noexcept { return value_; }
  T&& operator*() && noexcept { return std::move(value_); }
  T* operator->() noexcept { return std::addressof(value_); }
  const T* operator->() const noexcept { return std::addressof(value_); }

  weir::error& error() & noexcept { return check_error(), error_; }
  const weir::error& error() const& noexcept { return check_error(), error_; }
  weir::error&& error() && noexcept { return check_error(), std::move(error_); }

  template <class U>
  T value_or(U&& other) const& {
    return ok_ ? value_ : static_cast<T>(std::forward<U>(other));
  }
  template <class U>
  T value_or(U&& other) && {
    return ok_ ? std::move(value_) : static_cast<T>(std::forward<U>(other));
  }

 private:
  void check() const {
    if (!ok_) [[unlikely]] detail::throw_error(error_);
  }
  void check_error() const noexcept {
    if (ok_) [[unlikely]] detail::bad_result_access();
  }
  void destroy() noexcept {
    if (ok_) value_.~T();
    else error_.~error();
  }
  union {
    T value_;
    weir::error error_;
  };
  bool ok_;
};

template <>
class [[nodiscard]] result<void> {
 public:
  using value_type = void;
  using error_type = weir::error;

  result() noexcept = default;
  result(weir::error e) noexcept : error_(std::move(e)) {}
  result(errc e) noexcept : error_(e) {}

  bool has_value() const noexcept { return error_.code == errc{}; }
  explicit operator bool() const noexcept { return has_value(); }
  void value() const {
    if (!has_value()) [[unlikely]] detail::throw_error(error_);
  }
  void operator*() const noexcept {}
  weir::error& error() & noexcept { return check_error(), error_; }
  const weir::error& error() const& noexcept { return check_error(), error_; }
  weir::error&& error() && noexcept { return check_error(), std::move(error_); }

 private:
  void check_error() const noexcept {
    if (has_value()) [[unlikely]] detail::bad_result_access();
  }
  weir::error error_{errc{}};  // no code: ok
};

/// true (explicitly) is ok.
using status = result<void>;

}  // namespace v0
}  // namespace weir

template <>
struct std::is_error_code_enum<weir::errc> : std::true_type {};
