// What tasks do when they run. See actor.hpp.
#include "actor.hpp"

#include <stdexcept>

namespace fuzz {

namespace {
void burn(std::chrono::microseconds d) {
  for (const auto until = soon(d); weir::clock_type::now() < until;) {}
}
}  // namespace

void act(world& w, std::uint32_t recipe) {
  const unsigned action = recipe & 15;
  const std::uint32_t rest = recipe >> 4;
  const weir::executor_ref here = weir::here();
  const auto child = [&](const weir::task_options* o = nullptr) { return lend<ticket>(here, w, rest, o); };
  switch (action) {
    case 0: break;
    case 1: throw std::out_of_range("asked for");
    case 2:
      burn(20us);
      if ((rest & 8) != 0) {
        alarm_ticket::made_for = soon(50us);
        start_timer<alarm_ticket>([&](alarm_ticket&& f) { return weir::at(here, alarm_ticket::made_for, std::move(f)); }, w, rest, kind::plain).t.detach();
      }
      break;
    case 3:
      std::this_thread::sleep_for(200us);
      if ((rest & 8) != 0 && w.for_tasks != nullptr)
        if (auto h = lend_beside<ticket>(*w.for_tasks, w, rest, nullptr)) {
          auto r = h->h.get_until(soon());
          check_answer(w, *h, r);
        }
      break;
    case 4:
      static_cast<void>(give<ticket>(here, w, rest, 0, nullptr));
      static_cast<void>(give<small>(here, w, rest, 1, nullptr));
      break;
    case 5:
      if (auto h = child()) {
        auto r = h->h.get();
        check_answer(w, *h, r);
      }
      break;
    case 6:
      if (auto h = child()) {
        auto r = h->h.get_until(soon());
        check_answer(w, *h, r);
      }
      break;
    case 7:
      if (auto h = child()) h->h.cancel();
      if (auto h = child()) h->h.detach();
      break;
    case 8: {
      weir::task_group g(here, {.limit = rest & 1, .cancel_on_error = (rest & 2) != 0});
      for (int i = 0; i < 3; ++i) add<ticket>(g, w, rest, false);
      static_cast<void>(g.wait());
      break;
    }
    case 9: weir::fork_join([&] { act(w, rest); }, [&] { act(w, rest ^ 1); }); break;
    case 10: {
      std::atomic<unsigned> sum{0};
      const weir::status s = weir::parallel_for(0u, 40u, [&](unsigned i) {
        sum.fetch_add(i + 1);
        if ((rest & 1) != 0 && i == 33) throw std::out_of_range("asked for");
        if ((rest & 2) != 0) burn(2us);
      });
      require(!s || sum == 820, "parallel_for said ok and did not run all", sum);
      require(static_cast<bool>(s) == ((rest & 1) == 0), "parallel_for's answer is wrong", rest);
      break;
    }
    case 11: w.pass_gate(); break;
    case 12:
      require(w.for_tasks == nullptr || !w.for_tasks->wait_idle(), "wait_idle on an own worker must not wait");
      break;
    case 13:
      for (const auto until = soon(200us); !weir::this_task::token().stop_requested() && weir::clock_type::now() < until;)
        std::this_thread::yield();
      break;
    case 14: {
      weir::task_options o;
      o.worker = static_cast<int>(rest & 1);
      o.prio = static_cast<weir::lane>((rest >> 1) % 3);
      if (auto h = child(&o)) {
        auto r = h->h.get_until(soon());
        check_answer(w, *h, r);
      }
      break;
    }
    default: {
      if (auto h = child()) w.share(std::move(*h));
      handle h{{}, 0};
      if ((rest & 1) != 0 && w.take_shared(h)) {
        auto r = h.h.get_until(soon());
        check_answer(w, h, r);
      }
      break;
    }
  }
}

}  // namespace fuzz
