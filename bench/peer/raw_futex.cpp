// No library: the limit of waking, in wake/one and `latency --idle`.
#include "../harness/raw_futex.hpp"

#include "../latency/loaders.hpp"
#include "../suite/wake.hpp"

#include <cstddef>
#include <new>
#include <type_traits>

namespace bench {
namespace {

reading wake_raw(const ask& a) {
  raw_sleeper raw;
  return sampled(a, 1, [&raw] { return wake_sample(raw.started, [&raw] { raw.post(); }); });
}

// One thread that sleeps in a futex and runs what it is given. It has room for one small task: submit() waits for that.
class futex_thread {
 public:
  static constexpr const char* name = "raw_futex";
  static std::string version() { return ""; }

  explicit futex_thread(unsigned) : thread_([this] { loop(); }) {}
  futex_thread(const futex_thread&) = delete;
  ~futex_thread() {
    submit([this] { stop_ = true; });
    thread_.join();
  }
  template <class F>
  void submit(F f) {
    static_assert(std::is_trivially_copyable_v<F> && sizeof(F) <= sizeof task_);
    while (word_.load(std::memory_order_acquire) != 0) relax();
    ::new (static_cast<void*>(task_)) F(f);
    run_ = [](void* task) { (*static_cast<F*>(task))(); };
    word_.store(1, std::memory_order_release);
    syscall(SYS_futex, &word_, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
  }

 private:
  void loop() {
    while (!stop_) {
      while (word_.load(std::memory_order_acquire) == 0)
        syscall(SYS_futex, &word_, FUTEX_WAIT_PRIVATE, 0, nullptr, nullptr, 0);
      run_(task_);
      word_.store(0, std::memory_order_release);
    }
  }
  alignas(16) std::byte task_[16];
  void (*run_)(void*) = nullptr;
  bool stop_ = false;
  std::atomic<std::uint32_t> word_{0};
  std::thread thread_;
};

void enrol(registry& r) {
  r.add({.suite = "wake",
         .name = "one",
         .size = r.pick(500u, 2'000u),
         .task = "a wake",
         .compared = {"p50_us", "p99_us"}},
        "raw_futex", 1, wake_raw);
}

const enrolment here([] {
  add_loader<futex_thread>();
  return peer_entry{futex_thread::name, futex_thread::version(), enrol};
}());

}  // namespace
}  // namespace bench
