// Holds the turn of a strand, or a place of a limited, until it is let go.
#pragma once

#include <weir/executor.hpp>

#include <gate.hpp>

#include <gtest/gtest.h>

#include <memory>

namespace test {

class stopper {
 public:
  explicit stopper(weir::executor_ref s) {
    EXPECT_TRUE(s.submit([g = gates_] {
      g->first.open();
      g->second.wait();
    }));
    gates_->first.wait();
  }
  ~stopper() { release(); }
  stopper(const stopper&) = delete;
  stopper& operator=(const stopper&) = delete;
  void release() { gates_->second.open(); }

 private:
  struct two {
    gate first, second;
  };
  std::shared_ptr<two> gates_ = std::make_shared<two>();
};

}  // namespace test
