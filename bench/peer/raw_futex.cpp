// No library: the limit of waking, in wake/one alone.
#include "../harness/raw_futex.hpp"

#include "../suite/wake.hpp"

namespace bench {
namespace {

reading wake_raw(const ask& a) {
  raw_sleeper raw;
  return sampled(a, 1, [&raw] { return wake_sample(raw.started, [&raw] { raw.post(); }); });
}

void enrol(registry& r) {
  r.add({.suite = "wake",
         .name = "one",
         .size = r.pick(500u, 2'000u),
         .task = "a wake",
         .compared = {"p50_us", "p99_us"}},
        "raw_futex", 1, wake_raw);
}

const enrolment here({"raw_futex", "", enrol});

}  // namespace
}  // namespace bench
