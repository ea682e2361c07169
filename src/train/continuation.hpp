// Where a start of `train` goes on: from which checkpoint of the RUN, whether it may, and what must
// be said of it. Decides; loads nothing and takes no step.
#pragma once

#include <optional>

#include "checkpoint/reader.hpp"
#include "checkpoint/run_state.hpp"
#include "record/run_directory.hpp"
#include "train/job.hpp"

namespace switchyard {

struct Continuation {
  std::optional<CheckpointReader> newest{};  // the newest valid one; none: begins at step 1
  RunState state{};                          // its
  bool is_complete = false;                  // all steps are taken and recorded
};

// Error(mismatch) where the run is another one, Error(damaged_data) where no checkpoint is valid or
// where those that were saved are gone, Error(usage) where --restart would drop a checkpoint.
// Collective.
Continuation find_continuation(const TrainJob& job, const RunPaths& paths);

}  // namespace switchyard
