#include "moe/capacity.hpp"

#include <algorithm>
#include <cmath>

namespace switchyard {

std::int64_t expert_capacity(std::int64_t tokens, double capacity_factor, std::int64_t experts,
                             std::int64_t min_capacity) {
  const double share = static_cast<double>(tokens) * capacity_factor / static_cast<double>(experts);
  const double capacity = std::min(static_cast<double>(tokens), std::floor(share));
  return std::max(static_cast<std::int64_t>(capacity), min_capacity);
}

std::int64_t group_capacity(const MoeConfig& config, Mode mode, std::int64_t tokens) {
  const bool training = mode == Mode::train;
  if (training ? config.dropless : config.eval_dropless) return tokens;
  return expert_capacity(tokens, training ? config.capacity_factor : config.eval_capacity_factor,
                         config.num_experts, config.min_capacity);
}

std::int64_t soft_slots(std::int64_t real_tokens, double capacity_factor, std::int64_t experts) {
  if (real_tokens == 0) return 0;
  const double share =
      static_cast<double>(real_tokens) * capacity_factor / static_cast<double>(experts);
  return std::max<std::int64_t>(1, static_cast<std::int64_t>(std::floor(share)));
}

}  // namespace switchyard
