// Counters that every thread may raise without touching another's cache line.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace bench {

inline constexpr std::size_t shard_count = 1024;

// Threads number themselves; those past the last shard share it.
inline std::size_t this_shard() noexcept {
  static constinit std::atomic<std::size_t> next{0};
  thread_local constinit std::size_t mine = shard_count;
  if (mine == shard_count) [[unlikely]] {
    const std::size_t n = next.fetch_add(1, std::memory_order_relaxed);
    mine = n < shard_count ? n : shard_count - 1;
  }
  return mine;
}

class sharded_counter {
 public:
  constexpr sharded_counter() = default;

  void add(std::uint64_t n = 1) noexcept {
    const std::size_t i = this_shard();
    auto& c = shards_[i].n;
    if (i == shard_count - 1) [[unlikely]]
      c.fetch_add(n, std::memory_order_relaxed);
    else c.store(c.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t sum() const noexcept {
    std::uint64_t s = 0;
    for (const auto& c : shards_) s += c.n.load(std::memory_order_relaxed);
    return s;
  }

 private:
  struct alignas(128) shard {
    std::atomic<std::uint64_t> n{0};
  };
  std::array<shard, shard_count> shards_{};
};

}  // namespace bench
