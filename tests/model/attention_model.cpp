// attention.hpp, mailbox.hpp, duty.hpp: bits that say that there is something, letters for one worker, and who is needed at all.
#include "relacy.hpp"

#include "attention.hpp"
#include "duty.hpp"
#include "mailbox.hpp"
#include "parker.hpp"

using namespace weir::detail;

namespace attention_model {
namespace {

using A = model_atomics;
constexpr std::uint32_t high = 256, low = 1024;

// A lane as moodycamel promises it: what was enqueued before a fence is not missed after it.
struct lane_queue {
  A::atomic<unsigned> tail{0}, head{0};
  void enqueue() { tail.fetch_add(1, release); }
  bool take() {
    unsigned h = head.load(relaxed);
    while (h < tail.load(acquire))
      if (head.compare_exchange_weak(h, h + 1, relaxed, relaxed)) return true;
    return false;
  }
  bool empty() const { return head.load(relaxed) >= tail.load(relaxed); }
};

// As core::published and worker::take_lane do it. Workers look a few times: what they leave must be marked.
struct marks_stay : model::test<marks_stay, 4> {
  static constexpr const char* fact = "what lies in a side lane is marked when all have looked, whoever found it empty meanwhile";
  static constexpr const char* files = "attention.hpp";
  static constexpr const char* steps = "mark: look again";
  static constexpr model::effort work{.preemptions = 3, .bounded = 100'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;
  attention_word<A> word;
  lane_queue lanes[2];
  unsigned taken = 0;
  void take(lane_queue& q, std::uint32_t bit) {
    if ((word.bits() & bit) == 0) return;
    if (q.take()) {
      ++taken;
      return;
    }
    if (model::keeps("mark: look again")) word.unmark(bit, [&q] { return !q.empty(); });
    else word.lower(bit);
  }
  void thread(unsigned i) {
    if (i == 0) {
      for (int k = 0; k < 2; ++k) {
        lanes[0].enqueue();
        word.mark(high);
      }
    } else if (i == 1) {  // as a sweep does: both at once, whichever of them is up
      lanes[1].enqueue();
      lanes[0].enqueue();
      word.mark(high | low);
    } else {
      for (int k = 0; k < 3; ++k) {
        take(lanes[0], high);
        take(lanes[1], low);
      }
    }
  }
  void after() {
    MODEL_CHECK(lanes[0].empty() || (word.bits() & high) != 0);
    MODEL_CHECK(lanes[1].empty() || (word.bits() & low) != 0);
  }
};
MODEL_ADD(marks_stay);

// Who counts and who waits for the count; as a start and a submitter that is blocked.
struct asked_is_told : model::test<asked_is_told, 2> {
  static constexpr const char* fact = "either who counted sees that somebody waits for it, or the waiter sees the count";
  static constexpr const char* files = "attention.hpp";
  static constexpr model::effort work{.preemptions = 4, .bounded = 20'000, .random = 20'000};
  attention_word<A> word;
  A::atomic<unsigned> started{0};
  bool seen = false, told = false;
  void thread(unsigned i) {
    if (i == 0) {
      started.store(1, release);
      told = word.told(low);
    } else {
      word.ask(low);
      seen = started.load(acquire) != 0;
    }
  }
  void after() { MODEL_CHECK(seen || told); }
};
MODEL_ADD(asked_is_told);

// pause() beside a drain past its limit, and resume().
struct halted_stays : model::test<halted_stays, 2> {
  static constexpr const char* fact = "a resume never takes down the pause of a halt";
  static constexpr const char* files = "attention.hpp";
  static constexpr model::effort work{.preemptions = 4, .bounded = 20'000, .random = 20'000};
  static constexpr auto modes = model::one_mode;
  static constexpr std::uint32_t paused = 2, halted = 4;
  attention_word<A> word;
  void before() { word.raise(paused); }
  void thread(unsigned i) {
    if (i == 0) word.raise(halted | paused);
    else word.lower_unless(paused, halted);
  }
  void after() { MODEL_CHECK((word.bits() & (paused | halted)) == (paused | halted)); }
};
MODEL_ADD(halted_stays);

// Two letters to each of two workers from two senders; a worker looks into its box only while the bit is up.
struct letters_arrive : model::test<letters_arrive, 4> {
  static constexpr const char* fact = "every letter is read once by the worker that it is for, with what its sender wrote, and a look later the bit is down";
  static constexpr const char* files = "mailbox.hpp; attention.hpp";
  static constexpr const char* steps = "mail: the mark";
  static constexpr model::effort work{.preemptions = 2, .bounded = 50'000, .random = 100'000};
  static constexpr auto modes = model::one_mode;
  static constexpr std::uint32_t mail = 64;
  struct letter {
    unsigned id;
  };
  attention_word<A> word;
  counted_mark<A> letters{word, mail};
  mailbox<A, letter> box[2];
  model::plain<unsigned> content[4];
  unsigned read[4]{};
  void before() {
    for (auto& c : content) c.set(0);
  }
  void send(unsigned sender) {
    const letter both[2] = {{sender * 2}, {sender * 2 + 1}};
    for (const letter& l : both) content[l.id].set(l.id + 7);
    for (unsigned to = 0; to < 2; ++to) {
      letters.expect(1);
      MODEL_CHECK(box[to].put(&both[to], 1, [](letter&) {}));
      if (model::keeps("mail: the mark")) letters.arrived();
    }
  }
  void reader(unsigned me) {
    for (unsigned n = 0; n < 2;) {
      letter l;
      if ((word.bits() & mail) == 0 || !box[me].take(l, [] { return false; })) {
        letters.settle();
        A::pause();
        continue;
      }
      letters.gone();
      MODEL_CHECK(content[l.id].get() == l.id + 7 && l.id % 2 == me);
      ++read[l.id];
      ++n;
    }
  }
  void thread(unsigned i) { i < 2 ? send(i) : reader(i - 2); }
  void after() {
    for (const unsigned r : read) MODEL_CHECK(r == 1);
    letters.settle();
    MODEL_CHECK((word.bits() & mail) == 0 && letters.left() == 0);
  }
};
MODEL_ADD(letters_arrive);

// As worker::wait_for_duty and core::resize: called, let go, called again before or after it has noticed; then stopped.
struct duty_called : model::test<duty_called, 2> {
  static constexpr const char* fact = "a worker that is called works, however often it was let go before, and none sleeps over its end";
  static constexpr const char* files = "duty.hpp; parker.hpp";
  static constexpr const char* steps = "duty: the token";
  static constexpr model::effort work{.preemptions = 4, .bounded = 50'000, .random = 50'000};
  static constexpr auto modes = model::one_mode;
  parker<A> bed;
  duty<A> on_duty;
  A::atomic<unsigned> stop{0}, worked{0};
  unsigned stood_down = 0;
  void thread(unsigned i) {
    if (i == 0) {
      on_duty.call(bed);
      on_duty.dismiss(bed);
      if (model::keeps("duty: the token")) on_duty.call(bed);
      else on_duty.set(on_duty.on);
      while (worked.load(relaxed) == 0) A::pause();
      on_duty.dismiss(bed);
      stop.store(1, relaxed);
      bed.unpark();
      return;
    }
    while (stop.load(relaxed) == 0) {
      const auto d = on_duty.now();
      if (d == on_duty.on) {
        worked.store(1, relaxed);
        while (on_duty.now() == on_duty.on) A::pause();  // the loop, until it looks
      } else if (d == on_duty.dismissed) {
        stood_down += on_duty.stand_down();
      } else {
        bed.park();
      }
    }
  }
  void after() { MODEL_CHECK(stood_down <= 2 && on_duty.now() != on_duty.on); }
};
MODEL_ADD(duty_called);

}  // namespace
}  // namespace attention_model
