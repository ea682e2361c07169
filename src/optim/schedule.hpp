// The learning rate of a step: a pure function.
#pragma once

#include <cstdint>

namespace switchyard {

struct ScheduleConfig {
  double learning_rate = 1.0;  // base: multiplied by the schedule
  std::int64_t warmup_steps = 10000;
};

// T5's rsqrt: base / sqrt(max(step, warmup_steps)), step counting from 0: constant, then decaying.
double learning_rate(const ScheduleConfig& config, std::int64_t step);

}  // namespace switchyard
