// See queue_time.hpp.
#include "queue_time.hpp"

#include "worker.hpp"

#include <new>

namespace weir {
inline namespace v0 {
namespace detail {

namespace {

struct timed_block {
  job inner;
};
struct timed_entry : gate_entry {
  gate_entry* inner = nullptr;
  std::int64_t queued = 0;
};

// Only workers take these to run them.
outcome run_or_shed(job& inner, std::int64_t queued) noexcept {
  if (!worker::current()->owner.sheds(queued)) return inner.ops().run(inner);
  inner.ops().drop(inner, errc::expired);
  return outcome_of(errc::expired);
}

job unwrap(const job& timed) noexcept {
  auto* const b = static_cast<timed_block*>(timed.pointer());
  const job inner = b->inner;
  deallocate(b, sizeof(timed_block), alignof(timed_block));
  return inner;
}
timed_entry& entry_of(const job& timed) noexcept {
  return *static_cast<timed_entry*>(static_cast<gate_entry*>(timed.pointer()));
}
job unwrap_entry(const job& timed) noexcept {
  timed_entry& e = entry_of(timed);
  const job inner = e.inner->as_job();
  deallocate(&e, sizeof(timed_entry), alignof(timed_entry));
  return inner;
}

const job_ops timed_ops{[](job& j) noexcept {
                          const auto queued = static_cast<std::int64_t>(j.data[1]);
                          job inner = unwrap(j);
                          return run_or_shed(inner, queued);
                        },
                        [](job& j, errc e) noexcept {
                          job inner = unwrap(j);
                          inner.ops().drop(inner, e);
                        },
                        [](job& j, task_fn& out) {
                          job inner = unwrap(j);
                          return inner.ops().extract(inner, out);
                        }};

const job_ops timed_entry_ops{[](job& j) noexcept {
                                const std::int64_t queued = entry_of(j).queued;
                                job inner = unwrap_entry(j);
                                return run_or_shed(inner, queued);
                              },
                              [](job& j, errc e) noexcept {
                                job inner = unwrap_entry(j);
                                inner.ops().drop(inner, e);
                              },
                              [](job& j, task_fn& out) {
                                job inner = unwrap_entry(j);
                                return inner.ops().extract(inner, out);
                              }};

}  // namespace

std::int64_t queue_clock_now() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(clock_type::now().time_since_epoch()).count();
}

bool put_time(core& c, const job& j, job& timed) noexcept {
  const std::int64_t now = queue_clock_now();
  if (is_ticket(j)) return timed = node_ticket_with_time(*static_cast<task_node*>(j.pointer()), false, now), true;
  timed_block* b = nullptr;
  WEIR_TRY { b = ::new (allocate(c, sizeof(timed_block), alignof(timed_block))) timed_block{j}; }
  WEIR_CATCH_ALL { return false; }
  timed = {reinterpret_cast<std::uintptr_t>(&timed_ops),
           {reinterpret_cast<std::uintptr_t>(b), static_cast<std::uint64_t>(now)}};
  return true;
}
void take_time_back(const job& timed) noexcept {
  if (!is_ticket(timed)) unwrap(timed);
}

gate_entry* put_time(core& c, gate_entry& e) noexcept {
  if (is_ticket(e.as_job())) return node_put_time(e), &e;
  timed_entry* t = nullptr;
  WEIR_TRY { t = ::new (allocate(c, sizeof(timed_entry), alignof(timed_entry))) timed_entry; }
  WEIR_CATCH_ALL { return nullptr; }
  t->tagged_ops = reinterpret_cast<std::uintptr_t>(&timed_entry_ops);
  t->inner = &e;
  t->queued = queue_clock_now();
  return t;
}
void take_time_back(gate_entry& timed) noexcept {
  const job j = timed.as_job();
  if (!is_ticket(j)) unwrap_entry(j);
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
