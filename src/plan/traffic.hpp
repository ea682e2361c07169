// Bytes that leave processes in one step: rows to experts and back, and gradient sums. Assumes
// uniform routing; a run's records show the traffic of its real routing.
#pragma once

#include <cstdint>

#include "comm/sum_schedule.hpp"
#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// One sparse layer of a stack.
struct ExchangeTraffic {
  double rows = 0;          // kept rows whose expert is on another process, over all processes
  double busiest_rows = 0;  // the most that any process sends
  std::int64_t row_bytes = 0;
  std::int64_t transfers = 0;  // of each row per step: ModelConfig::transfers

  std::int64_t bytes_of_transfer() const;  // over all processes
  std::int64_t bytes_of_step() const { return transfers * bytes_of_transfer(); }
};

// `config` must have at least one expert.
ExchangeTraffic plan_exchange(const ModelConfig& config, const Layout& layout,
                              const StepShape& shape, bool decoder);

// What process p sends to sum the gradients of all virtual ranks (and of an expert's copies) in the
// canonical tree, as comm/sum_schedule.hpp has it.
struct ReductionTraffic {
  std::int64_t dense_bytes = 0, expert_bytes = 0;
  std::int64_t messages = 0;  // for both
};
ReductionTraffic plan_reduction(const ModelConfig& config, const Layout& layout, Rank p);

// What process p sends so that all get the dense weights, where each updates its share of them.
SumTraffic plan_weights(const ModelConfig& config, const Layout& layout, Rank p);

}  // namespace switchyard
