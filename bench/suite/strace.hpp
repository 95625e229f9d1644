// Futex calls as strace counts them: the one way that sees those of every library and language, which mostly issue them
// without a function that could be replaced. Only futex calls stop the traced threads (--seccomp-bpf), but each by some
// 10 µs, so what is counted runs slower than it does alone.
#pragma once

#include <string>
#include <vector>

namespace bench {

// There is a strace on the PATH.
bool can_trace();

// Runs this program with these arguments; all its threads' calls. Throws std::runtime_error when either fails.
double traced_futex_calls(const std::vector<std::string>& arguments);

// From what `strace -c` printed; 0 when it names no futex. Throws std::runtime_error when it is no such table.
double futex_calls_in(const std::string& table);

}  // namespace bench
