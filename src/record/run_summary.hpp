// Summarises a run from its records: the few figures by which runs are compared. Values in, values
// out; it knows neither the run's configuration nor how the figures are displayed.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "metrics.pb.h"

namespace switchyard {

struct ValidationFigure {
  std::int64_t step = 0;  // the step after which it was measured
  double loss = 0;        // eval/loss: nats per real target token

  bool operator==(const ValidationFigure&) const = default;
};

struct RunSummary {
  std::int64_t steps = 0;   // taken
  std::int64_t tokens = 0;  // encoder and decoder positions in these steps
  double seconds = 0;       // of training over all starts, without the time between them
  // The median over all steps except the run's first, which includes one-time costs.
  std::optional<double> tokens_per_second;
  std::optional<double> dropped_fraction;  // mean over steps; unset for a dense model
  // Mean over steps of moe/load_imbalance; unset for a dense model.
  std::optional<double> load_imbalance;
  // The mean cross-entropy over the last fifth of the steps. In a run shorter than one epoch, this
  // is on training text that was not seen before.
  std::optional<double> late_loss;
  std::optional<std::int64_t> peak_memory;  // bytes, of the largest process
  // The latest evaluation, and the one with the lowest loss (the earliest on ties); unset without
  // evaluations.
  std::optional<ValidationFigure> last, best;
  // The step at which training diverged; it was not taken.
  std::optional<std::int64_t> diverged_at;

  bool operator==(const RunSummary&) const = default;
};

// Parses the records in the text of a metrics.jsonl, in order, each step once: a step that is
// repeated after a resume replaces its earlier record and all records after that one. A last line
// without a line break is incomplete and ignored. tokens_per_expert, which is most of the data, is
// dropped. Error(damaged_data) with `name`:line where another line is not a record.
std::vector<StepRecord> read_records(const std::string& text, const std::string& name);

RunSummary summarize(std::span<const StepRecord> records);

}  // namespace switchyard
