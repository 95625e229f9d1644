// The threads of this process, by name.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>

namespace test {

// The thread of this process that has that name; 0: there is none.
inline int thread_named(const std::string& name) {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    std::string called;
    std::ifstream(task.path() / "comm") >> called;
    if (called == name) return std::stoi(task.path().filename());
  }
  return 0;
}

}  // namespace test
