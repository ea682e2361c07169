// How near a model's training steps come to the machine's own rates, measured in one run: rates,
// then steps on made-up text, then the rate of products once more. Knows no run directory and no
// data; what it finds is printed by benchmark_report.hpp.
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

// Operations per second of all processes together, in both types of inputs.
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
  Settings settings;  // as the steps had them: nothing dropped out, no jitter
  StepShape shape;    // every position real
  int processes = 1, threads = 1;
  std::int64_t steps = 0;       // measured; those that came before are left out
  std::int64_t operations = 0;  // of the model in a step, as plan/operations.hpp counts

  // The machine.
  std::vector<ProductRate> products{};  // before the steps; the first is the yardstick's
  double yardstick_after = 0;           // it again, in the model's precision
  // Bytes per second, as machine_rates.hpp has them.
  double memory_rate = 0, exchange_rate = 0, reduction_rate = 0;

  // The steps: medians, of each step's slowest process.
  double step_seconds = 0, forward_backward_seconds = 0;
  std::vector<PhaseTime> phases{};
  std::int64_t bytes_exchanged = 0;  // by all processes, in a step
  double dropped_fraction = 0;       // 0 of a dense model
  double load_imbalance = 1;         // 1 of a dense model
  std::int64_t peak_bytes = 0;       // of the largest process so far, this program's all

  double yardstick_before() const { return products[0].in(settings.model.precision); }
  // The better of both: what the machine showed it can do.
  double yardstick() const;
  double utilisation(double seconds) const {
    return static_cast<double>(operations) / seconds / yardstick();
  }
  // Encoder and decoder positions of a step.
  std::int64_t positions() const { return shape.rows * (shape.input_length + shape.target_length); }
  double tokens_per_second() const { return static_cast<double>(positions()) / step_seconds; }
};

// Takes `steps` steps after two that are left out. Text, capacity and batch are the
// configuration's, rows are full. Collective.
Benchmark run_benchmark(const Comm& comm, Log& log, const Settings& settings, std::int64_t steps);

}  // namespace switchyard
