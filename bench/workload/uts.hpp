// Unbalanced tree search (Olivier et al., LCPC 2006), the binomial tree: a node has eight children or none, and no one
// can tell from above how large a subtree is. A node costs about what a hash of a short message does.
#pragma once

#include "common.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace bench {

inline constexpr std::size_t uts_children = 8;

struct uts_node {
  std::uint64_t state;
  static uts_node child(std::uint64_t parent, std::uint64_t i) noexcept {
    std::uint64_t s = parent ^ ((i + 1) * 0x9e3779b97f4a7c15u);
    for (int round = 0; round < 12; ++round) s = mix(s + 0x9e3779b97f4a7c15u);
    return {s};
  }
  // Below 1/8, so that the tree is finite: a subtree has 250 nodes on average, and now and then half a million.
  bool fertile() const noexcept { return static_cast<double>(state >> 11) * 0x1p-53 < 0.1245; }
};

template <class Peer>
BENCH_NOINLINE std::uint64_t uts_of(uts_node node) {
  if (!node.fertile()) return 1;
  std::array<std::uint64_t, uts_children> sizes;
  Peer::fork_each(uts_children,
                  [&sizes, node](std::size_t i) { sizes[i] = uts_of<Peer>(uts_node::child(node.state, i)); });
  std::uint64_t sum = 1;
  for (const std::uint64_t s : sizes) sum += s;
  return sum;
}

// The same without forks and without recursion, to check against.
inline std::uint64_t uts_count(uts_node root) {
  std::uint64_t count = 0;
  std::vector<uts_node> open{root};
  while (!open.empty()) {
    const uts_node n = open.back();
    open.pop_back();
    ++count;
    if (!n.fertile()) continue;
    for (std::uint64_t i = 0; i < uts_children; ++i) open.push_back(uts_node::child(n.state, i));
  }
  return count;
}

class uts {
 public:
  static constexpr const char* name = "uts";

  explicit uts(unsigned roots) : sizes_(roots) {}
  template <class Peer>
  std::uint64_t run() {
    return run_of<Peer>(sizes_.size());
  }
  template <class Peer>
  void warm() {
    static_cast<void>(run_of<Peer>(sizes_.size() / 16));
  }
  bool check(std::uint64_t answer) const {
    std::uint64_t sum = 1;
    for (std::size_t i = 0; i < sizes_.size(); ++i) sum += uts_count(uts_node::child(seed, i));
    return answer == sum;
  }

 private:
  static constexpr std::uint64_t seed = 19;
  template <class Peer>
  std::uint64_t run_of(std::size_t roots) {
    Peer::fork_each(roots, [this](std::size_t i) { sizes_[i] = uts_of<Peer>(uts_node::child(seed, i)); });
    std::uint64_t sum = 1;
    for (std::size_t i = 0; i < roots; ++i) sum += sizes_[i];
    return sum;
  }
  std::vector<std::uint64_t> sizes_;
};

}  // namespace bench
