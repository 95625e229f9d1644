// Peers that an open loop can be run against in this program: those that take a task from outside.
#pragma once

#include "load.hpp"

#include <functional>
#include <string>
#include <vector>

namespace bench {

struct loader {
  std::string peer;
  std::function<load_reading(unsigned workers, const load_plan&)> load;
  std::function<double(unsigned workers, const load_plan&)> capacity;  // tasks a second
};

inline std::vector<loader>& loaders() {
  static std::vector<loader> all;
  return all;
}

// So many unfinished tasks for each worker keep all of them busy, and are few enough to stay in the caches.
inline constexpr std::uint64_t in_flight_each = 64;

// Called before main, once for each peer.
template <class Peer>
void add_loader() {
  if constexpr (accepts<Peer>)
    loaders().push_back({Peer::name,
                         [](unsigned workers, const load_plan& plan) {
                           Peer peer(workers);
                           return run_load(peer, plan);
                         },
                         [](unsigned workers, const load_plan& plan) {
                           Peer peer(workers);
                           return run_capacity(peer, plan.service_us, plan.arrivals.seconds, in_flight_each * workers,
                                               plan.where);
                         }});
}

}  // namespace bench
