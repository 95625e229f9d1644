// Every suite over one peer: what peer/NAME.cpp instantiates.
#pragma once

#include "../latency/loaders.hpp"
#include "fork.hpp"
#include "latency.hpp"
#include "memory.hpp"
#include "submit.hpp"
#include "switch.hpp"
#include "wake.hpp"

namespace bench {

template <class Peer>
peer_entry entry_of() {
  static_assert(a_peer<Peer>);
  add_loader<Peer>();
  return {Peer::name, Peer::version(), [](registry& r) {
            enrol_fork<Peer>(r);
            enrol_submit<Peer>(r);
            enrol_wake<Peer>(r);
            enrol_latency<Peer>(r);
            enrol_memory<Peer>(r);
            enrol_switch<Peer>(r);
          }};
}

}  // namespace bench
