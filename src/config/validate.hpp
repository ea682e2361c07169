// Whether a configuration makes sense, before anything is allocated or written.
#pragma once

#include "run.pb.h"

namespace switchyard {

// Throws one Error(usage) with a sentence for each contradiction or value out of range.
// `processes`: the number of MPI processes. Not collective.
void validate(const RunConfig& config, int processes);

}  // namespace switchyard
