// A retry policy that tasks share: one policy for many tasks is cheap, as with stop_hub. Layer 1.
#pragma once

#include "references.hpp"

#include <weir/options.hpp>

#include <cstdint>
#include <utility>

namespace weir {
inline namespace v0 {
namespace detail {

class retry_terms {
 public:
  // The caller's copy of the policy, with a reference for him; throws std::bad_alloc. `recent`: his cache.
  static retry_terms& of(const retry_policy& p, retry_terms*& recent) {
    if (recent == nullptr || !same(recent->policy, p)) {
      auto* const fresh = new retry_terms(p);
      forget(recent);
      recent = fresh;
    }
    add_reference(recent->refs_);
    return *recent;
  }
  static void forget(retry_terms*& recent) noexcept {
    if (recent != nullptr) std::exchange(recent, nullptr)->release();
  }
  void release() noexcept {
    if (drop_references(refs_)) delete this;
  }

  const retry_policy policy;

 private:
  explicit retry_terms(const retry_policy& p) noexcept : policy(p) {}
  static bool same(const retry_policy& a, const retry_policy& b) noexcept {
    return a.max_attempts == b.max_attempts && a.base == b.base && a.cap == b.cap && a.retryable == b.retryable;
  }
  atomic<std::uint32_t> refs_{1};
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
