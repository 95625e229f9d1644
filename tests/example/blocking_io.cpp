// Blocking file I/O beside the workers: reads wait on threads of their own, of at most eight; what is computed runs on the workers.
#include <weir/weir.hpp>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

#include <unistd.h>

namespace fs = std::filesystem;

std::string read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw std::runtime_error("cannot open " + file.filename().string());
  return {std::istreambuf_iterator<char>(in), {}};
}

int main() {
  const fs::path folder = fs::temp_directory_path() / ("weir-blocking-io-" + std::to_string(getpid()));
  fs::create_directories(folder);
  for (int i = 0; i < 20; ++i) std::ofstream(folder / std::to_string(i)) << std::string(1000, static_cast<char>('a' + i));

  weir::options o;
  o.max_blocking = 8;         // threads at most; they come when they are needed, and go when they are idle
  o.blocking_capacity = 100;  // calls that wait for one; past it blocking() answers full at once
  weir::runtime rt(o);

  std::vector<weir::join_handle<std::string>> files;
  for (int i = 0; i <= 20; ++i) files.push_back(rt.blocking([p = folder / std::to_string(i)] { return read(p); }));

  unsigned long sum = 0;
  for (auto& f : files) {
    auto text = f.get();  // outside of the runtime it waits; on a worker it would sleep, and a stand-in would go on
    if (text) sum += rt.run([&] { return std::accumulate(text->begin(), text->end(), 0ul); });
    else try { text.value(); } catch (const std::exception& e) { std::printf("%s\n", e.what()); }
  }
  std::printf("sum %lu\n", sum);
  fs::remove_all(folder);
}

// prints:
// cannot open 20
// sum 2130000
