#include "optim/schedule.hpp"

#include <algorithm>
#include <cmath>

namespace switchyard {

double learning_rate(const ScheduleConfig& config, std::int64_t step) {
  const std::int64_t steps = std::max({step, config.warmup_steps, std::int64_t{1}});
  return config.learning_rate / std::sqrt(static_cast<double>(steps));
}

}  // namespace switchyard
