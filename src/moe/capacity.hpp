// How many places an expert has. Pure arithmetic.
#pragma once

#include <cstdint>

#include "moe/moe_config.hpp"
#include "step/step_context.hpp"

namespace switchyard {

// C = max(min(N, floor(N cf / E)), min_capacity), in double; N = `tokens` counts padding too.
std::int64_t expert_capacity(std::int64_t tokens, double capacity_factor, std::int64_t experts,
                             std::int64_t min_capacity);

// C of each expert for a routing group of N tokens: as the options say for training or for
// evaluation, N where no token may be dropped.
std::int64_t group_capacity(const MoeConfig& config, Mode mode, std::int64_t tokens);

// Slots that an expert has for a row of so many real tokens (SOFT): max(1, floor(n cf / E)), 0 for
// an empty row.
std::int64_t soft_slots(std::int64_t real_tokens, double capacity_factor, std::int64_t experts);

}  // namespace switchyard
