// The quality of a model on a file of examples, as JSON for people and scripts. Numbers only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "statistics/evaluation.hpp"

namespace switchyard {

// An evaluation and the capacity that it was made with.
struct ExampleFigure {
  Evaluation evaluation;
  std::optional<double> capacity_factor;  // none: dropless
};

struct ExampleReport {
  std::string checkpoint, data, precision;
  std::int64_t step = 0;
  ExampleFigure figure;
  std::optional<ExampleFigure> with_capacity;
};

// {"cross_entropy": nats per target token, "tokens": target tokens, …}; also each example's sum and
// count if the evaluations kept their rows. Values that are not finite become null, with
// "nonfinite": true beside them.
std::string example_report_json(const ExampleReport& report);

}  // namespace switchyard
