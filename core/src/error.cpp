#include "throw.hpp"

#include <weir/error.hpp>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <stdexcept>
#include <string>

namespace weir {
inline namespace v0 {

const char* to_string(errc e) noexcept {
  switch (e) {
    case errc::full: return "full";
    case errc::stopped: return "stopped";
    case errc::cancelled: return "cancelled";
    case errc::expired: return "expired";
    case errc::dropped: return "dropped";
    case errc::timeout: return "timeout";
    case errc::starved: return "starved";
    case errc::invalid: return "invalid";
    case errc::failed: return "failed";
  }
  return "unknown";
}

namespace {
const char* explain(errc e) noexcept {
  switch (e) {
    case errc::full: return "full: as many tasks are waiting as the capacity allows";
    case errc::stopped: return "stopped: the runtime is draining or stopped, or belongs to the parent of this forked process";
    case errc::cancelled: return "cancelled: a stop was requested before the task began";
    case errc::expired: return "expired: the task had not begun by its start_by";
    case errc::dropped: return "dropped: the full queue's policy gave the task up";
    case errc::timeout: return "timeout: the wait, or the task's deadline, ended first";
    case errc::starved: return "starved: waiting here could never end";
    case errc::invalid: return "invalid: a null callable, an empty handle, or an option out of range";
    case errc::failed: return "failed: the task, or something that it needed, threw";
  }
  return "unknown error";
}

class category final : public std::error_category {
 public:
  const char* name() const noexcept override { return "weir"; }
  // What an exception says that nobody caught: the word alone would not tell whose it is, nor what to do.
  std::string message(int e) const override { return std::string("weir: ") + explain(static_cast<errc>(e)); }
};
}  // namespace

const std::error_category& error_category() noexcept {
  static const category c;
  return c;
}

namespace detail {

void throw_errc(errc e) {
#if WEIR_EXCEPTIONS
  throw std::system_error(make_error_code(e));
#else
  std::fprintf(stderr, "weir: %s\n", to_string(e));
  std::abort();
#endif
}

void throw_error(const error& e) {
  if (e.cause) std::rethrow_exception(e.cause);
  throw_errc(e.code);
}

void throw_system_error(int e, const char* what) {
#if WEIR_EXCEPTIONS
  throw std::system_error(e, std::generic_category(), what);
#else
  std::fprintf(stderr, "%s: %s\n", what, std::strerror(e));
  std::abort();
#endif
}

error system_failure(int e, const char* what) noexcept {
#if WEIR_EXCEPTIONS
  try {
    return {errc::failed, std::make_exception_ptr(std::system_error(e, std::generic_category(), what))};
  } catch (...) {  // no memory for its text
    return {errc::failed, std::current_exception()};
  }
#else
  static_cast<void>(e), static_cast<void>(what);
  return errc::failed;
#endif
}

void throw_invalid_argument(const char* what) {
#if WEIR_EXCEPTIONS
  throw std::invalid_argument(what);
#else
  std::fprintf(stderr, "%s\n", what);
  std::abort();
#endif
}

void returned_in_child() noexcept {
  std::fputs("weir: a task that forked the process has returned in the child; a child that was forked in a task ends by exec or _exit\n",
             stderr);
  std::abort();
}

void bad_result_access() noexcept {
  std::fputs("weir: error() of a result that holds a value\n", stderr);
  std::abort();
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
