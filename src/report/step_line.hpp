// One training step as a line of fixed columns. Pure formatting: no clock, no files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "metrics.pb.h"

namespace switchyard {

// What the line shows besides the step's record: means over the steps since the last line.
struct Pace {
  std::int64_t steps = 0;  // of the whole run
  double step_ms = 0, a2a_ms = 0, tokens_per_second = 0;
  std::optional<double> seconds_left;  // unknown before the second step
};

// step   120/1000 | loss 3.412 aux 1.02 | drop 1.8% load 1.31x | norm 0.87 lr 9.8e-03 | 412 ms
// (exchange 61) | 19.9 k tok/s | 0:06:12 left
// A dense model has no aux, drop, load or exchange.
std::string step_line(const StepRecord& record, const Pace& pace);

}  // namespace switchyard
