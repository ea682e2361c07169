// Converts a step's figures to the StepRecord of metrics.proto. Values in, values out.
#pragma once

#include "metrics.pb.h"
#include "statistics/evaluation.hpp"
#include "statistics/step_figures.hpp"

namespace switchyard {

// Fills in everything except the run's `seconds`; for a step that was not taken, times, bytes and
// memory are unset too. `with_tokens`: whether the record lists the tokens of each expert, the only
// part that grows with the experts; that of a step that was not taken always does.
StepRecord to_record(const StepFigures& figures, bool with_tokens = true);

// A diverged step ends before its update, so its record has no times.
inline bool was_taken(const StepRecord& record) { return record.has_step_ms(); }

// Fills in the record's eval/… fields except for the time.
void record_evaluation(const Evaluation& evaluation, StepRecord& record);

}  // namespace switchyard
