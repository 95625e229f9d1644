// Cores, last-level caches and NUMA nodes from hwloc. Only in a build with the hwloc feature (WEIR_HWLOC=1).
#include "topology.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <type_traits>
#include <utility>

#include <hwloc.h>

#if HWLOC_API_VERSION < 0x00020000
#error "weir needs hwloc 2.0 or newer"
#endif

namespace weir {
inline namespace v0 {
namespace detail {
namespace {

struct destroy_hwloc {
  void operator()(hwloc_topology_t t) const noexcept { hwloc_topology_destroy(t); }
};
using hwloc_pointer = std::unique_ptr<std::remove_pointer_t<hwloc_topology_t>, destroy_hwloc>;

// Everything that we do not ask for is left out before the load: devices alone cost most of a plain load.
hwloc_pointer load(const std::string& synthetic) {
  hwloc_topology_t raw = nullptr;
  if (hwloc_topology_init(&raw) != 0) return nullptr;
  hwloc_pointer machine(raw);
  hwloc_topology_set_all_types_filter(raw, HWLOC_TYPE_FILTER_KEEP_NONE);
  for (const hwloc_obj_type_t kept :
       {HWLOC_OBJ_CORE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE, HWLOC_OBJ_L5CACHE})
    if (hwloc_topology_set_type_filter(raw, kept, HWLOC_TYPE_FILTER_KEEP_ALL) != 0) return nullptr;
  // A node with no object around it is hung on a group; without groups it would seem to hold the whole machine.
  if (hwloc_topology_set_type_filter(raw, HWLOC_OBJ_GROUP, HWLOC_TYPE_FILTER_KEEP_STRUCTURE) != 0) return nullptr;
  unsigned long flags = 0;
#if HWLOC_API_VERSION >= 0x00020500
  flags |=
      HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING;  // else cpuid may be asked on each CPU in turn, on the user's thread
#endif
#if HWLOC_API_VERSION >= 0x00020800
  flags |= HWLOC_TOPOLOGY_FLAG_NO_DISTANCES | HWLOC_TOPOLOGY_FLAG_NO_MEMATTRS | HWLOC_TOPOLOGY_FLAG_NO_CPUKINDS;
#endif
  if (hwloc_topology_set_flags(raw, flags) != 0) return nullptr;
  if (!synthetic.empty() && hwloc_topology_set_synthetic(raw, synthetic.c_str()) != 0) return nullptr;
  if (hwloc_topology_load(raw) != 0) return nullptr;
  // HWLOC_XMLFILE and the like may describe another machine, on which our CPU numbers mean nothing.
  if (synthetic.empty() && hwloc_topology_is_thissystem(raw) == 0) return nullptr;
  return machine;
}

// Small numbers for objects, in order of appearance; null is one more object.
class numbering {
 public:
  int operator()(hwloc_obj_t object) {
    return by_object_.try_emplace(object, static_cast<int>(by_object_.size())).first->second;
  }

 private:
  std::map<hwloc_obj_t, int> by_object_;
};

}  // namespace

bool refine_with_hwloc(topology& t, const std::string& synthetic) {
  const hwloc_pointer machine = load(synthetic);
  if (!machine) return false;

  std::vector<cpu> cpus = t.cpus;
  std::size_t found = 0;
  numbering cores, caches;
  hwloc_obj_t pu = nullptr;
  while ((pu = hwloc_get_next_obj_by_type(machine.get(), HWLOC_OBJ_PU, pu)) != nullptr) {
    const int os_index = static_cast<int>(pu->os_index);
    const auto at = std::lower_bound(cpus.begin(), cpus.end(), os_index,
                                     [](const cpu& c, int index) { return c.os_index < index; });
    if (at == cpus.end() || at->os_index != os_index) continue;  // the machine's, not ours
    ++found;
    hwloc_obj_t core = pu, cache = nullptr;  // a virtual machine may show no cores: each CPU is one
    for (hwloc_obj_t up = pu->parent; up != nullptr; up = up->parent) {
      if (up->type == HWLOC_OBJ_CORE) core = up;
      if (hwloc_obj_type_is_dcache(up->type) != 0) cache = up;  // the outermost one stays: L3, but L2 where that is all
    }
    at->numa = std::max(hwloc_bitmap_first(pu->nodeset), 0);
    if (cache == nullptr)  // unknown: the node's CPUs count as sharing one
      cache = hwloc_get_numanode_obj_by_os_index(machine.get(), static_cast<unsigned>(at->numa));
    at->llc = caches(cache);
    at->core = cores(core);
  }
  if (found != cpus.size()) return false;
  rank_siblings(cpus);
  t.cpus = std::move(cpus);
  return true;
}

}  // namespace detail
}  // namespace v0
}  // namespace weir
