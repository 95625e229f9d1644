#include "asio.hpp"

#include "../suite/all.hpp"

namespace bench {
namespace {
const enrolment here(entry_of<asio_pool>());
}
}  // namespace bench
