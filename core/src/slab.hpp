// Memory for jobs: blocks by size class, allocated by one thread, freed by any. Layer 1.
//
// A heap belongs to one worker or one lease. Its owner pops blocks from a private list and takes over what others
// freed, all at once (free_list.hpp), before it asks for a page. Pages go back when the runtime's core dies, so bursts
// cost their peak once. Larger blocks come from the resource directly.
#pragma once

#include "free_list.hpp"
#include "futex.hpp"

#include <cstddef>
#include <memory_resource>
#include <mutex>
#include <vector>

namespace weir {
inline namespace v0 {
namespace detail {

class slab_heap;

// Where pages come from. Calls into the user's resource are serialised, since most resources ask for that.
class page_source {
 public:
  static constexpr std::size_t page_size = 16 * 1024;
  struct header {
    slab_heap* heap;      // null: a large block on its own
    page_source* source;
    std::size_t bytes;    // of the whole allocation
    std::size_t block;    // bytes a block
  };

  explicit page_source(std::pmr::memory_resource* r, void* user = nullptr) noexcept;
  ~page_source();  // frees the pages; large blocks must be back
  page_source(const page_source&) = delete;
  page_source& operator=(const page_source&) = delete;

  header* page(slab_heap& heap, std::size_t block);  // throws std::bad_alloc
  void* large(std::size_t size, std::size_t align);  // throws std::bad_alloc
  static void free_large(header* h) noexcept;
  // Without a header: for what knows its size.
  void* plain(std::size_t size, std::size_t align);  // throws std::bad_alloc
  void free_plain(void* p, std::size_t size, std::size_t align) noexcept;
  /// In the child of a fork(): the lock may be held for ever by a thread that is not there, so nothing is freed from now on.
  void die() noexcept { dead_ = true; }
  static header* header_of(const void* p) noexcept {
    return reinterpret_cast<header*>(reinterpret_cast<std::uintptr_t>(p) & ~(std::uintptr_t{page_size} - 1));
  }

  // Whose memory a block is: what the source was made with.
  static void* user_of(const void* block) noexcept { return header_of(block)->source->user_; }

 private:
  std::pmr::memory_resource* resource_;
  void* user_;
  mutex mutex_;
  struct chunk {
    std::byte* begin;
    std::size_t bytes;
  };
  std::vector<chunk> chunks_;  // aligned allocations waste up to their alignment: pages come many at a time
  std::byte *fresh_ = nullptr, *end_ = nullptr;
  bool dead_ = false;
};

// The calling thread's identity, for "is this heap mine".
const void* thread_id() noexcept;

class slab_heap {
 public:
  static constexpr std::size_t largest = 512, step = 8, first_offset = 64;

  explicit slab_heap(page_source& s) noexcept : source_(&s) {}
  void adopt() noexcept { owner_.store(thread_id(), relaxed); }
  void abandon() noexcept { owner_.store(nullptr, relaxed); }

  void* allocate(std::size_t size, std::size_t align) {  // owner only; throws std::bad_alloc
    if (size > largest || align > 16) return source_->large(size, align);
    const std::size_t c = index_of(size, align);
    bin& b = bins_[c];
    if (b.local == nullptr) refill(b, c);
    auto* p = b.local;
    b.local = p->next.load(relaxed);
    return p;
  }
  static void deallocate(void* p) noexcept {  // any thread
    auto* h = page_source::header_of(p);
    if (h->heap == nullptr) return page_source::free_large(h);
    auto* block = ::new (p) list::block;
    bin& b = h->heap->bins_[h->block / step - 1];
    if (h->heap->owner_.load(relaxed) == thread_id()) {
      block->next.store(b.local, relaxed);
      b.local = block;
    } else {
      b.remote.push(block);
    }
  }

 private:
  using list = free_list<os_atomics>;
  struct bin {
    list::block* local = nullptr;
    list remote;
    std::byte* fresh = nullptr;
    std::byte* end = nullptr;
  };
  static std::size_t index_of(std::size_t size, std::size_t align) noexcept {
    const std::size_t grain = align > step || size > 64 ? 16 : step;
    return (size + grain - 1) / grain * grain / step - 1;
  }
  void refill(bin& b, std::size_t c);

  page_source* source_;
  atomic<const void*> owner_{nullptr};
  bin bins_[largest / step];
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
