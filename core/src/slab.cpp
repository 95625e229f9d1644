#include "slab.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

namespace weir {
inline namespace v0 {
namespace detail {

const void* thread_id() noexcept {
  static thread_local char here __attribute__((tls_model("initial-exec")));
  return &here;
}

namespace {
[[noreturn]] void throw_bad_alloc() {
#if WEIR_EXCEPTIONS
  throw std::bad_alloc();
#else
  std::abort();
#endif
}
}  // namespace

page_source::page_source(std::pmr::memory_resource* r, void* user) noexcept
    : resource_(r != nullptr ? r : std::pmr::new_delete_resource()), user_(user) {}

page_source::~page_source() {
  for (const chunk& c : chunks_) resource_->deallocate(c.begin, c.bytes, page_size);
}

page_source::header* page_source::page(slab_heap& heap, std::size_t block) {
  const std::lock_guard lock(mutex_);
  if (fresh_ == end_) {
    chunks_.reserve(chunks_.size() + 1);
    const std::size_t bytes = chunks_.empty() ? 4 * page_size : std::min<std::size_t>(chunks_.back().bytes * 2, 64 * page_size);
    chunks_.push_back({static_cast<std::byte*>(resource_->allocate(bytes, page_size)), bytes});
    fresh_ = chunks_.back().begin;
    end_ = fresh_ + bytes;
  }
  auto* h = ::new (fresh_) header{&heap, this, page_size, block};
  fresh_ += page_size;
  return h;
}

void* page_source::large(std::size_t size, std::size_t align) {
  const std::size_t offset = align > slab_heap::first_offset ? align : slab_heap::first_offset;
  if (align >= page_size / 2 || size > SIZE_MAX - offset) throw_bad_alloc();  // its header's page must be found behind a prefix, too
  const std::lock_guard lock(mutex_);
  auto* h = static_cast<header*>(resource_->allocate(offset + size, page_size));
  ::new (h) header{nullptr, this, offset + size, 0};
  return reinterpret_cast<std::byte*>(h) + offset;
}

void page_source::free_large(header* h) noexcept {
  page_source& s = *h->source;
  if (s.dead_) return;
  const std::lock_guard lock(s.mutex_);
  s.resource_->deallocate(h, h->bytes, page_size);
}

void* page_source::plain(std::size_t size, std::size_t align) {
  const std::lock_guard lock(mutex_);
  return resource_->allocate(size, align);
}

void page_source::free_plain(void* p, std::size_t size, std::size_t align) noexcept {
  if (dead_) return;
  const std::lock_guard lock(mutex_);
  resource_->deallocate(p, size, align);
}

// What others have freed first, then the current page, then a new one.
void slab_heap::refill(bin& b, std::size_t c) {
  if (auto* freed = b.remote.take_all(); freed != nullptr) {
    b.local = freed;
    return;
  }
  const std::size_t block = (c + 1) * step;
  if (b.fresh == b.end) {
    auto* page = reinterpret_cast<std::byte*>(source_->page(*this, block));
    b.fresh = page + first_offset;
    b.end = b.fresh + (page_source::page_size - first_offset) / block * block;
  }
  b.local = ::new (b.fresh) list::block;
  b.local->next.store(nullptr, relaxed);
  b.fresh += block;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
