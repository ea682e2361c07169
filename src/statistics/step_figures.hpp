// All figures about one step, equal on every process. Plain values; record/step_record.hpp turns
// them into a record.
#pragma once

#include <cstdint>
#include <optional>

#include "statistics/step_cost.hpp"
#include "statistics/step_statistics.hpp"

namespace switchyard {

struct StepFigures {
  std::int64_t step = 0;        // steps taken, including this one
  std::int64_t samples = 0;     // consumed so far, including this step's
  StepStatistics statistics{};  // losses and routing
  double loss_total = 0;        // the objective that is minimised
  double norm = 0;              // global norm of the gradients
  double learning_rate = 0;

  // Unset for a diverged step, which ends before its update.
  std::optional<StepCost> cost{};
  double tokens_per_second = 0;  // encoder and decoder positions

  bool was_taken() const { return cost.has_value(); }
};

}  // namespace switchyard
