#include "openmp.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<openmp_peer>());
}
}  // namespace bench
