// The checkpoints of one run: which exist, which is the newest valid one, and which may be deleted.
// A directory's name tells whether the checkpoint was committed; only reading it tells whether it
// is undamaged.
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
// The step in a checkpoint directory's name; nullopt for any other name, including temporary ones.
std::optional<std::int64_t> step_of(const std::string& name);

// The committed checkpoints, newest first; empty where the directory is absent. Not collective.
std::vector<CheckpointEntry> list_checkpoints(const Env& env,
                                              const std::string& checkpoints_directory);

// Reads the whole checkpoint: the manifest's frame and contents, and the size and SHA-256 of each
// file. Error(damaged_data) names the file and what is wrong. Not collective.
void verify_checkpoint(const Env& env, const std::string& checkpoint_directory);

// Opens a checkpoint on every process and verifies all of it; the processes divide the files among
// them. All use the manifest that process 0 read. On every process: Error(damaged_data) as above,
// Error(missing_input) where one of them does not see the directory. Collective.
CheckpointReader open_valid(const Env& env, const Comm& comm,
                            const std::string& checkpoint_directory);

// Opens the newest checkpoint that verifies. A damaged checkpoint is skipped with a warning, one
// that a trainer deletes meanwhile without a warning. Returns nullopt where none was ever
// committed; throws Error(damaged_data) where all are damaged, so that a run never silently starts
// over. The result is the same on all processes. Collective.
std::optional<CheckpointReader> open_newest_valid(const Env& env, const Comm& comm,
                                                  const std::string& checkpoints_directory,
                                                  Log& log);

// Opens a checkpoint by the user's path: a checkpoint's directory, or a run's (its newest valid
// checkpoint). Error(missing_input) where there is none, Error(damaged_data). Collective.
CheckpointReader open_checkpoint(const Env& env, const Comm& comm, const std::string& path,
                                 Log& log);

// Deletes checkpoints older than step `saved` except for the keep_last - 1 before it; called after
// save_checkpoint acknowledged that step. It is therefore known to be valid and its bytes are not
// read again: only its manifest and the sizes of its files are, and Error(damaged_data) leaves all
// checkpoints where they are. Later ones, which this run has passed over, are kept for the user to
// inspect. Only process 0 calls it.
void apply_retention(Env& env, const std::string& checkpoints_directory, std::int64_t saved,
                     int keep_last);

// Deletes one checkpoint, after renaming it to a name that is not a checkpoint's, so that no reader
// sees a partly deleted one. Only process 0 calls it.
void retire_checkpoint(Env& env, const std::string& checkpoints_directory, const std::string& name);

// Deletes the leftovers of interrupted saves and deletions. Only process 0 calls it, while it holds
// the run's lock.
void clean_leftovers(Env& env, const std::string& checkpoints_directory);

}  // namespace switchyard
