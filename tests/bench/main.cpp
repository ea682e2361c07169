// The kernels of a training step, each verified against a plain reference and then timed, on the
// shapes of one virtual rank of bench_small and bench_tiny. Exits with 1 if a kernel is wrong.
//   kernels [--smoke] [--benchmark_filter=attention] …
// --smoke: one tiny shape, for tests. Run one copy per core at the same time, as in training:
// mpirun -n 2 --bind-to core kernels
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "kernels.hpp"
#include "tensor/denormals.hpp"

namespace switchyard::bench {
namespace {

void register_all(const Comm& comm, const LayerShape& shape) {
  register_products(shape);
  register_attention(comm, shape);
  register_norm(shape);
  register_activation(shape);
  register_cross_entropy(shape);
  register_routing(shape);
  register_rows(comm, shape);
  register_experts(shape);
  register_optimizers(shape);
  register_canonical_sums(comm, shape);
  register_rounding(shape);
  register_checksums(shape);
}

// Records whether any benchmark reported an error.
class Reporter : public benchmark::ConsoleReporter {
 public:
  Reporter() : ConsoleReporter(OO_Tabular) {}
  bool failed() const { return failed_; }

 private:
  // As Google Benchmark says it before version 1.8, and since.
  template <class AnyRun>
  static bool failed(const AnyRun& run) {
    if constexpr (requires { run.error_occurred; }) {
      return run.error_occurred;
    } else {
      return run.skipped != decltype(run.skipped){};
    }
  }

  void ReportRuns(const std::vector<Run>& runs) override {
    failed_ |= std::any_of(runs.begin(), runs.end(), [](const Run& run) { return failed(run); });
    ConsoleReporter::ReportRuns(runs);
  }

  bool failed_ = false;
};

int run(int argc, char** argv, const Comm& comm) {
  char** const rest = std::remove_if(argv + 1, argv + argc,
                                     [](std::string_view word) { return word == "--smoke"; });
  const bool smoke = rest != argv + argc;
  argc = static_cast<int>(rest - argv);
  if (smoke) {
    register_all(comm, {"smoke", 2, 40, 12, 144, 160, 3, 16, 200, 4});
  } else {
    register_all(comm, {"bench_small", 4, 512, 114, 512, 2048, 8, 64, 32128, 8});
    register_all(comm, {"bench_tiny", 8, 256, 58, 256, 1024, 4, 64, 8000, 8});
  }
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 64;
  Reporter reporter;
  const std::size_t count = benchmark::RunSpecifiedBenchmarks(&reporter);
  benchmark::Shutdown();
  return count == 0 || reporter.failed() ? 1 : 0;
}

}  // namespace
}  // namespace switchyard::bench

int main(int argc, char** argv) {
  using namespace switchyard;
  set_flush_to_zero();
  const Session session(argc, argv);
  const Comm world = Comm::world(session);
  return bench::run(argc, argv, world.split(static_cast<int>(world.rank().value), 0));
}
