// Streams under load: each accepted task has one result, whoever reads, however it ends, and in its order where order was asked for.
#include <weir/result_stream.hpp>
#include <weir/runtime.hpp>
#include <weir/strand.hpp>

#include <counting_resource.hpp>
#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <array>
#include <memory>
#include <optional>
#include <stdexcept>
#include <thread>
#include <tuple>
#include <vector>

namespace result_stream_stress {
namespace {

using namespace test;

constexpr std::size_t submitters = 2;

struct task {
  ticket number;
  std::size_t value;
  std::size_t operator()() {
    number();
    if (value % 7 == 3) throw std::runtime_error("every seventh");
    return value;
  }
};

// Who has read what. `last` is that of the only reader.
struct readers_notes {
  explicit readers_notes(std::size_t each) : seen(submitters * each), each_of(each) {}
  std::vector<std::atomic<unsigned>> seen;
  std::atomic<std::size_t> values{0}, thrown{0}, unrun{0}, disorder{0};
  std::array<std::size_t, submitters> last{};
  const std::size_t each_of;

  void note(const weir::result<std::size_t>& r, bool ordered) {
    if (!r) {
      ++(r.error().code == weir::errc::failed ? thrown : unrun);
      return;
    }
    ++values;
    ++seen[*r];
    const std::size_t who = *r / each_of, next = *r % each_of + 1;
    if (ordered && std::exchange(last[who], next) >= next) ++disorder;
  }
  std::size_t all() const { return values + thrown + unrun; }
};

enum class ending : unsigned { close, stop, drop, drain, abort };

class Streams : public stress, public ::testing::WithParamInterface<std::tuple<unsigned, ending>> {};

TEST_P(Streams, EachAcceptedTaskHasOneResult) {
  const auto [workers, end] = GetParam();
  random_numbers random(workers * 10 + static_cast<unsigned>(end));
  counting_resource memory;
  for (std::size_t round = rounds(40); round != 0; --round) {
    const std::size_t each = 1 + random.below(200);
    ledger books(submitters * each);
    readers_notes notes(each);
    std::atomic<std::size_t> accepted{0};
    const bool ordered = random.one_in(2);
    const std::size_t readers = ordered && random.one_in(2) ? 1 : 2;
    {
      weir::options o = with_workers(workers);
      o.memory = &memory;
      o.full = random.one_in(2) ? weir::on_full::block : weir::on_full::reject;
      o.capacity = 16 + random.below(200);
      o.on_unhandled = [](const weir::task_info&, std::exception_ptr) {};
      weir::runtime rt(o);
      const weir::strand serial(rt);
      const weir::limited few(rt, 2, 20, o.full);
      const weir::executor_ref ways[] = {rt, rt, serial, few};
      const weir::executor_ref to = ways[random.below(4)];
      std::stop_source stop;
      std::optional<weir::result_stream<std::size_t>> results(
          std::in_place, to,
          weir::stream_options{.capacity = 1 + random.below(60), .ordered = ordered, .limit = static_cast<unsigned>(random.below(3)),
                               .stop = stop.get_token()});
      std::vector<std::thread> in, out;
      std::atomic<bool> enough{false};
      for (std::size_t t = 0; t < submitters; ++t)
        in.emplace_back([&, t] {
          for (std::size_t i = 0; i < each; ++i) {
            task job{ticket(books), t * each + i};
            const weir::status said = results->submit(std::move(job));
            if (said) {
              ++accepted;
            } else {
              ASSERT_TRUE(job.number.whole()) << "refused with " << static_cast<int>(said.error().code);
              job.number.refused();
              std::this_thread::yield();
            }
          }
        });
      const auto read = [&] {
        for (std::size_t i = 0; !enough; ++i)
          if (const auto r = i % 5 == 4 ? results->next_until(weir::clock_type::now() + std::chrono::microseconds(50)) : results->next(); !r) break;
          else if (*r || (r->error().code != weir::errc::timeout && r->error().code != weir::errc::starved)) notes.note(*r, readers == 1);
      };
      // One reader may be a task, where it helps: not while the runtime is drained, which would wait for it.
      std::optional<weir::join_handle<void>> inside;
      if (end < ending::drop && readers == 2) inside = rt.spawn(read, {.prio = weir::lane::high});
      if (inside && inside->ready()) inside.reset();  // there was no room for it
      for (std::size_t t = inside ? 1 : 0; t < readers; ++t) out.emplace_back(read);
      const auto join_all = [](std::vector<std::thread>& all) {
        for (std::thread& t : all) t.join();
        all.clear();
      };
      const auto some_are_in = [&] {
        const std::size_t some = random.below(each);
        while (books.opened() < some) std::this_thread::yield();
      };
      switch (end) {
        case ending::close:
          join_all(in);
          results->close();
          break;
        case ending::stop:
          some_are_in();
          stop.request_stop();
          join_all(in);
          break;
        case ending::drop:
          some_are_in();
          enough = true;
          results->close();
          join_all(in);
          join_all(out);
          results.reset();
          ASSERT_TRUE(rt.wait_idle());
          break;
        case ending::drain:
          some_are_in();
          if (!random.one_in(2) || !rt.drain(weir::clock_type::now() + std::chrono::microseconds(100)).complete) {
            ASSERT_TRUE(rt.drain().complete);
          }
          join_all(in);
          break;
        case ending::abort:
          some_are_in();
          ASSERT_TRUE(rt.abort().complete);
          join_all(in);
          break;
      }
      join_all(out);
      if (inside) static_cast<void>(inside->get());
      if (end != ending::drain && end != ending::abort) {
        ASSERT_TRUE(rt.wait_idle());
      }
      const weir::snapshot m = rt.metrics();
      EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
    }
    books.check();
    if (end == ending::drop) {
      EXPECT_LE(notes.all(), accepted);
    } else {
      EXPECT_EQ(notes.all(), accepted);
    }
    if (end == ending::close) {
      EXPECT_EQ(notes.unrun, 0u);
    }
    if (end != ending::drop) {
      EXPECT_EQ(notes.values + notes.thrown, books.count(fate::ran));
    }
    EXPECT_EQ(notes.disorder, 0u);
    for (const auto& n : notes.seen) EXPECT_LE(n, 1u);
    ASSERT_EQ(memory.bytes(), 0u);
    if (HasFailure()) return;
  }
}

INSTANTIATE_TEST_SUITE_P(With, Streams,
                         ::testing::Combine(::testing::Values(1u, 2u, 5u),
                                            ::testing::Values(ending::close, ending::stop, ending::drop, ending::drain, ending::abort)));

}  // namespace
}  // namespace result_stream_stress
