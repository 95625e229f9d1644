// A coroutine that submit would drop unrun is refused.
// expect: weir::spawn\(\) it
#include <weir/task.hpp>
#include <weir/weir.hpp>

weir::task<int> answer() { co_return 42; }

bool use(weir::runtime& rt) {
#ifdef MISUSE
  return static_cast<bool>(rt.submit([] { return answer(); }));
#else
  return weir::spawn(rt, answer()).get().has_value();
#endif
}
