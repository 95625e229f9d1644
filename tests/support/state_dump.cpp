// Tells the watchdog how to look into weir. For executables that have the private parts of the library in them.
#include "diagnose.hpp"

#include <watchdog.hpp>

namespace {
[[maybe_unused]] const bool installed = (test::dump_state = &weir::detail::diagnose, true);
}
