// How well a model predicts a file of examples, as JSON: for people and for scripts. Figures only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "statistics/evaluation.hpp"

namespace switchyard {

// An evaluation, and under which capacity.
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

// {"cross_entropy": nats per target token, "tokens": target tokens, …}; each example's sum and
// count where the evaluations kept their rows. What is not finite is null, beside "nonfinite":
// true.
std::string example_report_json(const ExampleReport& report);

}  // namespace switchyard
