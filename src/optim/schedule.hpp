// The learning rate of a step as a pure function. It depends on where the schedule ends, not on
// where the run ends, so a run can be extended without changing the steps already taken.
#pragma once

#include <cstdint>

namespace switchyard {

struct ScheduleConfig {
  enum class Shape { rsqrt, constant, linear, cosine };

  Shape shape = Shape::rsqrt;
  double learning_rate = 1.0;            // base rate, multiplied by the schedule
  std::int64_t warmup_steps = 10000;     // rsqrt only: constant until then
  std::int64_t linear_warmup_steps = 0;  // W: step s < W is multiplied by (s + 1) / W
  std::int64_t decay_steps = 0;          // Z: linear and cosine are 0 from there on
  std::int64_t final_ramp_steps = 0;  // F: from step Z - F on multiplied by (Z - s) / F; 0: no ramp
};

// The learning rate of step 0, 1, …. The shapes, before the warm-up and final ramps:
//   rsqrt     base / sqrt(max(step, warmup_steps)), as in T5
//   constant  base
//   linear    base until W, then in a straight line to 0 at Z
//   cosine    base until W, then along half a cosine to 0 at Z
double learning_rate(const ScheduleConfig& config, std::int64_t step);

}  // namespace switchyard
