// weir: an adaptor, nothing more.
#pragma once

#include <weir/weir.hpp>

#include <array>
#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace bench {

class weir_peer {
 public:
  static constexpr const char* name = "weir";
#ifdef BENCH_WEIR_VERSION
  static std::string version() { return BENCH_WEIR_VERSION; }
#endif

  explicit weir_peer(unsigned workers) : weir_peer(weir::options{.workers = workers}) {}
  explicit weir_peer(weir::options o) : rt_(o) {}
  static weir_peer with_room(unsigned workers, std::size_t tasks) {
    return weir_peer(weir::options{.workers = workers, .capacity = tasks});
  }

  weir::runtime& runtime() noexcept { return rt_; }
  unsigned workers() const noexcept { return rt_.workers(); }

  template <class F>
  auto run(F&& f) {
    return rt_.run(std::forward<F>(f));
  }
  template <class F, class G>
  [[gnu::always_inline]] static auto both(F&& f, G&& g) {
    return weir::fork_join(std::forward<F>(f), std::forward<G>(g));
  }
  template <class F, class G>
  [[gnu::always_inline]] static void fork(F&& f, G&& g) {
    static_cast<void>(weir::fork_join(f, g));
  }
  template <class F, class G, class... More>
    requires(sizeof...(More) > 0)
  [[gnu::always_inline]] static void fork(F&& f, G&& g, More&&... more) {
    fork(f, [&] { fork(g, more...); });
  }
  template <class F>
  [[gnu::always_inline]] static void fork_each(std::size_t n, F&& f) {
    weir::fork_each(n, f);
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
  // A handle of a task that ends when the gate opens; all such tasks are for one worker.
  template <class Gate>
  auto unfinished(Gate& g) {
    return rt_.spawn([&g] { g.wait(); }, {.worker = 0});
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
  weir::runtime rt_;
};

}  // namespace bench
