#include "mutex_pool.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<mutex_pool>());
}
}  // namespace bench
