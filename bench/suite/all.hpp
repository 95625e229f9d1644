// Every suite over one peer: what peer/NAME.cpp instantiates.
#pragma once

#include "fork.hpp"
#include "submit.hpp"
#include "wake.hpp"

namespace bench {

template <class Peer>
peer_entry entry_of() {
  static_assert(a_peer<Peer>);
  return {Peer::name, Peer::version(), [](registry& r) {
            enrol_fork<Peer>(r);
            enrol_submit<Peer>(r);
            enrol_wake<Peer>(r);
          }};
}

}  // namespace bench
