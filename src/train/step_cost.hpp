// What a step cost: the slowest process's times, the largest one's memory, the exchange of rows.
// From each process's own figures to the record's; reads no clock.
#pragma once

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "metrics.pb.h"

namespace switchyard {

// Of one process.
struct StepCost {
  const PhaseTimer& timer;
  double forward_backward_seconds = 0;  // of all micro-steps
  double seconds = 0;                   // of the whole step
};

// Writes time/…, bytes/… and memory/… of the record; after its moe/layers. Collective over comm.
void record_cost(const Comm& comm, const StepCost& own, StepRecord& record);

// A step that diverged ended before its update: its record has no times.
inline bool was_taken(const StepRecord& record) { return record.has_step_ms(); }

}  // namespace switchyard
