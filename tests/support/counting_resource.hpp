// A memory resource that knows what is out, and can be told to fail.
#pragma once

#include <atomic>
#include <memory_resource>
#include <new>

namespace test {

class counting_resource final : public std::pmr::memory_resource {
 public:
  std::size_t bytes() const { return bytes_.load(); }      ///< out at the moment
  std::size_t blocks() const { return blocks_.load(); }
  std::size_t calls() const { return calls_.load(); }      ///< to allocate, so far
  /// The n-th call from now on fails (1: the next one), and with `for_good` all after it; 0: none does.
  void fail_at(std::size_t n, bool for_good = false) {
    for_good_ = for_good;
    fail_at_ = n == 0 ? 0 : calls_ + n;
  }

 private:
  void* do_allocate(std::size_t bytes, std::size_t align) override {
    const std::size_t n = ++calls_, at = fail_at_;
    if (at != 0 && (n == at || (for_good_ && n > at))) throw std::bad_alloc();
    void* p = std::pmr::new_delete_resource()->allocate(bytes, align);
    bytes_ += bytes;
    ++blocks_;
    return p;
  }
  void do_deallocate(void* p, std::size_t bytes, std::size_t align) override {
    bytes_ -= bytes;
    --blocks_;
    std::pmr::new_delete_resource()->deallocate(p, bytes, align);
  }
  bool do_is_equal(const memory_resource& o) const noexcept override { return this == &o; }

  std::atomic<std::size_t> bytes_{0}, blocks_{0}, calls_{0}, fail_at_{0};
  std::atomic<bool> for_good_{false};
};

}  // namespace test
