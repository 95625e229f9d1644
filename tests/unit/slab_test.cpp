// Memory for jobs alone: the list of freed blocks, and the heap that lives on it.
#include "free_list.hpp"
#include "slab.hpp"

#include <counting_resource.hpp>
#include <interruption.hpp>
#include <sanitizers.hpp>
#include <threads.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <set>
#include <vector>

namespace slab_test {
namespace {

using namespace test;
using weir::detail::os_atomics;
using weir::detail::page_source;
using weir::detail::slab_heap;
using list = weir::detail::free_list<os_atomics>;

template <class List>
std::size_t count_all(List& l) {
  std::size_t n = 0;
  for (auto* b = l.take_all(); b != nullptr; b = b->next.load(weir::detail::relaxed)) ++n;
  return n;
}

TEST(FreeList, GivesBackWhatWasPushedNewestFirst) {
  list l;
  list::block blocks[3];
  for (auto& b : blocks) l.push(&b);
  list::block* b = l.take_all();
  for (int i = 3; i-- > 0; b = b->next.load(weir::detail::relaxed)) EXPECT_EQ(b, &blocks[i]);
  EXPECT_EQ(b, nullptr);
}

TEST(FreeList, WhenEmptyGivesNothing) {
  list l;
  EXPECT_EQ(l.take_all(), nullptr);
  list::block b;
  l.push(&b);
  EXPECT_EQ(count_all(l), 1u);
  EXPECT_EQ(l.take_all(), nullptr);
}

TEST(FreeList, LosesNoBlockWhereverTheOtherSideComesIn) {
  using interrupted = weir::detail::free_list<interrupted_atomics>;
  for (const bool takes : {false, true}) {
    at_each_operation([&](interruption& i) {
      interrupted l;
      interrupted::block blocks[3];
      std::size_t taken = 0;
      l.push(&blocks[0]);
      i.arm([&] {
        if (takes) taken += count_all(l);
        else l.push(&blocks[2]);
      });
      l.push(&blocks[1]);
      const bool happened = i.disarm();
      taken += count_all(l);
      EXPECT_EQ(taken, happened && !takes ? 3u : 2u);
    });
    at_each_operation([&](interruption& i) {
      interrupted l;
      interrupted::block blocks[2];
      l.push(&blocks[0]);
      std::size_t taken = 0;
      i.arm([&] {
        if (takes) taken += count_all(l);
        else l.push(&blocks[1]);
      });
      interrupted::block* b = l.take_all();
      const bool happened = i.disarm();
      for (; b != nullptr; b = b->next.load(weir::detail::relaxed)) ++taken;
      taken += count_all(l);
      EXPECT_EQ(taken, happened && !takes ? 2u : 1u);
    });
  }
}

// One empties, others push: each block comes out as often as it went in, with what was written to it.
void takers_and_pushers(unsigned pushers, int each) {
  struct numbered : list::block {
    int number = 0;
  };
  list l;
  std::vector<numbered> blocks(pushers * static_cast<std::size_t>(each));
  std::vector<int> seen(blocks.size());
  std::atomic<unsigned> running{pushers};
  together(pushers + 1, [&](unsigned me) {
    if (me != 0) {
      for (int i = 0; i < each; ++i) {
        const std::size_t n = (me - 1) * static_cast<std::size_t>(each) + static_cast<std::size_t>(i);
        blocks[n].number = static_cast<int>(n);
        l.push(&blocks[n]);
      }
      --running;
      return;
    }
    for (bool last = false; !last;) {
      last = running == 0;
      list::block* next = nullptr;
      for (auto* b = l.take_all(); b != nullptr; b = next) {
        next = b->next.load(weir::detail::relaxed);
        ++seen[static_cast<std::size_t>(static_cast<numbered*>(b)->number)];
      }
    }
  });
  for (std::size_t i = 0; i < seen.size(); ++i) ASSERT_EQ(seen[i], 1) << "block " << i;
}
TEST(FreeList, LosesNoBlockBetweenOnePusherAndTheTaker) { takers_and_pushers(1, slow ? 10'000 : 100'000); }
TEST(FreeList, LosesNoBlockInAStampedeOfPushers) { takers_and_pushers(7, slow ? 2000 : 20'000); }

TEST(FreeList, OwnsNoBlock) { static_assert(std::is_trivially_destructible_v<list>); }

TEST(Slab, GivesDistinctAlignedBlocksOfEverySize) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap heap(pages);
  heap.adopt();
  struct piece {
    unsigned char* p;
    std::size_t size;
  };
  std::vector<piece> pieces;
  for (std::size_t size = 1; size < 2000; size = size * 5 / 4 + 1) {
    for (const std::size_t align : {8u, 16u, 64u, 256u}) {
      auto* p = static_cast<unsigned char*>(heap.allocate(size, align));
      EXPECT_EQ(reinterpret_cast<std::uintptr_t>(p) % align, 0u) << size << " aligned to " << align;
      std::memset(p, static_cast<int>(pieces.size() & 255), size);
      pieces.push_back({p, size});
    }
  }
  for (std::size_t i = 0; i < pieces.size(); ++i)
    for (std::size_t k = 0; k < pieces[i].size; ++k) ASSERT_EQ(pieces[i].p[k], i & 255) << "blocks overlap";
  for (const piece& x : pieces) slab_heap::deallocate(x.p);
}

TEST(Slab, AsksForNothingBeforeItIsUsed) {
  counting_resource memory;
  {
    page_source pages(&memory);
    slab_heap heap(pages);
    EXPECT_EQ(memory.calls(), 0u);
  }
  EXPECT_EQ(memory.blocks(), 0u);
}

TEST(Slab, UsesItsOwnFreedBlockNext) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap heap(pages);
  heap.adopt();
  void* const first = heap.allocate(48, 8);
  slab_heap::deallocate(first);
  EXPECT_EQ(heap.allocate(48, 8), first);
  slab_heap::deallocate(first);
}

TEST(Slab, GivesLargeBlocksBackAtOnce) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap heap(pages);
  heap.adopt();
  void* p = heap.allocate(100'000, 16);
  EXPECT_EQ(memory.blocks(), 1u);
  std::thread([p] { slab_heap::deallocate(p); }).join();
  EXPECT_EQ(memory.blocks(), 0u);
}

TEST(Slab, ThrowsWhenThereIsNoMemoryAndGoesOnWhenThereIs) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap heap(pages);
  heap.adopt();
  memory.fail_at(1);
  EXPECT_THROW(static_cast<void>(heap.allocate(48, 8)), std::bad_alloc);
  memory.fail_at(1);
  EXPECT_THROW(static_cast<void>(heap.allocate(4096, 8)), std::bad_alloc);
  slab_heap::deallocate(heap.allocate(48, 8));
  slab_heap::deallocate(heap.allocate(4096, 8));
}

// One allocates, others free. Blocks carry a pattern that only their user writes, so two users would see each other.
void owner_and_freers(unsigned freers, int each) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap heap(pages);
  constexpr std::size_t window = 64;
  std::vector<std::atomic<std::uint64_t*>> slots(freers * window);
  std::atomic<unsigned> bad{0};
  std::atomic<bool> stop{false};
  together(freers + 1, [&](unsigned me) {
    if (me == 0) {
      heap.adopt();
      for (int i = 0; i < each; ++i) {
        auto& slot = slots[static_cast<std::size_t>(i) % slots.size()];
        while (slot.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
        const std::size_t size = 16 + static_cast<std::size_t>(i) % 3 * 16;
        auto* p = static_cast<std::uint64_t*>(heap.allocate(size, 8));
        p[0] = p[1] = reinterpret_cast<std::uintptr_t>(p) ^ 0x5a5a;
        slot.store(p, std::memory_order_release);
        if (i % 5 == 0) slab_heap::deallocate(heap.allocate(32, 8));  // its own, in between
      }
      for (auto& slot : slots)
        while (slot.load(std::memory_order_acquire) != nullptr) std::this_thread::yield();
      stop = true;
      return;
    }
    while (!stop) {
      for (std::size_t k = 0; k < window; ++k) {
        auto& slot = slots[(me - 1) + k * freers];
        std::uint64_t* const p = slot.load(std::memory_order_acquire);
        if (p == nullptr) continue;
        const std::uint64_t pattern = reinterpret_cast<std::uintptr_t>(p) ^ 0x5a5a;
        if (p[0] != pattern || p[1] != pattern) ++bad;
        p[0] = p[1] = 0;
        slab_heap::deallocate(p);
        slot.store(nullptr, std::memory_order_release);
      }
      std::this_thread::yield();
    }
  });
  EXPECT_EQ(bad, 0u);
  // What others free is used before a new page is: the peak is that of the window, however long it goes on.
  EXPECT_LE(memory.bytes(), std::size_t{28} * page_source::page_size) << "blocks freed elsewhere did not come back";
}
TEST(Slab, GivesNoBlockToTwoWhenAnotherThreadFrees) { owner_and_freers(1, slow ? 10'000 : 200'000); }
TEST(Slab, GivesNoBlockToTwoInAStampedeOfFreers) { owner_and_freers(7, slow ? 5000 : 50'000); }

// A heap that nobody else frees into does not wait for, nor grow because of, one that is flooded.
TEST(Slab, DoesNotLetOneHeapStarveAnother) {
  counting_resource memory;
  page_source pages(&memory);
  slab_heap quiet(pages), flooded(pages);
  quiet.adopt();
  for (int i = 0; i < 5000; ++i) {
    void* mine = quiet.allocate(64, 8);
    slab_heap::deallocate(flooded.allocate(64, 8));  // not adopted: goes by way of the list
    slab_heap::deallocate(mine);
  }
  EXPECT_EQ(memory.blocks(), 1u) << "one chunk serves both";
}

TEST(Slab, ReturnsEveryPageWhenItIsDestroyed) {
  counting_resource memory;
  {
    page_source pages(&memory);
    std::vector<std::unique_ptr<slab_heap>> heaps;
    for (int i = 0; i < 4; ++i) heaps.push_back(std::make_unique<slab_heap>(pages));
    for (auto& h : heaps)
      for (int i = 0; i < 3000; ++i) static_cast<void>(h->allocate(static_cast<std::size_t>(8 + i % 500), 8));
    EXPECT_GT(memory.blocks(), 1u);
  }
  EXPECT_EQ(memory.blocks(), 0u);
  EXPECT_EQ(memory.bytes(), 0u);
}

}  // namespace
}  // namespace slab_test
