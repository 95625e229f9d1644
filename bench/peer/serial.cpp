#include "serial.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<serial>());
}
}  // namespace bench
