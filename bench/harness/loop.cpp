#include "loop.hpp"

#include <exception>
#include <stdexcept>
#include <string>
#include <vector>

namespace bench {
namespace {

class listener : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context&) override { return true; }
  void ReportRuns(const std::vector<Run>& runs) override {
    for (const Run& r : runs)
      if (r.error_occurred) error = r.error_message;
  }
  std::string error;
};

}  // namespace

reading run_loop(const ask& a, const std::function<void(benchmark::State&, meter&)>& body, meter::threads who) {
  meter m(who);
  std::exception_ptr thrown;
  benchmark::RegisterBenchmark("loop",
                               [&](benchmark::State& state) {
                                 try {
                                   body(state, m);
                                 } catch (...) {
                                   thrown = std::current_exception();
                                   state.SkipWithError("thrown");
                                 }
                               })
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->MinTime(a.seconds);
  listener heard;
  benchmark::RunSpecifiedBenchmarks(&heard, "all");
  benchmark::ClearRegisteredBenchmarks();
  if (thrown) std::rethrow_exception(thrown);
  if (!heard.error.empty()) throw std::runtime_error(heard.error);
  return m.got();
}

}  // namespace bench
