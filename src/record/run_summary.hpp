// What the records of a run say of it as a whole: the few figures by which runs are compared.
// Values in, values out; knows neither the run's configuration nor how its figures are shown.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "metrics.pb.h"

namespace switchyard {

struct ValidationFigure {
  std::int64_t step = 0;  // after which it was measured
  double loss = 0;        // eval/loss: nats per real target token

  bool operator==(const ValidationFigure&) const = default;
};

struct RunSummary {
  std::int64_t steps = 0;   // taken
  std::int64_t tokens = 0;  // encoder and decoder positions of these steps
  double seconds = 0;       // of training, all starts together; nothing between them
  // Of the steps after the run's first, which pays for what later ones find ready: the median.
  std::optional<double> tokens_per_second;
  std::optional<double> dropped_fraction;  // mean over the steps; none of a dense model
  std::optional<double> load_imbalance;    // the same of moe/load_imbalance
  // Cross-entropy of the last fifth of the steps, mean: training text that was not seen before
  // where the run is shorter than an epoch.
  std::optional<double> late_loss;
  std::optional<std::int64_t> peak_memory;  // bytes, of the largest process
  // The newest evaluation, and the one of least loss (the first of equals); none without any.
  std::optional<ValidationFigure> last, best;
  // The step at which training gave up. It was not taken.
  std::optional<std::int64_t> diverged_at;

  bool operator==(const RunSummary&) const = default;
};

// The records in the text of a metrics.jsonl, in order, each step once: a step that follows again
// after a resume replaces its earlier record and all that came after it. A last line without its
// end is still being written, or torn, and left out. Without tokens_per_expert, which is the bulk.
// Error(damaged_data) with `name`:line where another line is no record.
std::vector<StepRecord> read_records(const std::string& text, const std::string& name);

RunSummary summarize(std::span<const StepRecord> records);

}  // namespace switchyard
