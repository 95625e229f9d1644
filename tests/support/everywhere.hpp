// Facts that must hold outside of any runtime, on one worker, and on several.
#pragma once

#include <runtime_tools.hpp>

#include <gtest/gtest.h>

#include <string>

namespace test {

template <class Fact>
void everywhere(Fact fact) {
  {
    SCOPED_TRACE("outside");
    fact();
  }
  for (const unsigned workers : {1u, 2u, 5u}) {
    SCOPED_TRACE(std::to_string(workers) + " workers");
    weir::runtime rt(with_workers(workers));
    for (int round = 0; round < 20; ++round) rt.run(fact);
  }
}

}  // namespace test
