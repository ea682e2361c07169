// How close a model's training steps come to the machine's own rates, measured in one run: rates,
// then steps on synthetic text, then the yardstick product again. It knows no run directory and no
// data; benchmark_report.hpp prints the result.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "benchmark/machine_rates.hpp"
#include "comm/comm.hpp"
#include "config/settings.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// Operations per second of all processes together, with inputs of either type.
struct ProductRate {
  std::string name;
  ProductShape shape;
  double float32 = 0, bfloat16 = 0;

  double in(Precision precision) const {
    return precision == Precision::bfloat16 ? bfloat16 : float32;
  }
};

struct PhaseTime {
  const char* name;
  double ms = 0;
};

struct Benchmark {
  // What was measured.
  Settings settings;  // as used for the steps: without dropout or jitter
  StepShape shape;    // every position is real
  int processes = 1, threads = 1;
  std::int64_t steps = 0;       // measured, not counting the warm-up steps
  std::int64_t operations = 0;  // of the model per step, as counted in plan/operations.hpp

  // The machine.
  std::vector<ProductRate> products{};  // measured before the steps; the first is the yardstick's
  double yardstick_after = 0;  // the yardstick again, after the steps, in the model's precision
  // Bytes per second, as defined in machine_rates.hpp.
  double memory_rate = 0, exchange_rate = 0, reduction_rate = 0;

  // Step times: medians over the steps of the slowest process's time.
  double step_seconds = 0, forward_backward_seconds = 0;
  std::vector<PhaseTime> phases{};
  std::int64_t bytes_exchanged = 0;  // by all processes per step
  double dropped_fraction = 0;       // 0 for a dense model
  double load_imbalance = 1;         // 1 for a dense model
  std::int64_t peak_bytes = 0;       // of the largest process, for the whole program so far

  double yardstick_before() const { return products[0].in(settings.model.precision); }
  // The better of the two yardstick measurements: the rate the machine has shown to reach.
  double yardstick() const;
  double utilisation(double seconds) const {
    return static_cast<double>(operations) / seconds / yardstick();
  }
  // Encoder and decoder positions per step.
  std::int64_t positions() const { return shape.rows * (shape.input_length + shape.target_length); }
  double tokens_per_second() const { return static_cast<double>(positions()) / step_seconds; }
};

// Measures `steps` steps after two warm-up steps. Text, capacity and batch are those of the
// configuration; all rows are full. Collective.
Benchmark run_benchmark(const Comm& comm, Log& log, const Settings& settings, std::int64_t steps);

}  // namespace switchyard
