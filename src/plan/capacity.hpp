// How many places an expert has, and what it cannot take when every token draws its expert at
// random: the share that is dropped although no expert is preferred.
#pragma once

#include <cstdint>

#include "model/config.hpp"
#include "plan/step_shape.hpp"

namespace switchyard {

// E[max(0, X - capacity)] with X ~ Binomial(tokens, 1/experts): the tokens of one routing group
// that one expert turns away. The exact sum.
double expected_overflow(std::int64_t tokens, std::int64_t experts, std::int64_t capacity);

// C of a group of N positions in training; N where it is dropless.
std::int64_t training_capacity(const MoeConfig& moe, std::int64_t positions);

// One stack's routing groups.
struct CapacityPlan {
  std::int64_t positions = 0;  // N, padding included
  std::int64_t tokens = 0;     // of them real, so routed
  std::int64_t capacity = 0;   // C
  double dropped_share = 0;    // of real tokens, expected under uniform routing
  double kept_share() const { return 1 - dropped_share; }
};

// Needs at least one expert.
CapacityPlan plan_capacity(const ModelConfig& config, const Layout& layout, const StepShape& shape,
                           bool decoder);

}  // namespace switchyard
