// OpenMP tasks. Only the threads of a parallel region can make tasks, so there is no submitting from outside.
#pragma once

#include <omp.h>

#include <cstddef>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

namespace bench {

class openmp_peer {
 public:
  static constexpr const char* name = "OpenMP";
  // The date of the specification: 201511 is 4.5.
  static std::string version() { return std::to_string(_OPENMP); }

  explicit openmp_peer(unsigned workers) : workers_(static_cast<int>(workers)) {
    omp_set_dynamic(0);
    run([] {});  // starts the threads
  }

  template <class F>
  auto run(F&& f) -> std::invoke_result_t<F&> {
    using R = std::invoke_result_t<F&>;
    if constexpr (std::is_void_v<R>) {
#pragma omp parallel num_threads(workers_) default(shared)
#pragma omp single
      f();
    } else {
      std::optional<R> value;
#pragma omp parallel num_threads(workers_) default(shared)
#pragma omp single
      value.emplace(f());
      return std::move(*value);
    }
  }
  template <class F, class G>
  static auto both(F&& f, G&& g) {
    std::pair<std::invoke_result_t<F&>, std::invoke_result_t<G&>> values;
#pragma omp task default(shared)
    values.first = f();
    values.second = g();
#pragma omp taskwait
    return values;
  }
  template <class F, class... More>
  static void fork(F&& f, More&&... more) {
    if constexpr (sizeof...(More) == 0) {
      f();
    } else {
#pragma omp task default(shared)
      f();
      fork(more...);
#pragma omp taskwait
    }
  }
  template <class F>
  static void fork_each(std::size_t n, F&& f) {
    for (std::size_t i = 0; i + 1 < n; ++i) {
#pragma omp task default(shared) firstprivate(i)
      f(i);
    }
    if (n != 0) f(n - 1);
#pragma omp taskwait
  }
  template <class F>
  static void for_range(std::size_t first, std::size_t last, std::size_t grain, F&& f) {
    if (grain == 0) {
#pragma omp taskloop default(shared)
      for (std::size_t i = first; i < last; ++i) f(i);
    } else {
#pragma omp taskloop default(shared) grainsize(grain)
      for (std::size_t i = first; i < last; ++i) f(i);
    }
  }
  template <class F>
  static void group_of(std::size_t n, F&& f) {
#pragma omp taskgroup
    for (std::size_t i = 0; i < n; ++i) {
#pragma omp task default(shared) firstprivate(i)
      f(i);
    }
  }

 private:
  int workers_;
};

}  // namespace bench
