// What nearly every test includes, parsed once (option pch). No test may lean on it: tools/check builds some without. No guard,
// for gcc warns of one in a file that it compiles.
#include <weir/weir.hpp>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>
