// service: an HTTP service that stays up. POST /tasks?count=N queues N tasks and answers before they have run.
//
//   202  accepted, all N of them        400  a count that is none        503  full, or draining: Retry-After says when
//   GET /metrics   Prometheus text      GET /healthz   200, and 503 from the moment the service drains
//
// How it uses weir. The queue is bounded and refuses (on_full::reject): beyond its capacity a request costs one
// refusal and no memory, so overload lengthens nobody's wait beyond what a full queue holds. try_submit_bulk takes all
// of a request or nothing. Retry-After is what tasks that start now have waited; the refusal itself is held back for some
// milliseconds, so that clients that ask again at once, each in a closed loop, cost little. SIGTERM drains with a deadline: what was
// accepted runs, or the report says what did not; another one, a second or more later, ends the drain. The workers'
// threads are nice, for a request that waits for a processor behind its own tasks would be answered late exactly when
// there is much to do.
//
// A connection holds a thread of the HTTP library. Who says nothing for two seconds loses his, but a client that drips
// keeps it: in front of the world belongs a proxy that reads requests before it passes them on. No client holds up the end.
#include <weir/weir.hpp>

#include <CLI/CLI.hpp>
#include <httplib.h>

#include <algorithm>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cmath>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <sys/resource.h>
#include <unistd.h>

namespace {

using namespace std::chrono_literals;

struct settings {
  std::string host = "127.0.0.1";
  int port = 8080;
  unsigned workers = 0;
  std::size_t capacity = 1000;
  int work_us = 100;
  int drain_s = 10;
  std::size_t connections = 128;
  int refuse_after_ms = 10;
};

// What tasks have waited for their start of late: it rises at once and falls slowly, and is only roughly right while several
// workers write it.
class queue_wait {
 public:
  void saw(weir::duration d) noexcept {
    const std::int64_t old = ns_.load(std::memory_order_relaxed), now = std::chrono::nanoseconds(d).count();
    ns_.store(std::max(now, old + (now - old) / 16), std::memory_order_relaxed);
  }
  double seconds() const noexcept { return static_cast<double>(ns_.load(std::memory_order_relaxed)) * 1e-9; }

