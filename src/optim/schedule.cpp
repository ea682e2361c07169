#include "optim/schedule.hpp"

#include <algorithm>
#include <cmath>

#include "tensor/vector_math.hpp"

namespace switchyard {
namespace {

double ratio(std::int64_t steps, std::int64_t of) {
  return static_cast<double>(steps) / static_cast<double>(of);
}

// The remaining fraction of the decay from the end of the warm-up to decay_steps: from 1 down to 0.
double part_left(const ScheduleConfig& config, std::int64_t step) {
  if (step >= config.decay_steps) return 0;
  return std::min(
      1.0, ratio(config.decay_steps - step, config.decay_steps - config.linear_warmup_steps));
}

double without_ramps(const ScheduleConfig& config, std::int64_t step) {
  const double base = config.learning_rate;
  switch (config.shape) {
    case ScheduleConfig::Shape::rsqrt: {
      const std::int64_t steps = std::max({step, config.warmup_steps, std::int64_t{1}});
      return base / std::sqrt(static_cast<double>(steps));
    }
    case ScheduleConfig::Shape::constant:
      return base;
    case ScheduleConfig::Shape::linear:
      return base * part_left(config, step);
    case ScheduleConfig::Shape::cosine:
      return base * (0.5 - 0.5 * fast_cos_pi(part_left(config, step)));
  }
  return base;
}

double warmup(const ScheduleConfig& config, std::int64_t step) {
  const bool over = step + 1 >= config.linear_warmup_steps;
  return over ? 1 : ratio(step + 1, config.linear_warmup_steps);
}

double final_ramp(const ScheduleConfig& config, std::int64_t step) {
  if (config.final_ramp_steps == 0) return 1;
  return std::clamp(ratio(config.decay_steps - step, config.final_ramp_steps), 0.0, 1.0);
}

}  // namespace

double learning_rate(const ScheduleConfig& config, std::int64_t step) {
  return without_ramps(config, step) * warmup(config, step) * final_ramp(config, step);
}

}  // namespace switchyard
