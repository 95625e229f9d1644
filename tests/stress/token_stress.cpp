// A stop token that fires while its tasks are queued, claimed, run and cancelled by their handles.
#include <weir/runtime.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <stop_token>
#include <thread>
#include <vector>

namespace token_stress {
namespace {

using namespace test;

class TokenStress : public stress, public ::testing::WithParamInterface<unsigned> {};

TEST_P(TokenStress, EachTaskHasOneFateWhoeverIsFaster) {
  const std::size_t n = rounds(300), each = 40;
  constexpr unsigned submitters = 3;
  ledger books(n * each * submitters);
  {
    weir::runtime rt(with_workers(GetParam()));
    for (std::size_t round = 0; round < n; ++round) {
      std::stop_source one, other;
      std::vector<std::thread> threads;
      for (unsigned t = 0; t < submitters; ++t)
        threads.emplace_back([&, t] {
          random_numbers random(round * submitters + t);
          for (std::size_t i = 0; i < each; ++i) {
            const weir::task_options o{.stop = (random.one_in(3) ? other : one).get_token()};
            ticket k(books);
            if (random.one_in(2)) {
              if (!rt.submit(std::move(k), o)) k.refused();
              continue;
            }
            auto h = rt.spawn(std::move(k), o);
            if (k.whole()) k.refused();
            if (random.one_in(4)) h.cancel();
            if (random.one_in(4)) static_cast<void>(h.get());
          }
        });
      std::thread stopper([&] {
        if (round % 2 == 0) std::this_thread::yield();
        one.request_stop();
      });
      for (std::thread& t : threads) t.join();
      stopper.join();
      if (round % 4 == 0) other.request_stop();
    }
    ASSERT_TRUE(rt.wait_idle());
    const weir::snapshot s = rt.metrics();
    EXPECT_EQ(s.submitted, s.ok + s.cancelled);
  }
  books.check();
}
INSTANTIATE_TEST_SUITE_P(With, TokenStress, ::testing::Values(1u, 2u, 8u));

}  // namespace
}  // namespace token_stress
