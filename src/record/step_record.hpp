// A step's figures as the StepRecord of metrics.proto. Values in, values out.
#pragma once

#include "metrics.pb.h"
#include "statistics/evaluation.hpp"
#include "statistics/step_figures.hpp"

namespace switchyard {

// Lacks only the run's `seconds`; of a step that was not taken, times, bytes and memory too.
StepRecord to_record(const StepFigures& figures);

// A step that diverged ended before its update: its record has no times.
inline bool was_taken(const StepRecord& record) { return record.has_step_ms(); }

// Writes eval/… of the record, but for the time.
void record_evaluation(const Evaluation& evaluation, StepRecord& record);

}  // namespace switchyard
