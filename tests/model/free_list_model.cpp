// free_list.hpp: blocks pushed by anybody, emptied by one thread.
#include "relacy.hpp"

#include "free_list.hpp"

using namespace weir::detail;

namespace free_list_model {
namespace {

// Two threads free blocks that they wrote to; the owner takes them all, again and again.
struct free_list_blocks : model::test<free_list_blocks, 3> {
  static constexpr const char* fact = "every block freed comes back once, with its last user's writes done";
  static constexpr const char* files = "free_list.hpp";
  static constexpr model::effort work{.preemptions = 3, .bounded = 200'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;

  using list = free_list<model_atomics>;
  static constexpr unsigned count = 3;
  struct user_block : list::block {
    model::plain<int> written;
  };
  list freed;
  user_block blocks[count];
  unsigned back[count]{};

  void take() {
    for (auto* b = freed.take_all(); b != nullptr; b = b->next.load(relaxed)) {
      auto* u = static_cast<user_block*>(b);
      const auto i = static_cast<unsigned>(u - blocks);
      ++back[i];
      MODEL_CHECK(u->written.get() == static_cast<int>(i) + 1);
      u->written.set(0);  // the next user
    }
  }
  void thread(unsigned t) {
    if (t == 2) {
      take();
      take();
      return;
    }
    for (unsigned i = t; i < count; i += 2) {
      blocks[i].written.set(static_cast<int>(i) + 1);
      freed.push(&blocks[i]);
    }
  }
  void after() {
    take();
    for (unsigned n : back) MODEL_CHECK(n == 1);
  }
};
MODEL_ADD(free_list_blocks);

}  // namespace
}  // namespace free_list_model
