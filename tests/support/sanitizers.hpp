// Which sanitizer this is compiled under: for limits that a sanitizer cannot keep, never to skip a fact.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define WEIR_TEST_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define WEIR_TEST_TSAN 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__)
#define WEIR_TEST_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WEIR_TEST_ASAN 1
#endif
#endif

namespace test {

#if defined(WEIR_TEST_TSAN)
inline constexpr bool tsan = true;
#else
inline constexpr bool tsan = false;
#endif
#if defined(WEIR_TEST_ASAN)
inline constexpr bool asan = true;
#else
inline constexpr bool asan = false;
#endif
inline constexpr bool sanitized = tsan || asan;
// The chaos build: every atomic may take a while.
#if defined(WEIR_SEAM)
inline constexpr bool slow = true;
#else
inline constexpr bool slow = sanitized;
#endif

}  // namespace test
