// The rows of one step as the plans see them. It knows no training objective: the caller says how
// much of each row the data fills.
#pragma once

#include <cstdint>

#include "comm/layout.hpp"

namespace switchyard {

struct StepShape {
  std::int64_t rows = 0;           // B: of the global batch, a multiple of V
  std::int64_t input_length = 0;   // S
  std::int64_t target_length = 0;  // T
  // Real positions per row; the others are padding.
  std::int64_t real_inputs = 0, real_targets = 0;

  std::int64_t length(bool decoder) const { return decoder ? target_length : input_length; }
  std::int64_t real(bool decoder) const { return decoder ? real_targets : real_inputs; }
  std::int64_t micro_steps = 1;  // A: micro-steps whose gradients are accumulated
  // b: rows of a virtual rank in one micro-step, which form one routing group.
  std::int64_t rows_of_rank(const Layout& layout) const {
    return rows / (layout.virtual_ranks() * micro_steps);
  }
};

}  // namespace switchyard
