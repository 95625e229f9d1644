// Runs a fuzz target over files, with any compiler and any sanitizer: replay FILE-OR-DIRECTORY...
// WEIR_FUZZ_REPEAT runs each so many times (default 1): schedules differ.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <vector>

#include <csignal>
#include <unistd.h>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

namespace {

char current[512];

void hung(int) {
  static_cast<void>(!::write(STDERR_FILENO, "\nhangs: ", 8));
  static_cast<void>(!::write(STDERR_FILENO, current, std::strlen(current)));
  static_cast<void>(!::write(STDERR_FILENO, "\n", 1));
  std::signal(SIGABRT, SIG_DFL);
  std::abort();
}

}  // namespace

int main(int argc, char** argv) {
  namespace fs = std::filesystem;
  std::vector<fs::path> files;
  for (int i = 1; i < argc; ++i) {
    if (fs::is_directory(argv[i])) {
      for (const auto& e : fs::directory_iterator(argv[i])) files.push_back(e.path());
    } else {
      files.emplace_back(argv[i]);
    }
  }
  std::sort(files.begin(), files.end());
  const char* const text = std::getenv("WEIR_FUZZ_REPEAT");
  const int repeat = text == nullptr ? 1 : std::atoi(text);
  std::signal(SIGALRM, &hung);
  for (const fs::path& path : files) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> content((std::istreambuf_iterator<char>(file)), {});
    if (!file) {
      std::fprintf(stderr, "cannot read %s\n", path.c_str());
      return 1;
    }
    std::snprintf(current, sizeof current, "%s", path.c_str());
    for (int n = 0; n < repeat; ++n) {
      ::alarm(60);
      LLVMFuzzerTestOneInput(reinterpret_cast<const std::uint8_t*>(content.data()), content.size());
    }
  }
  ::alarm(0);
  std::printf("%zu inputs, each %d times\n", files.size(), repeat);
  return files.empty() ? 1 : 0;
}
