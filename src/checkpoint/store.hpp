// The checkpoints of one run: which there are, which is the newest valid one, which may go. A
// directory's name says whether it is complete; only reading it says whether it is whole.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/log.hpp"
#include "checkpoint/reader.hpp"
#include "comm/comm.hpp"
#include "files/env.hpp"

namespace switchyard {

struct CheckpointEntry {
  std::int64_t step = 0;
  std::string directory;
  bool operator==(const CheckpointEntry&) const = default;
};

std::string checkpoint_name(std::int64_t step);  // 100 -> "step-00000100"
// Back again; nothing for any other name, temporary ones included.
std::optional<std::int64_t> step_of(const std::string& name);

// The committed ones, newest first; none where the directory is absent. Not collective.
std::vector<CheckpointEntry> list_checkpoints(const Env& env,
                                              const std::string& checkpoints_directory);

// Reads all of it: the manifest's frame and contents, each file's size and SHA-256.
// Error(damaged_data) names the file and what is wrong. Not collective.
void verify_checkpoint(const Env& env, const std::string& checkpoint_directory);

// Opens a checkpoint on every process and reads all of it, each process its share of the files. All
// have the manifest that process 0 read. Error(damaged_data) as above, Error(missing_input) where
// one does not see the directory, on every process. Collective.
CheckpointReader open_valid(const Env& env, const Comm& comm,
                            const std::string& checkpoint_directory);

// The newest that verifies; each damaged one is passed over with a warning, and one that a trainer
// deletes meanwhile without. None where none was ever committed; Error(damaged_data) where all are
// damaged: never a silent fresh start. All processes have the same. Collective.
std::optional<CheckpointReader> open_newest_valid(const Env& env, const Comm& comm,
                                                  const std::string& checkpoints_directory,
                                                  Log& log);

// A checkpoint by a user's path: a checkpoint's directory, or a run (its newest valid checkpoint).
// Error(missing_input) where there is none, Error(damaged_data). Collective.
CheckpointReader open_checkpoint(const Env& env, const Comm& comm, const std::string& path,
                                 Log& log);

// Deletes all but the newest valid checkpoint and the keep_last - 1 before it, after a successful
// save. A damaged one newer than that is left for its owner to look at. Process 0 alone calls it.
void apply_retention(Env& env, const std::string& checkpoints_directory, int keep_last);

// Deletes one checkpoint: first renamed to a name that is none, so that half of it is never seen.
// Process 0 alone calls it.
void retire_checkpoint(Env& env, const std::string& checkpoints_directory, const std::string& name);

// Deletes what interrupted saves and deletions left. Process 0 alone calls it, holding the run's
// lock.
void clean_leftovers(Env& env, const std::string& checkpoints_directory);

}  // namespace switchyard
