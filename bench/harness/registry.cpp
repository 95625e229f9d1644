#include "registry.hpp"

#include <algorithm>
#include <stdexcept>
#include <tuple>
#include <utility>

namespace bench {
namespace {

std::vector<peer_entry>& enrolled() {
  static std::vector<peer_entry> all;
  return all;
}

}  // namespace

registry::registry(bool quick, unsigned workers, bool published)
    : quick_(quick), published_(published), workers_(workers) {}

void registry::add(const situation& what, const char* peer, unsigned workers, block run) {
  const auto same = [&](const contestant& c) {
    return c.what.suite == what.suite && c.what.name == what.name && c.peer == peer && c.workers == workers;
  };
  if (std::any_of(all_.begin(), all_.end(), same))
    throw std::logic_error(what.suite + "/" + what.name + " is there twice for " + peer);
  all_.push_back({what, peer, workers, std::move(run)});
}

std::vector<unsigned> registry::scaling(unsigned fixed, std::string_view peer) const {
  if (fixed != 0) return {fixed};
  if (quick_ && peer != "weir") return {workers_};
  std::vector<unsigned> counts;
  for (unsigned n = 1; n < workers_; n *= 2) counts.push_back(n);
  counts.push_back(workers_);
  return counts;
}

enrolment::enrolment(peer_entry e) {
  const auto rank = [](const peer_entry& p) { return std::tuple(p.name != "weir", p.name); };
  std::vector<peer_entry>& all = enrolled();
  const auto before = std::find_if(all.begin(), all.end(), [&](const peer_entry& p) { return rank(e) < rank(p); });
  all.insert(before, std::move(e));
}

const std::vector<peer_entry>& peers() { return enrolled(); }

registry everything(bool quick, unsigned workers, bool published) {
  registry r(quick, workers, published);
  for (const peer_entry& p : peers()) p.enrol(r);
  return r;
}

}  // namespace bench
