// What actors do by the clock, and on the blocking pool. See actor.hpp.
#include "actor.hpp"

#include <algorithm>

namespace fuzz {

void actor::use_timer() {
  const unsigned how = in_.byte();
  const std::uint32_t recipe = in_.word();
  quiet_ = false;  // what is due takes no room, and makes none
  if ((how & 7) < 2 && !timers_.empty()) {
    const std::size_t at = (how >> 3) % timers_.size();
    if ((how & 1) != 0) timers_[at].cancel(w_);
    else timers_.erase(timers_.begin() + static_cast<std::ptrdiff_t>(at));  // cancels, too
    return;
  }
  const weir::duration delays[] = {0us, 30us, 200us, 1ms, 1h};
  const weir::duration delay = delays[(how >> 3) % 5];
  const bool gated = (how & 0x40) != 0 && !gates_.empty();
  const weir::executor_ref to = gated ? gates_[recipe % gates_.size()]->to : weir::executor_ref(*w_.rt);
  const bool let_go_of = (how & 0x80) != 0 && delay != 1h;  // what nobody cancels is to end by itself
  alarm made;
  switch (how & 7) {
    case 2:
    case 3:
      alarm_ticket::made_for = weir::clock_type::now() + delay;
      made = start_timer<alarm_ticket>([&](alarm_ticket&& f) { return weir::after(to, delay, std::move(f)); }, w_, recipe, kind::plain, gated);
      break;
    case 5:
    case 6: {
      const weir::overlap overlaps[] = {weir::overlap::skip, weir::overlap::queue, weir::overlap::coalesce};
      series_ticket::period_of_next = std::max<weir::duration>(delay, 50us);
      w_.uncountable = true;  // an occurrence is accepted when it is due
      if (let_go_of) w_.restless = true;
      made = start_timer<series_ticket>(
          [&](series_ticket&& f) {
            // One that goes on by itself is to leave moments of rest.
            return weir::every(to, series_ticket::period_of_next, std::move(f), let_go_of ? weir::overlap::skip : overlaps[recipe % 3]);
          },
          w_, let_go_of ? 0 : recipe >> 2, kind::series, gated);
      break;
    }
    case 7: {  // no timers
      const weir::errc invalid = weir::errc::invalid;
      if (gated) return;
      require(weir::after(to, -1ns, [] {}).accepted().error().code == invalid, "a timer of a negative duration");
      require(weir::every(to, 0ns, [] {}).accepted().error().code == invalid, "a series without a period");
      require(!weir::timer().accepted() && !weir::timer().cancel(), "an empty timer");
      return;
    }
    default:
      alarm_ticket::made_for = delay == 1h ? weir::time_point::max() : weir::clock_type::now() + delay;
      made = start_timer<alarm_ticket>([&](alarm_ticket&& f) { return weir::at(to, alarm_ticket::made_for, std::move(f)); }, w_, recipe, kind::plain, gated);
      break;
  }
  if (let_go_of) {
    made.t.detach();
    require(!made.t.cancel(), "a timer that was let go of was cancelled");
    return;
  }
  if (timers_.size() >= 8) timers_.erase(timers_.begin());
  timers_.push_back(std::move(made));
}

void actor::use_blocking() {
  const unsigned how = in_.byte();
  const std::uint32_t recipe = in_.word();
  quiet_ = false;  // it runs though the runtime is paused, and may submit
  weir::task_options o;
  weir::retry_policy again;
  const bool with_options = (how & 4) != 0;
  if (with_options) options_from(in_.byte(), o);
  const bool retried = with_options && (how & 8) != 0;
  if (retried) again = stubborn::policy(recipe), o.retry = &again;
  const weir::task_options* const opts = with_options ? &o : nullptr;
  auto h = retried ? lend_beside<stubborn>(*w_.rt, w_, recipe, opts)
                   : with_callable(how >> 4, [&]<class F>() { return lend_beside<traced<F>>(*w_.rt, w_, recipe, opts); });
  if (!h) return;
  if ((how & 1) != 0) w_.share(std::move(*h));
  else handles_.push_back(std::move(*h));
}

}  // namespace fuzz
