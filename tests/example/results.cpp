// The results channel of a worker pool: in the order of the input, errors among them, never more than eight unread.
#include <weir/weir.hpp>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <thread>

int main() {
  weir::runtime rt;
  weir::result_stream<int> lengths(rt, {.capacity = 8, .ordered = true});

  std::thread reads_input([&] {
    for (const char* word : {"one", "three", "", "eleven", "four"}) {
      const weir::status s = lengths.submit([word = std::string(word)] {
        if (word.empty()) throw std::invalid_argument("an empty word");
        return static_cast<int>(word.size());
      });
      if (!s) break;  // with eight unread it waits for the reader: the runtime's policy is to block
    }
    lengths.close();
  });

  for (auto& r : lengths) {  // ends after close() and the last result
    try {
      std::printf("%d\n", r.value());
    } catch (const std::invalid_argument& e) {
      std::printf("%s\n", e.what());
    }
  }
  reads_input.join();
}

// prints:
// 3
// 5
// an empty word
// 6
// 4
