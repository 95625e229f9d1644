#include "std_async.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<std_async>());
}
}  // namespace bench
