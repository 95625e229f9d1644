// How to write a model: a few threads that use a shipped header through the seam, run by Relacy in every order that a few
// preemptions allow and in very many random ones.
//
//   #include "relacy.hpp"                                    // before any header of weir; all of model/ is built with
//   #include <weir/detail/split_deque.hpp>                   // the seam of seam.hpp: A = model_atomics
//   struct my_model : model::test<my_model, 2> {             // the number of threads
//     static constexpr const char* fact = "what the model proves";
//     static constexpr const char* files = "split_deque.hpp; fork.cpp";  // whose mutants it may kill; the likeliest first
//     static constexpr model::effort work{.preemptions = 2, .bounded = 100'000, .random = 50'000};  // executions a mode
//     model::atomic<int> x; model::plain<int> y;             // all state in members: they are built for each execution
//     void before() {} void thread(unsigned i) {} void after() {}     // MODEL_CHECK(…) fails the execution, as does a
//   };                                                       // deadlock, a livelock, a data race on plain<T>, a dead atomic
//   MODEL_ADD(my_model);                                     // and meson.build lists the file
//
// Each model runs in each fence_mode (static constexpr auto modes = …: only in these). No static state that an execution
// changes, no addresses in decisions, rl::rand(n) in the place of rand. A::pause() in a loop that waits for another thread.
// `if (model::keeps("name") && …)` is a step that the mutant drop:name leaves out; list it in `steps`.
#pragma once

#include <weir/detail/atomics.hpp>

#include <array>
#include <string_view>

namespace weir {
inline namespace v0 {
namespace detail {
namespace model {

struct effort {
  unsigned preemptions = 2;
  std::uint64_t bounded = 50'000, random = 50'000;
  unsigned depth = 3'000;  // operations in one execution; more is a livelock
};
inline constexpr std::array every_mode{fence_mode::pair, fence_mode::kernel, fence_mode::absent};
inline constexpr std::array asymmetric_modes{fence_mode::pair, fence_mode::kernel};
inline constexpr std::array one_mode{fence_mode::pair};  // for what uses no asymmetric fence

template <class Self, rl::thread_id_t Threads>
struct test : rl::test_suite<Self, Threads> {
  static_assert(Threads <= sleepers::most);
  static constexpr auto modes = every_mode;
  static constexpr const char* steps = "";
  test() { asleep = {}; }
};
#define MODEL_CHECK(x) RL_ASSERT(x)

enum class search : std::uint8_t { bounded, random };
struct outcome {
  bool failed = false, exhausted = false;
  std::uint64_t executions = 0;  // until the failure, if it failed
  std::string why;
};

// All orders with at most so many preemptions, or the first `iteration_count` of them.
inline bool search_exhausted;
template <rl::thread_id_t N>
class bounded_scheduler
    : public rl::tree_search_scheduler<bounded_scheduler<N>, rl::context_bound_scheduler_thread_info<N>, N> {
  using info_t = rl::context_bound_scheduler_thread_info<N>;

 public:
  using base_t = rl::tree_search_scheduler<bounded_scheduler<N>, info_t, N>;
  using thread_info_t = typename base_t::thread_info_t;
  using shared_context_t = typename base_t::shared_context_t;
  bounded_scheduler(rl::test_params& p, shared_context_t& c, rl::thread_id_t dynamic) : base_t(p, c, dynamic) {}
  rl::thread_id_t iteration_begin_impl() {
    left_ = this->params_.context_bound;
    return base_t::iteration_begin_impl();
  }
  bool iteration_end_impl() {
    search_exhausted = base_t::iteration_end_impl();
    return search_exhausted || this->iter_ >= this->params_.iteration_count;
  }
  bool can_switch(thread_info_t&) { return left_ != 0; }
  void on_switch(thread_info_t& t) {
    if (t.state_ == rl::thread_state_running && left_ != 0) --left_;
  }
  double iteration_count_approx() { return 1.0; }

 private:
  unsigned left_ = 0;
};

template <rl::thread_id_t N>
rl::thread_id_t& last_writer_of(rl::atomic_data* d) {
  auto& a = *static_cast<rl::atomic_data_impl<N>*>(d);
  return a.history_[a.current_index_ % rl::atomic_history_size].thread_id_;
}

template <class Test>
outcome run(search how, std::uint64_t first, std::uint64_t last, bool tell) {
  static constexpr rl::thread_id_t n = Test::params::thread_count;
  last_writer = &last_writer_of<n>;
  static std::ostream nowhere(nullptr);
  rl::test_params p;
  p.search_type = how == search::random ? rl::sched_random : rl::sched_bound;
  p.context_bound = Test::work.preemptions;
  p.execution_depth_limit = Test::work.depth;
  p.iteration_count = last;
  p.output_stream = p.progress_stream = &nowhere;
  if (first > 1) p.initial_state = (std::to_string(first) + " ").c_str();
  const auto go = [&](std::ostream& state, bool again) {
    return how == search::random ? rl::run_test<Test, rl::random_scheduler<n>>(p, state, again)
                                 : rl::run_test<Test, bounded_scheduler<n>>(p, state, again);
  };
  rl::ostringstream state;
  search_exhausted = false;
  const rl::test_result_e r = go(state, false);
  outcome o{r != rl::test_result_success, search_exhausted && how == search::bounded, p.stop_iteration, {}};
  if (!o.failed) return o;
  o.why = rl::test_result_str(r);
  if (tell) {  // once more, with its history
    p.initial_state = state.str();
    p.collect_history = true;
    p.output_stream = &std::cout;
    rl::ostringstream unused;
    go(unused, true);
  }
  return o;
}

struct entry {
  const char *name, *fact, *files, *steps;
  effort work;
  std::vector<fence_mode> modes;
  outcome (*run)(search, std::uint64_t, std::uint64_t, bool);
};
std::vector<entry>& entries();  // main.cpp

template <class Test>
struct add {
  explicit add(const char* name) {
    entries().push_back({name, Test::fact, Test::files, Test::steps, Test::work, {Test::modes.begin(), Test::modes.end()},
                         &model::run<Test>});
  }
};
#define MODEL_ADD(name) static const ::weir::detail::model::add<name> name##_added(#name)

}  // namespace model
}  // namespace detail
}  // namespace v0
}  // namespace weir
