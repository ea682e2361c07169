// What a RUN remembers of its newest acknowledged checkpoint outside of checkpoints/, so that a run
// whose checkpoints are gone is not taken for a new one: RUN/saved.txt, "step-00000100", or "none"
// where the run has begun and saved nothing yet. Runs of versions that wrote no such file are known
// by their log.txt. Process 0 alone.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "files/env.hpp"
#include "record/run_directory.hpp"

namespace switchyard {

// Both durably.
void remember_saved(Env& env, const RunPaths& run, std::int64_t step);
void remember_nothing_saved(Env& env, const RunPaths& run);

// The step that was last saved, by saved.txt; nothing where there is no such file, where nothing
// was saved, or where the file says something else.
std::optional<std::int64_t> remembered_step(const Env& env, const RunPaths& run);

// What shows that a checkpoint of the run was acknowledged, for people: "runs/a/saved.txt names
// step-00000100". Nothing where nothing shows it.
std::optional<std::string> evidence_of_saving(const Env& env, const RunPaths& run);

}  // namespace switchyard
