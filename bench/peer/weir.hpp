// weir: an adaptor, nothing more.
#pragma once

#include <weir/weir.hpp>

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <utility>

namespace bench {

class weir_peer {
 public:
  static constexpr const char* name = "weir";
  static constexpr bool counts_steals = true;

  explicit weir_peer(unsigned workers) : weir_peer(weir::options{.workers = workers}) {}
  explicit weir_peer(weir::options o) : rt_(o) {}

  weir::runtime& runtime() noexcept { return rt_; }
  unsigned workers() const noexcept { return rt_.workers(); }

  template <class F>
  auto run(F&& f) {
    return rt_.run(std::forward<F>(f));
  }
  template <class F, class G>
  [[gnu::always_inline]] static void fork(F&& f, G&& g) {
    static_cast<void>(weir::fork_join(std::forward<F>(f), std::forward<G>(g)));
  }
  template <class F, class G, class... More>
    requires(sizeof...(More) > 0)
  static void fork(F&& f, G&& g, More&&... more) {
    static_cast<void>(weir::invoke(std::forward<F>(f), std::forward<G>(g), std::forward<More>(more)...));
  }
  template <std::size_t N, class F>
  [[gnu::always_inline]] static void fork_n(F&& f) {
    [&]<std::size_t... I>(std::index_sequence<I...>) { fork([&f] { f(I); }...); }(std::make_index_sequence<N>());
  }
  template <class F>
  static void fork_each(std::size_t n, F&& f) {
    if (n > 0) halves(0, n, f);
  }
  template <class F>
  static void for_range(std::size_t first, std::size_t last, std::size_t grain, F&& f) {
    weir::parallel_for(first, last, std::forward<F>(f), {.grain = grain}).value();
  }

  template <class F>
  void submit(F&& f) {
    if (!rt_.submit(std::forward<F>(f))) throw std::runtime_error("weir refused a task");
  }
  template <class F>
  auto spawn(F&& f) {
    return rt_.spawn(std::forward<F>(f));
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get().value();
  }
  // f(0) … f(n - 1) as tasks of a group; called on a worker.
  template <class F>
  static void group_of(std::size_t n, F&& f) {
    weir::task_group group(weir::here());
    for (std::size_t i = 0; i < n; ++i) group.run([&f, i] { f(i); });
    group.wait().value();
  }
  template <class Done>
  void wait_until(Done&& done) {
    rt_.wait_idle();
    if (!done()) throw std::runtime_error("weir is idle, and tasks are missing");
  }

  std::uint64_t steals() const { return rt_.metrics().steals; }
  std::uint64_t parks() const { return rt_.metrics().parks; }

 private:
  template <class F>
  static void halves(std::size_t first, std::size_t last, F& f) {
    if (last - first == 1) return f(first);
    const std::size_t middle = first + (last - first) / 2;
    fork([&f, first, middle] { halves(first, middle, f); }, [&f, middle, last] { halves(middle, last, f); });
  }
  weir::runtime rt_;
};

}  // namespace bench
