// One line on standard error for what takes more than two seconds: overwritten on a terminal, now and then in a log.
#pragma once

#include <string>

namespace bench {

class progress {
 public:
  progress();
  progress(const progress&) = delete;
  progress& operator=(const progress&) = delete;
  ~progress();  // clears the line
  void show(const std::string& what, double left_s);
  void note(const std::string& line);  // stays

 private:
  void clear();
  bool terminal_;
  double began_, shown_ = 0;
};

std::string duration_text(double s);  // "4 s", "3 min 20 s"

}  // namespace bench
