// What disassembly.py looks at: small functions around the fork deque, compiled alone and never linked or run.
#include <weir/fork_join.hpp>

using weir::detail::fork_deque;
using weir::detail::fork_job;

extern "C" {

int leaf(int) noexcept;  // of the program: not weir's cost

// Both callables inlined.
WEIR_NOINLINE int probe_fork(int a, int b) {
  const auto both = weir::fork_join([&] { return a + 1; }, [&] { return b + 1; });
  return both.first + both.second;
}

// Both call something, and may throw.
WEIR_NOINLINE int probe_tree(int n) {
  if (n < 2) return leaf(n);
  const auto both = weir::fork_join([&] { return probe_tree(n - 1); }, [&] { return probe_tree(n - 2); });
  return both.first + both.second;
}

bool probe_push(fork_deque& d, std::uint32_t h, fork_job* j) { return d.push(h, j); }
bool probe_pop(fork_deque& d, std::uint32_t h) { return d.pop(h); }
bool probe_steal(fork_deque& d, fork_job*& out) { return d.steal(out) == weir::detail::steal_outcome::stolen; }
bool probe_force(fork_deque& d, fork_job*& out) { return d.force(out) == weir::detail::steal_outcome::stolen; }
bool probe_reclaim(fork_deque& d, std::uint32_t h) { return d.reclaim(h); }
bool probe_expose(fork_deque& d) { return d.expose(); }
void probe_close(fork_deque& d, std::uint32_t h) { d.close(h); }
void probe_full_fence() { weir::detail::std_atomics::fence_seq_cst(); }

}  // extern "C"
