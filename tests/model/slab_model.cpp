// slab.hpp and slab.cpp: a heap's owner allocates, anybody frees, and the heap changes its owner.
#include "relacy.hpp"

#include "slab.hpp"

// The shipped source, with Relacy's threads for the system's.
#define thread_id system_thread_id
#include "slab.cpp"
#undef thread_id

namespace weir {
inline namespace v0 {
namespace detail {
const void* thread_id() noexcept {
  static const char here[model::sleepers::most]{};
  return &here[rl::ctx().current_thread()];
}
}  // namespace detail
}  // namespace v0
}  // namespace weir

using namespace weir::detail;

namespace slab_model {
namespace {

constexpr std::size_t block_size = 512;  // the largest: a free block holds an atomic, and Relacy's are large
using list = free_list<os_atomics>;
static_assert(sizeof(list::block) <= block_size);

// The same pages in each execution.
class pages final : public std::pmr::memory_resource {
 public:
  static constexpr std::size_t size = 4 * page_source::page_size;
  static unsigned index_of(const void* p) {
    return static_cast<unsigned>((static_cast<const std::byte*>(p) - memory_) / static_cast<std::ptrdiff_t>(block_size));
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t) override {
    MODEL_CHECK(bytes <= size);
    return memory_;
  }
  void do_deallocate(void*, std::size_t, std::size_t) override {}
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }
  alignas(page_source::page_size) inline static std::byte memory_[size];
};

struct slab_blocks : model::test<slab_blocks, 3> {
  static constexpr const char* fact = "a block has one user at a time, who sees what the last one left, also when the heap changes hands";
  static constexpr const char* files = "slab.hpp; free_list.hpp";
  static constexpr const char* steps = "slab: hand over";
  static constexpr model::effort work{.preemptions = 3, .bounded = 40'000, .random = 40'000};
  static constexpr auto modes = model::one_mode;

  pages memory;
  page_source source{&memory};
  slab_heap heap{source};
  static constexpr unsigned most = 8;
  model::plain<int> content[most];  // of the blocks, by index: plain data of whoever has it
  bool used[most]{};
  model::atomic<void*> gift{nullptr};
  model::atomic<unsigned> handed_over{0};

  void* allocate() {
    void* p = heap.allocate(block_size, 8);
    static_cast<list::block*>(p)->~block();  // the memory is the user's now
    const unsigned i = pages::index_of(p);
    MODEL_CHECK(i < most && !used[i]);
    used[i] = true;
    content[i].set(1);
    return p;
  }
  void release_block(void* p) {
    const unsigned i = pages::index_of(p);
    content[i].set(2);
    used[i] = false;
    slab_heap::deallocate(p);
  }
  void thread(unsigned t) {
    if (t == 0) {  // the first owner
      heap.adopt();
      void* const mine = allocate();
      gift.store(allocate(), release);
      release_block(mine);
      heap.abandon();
      handed_over.store(1, model::keeps("slab: hand over") ? release : relaxed);
    } else if (t == 1) {  // the next one
      while (handed_over.load(acquire) == 0) model_atomics::pause();
      heap.adopt();
      void* const a = allocate();
      void* const b = allocate();
      release_block(a);
      release_block(b);
    } else {
      void* p = nullptr;
      while ((p = gift.load(acquire)) == nullptr) model_atomics::pause();
      release_block(p);
    }
  }
  void after() {  // all blocks once more, so that nothing of Relacy's stays in them; the last one is fresh
    heap.adopt();
    for (unsigned n = 0, seen = 0; n < 4; ++n) seen = std::max(seen, pages::index_of(allocate()));
    for (const bool u : used) count_ += u;
    MODEL_CHECK(count_ == 4);
  }
  unsigned count_ = 0;
};
MODEL_ADD(slab_blocks);

}  // namespace
}  // namespace slab_model
