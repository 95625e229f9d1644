// A strand for each object that must not be entered twice at once: no lock, no thread of its own, nobody waits.
#include <weir/weir.hpp>

#include <cstdio>
#include <string>
#include <thread>
#include <vector>

class room {
 public:
  explicit room(weir::executor_ref e) : strand_(e) {}

  // From any thread. The order is that of the calls; what one task wrote the next one sees.
  void say(std::string who, std::string what) {
    const weir::status s = strand_.submit([this, line = std::move(who) + ": " + what] { log_.push_back(line); });
    if (!s) std::printf("not said: %s\n", weir::to_string(s.error().code));
  }
  std::vector<std::string> log() {
    return strand_.spawn([this] { return log_; }).get().value();
  }

 private:
  weir::strand strand_;
  std::vector<std::string> log_;  // touched by the strand's tasks alone
};

int main() {
  weir::runtime rt;
  room lobby(rt), kitchen(rt);  // two rooms run beside each other

  std::thread ada([&] { for (int i = 0; i < 1000; ++i) lobby.say("ada", std::to_string(i)); });
  std::thread bob([&] { for (int i = 0; i < 1000; ++i) lobby.say("bob", std::to_string(i)); });
  kitchen.say("eve", "is anybody here?");
  ada.join();
  bob.join();

  int ada_said = 0;
  bool in_order = true;
  for (const std::string& line : lobby.log())
    if (line.starts_with("ada")) in_order = in_order && line == "ada: " + std::to_string(ada_said++);
  std::printf("lobby: %zu lines, ada's %d %s\n", lobby.log().size(), ada_said, in_order ? "in order" : "in disorder");
  std::printf("kitchen: %s\n", kitchen.log().front().c_str());
}

// prints:
// lobby: 2000 lines, ada's 1000 in order
// kitchen: eve: is anybody here?
