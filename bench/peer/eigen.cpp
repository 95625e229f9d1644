#include "eigen.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<eigen_pool>());
}
}  // namespace bench
