// A measured block runs in a forked child: fresh memory, fresh threads, and a hang or a crash costs that block alone.
// The parent must never start a thread.
#pragma once

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct outcome {
  std::vector<double> values;  // what the block returned; empty when it failed
  double peak_rss = 0;         // bytes: the child's maximum
  std::string failure;         // empty: it ended well
};

// A block that takes longer than `limit` seconds is killed and reported as hung.
outcome in_child(const std::function<std::vector<double>()>& block, unsigned limit);

}  // namespace bench
