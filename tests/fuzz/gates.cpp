// What actors do with strands and limits. See actor.hpp.
#include "actor.hpp"

#include <algorithm>

namespace fuzz {

namespace {

// Of who runs on the caller what finds no room: the main actor and its sides.
constexpr unsigned most_callers = 3;

std::unique_ptr<gate> make_limit(world& w, weir::executor_ref behind, unsigned n, std::size_t capacity,
                                 weir::on_full full) {
  if (full == weir::on_full::drop_oldest) w.drops = true;
  if (full == weir::on_full::discard) w.discards = true;
  const bool by_callers = full == weir::on_full::caller_runs;
  auto made = std::make_unique<gate>(weir::limited(behind, n, capacity, full), by_callers ? n + most_callers : n);
  made->caller_runs = by_callers;
  return made;
}

}  // namespace

// Over the runtime or over one another.
void actor::use_gate() {
  const unsigned how = in_.byte(), b = in_.byte();
  quiet_ = false;
  if (gates_.empty() || (how & 7) == 0) {
    if (gates_.size() >= 4) return;
    const weir::executor_ref behind =
        (b & 1) != 0 && !gates_.empty() ? gates_[(b >> 1) % gates_.size()]->to : weir::executor_ref(*w_.rt);
    const weir::on_full policies[] = {(b & 0x20) != 0 ? weir::on_full::block : weir::on_full::reject,
                                      weir::on_full::caller_runs, weir::on_full::drop_oldest, weir::on_full::discard};
    if ((how & 8) != 0)
      gates_.push_back(make_limit(w_, behind, 1 + (b >> 3 & 3), 1 + (b >> 6), policies[how >> 4 & 3]));
    else gates_.push_back(std::make_unique<gate>(weir::strand(behind), 1u));
    return;
  }
  gate& g = *gates_[b % gates_.size()];
  if ((how & 7) == 1 && (b & 0xc0) == 0) {  // let go of; what it accepted still runs
    const auto last = std::move(g.to);
    const weir::status s = g.to.try_submit([] {});
    require(!s && s.error().code == weir::errc::invalid, "a gate that was moved from took a task");
    return;
  }
  gate_ticket::made_for = &g;
  const std::uint32_t recipe = in_.word();
  weir::task_options o;
  const bool with_options = (how & 16) != 0;
  if (with_options) options_from(in_.byte(), o);
  for (unsigned i = 0; i <= (b >> 4 & 3); ++i) {
    const std::uint32_t mine = g.caller_runs && !may_block() ? 0 : recipe + i;  // it may run here
    if ((how & 32) != 0) {
      if (!may_block()) o.start_by = std::min(o.start_by, soon(500us));
      if (auto h = lend<gate_ticket>(g.to, w_, mine, with_options || !may_block() ? &o : nullptr))
        handles_.push_back(std::move(*h));
    } else {
      static_cast<void>(give<gate_ticket>(g.to, w_, mine, may_block() ? how >> 6 & 1 : 1, with_options ? &o : nullptr));
    }
  }
}

}  // namespace fuzz
