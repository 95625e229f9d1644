// When a task was queued, which CoDel wants to know when it is taken (codel.hpp). Layer 5; only where options::codel_target is set.
//
// A job has no room for it: 24 bytes, of which 16 are the callable. So what is queued is
//   a ticket             with the time in its own second word; in a strand or limit, in the bytes behind its entry
//   anything else        {timed, block, time}, and the job itself lies in the block: 24 bytes
//   in a strand or limit {entry, time, the entry itself}: 32 bytes
// Whoever takes it from a queue sees an ordinary job, so what does not ask for the time pays nothing for it.
#pragma once

#include <weir/detail/gate_entry.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

std::int64_t queue_clock_now() noexcept;  // ns of clock_type

// What is to be queued in j's place. False: no memory.
bool put_time(core& c, const job& j, job& timed) noexcept;
void take_time_back(const job& timed) noexcept;  // it was not queued: j is the caller's again
// The same of a gate's entry. Null: no memory.
gate_entry* put_time(core& c, gate_entry& e) noexcept;
void take_time_back(gate_entry& timed) noexcept;

}  // namespace detail
}  // namespace v0
}  // namespace weir
