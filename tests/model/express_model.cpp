// express_slot.hpp: offered by two, taken by two.
#include "relacy.hpp"

#include "express_slot.hpp"

using namespace weir::detail;

namespace express_model {
namespace {

using A = model_atomics;

// The slot's words are relaxed atomics; here they are plain, so that two who are at them at once are found.
struct plain_word {
  model::plain<std::uint64_t> word;
  void store(std::uint64_t v, std::memory_order) { word.set(v); }
  std::uint64_t load(std::memory_order) const { return word.get(); }
};

struct express_jobs : model::test<express_jobs, 4> {
  static constexpr const char* fact = "a job that was offered is taken once and whole, with what it points at, and nobody is at its words beside";
  static constexpr const char* files = "express_slot.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 150'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;

  using express = express_slot<A, plain_word>;
  express slot;
  model::plain<int> pointed_at[4];
  bool offered[4]{};
  unsigned taken[4]{};

  void take() {
    job j{};
    if (!slot.take(j)) return;
    const auto i = static_cast<unsigned>(j.data[0]);
    MODEL_CHECK(i < 4 && j.tagged_ops == 2 * i + 2 && j.data[1] == ~j.data[0]);
    MODEL_CHECK(pointed_at[i].get() == static_cast<int>(i) + 1);
    ++taken[i];
  }
  void thread(unsigned t) {
    if (t >= 2) {
      take();
      if (t == 2) take();
      return;
    }
    express::turn mine = 0;
    for (unsigned i = t; i < 4; i += 2) {
      pointed_at[i].set(static_cast<int>(i) + 1);
      offered[i] = slot.offer(mine, 2 * i + 2, i, ~std::uint64_t{i});
      if (!offered[i]) continue;
      job j{};
      if (i % 3 == 0 && slot.take_back(mine, j)) {
        MODEL_CHECK(j.tagged_ops == 2 * i + 2 && j.data[0] == i && j.data[1] == ~j.data[0]);
        if (i == 0) slot.put_back(mine);
        else slot.let_go(mine), offered[i] = false;
      }
    }
  }
  void after() {
    take();
    MODEL_CHECK(!slot.filled());
    for (unsigned i = 0; i < 4; ++i) MODEL_CHECK(taken[i] == (offered[i] ? 1u : 0u));
  }
};
MODEL_ADD(express_jobs);

}  // namespace
}  // namespace express_model
