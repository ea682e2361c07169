// Where a start of `train` continues: from which checkpoint of the run directory, whether it may,
// and what the user must be told. It only decides; it loads no tensors and takes no step.
#pragma once

#include <optional>

#include "checkpoint/reader.hpp"
#include "checkpoint/run_state.hpp"
#include "record/run_directory.hpp"
#include "train/job.hpp"

namespace switchyard {

struct Continuation {
  std::optional<CheckpointReader> newest{};  // the newest valid checkpoint; none: begin at step 1
  RunState state{};                          // that checkpoint's
  bool is_complete = false;                  // all steps are taken, recorded and evaluated
};

// Error(mismatch) where the directory holds a different run, Error(damaged_data) where no
// checkpoint is valid or all saved ones are gone, Error(usage) where --restart is given although a
// checkpoint exists. Collective.
Continuation find_continuation(const TrainJob& job, const RunPaths& paths);

}  // namespace switchyard
