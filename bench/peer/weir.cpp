#include "weir.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<weir_peer>());
}
}  // namespace bench
