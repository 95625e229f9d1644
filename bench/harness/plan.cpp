#include "plan.hpp"

#include "program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <sstream>
#include <stdexcept>

namespace bench {
namespace {

constexpr double listing_s = 10;

bool among(const std::string& name, const std::vector<std::string>& wanted) {
  return wanted.empty() || std::find(wanted.begin(), wanted.end(), name) != wanted.end();
}

void check_suites(const wishes& w, const registry& own) {
  std::set<std::string> known;
  for (const contestant& c : own.all()) known.insert(c.what.suite);
  for (const std::string& s : w.suites)
    if (!known.contains(s))
      throw std::invalid_argument(
          fmt::format("no suite is named '{}'; there are {} and all", s, fmt::join(known, ", ")));
}

void listing_of(const std::string& program, const registry& own, const std::string& suffix, plan& p) {
  const program_end end = run_program({program, "list"}, listing_s);
  if (!end.failure.empty()) {
    p.troubles.push_back(program + " list: " + end.failure);
    return;
  }
  try {
    read_listing(end.out, program, own, suffix, p);
  } catch (const std::exception& e) { p.troubles.push_back(program + " list: " + e.what()); }
}

}  // namespace

void read_listing(std::string_view text, const std::string& program, const registry& own, const std::string& suffix,
                  plan& p) {
  std::istringstream in{std::string(text)};
  for (std::string line; std::getline(in, line);) {
    if (line.empty()) continue;
    const nlohmann::json j = nlohmann::json::parse(line);
    const std::string peer = j.at("peer"), wanted = j.at("case");
    if (!suffix.empty() && peer != "weir") continue;
    std::set<unsigned> counts;
    const situation* what = nullptr;
    for (const contestant& c : own.all()) {
      if (c.what.suite + "/" + c.what.name != wanted) continue;
      what = &c.what;
      if (c.peer == "weir") counts.insert(c.workers);
    }
    if (what == nullptr) continue;  // a case of a newer program, or one that a quick run leaves out
    if (j.contains("workers")) {
      const unsigned fixed = j.at("workers");
      if (!suffix.empty() && !counts.contains(fixed)) continue;
      counts = {fixed};
    } else if (own.quick() && suffix.empty() && !counts.empty()) {
      counts = {*counts.rbegin()};
    }
    p.versions[peer + suffix] = j.value("version", "");
    for (const unsigned n : counts) p.entrants.push_back({*what, peer + suffix, peer, n, program});
  }
}

plan make_plan(const wishes& w) {
  const registry own = everything(w.quick, w.workers, w.published);
  check_suites(w, own);
  plan p;
  const std::string self = this_program();
  for (const peer_entry& e : peers()) p.versions[e.name] = e.version;
  for (const contestant& c : own.all()) p.entrants.push_back({c.what, c.peer, c.peer, c.workers, self});
  // A quick run has no time for them, unless they are asked for.
  std::vector<std::string> programs = w.quick && w.peers.empty() ? std::vector<std::string>{} : programs_beside();
  programs.insert(programs.end(), w.programs.begin(), w.programs.end());
  for (const std::string& program : programs) listing_of(program, own, "", p);
  if (!w.against.empty()) listing_of(w.against, own, "@against", p);

  std::vector<std::string> wanted = w.peers;
  if (!wanted.empty() && !w.against.empty()) wanted.emplace_back("weir@against");
  for (const std::string& peer : wanted)
    if (!p.versions.contains(peer)) {
      std::vector<std::string> known;
      for (const auto& [name, version] : p.versions) known.push_back(name);
      p.troubles.push_back(fmt::format("no peer is named '{}' here; there are {}", peer, fmt::join(known, ", ")));
    }
  std::erase_if(p.entrants, [&](const entrant& e) {
    const std::string name = e.what.suite + "/" + e.what.name;
    const bool asked = w.only.empty() || std::any_of(w.only.begin(), w.only.end(), [&name](const std::string& part) {
                         return name.find(part) != std::string::npos;
                       });
    return !asked || !among(e.what.suite, w.suites) || !among(e.peer, wanted);
  });
  std::set<std::string> left;
  for (const entrant& e : p.entrants) left.insert(e.peer);
  std::erase_if(p.versions, [&left](const auto& v) { return !left.contains(v.first); });
  return p;
}

std::string this_program() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

std::vector<std::string> programs_beside() {
  std::vector<std::string> found;
  std::error_code ignored;
  const auto folder = std::filesystem::path(this_program()).parent_path();
  for (const auto& file : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string path = file.path().string();
    if (file.path().filename().string().starts_with("weir-bench-peer-") && file.is_regular_file(ignored) &&
        access(path.c_str(), X_OK) == 0)
      found.push_back(path);
  }
  std::sort(found.begin(), found.end());
  return found;
}

}  // namespace bench
