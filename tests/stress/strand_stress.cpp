// Strands and limits in front of each other under load: each accepted task has one fate, none runs beside its neighbour, places
// and room are kept and come back.
#include <weir/runtime.hpp>
#include <weir/strand.hpp>
#include <weir/task_group.hpp>

#include <ledger.hpp>
#include <runtime_tools.hpp>
#include <stress.hpp>

#include <optional>
#include <thread>
#include <tuple>
#include <vector>

namespace strand_stress {
namespace {

using namespace test;

// So many may be inside: the strand's or the limit's own count.
struct door {
  explicit door(int n) : most(n) {}
  const int most;
  std::atomic<int> inside{0};
  std::atomic<bool> broken{false};
  void enter() {
    if (++inside > most) broken = true;
  }
  void leave() { --inside; }
};

// A number, and the doors that it goes through.
class guest {
 public:
  guest(ledger& l, std::vector<door*> doors) : ticket_(l), doors_(std::move(doors)) {}
  void operator()() {
    if (ticket::in_sink) return ticket_();
    for (door* d : doors_) d->enter();
    ticket_();
    for (door* d : doors_) d->leave();
  }
  ticket& number() { return ticket_; }

 private:
  ticket ticket_;
  std::vector<door*> doors_;
};

// Has a number, and then goes on.
template <class F>
struct nested {
  ticket number;
  F go_on;
  void operator()() {
    number();
    if (!ticket::in_sink) go_on();
  }
};
template <class F>
nested(ticket, F) -> nested<F>;

struct way {
  weir::executor_ref to;
  std::vector<door*> doors;
};

class Strands : public stress, public ::testing::WithParamInterface<std::tuple<unsigned, unsigned>> {};

void send(random_numbers& random, const way& w, ledger& books, std::vector<weir::join_handle<void>>& handles, std::stop_token stop) {
  guest g(books, w.doors);
  switch (random.below(6)) {
    case 0:
      if (!w.to.submit(std::move(g))) g.number().refused();
      return;
    case 1:
      if (!w.to.try_submit(std::move(g))) g.number().refused();
      return;
    case 2:
      if (!w.to.submit(std::move(g), {.stop = stop}) && g.number().whole()) g.number().refused();
      return;
    case 3:
      if (!w.to.submit(std::move(g), {.start_by = weir::clock_type::now() + std::chrono::microseconds(random.below(300))}) &&
          g.number().whole())
        g.number().refused();
      return;
    default: {
      auto h = w.to.spawn(std::move(g));
      if (g.number().whole()) return g.number().refused();
      switch (random.below(4)) {
        case 0: return h.cancel();
        case 1: return h.detach();
        case 2: return static_cast<void>(h.get_until(weir::clock_type::now() + std::chrono::microseconds(random.below(50))));
        default: handles.push_back(std::move(h));
      }
    }
  }
}

TEST_P(Strands, EveryTaskHasOneFateAndItsPlace) {
  const unsigned workers = std::get<0>(GetParam()), ending = std::get<1>(GetParam());
  weir::options o = with_workers(workers);
  o.capacity = 256;
  o.full = workers % 2 == 0 ? weir::on_full::block : weir::on_full::reject;
  const std::size_t each = rounds(12'000), threads = 3;
  ledger books(threads * each * 4 + 1);
  door in_a(1), in_b(1), in_few(2), in_one(1), in_more(3);
  {
    weir::runtime rt(o);
    weir::limited more(rt, 3, 200, weir::on_full::block), few(more, 2, 64, weir::on_full::reject);
    weir::strand a(rt), b(few);
    weir::limited one(static_cast<const weir::executor_ref&>(b), 1, 50);
    const std::vector<way> ways{{a, {&in_a}},
                                {b, {&in_b, &in_few, &in_more}},
                                {few, {&in_few, &in_more}},
                                {more, {&in_more}},
                                {one, {&in_one, &in_b, &in_few, &in_more}},
                                {rt, {}}};
    std::vector<std::thread> all;
    std::vector<std::vector<weir::join_handle<void>>> handles(threads);
    std::stop_source stop;
    for (std::size_t t = 0; t < threads; ++t)
      all.emplace_back([&, t] {
        random_numbers random(workers * 100 + ending * 10 + t);
        for (std::size_t i = 0; i < each; ++i) {
          const way& w = ways[random.below(ways.size())];
          if (random.one_in(4)) {  // from inside, on another way
            const way& inner = ways[random.below(ways.size())];
            const std::uint64_t stream = random.next();
            nested task{ticket(books), [&, stream, inner = &inner] {
                          random_numbers mine(stream);
                          std::vector<weir::join_handle<void>> unused;
                          send(mine, *inner, books, unused, stop.get_token());
                        }};
            if (!w.to.try_submit(std::move(task))) task.number.refused();
          } else {
            send(random, w, books, handles[t], stop.get_token());
          }
          if (ending == 0 && t == 0 && i == each / 2) stop.request_stop();
        }
      });
    if (ending != 0) {
      while (books.opened() < each) std::this_thread::yield();
      if (ending == 1) {
        EXPECT_TRUE(rt.drain(weir::clock_type::now() + std::chrono::milliseconds(1)).complete || rt.drain().complete);
      } else {
        EXPECT_TRUE(rt.abort([](weir::task_fn&& f) {
                        ticket::in_sink = true;
                        f();
                        ticket::in_sink = false;
                      }).complete);
      }
    }
    for (auto& t : all) t.join();
    for (auto& list : handles)
      for (auto& h : list) static_cast<void>(h.get());
    if (ending == 0) {
      ASSERT_TRUE(rt.wait_idle());
    }
    const auto m = rt.metrics();
    EXPECT_EQ(m.submitted, m.ok + m.failed + m.cancelled + m.expired + m.dropped + m.stopped);
    EXPECT_EQ(m.failed, 0u);
    if (ending == 0) {  // all room is back
      plug p(rt);
      const auto room_of = [](weir::executor_ref e) {
        std::vector<weir::join_handle<void>> taken;
        for (;;) {
          auto h = e.spawn([] {});
          if (h.ready()) break;
          taken.push_back(std::move(h));
        }
        for (auto& h : taken) h.cancel();
        return taken.size();
      };
      EXPECT_EQ(room_of(few), 64u);
      EXPECT_EQ(room_of(one), 50u);
      EXPECT_EQ(room_of(few), 64u);
    }
  }
  books.check();
  for (const door* d : {&in_a, &in_b, &in_few, &in_one, &in_more}) {
    EXPECT_FALSE(d->broken);
    EXPECT_EQ(d->inside, 0);
  }
}

INSTANTIATE_TEST_SUITE_P(With, Strands, ::testing::Combine(::testing::Values(1u, 2u, 5u, 16u), ::testing::Values(0u, 1u, 2u)));

// Strands come and go while their tasks run: each is destroyed while it is busy, in its own tasks too.
TEST_F(Strands, ComeAndGo) {
  weir::runtime rt(with_workers(3));
  std::atomic<std::size_t> ran{0};
  std::vector<std::thread> all;
  const std::size_t each = rounds(2000);
  for (unsigned t = 0; t < 3; ++t)
    all.emplace_back([&, t] {
      random_numbers random(t);
      for (std::size_t i = 0; i < each; ++i) {
        auto s = std::make_shared<weir::strand>(rt);
        for (int k = 0; k < 5; ++k)
          ASSERT_TRUE(s->submit([&ran, s = random.one_in(2) ? s : nullptr] { ++ran; }));
      }
    });
  for (auto& t : all) t.join();
  ASSERT_TRUE(rt.wait_idle());
  EXPECT_EQ(ran, 3 * each * 5);
}

// Many strands, each a little actor that sends to the next one.
TEST_F(Strands, PassMessagesAround) {
  weir::runtime rt(with_workers(4));
  constexpr std::size_t actors = 64;
  struct actor {
    explicit actor(weir::runtime& r) : s(r) {}
    weir::strand s;
    std::size_t seen = 0;  // the strand is its lock
  };
  std::vector<std::unique_ptr<actor>> all;
  for (std::size_t i = 0; i < actors; ++i) all.push_back(std::make_unique<actor>(rt));
  const std::size_t hops = rounds(3000);
  struct message {
    std::vector<std::unique_ptr<actor>>* all;
    std::size_t at, left;
    void operator()() {
      ++(*all)[at]->seen;
      if (left == 0) return;
      const std::size_t next = (at * 7 + 3) % actors;
      EXPECT_TRUE((*all)[next]->s.submit(message{all, next, left - 1}));
    }
  };
  for (std::size_t i = 0; i < 16; ++i) ASSERT_TRUE(all[i]->s.submit(message{&all, i, hops}));
  ASSERT_TRUE(rt.wait_idle());
  std::size_t seen = 0;
  for (const auto& a : all) seen += a->seen;
  EXPECT_EQ(seen, 16 * (hops + 1));
}

}  // namespace
}  // namespace strand_stress
