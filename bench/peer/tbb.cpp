#include "tbb.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<tbb_peer>());
}
}  // namespace bench