 private:
  std::atomic<std::int64_t> ns_{0};
};

class service {
 public:
  explicit service(const settings& s) : settings_(s), rt_(options_from(s)) {
    http_.new_task_queue = [n = s.connections] { return new httplib::ThreadPool(n); };
    http_.set_keep_alive_max_count(1u << 30);
    http_.set_keep_alive_timeout(2);
    http_.set_read_timeout(2);
    http_.set_payload_max_length(1u << 20);  // there is nothing to say
    http_.set_tcp_nodelay(true);
    http_.set_socket_options([](int socket) {  // the library's default would share the port with whoever has it already
      const int yes = 1;
      static_cast<void>(setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
    });
    // With a reader, for without one the library waits for the end of a body that the request does not announce.
    http_.Post("/tasks", [this](const httplib::Request& q, httplib::Response& a, const httplib::ContentReader& body) {
      if (q.has_header("Transfer-Encoding") ||
          (q.has_header("Content-Length") && q.get_header_value("Content-Length") != "0"))
        if (!body([](const char*, std::size_t) { return true; })) {  // cut short, too long, or malformed
          if (a.status < 400) a.status = 400;
          return;
        }
      post_tasks(q, a);
    });
    http_.Get("/metrics", [this](const httplib::Request&, httplib::Response& a) {
      a.set_content(metrics(), "text/plain; version=0.0.4");
    });
    http_.Get("/healthz", [this](const httplib::Request&, httplib::Response& a) {
      a.status = draining_ ? 503 : 200;
      a.set_content(draining_ ? "draining\n" : "ok\n", "text/plain");
    });
  }

  /// The port, or nothing when it cannot be had.
  std::optional<int> bind() {
    if (settings_.port == 0) {
      const int port = http_.bind_to_any_port(settings_.host);
      return port > 0 ? std::optional(port) : std::nullopt;
    }
    return http_.bind_to_port(settings_.host, settings_.port) ? std::optional(settings_.port) : std::nullopt;
  }
  /// Until close(), or until the system refuses to let it go on.
  void listen() {
    http_.listen_after_bind();
    over_.set_value();
    if (draining_) return;
    failed_ = true;
    std::fprintf(stderr, "service: no connection can be accepted any more\n");
    kill(getpid(), SIGTERM);
  }

  /// Refuses from here on, runs what was accepted until the limit, and still answers /healthz and /metrics. A second call with an
  /// earlier limit ends the first.
  weir::report drain(weir::time_point until) {
    draining_ = true;
    return rt_.drain(until);
  }
  bool failed() const noexcept { return failed_; }
  /// False: some client is not to be got rid of.
  bool close() {
    // A stop() before it runs would be forgotten.
    while (!http_.is_running() && closed_.wait_for(1ms) != std::future_status::ready) {}
    http_.stop();
    return closed_.wait_for(3s) == std::future_status::ready;
  }

 private:
  struct task {
    service* of;
    weir::time_point submitted;
    void operator()() const noexcept { of->work(submitted); }
  };

  static weir::options options_from(const settings& s) {
    weir::options o;
    o.workers = s.workers;
    o.capacity = s.capacity;
    o.full = weir::on_full::reject;
    o.name = "service";
    o.on_thread_start = [](int) { static_cast<void>(setpriority(PRIO_PROCESS, static_cast<id_t>(gettid()), 10)); };
    return o;
  }

  void work(weir::time_point submitted) noexcept {
    const weir::time_point began = weir::clock_type::now();
    wait_.saw(began - submitted);
    const std::stop_token token = weir::this_task::token();  // fires when a drain is at its limit
    while (weir::clock_type::now() - began < std::chrono::microseconds(settings_.work_us) && !token.stop_requested()) {}
  }

  void post_tasks(const httplib::Request& q, httplib::Response& a) {
    const std::string text = q.get_param_value("count");
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (q.get_param_value_count("count") != 1 || error != std::errc{} || end != text.data() + text.size() ||
        count == 0 || count > settings_.capacity) {
      a.status = 400;
      a.set_content("count: one number from 1 to " + std::to_string(settings_.capacity) + "\n", "text/plain");
      return;
    }
    const weir::status s = rt_.try_submit_bulk(std::vector<task>(count, task{this, weir::clock_type::now()}));
    if (s) {
      a.status = 202;
      a.set_content("accepted " + std::to_string(count) + "\n", "text/plain");
      return;
    }
    if (s.error().code != weir::errc::full && s.error().code != weir::errc::stopped) {
      a.status = 500;
      a.set_content(weir::make_error_code(s.error().code).message() + "\n", "text/plain");
      return;
    }
    // Who asks again at once, in spite of Retry-After, shall not take the processor from those who are served.
    if (s.error().code == weir::errc::full) std::this_thread::sleep_for(std::chrono::milliseconds(settings_.refuse_after_ms));
    a.status = 503;
    a.set_header("Retry-After", std::to_string(static_cast<long>(std::ceil(std::max(wait_.seconds(), 1e-3)))));
    a.set_content(s.error().code == weir::errc::full ? "full\n" : "draining\n", "text/plain");
  }

  std::string metrics() const {
    return rt_.metrics().prometheus() +
           "# HELP service_queue_wait_seconds What tasks that start now have waited.\n"
           "# TYPE service_queue_wait_seconds gauge\n"
           "service_queue_wait_seconds " +
           std::to_string(wait_.seconds()) + "\n";
  }

  const settings settings_;
  queue_wait wait_;
  std::atomic<bool> draining_{false}, failed_{false};
  weir::runtime rt_;
  httplib::Server http_;
  std::promise<void> over_;
  std::future<void> closed_ = over_.get_future();
};

}  // namespace

int main(int argc, char** argv) {
  settings s;
  CLI::App app{"An HTTP service on weir: POST /tasks?count=N, GET /metrics, GET /healthz; SIGTERM drains."};
  app.add_option("--host", s.host, "address to listen on")->capture_default_str();
  app.add_option("--port", s.port, "0: any that is free")->check(CLI::Range(0, 65535))->capture_default_str();
  app.add_option("--workers", s.workers, "0: what the machine allows")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--capacity", s.capacity, "tasks accepted and not yet begun")
      ->check(CLI::Range(1, 1 << 22))
      ->capture_default_str();
  app.add_option("--work-us", s.work_us, "what a task takes, in microseconds")
      ->check(CLI::Range(0, 60'000'000))
      ->capture_default_str();
  app.add_option("--drain-s", s.drain_s, "how long a shutdown lets accepted tasks run")
      ->check(CLI::Range(0, 86400))
      ->capture_default_str();
  app.add_option("--connections", s.connections, "served at a time")->check(CLI::Range(1, 4096))->capture_default_str();
  app.add_option("--refuse-after-ms", s.refuse_after_ms, "how long a refusal is held back when the queue is full")
      ->check(CLI::Range(0, 1000))
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);

  // Before any thread: all of them inherit it, and the signals wait for sigwait() below.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);
  std::signal(SIGPIPE, SIG_IGN);

  try {
    service it(s);
    const std::optional<int> port = it.bind();
    if (!port) {
      std::fprintf(
          stderr,
          "service: cannot listen on %s:%d: the port is taken or not allowed, or the address is none of this machine\n",
          s.host.c_str(), s.port);
      return 1;
    }
    std::thread http([&] { it.listen(); });
    std::printf("listening on %s:%d\n", s.host.c_str(), *port);
    std::fflush(stdout);

    int got = 0;
    while (sigwait(&ends, &got) != 0) {}
    std::printf("%s: draining for at most %d s\n", got == SIGTERM ? "SIGTERM" : "SIGINT", s.drain_s);
    std::fflush(stdout);
    auto drained = std::async(std::launch::async,
                              [&] { return it.drain(weir::clock_type::now() + std::chrono::seconds(s.drain_s)); });
    const weir::time_point asked = weir::clock_type::now();
    while (drained.wait_for(0s) != std::future_status::ready) {
      const timespec moment{0, 20'000'000};
      if (sigtimedwait(&ends, nullptr, &moment) < 0) continue;
      if (weir::clock_type::now() - asked < 1s) continue;  // timeout(1), for one, sends it to the process and to its group
      std::printf("once more: the drain ends now\n");
      std::fflush(stdout);
      static_cast<void>(it.drain(weir::clock_type::now()));
    }
    const weir::report r = drained.get();
    const bool closed = it.close();
    std::printf("ran %llu, stopped %llu, still running %zu: %s\n", static_cast<unsigned long long>(r.ran),
                static_cast<unsigned long long>(r.stopped), r.still_running.size(),
                r.complete ? "complete" : "not complete");
    const int code = it.failed() ? 1 : r.complete && r.stopped == 0 ? 0 : 3;
    if (!closed) {
      std::fflush(stdout);
      std::_Exit(code);  // all tasks have ended or been told of
    }
    http.join();
    return code;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "service: %s\n", e.what());
    return 1;
  }
}
