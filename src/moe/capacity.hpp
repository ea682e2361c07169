// Expert capacity: how many tokens an expert may take. Pure arithmetic.
#pragma once

#include <cstdint>

#include "moe/moe_config.hpp"
#include "step/step_context.hpp"

namespace switchyard {

// Expert capacity C = max(min(N, floor(N cf / E)), min_capacity), in double; N = `tokens` includes
// padding.
std::int64_t expert_capacity(std::int64_t tokens, double capacity_factor, std::int64_t experts,
                             std::int64_t min_capacity);

// C of each expert for a routing group of N tokens: by the capacity factor for training or
// evaluation, depending on `mode`; N where no token may be dropped.
std::int64_t group_capacity(const MoeConfig& config, Mode mode, std::int64_t tokens);

// SOFT: slots per expert for a row with that many real tokens, max(1, floor(n cf / E)); 0 for an
// empty row.
std::int64_t soft_slots(std::int64_t real_tokens, double capacity_factor, std::int64_t experts);

}  // namespace switchyard
