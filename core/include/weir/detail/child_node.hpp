// A task that has siblings: a child of a group or a stream. Layer 1; their lists are in core/src/siblings.hpp.
#pragma once

#include <weir/detail/task_node.hpp>

namespace weir {
inline namespace v0 {
namespace detail {

struct child_node : task_node {
  child_node *next, *previous;  // links of its parent's lists, under the parent's lock
  std::uint8_t where;           // siblings::place
};

}  // namespace detail
}  // namespace v0
}  // namespace weir
