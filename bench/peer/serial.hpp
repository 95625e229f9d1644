// No library at all: the reference that a fork is compared with.
#pragma once

#include <cstddef>
#include <string>
#include <type_traits>
#include <utility>

namespace bench {

struct serial {
  static constexpr const char* name = "serial";
  static constexpr unsigned fixed_workers = 1;
  static std::string version() { return ""; }

  explicit serial(unsigned = 1) noexcept {}
  unsigned workers() const noexcept { return 1; }

  template <class F>
  auto run(F&& f) {
    return std::forward<F>(f)();
  }
  // The barrier after each call keeps a compiler from turning the last recursion into a loop.
  template <class F, class G>
  [[gnu::always_inline]] static auto both(F&& f, G&& g) {
    const auto first = f();
    asm volatile("" ::: "memory");
    const auto second = g();
    asm volatile("" ::: "memory");
    return std::pair(first, second);
  }
  template <class... F>
  [[gnu::always_inline]] static void fork(F&&... f) {
    (call(f), ...);
  }
  template <class F>
  [[gnu::always_inline]] static void fork_each(std::size_t n, F&& f) {
    for (std::size_t i = 0; i < n; ++i) f(i);
  }
  template <class F>
  static void for_range(std::size_t first, std::size_t last, std::size_t, F&& f) {
    for (std::size_t i = first; i < last; ++i) f(i);
  }

 private:
  template <class F>
  [[gnu::always_inline]] static void call(F& f) {
    f();
    asm volatile("" ::: "memory");
  }
};

}  // namespace bench
