// The learning rate of a step: a pure function. It knows when a schedule ends, not when the run
// does, so that a run may go on for longer without changing the steps it has taken.
#pragma once

#include <cstdint>

namespace switchyard {

struct ScheduleConfig {
  enum class Shape { rsqrt, constant, linear, cosine };

  Shape shape = Shape::rsqrt;
  double learning_rate = 1.0;            // base: multiplied by the schedule
  std::int64_t warmup_steps = 10000;     // rsqrt alone: constant until then
  std::int64_t linear_warmup_steps = 0;  // W: step s < W is multiplied by (s + 1) / W
  std::int64_t decay_steps = 0;          // Z: linear and cosine are 0 from there
  std::int64_t final_ramp_steps = 0;     // F: from step Z - F times (Z - s) / F; 0: no ramp
};

// Of step 0, 1, …. The shapes, before both ramps:
//   rsqrt     base / sqrt(max(step, warmup_steps)), as T5 has it
//   constant  base
//   linear    base until W, then in a straight line to 0 at Z
//   cosine    base until W, then along half a cosine to 0 at Z
double learning_rate(const ScheduleConfig& config, std::int64_t step);

}  // namespace switchyard
