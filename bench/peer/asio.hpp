// Boost.Asio's thread_pool: post() and nothing else; it has no fork-join.
#pragma once

#include <boost/asio/post.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/version.hpp>

#include <chrono>
#include <string>
#include <thread>
#include <utility>

namespace bench {

class asio_pool {
 public:
  static constexpr const char* name = "Boost.Asio";
  static std::string version() {
    return std::to_string(BOOST_VERSION / 100000) + "." + std::to_string(BOOST_VERSION / 100 % 1000);
  }

  explicit asio_pool(unsigned workers) : pool_(workers) {}
  asio_pool(const asio_pool&) = delete;
  ~asio_pool() { pool_.join(); }

  template <class F>
  void submit(F&& f) {
    boost::asio::post(pool_, std::forward<F>(f));
  }
  template <class F>
  auto spawn(F&& f) {
    return boost::asio::post(pool_, boost::asio::use_future(std::forward<F>(f)));
  }
  template <class Handle>
  static auto take(Handle& h) {
    return h.get();
  }
  // join() would end the pool: look every 100 µs.
  template <class Done>
  void wait_until(Done&& done) {
    while (!done()) std::this_thread::sleep_for(std::chrono::microseconds(100));
  }

 private:
  boost::asio::thread_pool pool_;
};

}  // namespace bench
