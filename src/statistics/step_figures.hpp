// All that a step says of itself, on every process alike. Plain values; record/step_record.hpp
// makes the record of them.
#pragma once

#include <cstdint>
#include <optional>

#include "statistics/step_cost.hpp"
#include "statistics/step_statistics.hpp"

namespace switchyard {

struct StepFigures {
  std::int64_t step = 0;        // steps taken, this one included
  std::int64_t samples = 0;     // consumed so far, this step's included
  StepStatistics statistics{};  // losses and routing
  double loss_total = 0;        // what is minimised
  double norm = 0;              // of all gradients
  double learning_rate = 0;

  // None of a step that diverged: it ended before its update.
  std::optional<StepCost> cost{};
  double tokens_per_second = 0;  // encoder and decoder positions

  bool was_taken() const { return cost.has_value(); }
};

}  // namespace switchyard
