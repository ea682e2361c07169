// Remembers a run's newest acknowledged checkpoint outside of checkpoints/, so that a run that has
// lost its checkpoints is not mistaken for a new one. RUN/saved.txt contains "step-00000100", or
// "none" where the run has begun but saved nothing yet. For runs of versions that wrote no such
// file, log.txt is consulted. Only process 0 uses it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "files/env.hpp"
#include "record/run_directory.hpp"

namespace switchyard {

// Both write durably.
void remember_saved(Env& env, const RunPaths& run, std::int64_t step);
void remember_nothing_saved(Env& env, const RunPaths& run);

// The step that was saved last according to saved.txt; nullopt where the file is absent, says that
// nothing was saved, or has other contents.
std::optional<std::int64_t> remembered_step(const Env& env, const RunPaths& run);

// Evidence that a checkpoint of the run was acknowledged, in words for people: "runs/a/saved.txt
// names step-00000100". nullopt where there is none.
std::optional<std::string> evidence_of_saving(const Env& env, const RunPaths& run);

}  // namespace switchyard
