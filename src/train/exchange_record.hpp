// What the exchanges of rows between processes cost a step: from each process's transfers to the
// record's times, waiting and bytes. Reads no clock itself.
#pragma once

#include <span>

#include "base/timer.hpp"
#include "comm/comm.hpp"
#include "metrics.pb.h"

namespace switchyard {

// Writes time/a2a… and bytes/a2a of a record that has its moe/layers; nothing where it has none.
// `own`: this process's transfers. Collective over comm.
//
// A collective does not tell waiting from moving, so waiting is a difference: of all processes the
// one that came last waited for nobody and was through soonest; what another spent beyond it in the
// same transfer it waited.
void record_exchange(const Comm& comm, std::span<const Transfer> own, StepRecord& record);

}  // namespace switchyard
